//! Lines of the trail for a person.

use crate::cli::{failure::Failure, terminal};
use aups_core::UnixMillis;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeSet;

/// Of the columns of [`rows`].
pub(super) const HEADINGS: [&str; 5] = ["NUMBER", "AT", "ACTOR", "ADDRESS", "WHAT"];

/// What every line has, and what belongs to its event.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) number: u64,
    at: UnixMillis,
    event: String,
    #[serde(default)]
    actor: String,
    #[serde(default)]
    address: String,
    #[serde(flatten)]
    further: Map<String, Value>,
}

pub(super) fn parse(lines: &[Box<RawValue>]) -> Result<Vec<Line>, Failure> {
    lines.iter().map(|line| serde_json::from_str(line.get())).collect::<Result<_, _>>().map_err(|error| {
        Failure::failed(format!("a line of the trail is not as expected: {error}")).help("look at it with --json")
    })
}

/// The lines for a person: that something began is left out where its outcome is shown, and so are checkpoints.
pub(super) fn rows(lines: Vec<Line>) -> Vec<[String; 5]> {
    let ended: BTreeSet<u64> = lines.iter().filter_map(|line| line.further.get("begun")?.as_u64()).collect();
    let shown = lines.into_iter().filter(|line| !ended.contains(&line.number) && line.event != "checkpoint");
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
