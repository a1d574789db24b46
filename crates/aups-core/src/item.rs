//! The item: one normalised reading with its source, scores and times. Its JSON is the plaintext of a published message.

mod json;

use crate::{
    id::ItemId,
    score::{Quality, Security},
    time::{UnixMillis, rfc3339},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// One normalised reading. The members stand in the order of the paper's figure 2.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Item {
    /// Given at acceptance; survives restarts, re-sealing and delivery more than once.
    pub id: ItemId,
    /// Who sent it.
    pub source: Source,
    /// The normalisation that applied.
    pub schema: Box<str>,
    /// When the NOS took it.
    #[serde(with = "rfc3339")]
    pub received_at: UnixMillis,
    /// The reading itself.
    pub data: Reading,
    /// How well it was protected on its way in.
    pub security: Security,
    /// How good it is.
    pub quality: Quality,
}

/// A thing that sends data in, with the paper's fields.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The registered NodeId. Of an unregistered source: what it calls itself, or `addr-` and a hash of its address.
    pub node_id: Box<str>,
    /// For instance `sensor`.
    pub node_type: Box<str>,
    /// For instance `discrete`.
    pub communication_mode: Box<str>,
    /// Whether it registered and proved it.
    pub registered: bool,
}

/// What an administrator says of a source, for policies to ask: not part of the item, and not published.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Marks {
    /// Words such as `calibrated` or `indoor`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// Names with a text each, such as `owner` with `acme`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// What was read. Absent members stay absent; numbers stay as they were written.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What was measured.
    pub name: Box<str>,
    /// The value: any JSON.
    pub value: Box<RawValue>,
    /// Its unit, as the source wrote it.
    pub unit: Option<Box<str>>,
    /// When it was measured: RFC 3339, as the source wrote it.
    pub time: Option<Box<str>>,
    /// Further members, in the order in which they came; none is called as one of the above, none comes twice.
    pub further: Vec<(Box<str>, Box<RawValue>)>,
}

impl Reading {
    /// The value as a number, if it is one.
    pub fn number(&self) -> Option<f64> {
        self.value.get().parse().ok()
    }

    /// A further member's JSON text.
    pub fn further(&self, name: &str) -> Option<&RawValue> {
        self.further.iter().find(|(member, _)| &**member == name).map(|(_, value)| &**value)
    }
}

impl Serialize for Reading {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("value", &self.value)?;
        if let Some(unit) = &self.unit {
            map.serialize_entry("unit", unit)?;
        }
        if let Some(time) = &self.time {
            map.serialize_entry("time", time)?;
        }
        for (name, value) in &self.further {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Reading {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadingVisitor)
    }
}

struct ReadingVisitor;

impl<'de> Visitor<'de> for ReadingVisitor {
    type Value = Reading;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `name` and `value`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Reading, A::Error> {
        let (mut name, mut value, mut unit, mut time) = (None, None, None, None);
        let mut further: Vec<(Box<str>, Box<RawValue>)> = Vec::new();
        while let Some(member) = map.next_key::<Box<str>>()? {
            let twice = match &*member {
                "name" => name.replace(map.next_value()?).is_some(),
                "value" => value.replace(map.next_value()?).is_some(),
                "unit" => unit.replace(map.next_value()?).is_some(),
                "time" => time.replace(map.next_value()?).is_some(),
                _ => {
                    let twice = further.iter().any(|(known, _)| *known == member);
                    further.push((member, map.next_value()?));
                    twice
                }
            };
            if twice {
                return Err(A::Error::custom("a member comes twice"));
            }
        }
        Ok(Reading {
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            value: value.ok_or_else(|| A::Error::missing_field("value"))?,
            unit,
            time,
            further,
        })
    }
}

#[cfg(test)]
mod tests;
