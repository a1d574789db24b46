//! `aups config try`: what a payload would become, found out here.

use super::document::Document;
use crate::cli::{
    failure::Failure,
    terminal::{self, Paint, Stream, harmless},
};
use aups_client::SystemClock;
use aups_core::{Clock as _, Item, KeyId, NodeId, Problem, Topic, item::Marks, limits::LINE_BYTES_MAX};
use aups_nos::{
    Config, ConfigError, config,
    sources::{EncryptionScheme, SourceRecord},
    trial::{Content, Trial, TrialSource, Tried},
};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::{self, Read as _},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Show what a payload would become; needs no server
#[derive(Debug, Args)]
#[command(
    after_help = EXAMPLES,
    long_about = "Show what a payload would become, by the code that would take it; needs no server and changes nothing.\n\nOf \
each value: which mapping fits, why those before it do not, and the items with their topics and scores. Exit code 4: the \
mapping or the payload would be refused."
)]
pub(super) struct Try {
    /// The payload; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// A mapping, or a list of them: JSON; before those of --config
    #[arg(long, value_name = "FILE")]
    mapping: Vec<PathBuf>,
    /// A whole configuration document [default: as by default]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The source's NodeId
    #[arg(long, value_name = "NODE", default_value = "s1")]
    node_id: NodeId,
    /// The source's NodeType
    #[arg(long, value_name = "TYPE", default_value = "sensor")]
    node_type: Box<str>,
    /// Whether the source is registered
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    registered: bool,
    /// What the payload is
    #[arg(long = "type", value_name = "MEDIA", value_enum, default_value_t = Media::Json)]
    media: Media,
    /// As JSON, a line for each value
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups config try --mapping ttn.json uplink.json
  aups config try --mapping ttn.json --node-type gateway uplink.json
  aups config try --config config.json --registered false payload.json
  aups config try --type senml pack.json
  mosquitto_sub -t 'tele/#' | aups config try --mapping m.json --type ndjson -

A mapping:
  {\"name\": \"climate\",
   \"items\": [{\"name\": \"temperature\", \"unit\": \"Cel\",
              \"value\": {\"pointer\": \"/t\"}}]}";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Media {
    /// One value, or an array of them
    #[value(alias = "application/json")]
    Json,
    /// Lines of them
    #[value(alias = "application/x-ndjson")]
    Ndjson,
    /// A SenML pack
    #[value(alias = "application/senml+json")]
    Senml,
}

/// A text, and its line where there are several.
type Placed<'p> = (Option<usize>, &'p [u8]);

impl Try {
    pub(super) fn run(self) -> Result<(), Failure> {
        let payload = read(&self.file)?;
        let trial = Trial::new(self.configuration()?, self.source(), Arc::new(SystemClock));
        let mut number = 0;
        for (line, text) in self.texts(&payload)? {
            let content = if self.media == Media::Senml { Content::Senml } else { Content::Json };
            let tried = trial.text(text, content).map_err(|problem| {
                let line = line.or(problem.line);
                Failure::answered(&Problem { line, ..*problem })
            })?;
            for tried in tried {
                number += 1;
                if self.json { terminal::line(&as_json(number, &tried))? } else { print(number, &tried)? }
            }
        }
        Ok(())
    }

