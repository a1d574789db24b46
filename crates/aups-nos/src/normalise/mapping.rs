//! Mappings as an administrator writes them: how payloads of a certain form become readings.
//!
//! `docs/guide/mappings.md` explains them to users.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::{collections::BTreeMap, fmt};

/// How payloads of a certain form become readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mapping {
    /// What it is called: the `schema` of its items.
    pub name: String,
    /// Which payloads it is meant for; all conditions must hold.
    #[serde(default, skip_serializing_if = "When::is_empty")]
    pub when: When,
    /// A pointer to an array or an object, each element or member of which makes items of its own. Without it the payload
    /// is the one element.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<String>,
    /// The items that one element makes.
    pub items: Vec<ItemTemplate>,
}

/// Conditions on a payload and its source.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct When {
    /// The `NodeId` of a registered source; `*` and `?` stand for any letters and any one letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// The `NodeType` of a registered source, alike; that of all others is `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_type: Option<String>,
    /// Pointers to what must be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub present: Vec<String>,
    /// Pointers to what must be a certain text, number or boolean, or null.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub equals: BTreeMap<String, serde_json::Value>,
}

impl When {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How an item is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ItemTemplate {
    /// The name of the reading.
    pub name: Field,
    /// Its value.
    pub value: Field,
    /// Its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Field>,
    /// When it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Field>,
    /// What an unregistered source calls itself; a registered one has its name from its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_id: Option<Field>,
    /// Which further members are kept.
    #[serde(default, skip_serializing_if = "Keep::is_none")]
    pub keep: Keep,
    /// Pointers to what is dropped of the members that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Whether this item is left out, rather than the mapping not fitting, where its name or value is missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Where a field of an item comes from: a template text such as `{/device}-{key}`, or an object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Field {
    /// Text with `{/pointer}`, `{./pointer}` and `{key}` in it.
    Template(String),
    /// What lies at a pointer, or a constant.
    Taken(Taken),
}

/// What lies at a pointer, or a constant: one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Taken {
    /// Where it is: `/a/b` in the payload, `./a/b` in the element of `each`; an empty text is the whole payload, `.` the
    /// whole element.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// What it always is.
    #[serde(rename = "const", skip_serializing_if = "Option::is_none")]
    pub constant: Option<serde_json::Value>,
    /// Of a value: a number is multiplied by this,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// and this is added then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// Of a time: how it is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<TimeFormat>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TimeFormat {
    /// RFC 3339 with an offset.
    #[default]
    Rfc3339,
    /// The same without an offset, which is taken to be UTC.
    Utc,
    /// Seconds since 1970, perhaps with a fraction.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
}

/// Which further members of a payload are kept with a reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// All members of the element that no item of the mapping uses.
    All,
    /// What lies at these pointers, each under the last name of its pointer.
    #[serde(untagged)]
    Only(Vec<String>),
}

impl Keep {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a template text, or an object with `pointer` or `const`")
    }
    fn visit_str<E>(self, text: &str) -> Result<Field, E> {
        Ok(Field::Template(text.into()))
    }
    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Field, A::Error> {
        Taken::deserialize(MapAccessDeserializer::new(members)).map(Field::Taken)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KeepVisitor)
    }
}

struct KeepVisitor;

impl<'de> Visitor<'de> for KeepVisitor {
    type Value = Keep;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\", \"none\" or a list of pointers")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Keep, E> {
        match text {
            "all" => Ok(Keep::All),
            "none" => Ok(Keep::None),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut pointers: A) -> Result<Keep, A::Error> {
        let mut all = Vec::new();
        while let Some(pointer) = pointers.next_element()? {
            all.push(pointer);
        }
        Ok(Keep::Only(all))
    }
}
