//! MQTT topic names and filters (MQTT 5.0 sections 4.7 and 4.8), and templates that make names from values.

use crate::id::is_name_byte;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, fmt::Write as _, str::FromStr, sync::Arc};
use thiserror::Error;

/// Longest topic name or filter that we take, in bytes. MQTT allows 65,535; what we make is far shorter.
pub const TOPIC_BYTES_MAX: usize = 1_024;
/// Most levels of a topic name that we take.
pub const TOPIC_LEVELS_MAX: usize = 32;

/// Beginning of the topics on which readers publish key requests: `aups/kr/<sub>`.
pub const KEY_REQUESTS: &str = "aups/kr/";
/// Beginning of the topics on which they are answered: `aups/ks/<sub>`.
pub const KEY_ANSWERS: &str = "aups/ks/";

/// A text that is not a topic name or filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TopicError {
    /// Nothing at all.
    #[error("a topic has at least one character")]
    Empty,
    /// More than [`TOPIC_BYTES_MAX`] bytes or [`TOPIC_LEVELS_MAX`] levels.
    #[error("a topic has at most {TOPIC_BYTES_MAX} bytes and {TOPIC_LEVELS_MAX} levels")]
    TooLong,
    /// U+0000.
    #[error("a topic holds no NUL character")]
    Nul,
    /// A wildcard in a topic name, or in the wrong place of a filter.
    #[error(
        "`#` stands alone as the last level of a filter, `+` alone as a level of a filter, and neither in a topic name"
    )]
    Wildcard,
    /// `$share` without a group or a filter behind it.
    #[error("a shared subscription reads $share/<group>/<filter>")]
    Share,
    /// A template with an unknown or unclosed `{member}`.
    #[error("a topic template knows {{nodeId}} and {{name}}, each closed with a brace")]
    Template,
}

fn check_common(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        Err(TopicError::Empty)
    } else if text.len() > TOPIC_BYTES_MAX || text.bytes().filter(|byte| *byte == b'/').count() >= TOPIC_LEVELS_MAX {
        Err(TopicError::TooLong)
    } else if text.bytes().any(|byte| byte == 0) {
        Err(TopicError::Nul)
    } else {
        Ok(())
    }
}

macro_rules! checked_text {
    ($type:ident) => {
        impl $type {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// A topic name: where a message is published. A clone is the same text, not a copy of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);
checked_text!(Topic);

impl FromStr for Topic {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        check_common(text)?;
        let is_wildcard = |byte| matches!(byte, b'+' | b'#');
        if text.bytes().any(is_wildcard) { Err(TopicError::Wildcard) } else { Ok(Self(text.into())) }
    }
}

impl Topic {
    /// The levels, from the root.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The prefixes that end at a level: `a`, `a/b`, `a/b/c` of `a/b/c`.
    pub fn prefixes(&self) -> impl Iterator<Item = &str> {
        let text = &*self.0;
        text.match_indices('/').map(|(end, _)| end).chain([text.len()]).filter_map(move |end| text.get(..end))
    }
}

/// A topic filter: what a reader subscribes to. `$share/<group>/F` is kept whole; [`Filter::matched`] is its `F`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Box<str>);
checked_text!(Filter);

impl FromStr for Filter {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        check_common(text)?;
        let matched = match text.strip_prefix("$share/") {
            None if text == "$share" => return Err(TopicError::Share),
            None => text,
            Some(rest) => match rest.split_once('/') {
                Some((group, filter)) if !group.is_empty() && !filter.is_empty() && !group.contains(['+', '#']) => {
                    filter
                }
                _ => return Err(TopicError::Share),
            },
        };
        let mut levels = matched.split('/').peekable();
        while let Some(level) = levels.next() {
            let wildcard_alone = level == "+" || (level == "#" && levels.peek().is_none());
            if level.contains(['+', '#']) && !wildcard_alone {
                return Err(TopicError::Wildcard);
            }
        }
        Ok(Self(text.into()))
    }
}

impl Filter {
    /// The filter that decides what matches: `F` of `$share/<group>/F`, else the whole.
    pub fn matched(&self) -> &str {
        match self.0.strip_prefix("$share/").and_then(|rest| rest.split_once('/')) {
            Some((_, filter)) => filter,
            None => &self.0,
        }
    }

    /// Whether a shared subscription is asked for.
    pub fn is_shared(&self) -> bool {
        self.0.starts_with("$share/")
    }

    /// The levels of [`Filter::matched`].
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.matched().split('/')
    }

    /// Whether the filter matches a topic name. A first level that is a wildcard does not match a name that starts with
    /// `$` (MQTT-4.7.2-1).
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut names = topic.levels();
        let dollar = topic.as_str().starts_with('$');
        for (depth, level) in self.levels().enumerate() {
            if level == "#" {
                return !(dollar && depth == 0);
            }
            match names.next() {
                Some(_) if level == "+" && !(dollar && depth == 0) => {}
                Some(name) if name == level => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// Makes topic names: fixed text with `{nodeId}` and `{name}`, each filling exactly one level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicTemplate {
    text: Box<str>,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    NodeId,
    Name,
}

impl FromStr for TopicTemplate {
    type Err = TopicError;
    fn from_str(text: &str) -> Result<Self, TopicError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (member, after) = after.split_once('}').ok_or(TopicError::Template)?;
            parts.push(Part::Text(before.into()));
            parts.push(match member {
                "nodeId" => Part::NodeId,
                "name" => Part::Name,
                _ => return Err(TopicError::Template),
            });
            rest = after;
        }
        parts.push(Part::Text(rest.into()));
        let template = Self { text: text.into(), parts };
        template.fill("node", "name")?;
        Ok(template)
    }
}

impl TopicTemplate {
    /// The topic for these values. Bytes outside the alphabet of names are written `%XX`, nothing is written `_`.
    pub fn fill(&self, node_id: &str, name: &str) -> Result<Topic, TopicError> {
        let mut topic = String::with_capacity(self.text.len() + node_id.len() + name.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => topic.push_str(text),
                Part::NodeId => push_level(&mut topic, node_id),
                Part::Name => push_level(&mut topic, name),
            }
        }
        topic.parse()
    }
}

impl fmt::Display for TopicTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for TopicTemplate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for TopicTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn push_level(topic: &mut String, value: &str) {
    if value.is_empty() {
        topic.push('_');
    }
    if value.bytes().all(is_name_byte) {
        topic.push_str(value);
        return;
    }
    for byte in value.bytes() {
        if is_name_byte(byte) {
            topic.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(topic, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests;
