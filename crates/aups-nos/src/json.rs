//! JSON as it comes in: RFC 8259 to the letter, bounded, with the place of the fault, and values kept as written.
//!
//! A text is read strictly once ([`Document::read`]); what is taken from it afterwards needs no checks. `serde_json` does
//! the reading; on top of it, members that come twice, deep nesting and numbers beyond an `f64` are refused.

use aups_core::limits::JSON_DEPTH_MAX;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, cell::RefCell, collections::HashSet, fmt};
use thiserror::Error;

/// A text that is not taken. The source of the text is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{fault}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Where.
    pub place: Place,
}

/// Where in a text, both from 1; the column counts bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The byte of the line.
    pub column: usize,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Fault {
    /// No text, or only white space.
    #[error("there is nothing here; send a JSON value")]
    Empty,
    /// Not UTF-8.
    #[error("not UTF-8, as JSON must be")]
    NotUtf8,
    /// Not JSON. The reader's words.
    #[error("not JSON: {0}")]
    Syntax(String),
    /// Nested too deeply.
    #[error("nested more than {JSON_DEPTH_MAX} deep")]
    TooDeep,
    /// A member comes twice in an object.
    #[error("the member `{0}` comes twice in one object")]
    DuplicateMember(String),
}

/// A text that was read strictly: one JSON value and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    text: &'a str,
    root: Value<'a>,
}

impl<'a> Document<'a> {
    /// Reads a text strictly. Cost: two passes over the text, no allocation for scalars, one per object.
    pub fn read(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonError { fault: Fault::NotUtf8, place: place_of(bytes, error.valid_up_to()) })?;
        let fault = RefCell::new(None);
        let mut reader = serde_json::Deserializer::from_str(text);
        Strict { depth: 0, fault: &fault }
            .deserialize(&mut reader)
            .and_then(|()| reader.end())
            .and_then(|()| serde_json::from_str(text))
            .map(|root| Self { text, root: Value(root) })
            .map_err(|error| {
                let place = Place { line: error.line().max(1), column: error.column().max(1) };
                let fault = fault.take().unwrap_or_else(|| syntax_fault(text, &error));
                JsonError { fault, place }
            })
    }

    /// The value.
    pub fn root(&self) -> Value<'a> {
        self.root
    }

    /// Where a value of this document starts.
    pub fn place_of(&self, value: Value<'_>) -> Place {
        let offset = (value.text().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        place_of(self.text.as_bytes(), offset)
    }
}

/// A value of a [`Document`].
#[derive(Debug, Clone, Copy)]
pub struct Value<'a>(&'a RawValue);

impl<'a> Value<'a> {
    /// The value as it was written.
    pub fn text(self) -> &'a str {
        self.0.get()
    }

    /// The value as it was written, to keep.
    pub fn to_raw(self) -> Box<RawValue> {
        self.0.to_owned()
    }

    /// Whether this is an array.
    pub fn is_array(self) -> bool {
        self.text().starts_with('[')
    }

    /// Whether this is an object.
    pub fn is_object(self) -> bool {
        self.text().starts_with('{')
    }

    /// Whether this is `null`.
    pub fn is_null(self) -> bool {
        self.text() == "null"
    }

    /// The elements, if this is an array.
    pub fn elements(self) -> Option<Vec<Value<'a>>> {
        if self.is_array() {
            serde_json::from_str::<Vec<&RawValue>>(self.text()).ok().map(|all| all.into_iter().map(Value).collect())
        } else {
            None
        }
    }

    /// The members in their order, if this is an object.
    pub fn members(self) -> Option<Members<'a>> {
        if self.is_object() {
            serde_json::Deserializer::from_str(self.text()).deserialize_map(MembersVisitor).ok()
        } else {
            None
        }
    }

    /// The member of that name, or the element of that index written without leading zeros (RFC 6901 section 4). Cost: one
    /// pass over the value.
    pub fn child(self, name_or_index: &str) -> Option<Value<'a>> {
        if self.is_object() {
            let wanted = Child { name: name_or_index };
            return serde_json::Deserializer::from_str(self.text()).deserialize_map(wanted).ok().flatten();
        }
        let index = name_or_index.parse::<usize>().ok().filter(|index| index.to_string() == name_or_index)?;
        self.elements()?.get(index).copied()
    }

    /// The text, if this is a string.
    pub fn string(self) -> Option<Cow<'a, str>> {
        if self.text().starts_with('"') {
            serde_json::from_str::<Text<'a>>(self.text()).ok().map(|text| text.0)
        } else {
            None
        }
    }
}

/// The members of an object, in their order.
pub type Members<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

/// Reads everything and keeps nothing. `fault` takes what the reader's own errors cannot carry.
#[derive(Clone, Copy)]
struct Strict<'f> {
    depth: usize,
    fault: &'f RefCell<Option<Fault>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == JSON_DEPTH_MAX {
            Err(self.refuse(Fault::TooDeep))
        } else {
            Ok(Self { depth: self.depth + 1, ..self })
        }
    }

    fn refuse<E: serde::de::Error>(self, fault: Fault) -> E {
        self.fault.replace(Some(fault));
        E::custom("")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while elements.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Names::default();
        while let Some(Text(name)) = members.next_key()? {
            if let Err(name) = names.insert(name) {
                return Err(self.refuse(Fault::DuplicateMember(name.chars().take(64).collect())));
            }
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// The member names of one object: a list while they are few, which costs one allocation and no hashing, then a set, so
/// that an object of a hundred thousand members takes no quadratic time.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    many: HashSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    const FEW: usize = 16;

    fn insert(&mut self, name: Cow<'de, str>) -> Result<(), Cow<'de, str>> {
        if self.few.contains(&name) || self.many.contains(&name) {
            Err(name)
        } else {
            if self.few.len() < Self::FEW {
                self.few.push(name);
            } else {
                self.many.insert(name);
            }
            Ok(())
        }
    }
}

/// A string, borrowed where it holds no escapes.
struct Text<'de>(Cow<'de, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.into())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, Value(value)));
        }
        Ok(members)
    }
}

/// One member of an object.
struct Child<'n> {
    name: &'n str,
}

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Text(name)) = map.next_key()? {
            if name == self.name {
                found = Some(Value(map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The reader's words without the place, which is told apart.
fn syntax_fault(text: &str, error: &serde_json::Error) -> Fault {
    if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Fault::Empty;
    }
    let words = error.to_string();
    let words = words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words);
    Fault::Syntax(words.into())
}

fn place_of(bytes: &[u8], offset: usize) -> Place {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let lines = before.split(|byte| *byte == b'\n');
    let column = before.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len) + 1;
    Place { line: lines.count(), column }
}

#[cfg(test)]
pub(crate) mod tests;
