//! `aups policy explain`: why a reader may read something, or may not.

use crate::cli::{admin::Admin, failure::Failure, terminal};
use aups_core::{Filter, Sub, Topic, UnixMillis};
use aups_policy::Explanation;
use clap::{ArgGroup, Args};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    fs,
    io::{self, Read as _},
    net::IpAddr,
    path::{Path, PathBuf},
};

/// Say why a reader may read something or may not, and what would have to hold
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true)), after_help = EXAMPLES)]
pub(super) struct Explain {
    /// Whose rights: a registered user or app
    #[arg(long, value_name = "SUB")]
    reader: Sub,
    /// About items of a topic
    #[arg(long, group = "what")]
    topic: Option<Topic>,
    /// About subscribing to a topic filter
    #[arg(long, group = "what")]
    filter: Option<Filter>,
    /// About one item: JSON, or a line of `aups sub --json`; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    item: Option<PathBuf>,
    /// When the key is asked for, as in 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "filter")]
    at: Option<UnixMillis>,
    /// Where from
    #[arg(long, value_name = "IP", conflicts_with = "filter")]
    address: Option<IpAddr>,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups policy explain --reader alice --topic data/s1/temperature
  aups policy explain --reader alice --topic data/s1/temperature --item i.json
  aups policy explain --reader alice --filter 'data/#'";

#[derive(Serialize)]
struct Question<'a> {
    reader: &'a Sub,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a Topic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
}

/// Whether a filter may be subscribed.
#[derive(Deserialize)]
struct Verdict {
    accepted: bool,
    reason: String,
}

impl Explain {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let question = Question {
            reader: &self.reader,
            topic: self.topic.as_ref(),
            filter: self.filter.as_ref(),
            item: self.item.as_deref().map(read_item).transpose()?,
            at: self.at.map(|at| at.to_string()),
            address: self.address,
        };
        let answer: Value = admin.send_json(Method::POST, "/v1/explain", &question).await?;
        if self.json {
            return terminal::line(&answer.to_string());
        }
        let told = match &self.filter {
            Some(filter) => Verdict::deserialize(&answer).map(|verdict| self.judged(filter, &verdict)),
            None => Explanation::deserialize(&answer).map(|explanation| explanation.to_string()),
        };
        let told = told.map_err(|error| {
            Failure::failed(format!("the server answered something else than expected: {error}"))
                .help("is this an AUPS server of this version?")
        })?;
        terminal::line(&told)
    }

    fn judged(&self, filter: &Filter, verdict: &Verdict) -> String {
        let may = if verdict.accepted { "may" } else { "may not" };
        format!("{} {may} subscribe to {filter}: {}", self.reader, verdict.reason)
    }
}

/// An item, alone or in a line of `aups sub --json`.
fn read_item(file: &Path) -> Result<Value, Failure> {
    let (name, text) = if file == Path::new("-") {
        let mut text = String::new();
        ("standard input".to_owned(), io::stdin().lock().read_to_string(&mut text).map(|_| text))
    } else {
        (file.display().to_string(), fs::read_to_string(file))
    };
    let text = text.map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
    let mut json: Value = serde_json::from_str(&text)
        .map_err(|error| Failure::input_refused(format!("{name} holds no item in JSON: {error}")))?;
    Ok(json.get_mut("item").map(Value::take).unwrap_or(json))
}

fn time(text: &str) -> Result<UnixMillis, String> {
    UnixMillis::parse_rfc3339(text).map_err(|error| error.to_string())
}
