//! What readers do not get of an item, because a policy that lets them read it says so (`@obligation("redact:/data/…")`).

use aups_core::{Item, Redaction, item::Reading};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap as _,
};
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::BTreeSet, fmt};

/// An item's JSON without these members. A member that is not there is no fault; an element of an array becomes null, so
/// that the others keep their places. Everything else stays as it was written. About 5 µs, and more for long values.
pub(crate) fn redacted(item: &Item, redactions: &BTreeSet<Redaction>) -> Result<Vec<u8>, serde_json::Error> {
    let mut item = item.clone();
    for redaction in redactions {
        remove(&mut item.data, &redaction.path().collect::<Vec<_>>())?;
    }
    Ok(item.to_json())
}

/// Takes out of a reading what lies at a path: a whole member, or a part of one. Of a name, or the whole value, nothing.
pub(crate) fn remove(reading: &mut Reading, path: &[String]) -> Result<(), serde_json::Error> {
    let Some((member, below)) = path.split_first() else { return Ok(()) };
    match (member.as_str(), below) {
        ("unit", _) => reading.unit = None,
        ("time", _) => reading.time = None,
        ("value", below) => reading.value = without(&reading.value, below)?,
        (member, []) => reading.further.retain(|(name, _)| **name != *member),
        (member, below) => {
            if let Some((_, value)) = reading.further.iter_mut().find(|(name, _)| **name == *member) {
                *value = without(value, below)?;
            }
        }
    }
    Ok(())
}

/// A value without what lies at a path in it.
pub(crate) fn without(value: &RawValue, path: &[String]) -> Result<Box<RawValue>, serde_json::Error> {
    let Some((first, below)) = path.split_first() else { return Ok(value.to_owned()) };
    if let Ok(mut members) = serde_json::from_str::<Members>(value.get()) {
        match below {
            [] => members.0.retain(|(name, _)| name != first),
            below => {
                if let Some((_, member)) = members.0.iter_mut().find(|(name, _)| name == first) {
                    *member = without(member, below)?;
                }
            }
        }
        return to_raw_value(&members);
    }
    let (Ok(mut elements), Ok(index)) =
        (serde_json::from_str::<Vec<Box<RawValue>>>(value.get()), first.parse::<usize>())
    else {
        return Ok(value.to_owned());
    };
    if let Some(element) = elements.get_mut(index) {
        *element = if below.is_empty() { to_raw_value(&())? } else { without(element, below)? };
    }
    to_raw_value(&elements)
}

/// The members of a JSON object in their order, each as it was written.
struct Members(Vec<(String, Box<RawValue>)>);

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests;