    /// The texts of which each would be taken by itself, with their lines where there are several.
    fn texts<'p>(&self, payload: &'p [u8]) -> Result<Vec<Placed<'p>>, Failure> {
        if self.media != Media::Ndjson {
            return Ok(vec![(None, payload)]);
        }
        let lines = payload.split(|byte| *byte == b'\n').enumerate();
        let texts: Vec<_> = lines
            .filter(|(_, line)| !line.iter().all(u8::is_ascii_whitespace))
            .map(|(number, line)| (Some(number + 1), line))
            .collect();
        match texts.iter().find(|(_, line)| line.len() > LINE_BYTES_MAX) {
            Some((number, _)) => Err(Failure::input_refused(format!(
                "a line has at most {LINE_BYTES_MAX} bytes (line {})",
                number.unwrap_or_default()
            ))),
            None => Ok(texts),
        }
    }

    fn source(&self) -> TrialSource {
        if !self.registered {
            return TrialSource::Unregistered(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        TrialSource::Registered(Arc::new(SourceRecord {
            node_id: self.node_id.clone(),
            node_type: self.node_type.clone(),
            communication_mode: "discrete".into(),
            encryption_scheme: EncryptionScheme::default(),
            credential_id: KeyId::from_bytes([0; 24]),
            registered_at: SystemClock.now(),
            marks: Marks::default(),
        }))
    }

    /// The document, with the mappings before its own.
    fn configuration(&self) -> Result<config::ConfigInForce, Failure> {
        let document = match &self.config {
            Some(file) => Document::read(file)?,
            None => Document { name: "the defaults".into(), text: "{}".into() },
        };
        let mut config = Config::from_json(document.text.as_bytes()).map_err(|error| document.tell(&[error]))?;
        let mut given = Vec::new();
        for file in &self.mapping {
            let document = Document::read(file)?;
            let mappings = mappings(&document)?;
            // Each file by itself, so that a fault is told with the file's own pointer.
            let alone = Config { mappings: mappings.clone(), ..Config::default() };
            config::fixed(alone).map_err(|errors| tell(&document, errors))?;
            given.extend(mappings);
        }
        config.mappings.splice(0..0, given);
        config::fixed(config).map_err(|errors| document.tell(&errors))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(file)
    };
    bytes.map_err(|error| Failure::failed(format!("cannot read {}: {error}", file.display())))
}

/// The mappings of a file: one, or a list.
fn mappings(document: &Document) -> Result<Vec<aups_nos::normalise::Mapping>, Failure> {
    let not_json = |error: serde_json::Error| Failure::input_refused(format!("{}: {error}", document.name));
    let value: Value = serde_json::from_str(&document.text).map_err(not_json)?;
    let list = if value.is_array() { value } else { Value::Array(vec![value]) };
    let whole = json!({ "mappings": list }).to_string();
    let config = Config::from_json(whole.as_bytes()).map_err(|error| tell(document, vec![error]))?;
    Ok(config.mappings)
}

/// Tells what is wrong with a file of mappings, with pointers into that file.
fn tell(document: &Document, errors: Vec<ConfigError>) -> Failure {
    let is_list = document.text.trim_start().starts_with('[');
    let of_file = |ConfigError { pointer, message }| {
        let below = if is_list { "/mappings" } else { "/mappings/0" };
        let pointer = pointer.strip_prefix(below).map_or(pointer.clone(), str::to_owned);
        ConfigError { pointer, message }
    };
    document.tell(&errors.into_iter().map(of_file).collect::<Vec<_>>())
}

fn print(number: usize, tried: &Tried) -> Result<(), Failure> {
    let paint = Paint::of(Stream::Stdout);
    terminal::line(&paint.bold(&format!("value {number}")))?;
    for (name, misfit) in &tried.mappings {
        terminal::line(&match misfit {
            Some(misfit) => format!("  {}", paint.faint(&format!("{name} does not fit: {}", harmless(misfit)))),
            None => format!("  {} fits", paint.green(name)),
        })?;
    }
    for (topic, item) in &tried.items {
        terminal::line(&format!("  {} {}", harmless(topic.as_str()), paint.faint(&format!("({})", item.schema))))?;
        terminal::line(&format!("    {}", harmless(&data(item))))?;
        terminal::line(&format!("    {}", paint.faint(&scores(item))))?;
    }
    Ok(())
}

fn data(item: &Item) -> String {
    // Texts and numbers are always written.
    serde_json::to_string(&item.data).unwrap_or_default()
}

fn scores(item: &Item) -> String {
    let (security, quality) = (&item.security, &item.quality);
    format!(
        "confidentiality {}, integrity {}, privacy {}, authentication {}; accuracy {}, precision {}, timeliness {}, completeness {}",
        security.confidentiality,
        security.integrity,
        security.privacy,
        security.authentication,
        quality.accuracy,
        quality.precision,
        quality.timeliness,
        quality.completeness
    )
}

/// A value as a line for machines. Written as it stands, so that numbers stay as they were.
#[derive(Serialize)]
struct Line<'t> {
    value: usize,
    mappings: Vec<Fit<'t>>,
    items: Vec<Made<'t>>,
}

#[derive(Serialize)]
struct Fit<'t> {
    name: &'t str,
    fits: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'t str>,
}

#[derive(Serialize)]
struct Made<'t> {
    topic: &'t Topic,
    item: &'t Item,
}

fn as_json(number: usize, tried: &Tried) -> String {
    let line = Line {
        value: number,
        mappings: tried
            .mappings
            .iter()
            .map(|(name, misfit)| Fit { name, fits: misfit.is_none(), why: misfit.as_deref() })
            .collect(),
        items: tried.items.iter().map(|(topic, item)| Made { topic, item }).collect(),
    };
    // Texts and numbers are always written.
    serde_json::to_string(&line).unwrap_or_default()
}
