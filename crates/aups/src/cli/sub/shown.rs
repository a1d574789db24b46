//! What a reader is told, as lines: items on standard output, everything else on standard error.

use crate::cli::{
    failure::Failure,
    terminal::{self, Paint, harmless},
};
use aups_client::{Event, Status};
use aups_core::{Filter, Item, KeyId, Topic};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use std::{collections::HashSet, fmt::Write as _};

/// Longest value that is shown in a line for people, in characters.
const VALUE_CHARS_MAX: usize = 60;
/// Denied keys that are remembered, so that a person is told of each once.
const DENIED_KEYS_MAX: usize = 4_096;

/// Shows events, to a person or as JSON to a program.
#[derive(Debug)]
pub(super) struct Shown {
    json: bool,
    out: Paint,
    err: Paint,
    denied: HashSet<KeyId>,
}

/// An item, to a program.
#[derive(Serialize)]
struct ItemLine<'a> {
    topic: &'a Topic,
    item: &'a RawValue,
    status: Status,
}

/// An event that is no item.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Notice<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<&'a Topic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Shown {
    pub(super) fn new(json: bool, out: Paint, err: Paint) -> Self {
        Self { json, out, err, denied: HashSet::new() }
    }

    /// The broker took the filters.
    pub(super) fn subscribed(&self, filters: &[Filter]) {
        let filters: Vec<_> = filters.iter().map(Filter::as_str).collect();
        terminal::note(&if self.json {
            json!({ "status": "subscribed", "filters": filters }).to_string()
        } else {
            self.err.faint(&format!("subscribed to {}", filters.join(" ")))
        });
    }

    /// Shows one event.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), Failure> {
        if let Event::Item { topic, item, json, status } = event {
            return terminal::line(&if self.json {
                as_json(&ItemLine { topic, item: json, status: *status })
            } else {
                self.item(topic, item, *status)
            });
        }
        if let Some(notice) = Notice::of(event).filter(|notice| self.json || self.is_news(notice)) {
            terminal::note(&if self.json { as_json(&notice) } else { self.notice(&notice) });
        }
        Ok(())
    }

    /// Time, topic, value and unit, quality, status.
    fn item(&self, topic: &Topic, item: &Item, status: Status) -> String {
        let received = item.received_at.to_string();
        let time = received.get(11..23).unwrap_or(&received);
        let mut value = harmless(item.data.value.get());
        if value.chars().count() > VALUE_CHARS_MAX {
            value = value.chars().take(VALUE_CHARS_MAX - 1).chain(['…']).collect();
        }
        let unit = item.data.unit.as_deref().map(|unit| format!(" {}", harmless(unit))).unwrap_or_default();
        let quality = &item.quality;
        let quality = format!(
            "acc {} prec {} time {} comp {}",
            quality.accuracy, quality.precision, quality.timeliness, quality.completeness
        );
        let status = match status {
            Status::Fresh => self.out.green("fresh"),
            status => self.out.yellow(&status.to_string()),
        };
        format!(
            "{}  {}  {}{unit}  {}  {status}",
            self.out.faint(time),
            self.out.cyan(&harmless(topic.as_str())),
            self.out.bold(&value),
            self.out.faint(&quality)
        )
    }

    /// Whether a person should be told: of a denied key once.
    fn is_news(&mut self, notice: &Notice<'_>) -> bool {
        if self.denied.len() >= DENIED_KEYS_MAX {
            self.denied.clear();
        }
        notice.key_id.is_none_or(|key_id| self.denied.insert(key_id))
    }

    fn notice(&self, notice: &Notice<'_>) -> String {
        let mut told = self.err.yellow(notice.status);
        // Writing to a String does not fail.
        if let Some(topic) = notice.topic {
            let _ = write!(told, " {}", harmless(topic.as_str()));
        }
        if let Some(key_id) = notice.key_id {
            let _ = write!(told, ": this reader is not given the key {key_id}");
        }
        if let Some(missed) = notice.missed {
            let _ = write!(told, ": {missed} missing");
        }
        if let Some(reason) = &notice.reason {
            let _ = write!(told, ": {}", harmless(reason));
        }
        told
    }
}

impl<'a> Notice<'a> {
    fn of(event: &'a Event) -> Option<Self> {
        let of_topic = |status, topic| Self { status, topic: Some(topic), ..Self::default() };
        let because = |status, reason| Self { status, reason: Some(reason), ..Self::default() };
        Some(match event {
            Event::Denied { topic, key_id } => Self { key_id: Some(*key_id), ..of_topic("denied", topic) },
            Event::Duplicate { topic } => of_topic("duplicate", topic),
            Event::Stale { topic } => of_topic("stale", topic),
            Event::Gap { topic, missed } => Self { missed: Some(*missed), ..of_topic("gap", topic) },
            Event::Rejected { topic, reason } => {
                Self { reason: Some(reason.to_string()), ..of_topic("rejected", topic) }
            }
            Event::KeysUnavailable { reason, retry_in } => {
                because("keysUnavailable", format!("{reason}; asking again in {} s", retry_in.as_secs_f64()))
            }
            Event::StateUnwritten { reason } => because("stateUnwritten", reason.clone()),
            Event::AnswerRejected { reason } => {
                because("answerRejected", format!("what came as the answer to a key request: {reason}"))
            }
            Event::ClockSkew { ahead_ms, too_far } => {
                let wait = if *too_far { ": messages wait until it is set" } else { "" };
                because("clockSkew", format!("this machine's clock is {ahead_ms} ms ahead of the server's{wait}"))
            }
            Event::Disconnected { reason } => because("disconnected", reason.clone()),
            Event::Reconnected { session_present: true } => because("reconnected", "nothing was lost".into()),
            Event::Reconnected { session_present: false } => {
                because("reconnected", "the broker had dropped the session: what came meanwhile is lost".into())
            }
            _ => return None,
        })
    }
}

fn as_json(line: &impl Serialize) -> String {
    // Texts, numbers and JSON that was parsed before: nothing that fails to serialise.
    serde_json::to_string(line).unwrap_or_default()
}

#[cfg(test)]
mod tests;
