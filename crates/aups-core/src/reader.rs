//! Who reads: users and apps with the attributes that policies may ask for.

use crate::id::{GroupName, Sub};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// A person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    /// A person.
    User,
    /// A program, which may have users of its own.
    App,
}

impl fmt::Display for ReaderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::App => "app",
        })
    }
}

/// What policies may ask of a reader. In JSON one object: the attributes that ship, `tags`, and by their names those
/// that the administrator added to the schema. A member that does not ship is taken for one of the latter: whoever takes
/// attributes from outside asks the schema whether it has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// What it does: `meteorologist`, `operator`, …
    pub roles: BTreeSet<String>,
    /// Whose it is.
    pub org: String,
    /// How far it is trusted; higher is further.
    pub clearance: i64,
    /// What it wants the data for.
    pub purposes: BTreeSet<String>,
    /// Names with a text each, for what no attribute is worth declaring.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Attributes that the administrator added to the schema.
    #[serde(flatten)]
    pub further: BTreeMap<String, AttributeValue>,
}

/// The value of an attribute that the administrator added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AttributeValue {
    /// `true` or `false`.
    Truth(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// A set of texts.
    Texts(BTreeSet<String>),
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AttributesVisitor)
    }
}

struct AttributesVisitor;

impl<'de> Visitor<'de> for AttributesVisitor {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut attributes = Attributes::default();
        let mut names = BTreeSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let taken = match name.as_str() {
                "roles" => map.next_value().map(|roles| attributes.roles = roles),
                "org" => map.next_value().map(|org| attributes.org = org),
                "clearance" => map.next_value().map(|clearance| attributes.clearance = clearance),
                "purposes" => map.next_value().map(|purposes| attributes.purposes = purposes),
                "tags" => map.next_value().map(|tags| attributes.tags = tags),
                _ => map.next_value().map(|value| drop(attributes.further.insert(name.clone(), value))),
            };
            taken.map_err(|error| A::Error::custom(format_args!("attribute `{name}`: {error}")))?;
            if let Some(twice) = names.replace(name) {
                return Err(A::Error::custom(format_args!("attribute `{twice}` comes twice")));
            }
        }
        Ok(attributes)
    }
}

impl<'de> Deserialize<'de> for AttributeValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AttributeValueVisitor)
    }
}

struct AttributeValueVisitor;

impl<'de> Visitor<'de> for AttributeValueVisitor {
    type Value = AttributeValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true or false, or a list of texts")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Truth(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<AttributeValue, E> {
        let number = i64::try_from(number).map_err(|_| E::custom(format_args!("{number} is beyond {}", i64::MAX)))?;
        Ok(AttributeValue::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<AttributeValue, E> {
        Ok(AttributeValue::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut members: A) -> Result<AttributeValue, A::Error> {
        let mut texts = BTreeSet::new();
        while let Some(text) = members.next_element()? {
            texts.insert(text);
        }
        Ok(AttributeValue::Texts(texts))
    }
}

/// A reader as the policy decision point sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// User or app.
    pub kind: ReaderKind,
    /// Its name.
    pub sub: Sub,
    /// Its attributes.
    pub attributes: Attributes,
    /// Every group that it is in, those that hold its groups included.
    pub groups: BTreeSet<GroupName>,
    /// The app that registered it, if one did: it may read nothing that the app may not.
    pub app: Option<Arc<Principal>>,
}

#[cfg(test)]
mod tests;
