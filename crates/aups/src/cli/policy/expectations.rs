//! What an administrator expects of a policy set: a TOML file of readers and of what each may read, and how a set does.
//!
//! What is not said of an item is as good as can be: a registered sensor's reading of 0 with all scores at 1, called as the
//! last level of its topic, from the source that the last level but one names.

use crate::cli::failure::Failure;
use aups_core::{
    Attributes, GroupName, Item, Marks, Principal, Quality, ReaderKind, Reading, Score, Security, Source, Sub, Topic,
    UnixMillis,
};
use aups_policy::{Answer, Explanation, Pdp, RequestContext, Schema};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::Spanned;

/// The id of items that never were: policies cannot ask for it.
const NIL: &str = "00000000-0000-0000-0000-000000000000";

/// A file of expectations, read.
#[derive(Debug)]
pub(super) struct Expectations {
    file: PathBuf,
    /// Readers made up for this file.
    readers: HashMap<Sub, Principal>,
    expected: Vec<Expected>,
}

#[derive(Debug)]
struct Expected {
    line: usize,
    reader: Sub,
    topic: Topic,
    known: Option<(Item, Marks)>,
    context: RequestContext,
    outcome: Answer,
}

/// An expectation that a policy set does not meet.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) expected: Answer,
    /// What came instead, and why.
    pub(super) explanation: Explanation,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    reader: Vec<Spanned<MadeUp>>,
    #[serde(default)]
    expect: Vec<Spanned<Written>>,
}

/// A reader; what else is said of it are its attributes.
#[derive(Debug, Deserialize)]
struct MadeUp {
    sub: Sub,
    #[serde(default = "user")]
    kind: ReaderKind,
    /// All groups that it is in, those that hold its groups included.
    #[serde(default)]
    groups: BTreeSet<GroupName>,
    /// The app that registered it: a reader of the file, further above.
    app: Option<Sub>,
    #[serde(flatten)]
    attributes: Attributes,
}

const fn user() -> ReaderKind {
    ReaderKind::User
}

