//! Which lines of a trail somebody looks for.

use super::files;
use aups_core::{Filter as TopicFilter, Topic, UnixMillis};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{io, path::Path};

/// Members whose texts, or whose lists' texts, name readers.
const READERS: [&str; 4] = ["sub", "readers", "app", "of"];
/// Members that name topics.
const TOPICS: [&str; 1] = ["topic"];

/// Lines that are all of this. What is absent says nothing; the empty filter takes every line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// A reader that the line is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
    /// The name of an admin token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    /// One of these events, between commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<String>,
    /// A topic, or a filter that takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) topic: Option<TopicFilter>,
    /// A scope that is named anywhere in the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    /// A key's id that is named anywhere in the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// Not before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<UnixMillis>,
    /// Before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<UnixMillis>,
}

impl Filter {
    /// Whether it takes every line.
    pub(crate) fn takes_all(&self) -> bool {
        *self == Self::default()
    }

    /// The number of a line up to which it takes none, found by the files alone.
    pub(crate) fn starts_after(&self, dir: &Path) -> io::Result<u64> {
        self.since.map_or(Ok(0), |since| files::before(dir, since))
    }

    /// Whether it takes a line.
    pub(crate) fn takes(&self, line: &str) -> bool {
        // Names stand in a line as they are: most lines are told apart without reading them.
        let named = [&self.sub, &self.actor, &self.scope, &self.key];
        if named.into_iter().flatten().any(|name| !line.contains(name.as_str())) {
            return false;
        }
        self.takes_all() || serde_json::from_str(line).is_ok_and(|line| self.takes_value(&line))
    }

    fn takes_value(&self, line: &Value) -> bool {
        let text = |member: &str| line.get(member).and_then(Value::as_str).unwrap_or_default();
        let at = UnixMillis(line.get("at").and_then(Value::as_u64).unwrap_or_default());
        let is = |wanted: &Option<String>, check: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(check);
        self.since.is_none_or(|since| since <= at)
            && self.until.is_none_or(|until| at < until)
            && is(&self.actor, &|actor| text("actor") == actor)
            && is(&self.event, &|events| events.split(',').any(|event| event.trim() == text("event")))
            && is(&self.sub, &|sub| any_in(line, &READERS, &|name| name == sub))
            && is(&self.scope, &|scope| is_named(line, scope))
            && is(&self.key, &|key| is_named(line, key))
            && self.topic.as_ref().is_none_or(|filter| {
                any_in(line, &TOPICS, &|name| name.parse::<Topic>().is_ok_and(|topic| filter.matches(&topic)))
            })
    }
}

/// Whether a member of one of these names, at any depth, has a text that is wanted, alone or in a list.
fn any_in(value: &Value, members: &[&str], is_wanted: &dyn Fn(&str) -> bool) -> bool {
    match value {
        Value::Object(object) => object.iter().any(|(name, value)| {
            let texts = match value {
                Value::Array(list) if members.contains(&name.as_str()) => list.as_slice(),
                one if members.contains(&name.as_str()) => std::slice::from_ref(one),
                _ => &[],
            };
            texts.iter().filter_map(Value::as_str).any(is_wanted) || any_in(value, members, is_wanted)
        }),
        Value::Array(list) => list.iter().any(|value| any_in(value, members, is_wanted)),
        _ => false,
    }
}

/// Whether a text, or a member's name, is this.
fn is_named(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(list) => list.iter().any(|value| is_named(value, wanted)),
        Value::Object(object) => object.iter().any(|(name, value)| name == wanted || is_named(value, wanted)),
        _ => false,
    }
}
