//! `aups audit`: who did what to the realm.

use super::{admin::ServerArgs, failure::Failure, terminal};
use aups_core::UnixMillis;
use clap::{Args, Subcommand, value_parser};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{collections::BTreeSet, time::Duration};

/// How often `--follow` asks for more.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Most lines that the server gives at once.
const LINES_MAX: u16 = 1_000;

/// Look at the audit trail
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Look at the audit trail: who changed what, from where and with what outcome, who enrolled, who was \
refused. Reads are counted and shown every hour."
)]
pub(crate) struct Audit {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups audit tail
  aups audit tail -n 100 --json | jq 'select(.event == \"refused\")'
  aups audit tail --follow --json >> elsewhere.jsonl";

#[derive(Debug, Subcommand)]
enum Action {
    /// Show the newest lines
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = value_parser!(u16).range(1..=i64::from(LINES_MAX)))]
        lines: u16,
        /// Go on as lines come, until interrupted
        #[arg(long, short)]
        follow: bool,
        /// As JSON lines, byte by byte as the trail has them
        #[arg(long)]
        json: bool,
    },
}

/// What every line has, and what belongs to its event.
#[derive(Debug, Deserialize)]
struct Line {
    number: u64,
    at: UnixMillis,
    event: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    address: String,
    #[serde(flatten)]
    further: Map<String, Value>,
}

impl Audit {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let Action::Tail { lines, follow, json } = self.action;
        let admin = server.admin()?;
        let mut found: Vec<Box<RawValue>> = admin.list(&format!("/v1/audit?limit={lines}")).await?;
        let mut newest = 0;
        let mut is_first = true;
        loop {
            let parsed = parse(&found)?;
            newest = parsed.last().map_or(newest, |line| line.number);
            let shown = match (json, is_first) {
                (true, _) => found.iter().map(|line| line.get()).collect::<Vec<_>>().join("\n"),
                (false, true) => terminal::table(&["NUMBER", "AT", "ACTOR", "ADDRESS", "WHAT"], &rows(parsed)),
                (false, false) => rows(parsed).iter().map(|row| row.join("  ")).collect::<Vec<_>>().join("\n"),
            };
            if !shown.is_empty() {
                terminal::line(&shown)?;
            }
            if !follow {
                return Ok(());
            }
            is_first = false;
            tokio::time::sleep(FOLLOW_EVERY).await;
            found = admin.list(&format!("/v1/audit?limit={LINES_MAX}&after={newest}")).await?;
        }
    }
}

fn parse(lines: &[Box<RawValue>]) -> Result<Vec<Line>, Failure> {
    lines.iter().map(|line| serde_json::from_str(line.get())).collect::<Result<_, _>>().map_err(|error| {
        Failure::failed(format!("a line of the trail is not as expected: {error}")).help("look at it with --json")
    })
}

/// The lines for a person: that something began is left out where its outcome is shown.
fn rows(lines: Vec<Line>) -> Vec<[String; 5]> {
    let ended: BTreeSet<u64> = lines.iter().filter_map(|line| line.further.get("begun")?.as_u64()).collect();
    let shown = lines.into_iter().filter(|line| !ended.contains(&line.number));
    shown
        .map(|line| {
            let what = what(&line);
            [line.number.to_string(), line.at.to_string(), line.actor, line.address, terminal::harmless(&what)]
        })
        .collect()
}

fn what(line: &Line) -> String {
    let mut further = line.further.clone();
    for technical in ["prev", "begun"] {
        further.remove(technical);
    }
    let mut take = |name: &str| further.remove(name).map(|value| value.as_str().map_or(value.to_string(), Into::into));
    let mut parts: Vec<String> = ["method", "path", "route", "status"].into_iter().filter_map(&mut take).collect();
    if line.event != "call" {
        parts.insert(0, line.event.clone());
    }
    parts.extend(further.iter().map(|(name, value)| format!("{name}={value}")));
    parts.join(" ")
}

#[cfg(test)]
mod tests;