/// An expectation as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    reader: Sub,
    topic: Topic,
    item: Option<WrittenItem>,
    at: Option<String>,
    address: Option<IpAddr>,
    outcome: Answer,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenItem {
    name: Option<Box<str>>,
    value: Option<Value>,
    /// Further members of its `data`.
    #[serde(default)]
    data: BTreeMap<Box<str>, Value>,
    schema: Option<Box<str>>,
    #[serde(default)]
    source: WrittenSource,
    #[serde(default)]
    security: BTreeMap<SecurityScore, Score>,
    #[serde(default)]
    quality: BTreeMap<QualityScore, Score>,
    #[serde(default)]
    labels: BTreeSet<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenSource {
    node_id: Option<Box<str>>,
    node_type: Option<Box<str>>,
    communication_mode: Option<Box<str>>,
    registered: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SecurityScore {
    Confidentiality,
    Integrity,
    Privacy,
    Authentication,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum QualityScore {
    Accuracy,
    Precision,
    Timeliness,
    Completeness,
}

impl Expectations {
    /// Reads a file.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))?;
        Self::parse(file, &text)
    }

    /// Parses the text of a file.
    pub(super) fn parse(file: &Path, text: &str) -> Result<Self, Failure> {
        let refuse = |offset: usize, message: &str| {
            Failure::input_refused(format!("{}:{}: {message}", file.display(), line(text, offset)))
        };
        let parsed: File =
            toml::from_str(text).map_err(|error| refuse(error.span().map_or(0, |span| span.start), error.message()))?;
        let mut readers = HashMap::new();
        for made_up in parsed.reader {
            let offset = made_up.span().start;
            let MadeUp { sub, kind, groups, app, attributes } = made_up.into_inner();
            let app = app.map(|app| match readers.get(&app) {
                Some(made_up @ Principal { kind: ReaderKind::App, .. }) => Ok(Arc::new(made_up.clone())),
                _ => Err(refuse(offset, &format!("no app above is called `{app}`"))),
            });
            let reader = Principal { kind, sub: sub.clone(), attributes, groups, app: app.transpose()? };
            if readers.insert(sub.clone(), reader).is_some() {
                return Err(refuse(offset, &format!("a second reader is called `{sub}`")));
            }
        }
        let mut expected = Vec::new();
        for written in parsed.expect {
            let offset = written.span().start;
            let at = written.get_ref().at.as_deref().map(UnixMillis::parse_rfc3339).transpose();
            let at = at.map_err(|error| refuse(offset, &format!("`at`: {error}")))?;
            let Written { reader, topic, item, address, outcome, .. } = written.into_inner();
            let known = item.map(|item| item.complete(&topic)).transpose();
            let known = known.map_err(|error| refuse(offset, &format!("`item`: {error}")))?;
            let context = RequestContext { at, address };
            expected.push(Expected { line: line(text, offset), reader, topic, known, context, outcome });
        }
        if expected.is_empty() {
            return Err(refuse(0, "there is no [[expect]] in it"));
        }
        Ok(Self { file: file.to_owned(), readers, expected })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.expected.len()
    }

    /// Refuses a reader that is made up with what the schema does not have.
    pub(super) fn check_readers(&self, schema: &Schema) -> Result<(), Failure> {
        for (sub, reader) in &self.readers {
            schema
                .check_attributes(&reader.attributes)
                .map_err(|error| Failure::input_refused(format!("{}: reader `{sub}`: {error}", self.file.display())))?;
        }
        Ok(())
    }

    /// The readers that are not made up: they must be registered.
    pub(super) fn others(&self) -> BTreeSet<&Sub> {
        self.expected.iter().map(|expected| &expected.reader).filter(|sub| !self.readers.contains_key(sub)).collect()
    }

    /// Those that a policy set does not meet. Readers that are not made up are looked up among the registered ones; one that is
    /// not there makes a failure of this command.
    pub(super) fn unmet(&self, pdp: &Pdp, registered: &HashMap<Sub, Principal>) -> Result<Vec<Failed>, Failure> {
        let mut failed = Vec::new();
        for expected in &self.expected {
            let Expected { line, reader, topic, known, context, outcome } = expected;
            let who = self.readers.get(reader).or_else(|| registered.get(reader)).ok_or_else(|| {
                let place = format!("{}:{line}", self.file.display());
                Failure::failed(format!("{place}: no reader is called `{reader}`"))
                    .help("describe it in the file as a [[reader]], or register it")
            })?;
            let known = known.as_ref().map(|(item, marks)| (item, marks));
            let explanation = pdp.explain(who, topic, known, context);
            if explanation.answer != *outcome {
                failed.push(Failed { file: self.file.clone(), line: *line, expected: *outcome, explanation });
            }
        }
        Ok(failed)
    }
}

impl WrittenItem {
    /// The item with what is not said of it.
    fn complete(self, topic: &Topic) -> Result<(Item, Marks), serde_json::Error> {
        let levels: Vec<&str> = topic.levels().collect();
        let from_the_end = |n: usize| levels.iter().rev().nth(n).copied().unwrap_or_default();
        let further = self.data.into_iter().map(|(name, value)| Ok((name, raw(&value)?)));
        let security = |of| self.security.get(&of).copied().unwrap_or(Score::ONE);
        let quality = |of| self.quality.get(&of).copied().unwrap_or(Score::ONE);
        let source = self.source;
        let item = Item {
            id: serde_json::from_value(NIL.into())?,
            source: Source {
                node_id: source.node_id.unwrap_or_else(|| from_the_end(1).into()),
                node_type: source.node_type.unwrap_or_else(|| "sensor".into()),
                communication_mode: source.communication_mode.unwrap_or_else(|| "discrete".into()),
                registered: source.registered.unwrap_or(true),
            },
            schema: self.schema.unwrap_or_else(|| aups_nos::normalise::Schema::Default.as_str().into()),
            received_at: UnixMillis(0),
            data: Reading {
                name: self.name.unwrap_or_else(|| from_the_end(0).into()),
                value: raw(&self.value.unwrap_or_else(|| Value::from(0)))?,
                unit: None,
                time: None,
                further: further.collect::<Result<_, serde_json::Error>>()?,
            },
            security: Security {
                confidentiality: security(SecurityScore::Confidentiality),
                integrity: security(SecurityScore::Integrity),
                privacy: security(SecurityScore::Privacy),
                authentication: security(SecurityScore::Authentication),
            },
            quality: Quality {
                accuracy: quality(QualityScore::Accuracy),
                precision: quality(QualityScore::Precision),
                timeliness: quality(QualityScore::Timeliness),
                completeness: quality(QualityScore::Completeness),
            },
        };
        Ok((item, Marks { labels: self.labels, tags: self.tags }))
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(value)
}

/// The line of a byte, from 1.
fn line(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;
