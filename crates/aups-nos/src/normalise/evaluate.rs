//! A compiled mapping applied to a payload.

use super::{
    Normalised, Origin, Schema, TEXT_CHARS_MAX,
    glob::Glob,
    mapping::TimeFormat,
    number::{number, scaled},
    pointer::{Pointer, find},
};
use crate::{
    json::{Members, Value},
    redact::without,
};
use aups_core::{UnixMillis, item::Reading};
use serde_json::value::{RawValue, to_raw_value};
use std::{borrow::Cow, cell::OnceCell, collections::HashSet, fmt};
use thiserror::Error;

/// Most items that one payload makes.
pub const ITEMS_MAX: usize = 10_000;
/// Most bytes of all readings that one payload makes: a mapping may copy what is there once into many of them.
const READINGS_BYTES_MAX: usize = 4 << 20;
/// Longest text that a template makes, in bytes.
const TEXT_BYTES_MAX: usize = 4 << 10;
/// Last millisecond that RFC 3339 can name: the year 9999 ends.
const TIME_MS_MAX: f64 = 253_402_300_799_999.0;

/// A mapping that was found sound.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: Box<str>,
    pub(super) conditions: Vec<Condition>,
    pub(super) each: Option<Place>,
    pub(super) items: Vec<ItemRule>,
    /// Pointers into the payload. Each is followed once per payload at most, however many items it makes.
    pub(super) absolute: Vec<Pointer>,
    /// The members of the element that some item is made of: they are not kept as further members.
    pub(super) used: HashSet<Box<str>>,
}

#[derive(Debug)]
pub(super) enum Condition {
    NodeId(Glob),
    NodeType(Glob),
    Present(usize, Place),
    Equals(usize, Place, Expected),
}

/// What a member must be.
#[derive(Debug)]
pub(super) enum Expected {
    Text(String),
    Number(f64),
    /// `true`, `false`, `null`.
    Word(&'static str),
}

#[derive(Debug)]
pub(super) struct ItemRule {
    pub(super) name: FieldSource,
    pub(super) value: ValueRule,
    pub(super) unit: Option<FieldSource>,
    pub(super) time: Option<TimeRule>,
    pub(super) node_id: Option<FieldSource>,
    pub(super) keep: Kept,
    /// Whether it points into the element, and where.
    pub(super) drop: Vec<(bool, Pointer)>,
    pub(super) optional: bool,
}

#[derive(Debug)]
pub(super) enum FieldSource {
    Constant(Box<RawValue>),
    Place(Place),
    Template(Vec<Part>),
}

#[derive(Debug)]
pub(super) struct ValueRule {
    pub(super) source: FieldSource,
    /// Scale and offset.
    pub(super) linear: Option<(f64, f64)>,
}

#[derive(Debug)]
pub(super) struct TimeRule {
    pub(super) source: FieldSource,
    pub(super) format: TimeFormat,
}

#[derive(Debug)]
pub(super) enum Kept {
    All,
    Only(Vec<(Box<str>, Place)>),
}

#[derive(Debug)]
pub(super) enum Part {
    Text(String),
    Place(Place),
    Key,
}

/// A pointer, and into what.
#[derive(Debug)]
pub(super) struct Place {
    /// As the administrator wrote it.
    pub(super) text: Box<str>,
    pub(super) side: Side,
}

#[derive(Debug)]
pub(super) enum Side {
    /// Which of the mapping's pointers into the payload.
    Payload(usize),
    Element(Pointer),
}

/// Why a mapping does not fit a payload: where in the mapping, and what is not so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Misfit<'m> {
    at: At,
    why: Why<'m>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    NodeId,
    NodeType,
    Present(usize),
    Equals(usize),
    Each,
    Items,
    Item(usize, &'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why<'m> {
    OtherSource(&'m str),
    Missing(&'m str),
    Differs(&'m str),
    NotMany(&'m str),
    NothingMade,
    NoText,
    NoNumber,
    NoTime,
    NoNodeId,
}

impl fmt::Display for Misfit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            At::NodeId => f.write_str("when/nodeId: "),
            At::NodeType => f.write_str("when/nodeType: "),
            At::Present(number) => write!(f, "when/present/{number}: "),
            At::Equals(_) => f.write_str("when/equals: "),
            At::Each => f.write_str("each: "),
            At::Items => f.write_str("items: "),
            At::Item(number, field) => write!(f, "items/{number}/{field}: "),
        }?;
        match self.why {
            Why::OtherSource(pattern) => write!(f, "the source's is not `{pattern}`"),
            Why::Missing(pointer) => write!(f, "there is nothing at `{pointer}`"),
            Why::Differs(pointer) => write!(f, "`{pointer}` is something else"),
            Why::NotMany(pointer) => write!(f, "`{pointer}` is neither an array nor an object"),
            Why::NothingMade => f.write_str("no element makes an item"),
            Why::NoText => write!(f, "neither a text of at most {TEXT_BYTES_MAX} bytes nor a number nor a boolean"),
            Why::NoNumber => f.write_str("not a number"),
            Why::NoTime => f.write_str("not a time in the format that is given"),
            Why::NoNodeId => write!(f, "not a text of 1 to {TEXT_CHARS_MAX} characters"),
        }
    }
}

impl Misfit<'_> {
    /// Whether all fitted but a time that could not be read.
    pub(super) fn is_time(&self) -> bool {
        self.why == Why::NoTime
    }
}

/// A payload that would become too much. Its source is at fault, or the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Excess {
    /// Too many items.
    #[error("would make more than {ITEMS_MAX} items; send less at once")]
    Items,
    /// Too many bytes.
    #[error("would make readings of more than {READINGS_BYTES_MAX} bytes; send less at once")]
    Bytes,
}

/// Why nothing was made.
#[derive(Debug)]
pub(super) enum Unfit<'m> {
    Misfit(Misfit<'m>),
    Excess(Excess),
}

fn misfit<T>(at: At, why: Why<'_>) -> Result<T, Unfit<'_>> {
    Err(Unfit::Misfit(Misfit { at, why }))
}

/// What is to be mapped.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    pub(super) value: Value<'a>,
    /// Its members, if it is an object.
    pub(super) members: Option<Members<'a>>,
    pub(super) origin: Origin<'a>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(value: Value<'a>, origin: Origin<'a>) -> Self {
        Self { value, members: value.members(), origin }
    }

    fn find(&self, path: &[String]) -> Option<Value<'a>> {
        match (path.split_first(), &self.members) {
            (Some((first, below)), Some(members)) => {
                let (_, member) = members.iter().find(|(name, _)| *name == *first)?;
                find(*member, below)
            }
            _ => find(self.value, path),
        }
    }
}

/// One of those that `each` names, and what it is called there.
struct Element<'a> {
    key: Cow<'a, str>,
    value: Value<'a>,
}

impl Compiled {
    /// The readings that a payload becomes, if the mapping fits it.
    pub(super) fn apply<'m>(&'m self, payload: &Payload<'_>) -> Result<Vec<Normalised<'m>>, Unfit<'m>> {
        let mut found = Vec::new();
        found.resize_with(self.absolute.len(), OnceCell::new);
        let mut application =
            Application { mapping: self, payload, found, own_name: OnceCell::new(), bytes_left: READINGS_BYTES_MAX };
        application.conditions()?;
        application.items()
    }
}

/// A mapping on its way through a payload.
struct Application<'m, 'p, 'a> {
    mapping: &'m Compiled,
    payload: &'p Payload<'a>,
    /// What lies at the mapping's pointers into the payload, once it was looked for.
    found: Vec<OnceCell<Option<Value<'a>>>>,
    /// The payload's `NodeId` member, once it was looked for.
    own_name: OnceCell<Option<Value<'a>>>,
    bytes_left: usize,
}

impl<'m, 'a> Application<'m, '_, 'a> {
    fn conditions(&self) -> Result<(), Unfit<'m>> {
        let origin = &self.payload.origin;
        for condition in &self.mapping.conditions {
            let (at, holds, why) = match condition {
                Condition::NodeId(glob) => {
                    let matches = origin.node_id.is_some_and(|node_id| glob.matches(node_id));
                    (At::NodeId, matches, Why::OtherSource(glob.as_str()))
                }
                Condition::NodeType(glob) => {
                    (At::NodeType, glob.matches(origin.node_type), Why::OtherSource(glob.as_str()))
                }
                Condition::Present(number, place) => {
                    (At::Present(*number), self.in_payload(place).is_some(), Why::Missing(&place.text))
                }
                Condition::Equals(number, place, expected) => {
                    let is = self.in_payload(place).is_some_and(|value| expected.is(value));
                    (At::Equals(*number), is, Why::Differs(&place.text))
                }
            };
            if !holds {
                return misfit(at, why);
            }
        }
        Ok(())
    }

    fn items(&mut self) -> Result<Vec<Normalised<'m>>, Unfit<'m>> {
        let mut made = Vec::with_capacity(self.mapping.items.len());
        for element in self.elements()? {
            for (number, rule) in self.mapping.items.iter().enumerate() {
                if made.len() == ITEMS_MAX {
                    return Err(Unfit::Excess(Excess::Items));
                }
                made.extend(self.item(number, rule, &element)?);
            }
        }
        if made.is_empty() { misfit(At::Items, Why::NothingMade) } else { Ok(made) }
    }

    fn elements(&self) -> Result<Vec<Element<'a>>, Unfit<'m>> {
        let Some(each) = &self.mapping.each else {
            return Ok(vec![Element { key: Cow::Borrowed(""), value: self.payload.value }]);
        };
        let Some(many) = self.in_payload(each) else { return misfit(At::Each, Why::Missing(&each.text)) };
        if let Some(elements) = many.elements() {
            let numbered = elements.into_iter().enumerate();
            return Ok(numbered.map(|(number, value)| Element { key: number.to_string().into(), value }).collect());
        }
        match many.members() {
            Some(members) => Ok(members.into_iter().map(|(key, value)| Element { key, value }).collect()),
            None => misfit(At::Each, Why::NotMany(&each.text)),
        }
    }

    /// `None` where an item that need not be there lacks its name or its value.
    fn item(
        &mut self,
        number: usize,
        rule: &'m ItemRule,
        element: &Element<'a>,
    ) -> Result<Option<Normalised<'m>>, Unfit<'m>> {
        let value = match self.value(number, &rule.value, element) {
            Err(Unfit::Misfit(Misfit { why: Why::Missing(_), .. })) if rule.optional => return Ok(None),
            value => value?,
        };
        let name = match self.text(At::Item(number, "name"), &rule.name, element) {
            Err(Unfit::Misfit(Misfit { why: Why::Missing(_), .. })) if rule.optional => return Ok(None),
            name => name?,
        };
        let unit = rule.unit.as_ref().map(|unit| self.if_there(At::Item(number, "unit"), unit, element));
        let time = rule.time.as_ref().map(|time| self.time(number, time, element));
        let reading = Reading {
            name,
            value,
            unit: unit.transpose()?.flatten(),
            time: time.transpose()?.flatten(),
            further: self.further(rule, element)?,
        };
        let node_id = if self.payload.origin.registered { None } else { self.node_id(number, rule, element)? };
        let texts = [Some(&reading.name), reading.unit.as_ref(), reading.time.as_ref()];
        self.spend(texts.into_iter().flatten().map(|text| text.len()).sum())?;
        Ok(Some(Normalised { reading, schema: Schema::Mapped(&self.mapping.name), node_id }))
    }

    fn value(&mut self, number: usize, rule: &'m ValueRule, element: &Element<'a>) -> Result<Box<RawValue>, Unfit<'m>> {
        let at = At::Item(number, "value");
        let value = match &rule.source {
            FieldSource::Constant(constant) => {
                self.spend(constant.get().len())?;
                return Ok(constant.clone());
            }
            FieldSource::Template(parts) => {
                let text = self.filled(at, parts, element)?;
                self.spend(text.len())?;
                return to_raw_value(&text).or_else(|_| misfit(at, Why::NoText));
            }
            FieldSource::Place(place) => match self.at(place, element) {
                Some(value) if !value.is_null() => value,
                _ => return misfit(at, Why::Missing(&place.text)),
            },
        };
        match rule.linear {
            None => {
                self.spend(value.text().len())?;
                Ok(value.to_raw())
            }
            Some((scale, offset)) => {
                let scaled = super::number::number(value).and_then(|number| scaled(number, scale, offset));
                scaled.map_or_else(|| misfit(at, Why::NoNumber), Ok)
            }
        }
    }

    /// A text that must be there.
    fn text(&self, at: At, source: &'m FieldSource, element: &Element<'a>) -> Result<Box<str>, Unfit<'m>> {
        match source {
            FieldSource::Template(parts) => self.filled(at, parts, element),
            FieldSource::Constant(constant) => Expected::text_of(constant).map_or_else(|| misfit(at, Why::NoText), Ok),
            FieldSource::Place(place) => self.text_at(at, place, element).map(Into::into),
        }
    }

    /// A text that need not be there.
    fn if_there(&self, at: At, source: &'m FieldSource, element: &Element<'a>) -> Result<Option<Box<str>>, Unfit<'m>> {
        match self.text(at, source, element) {
            Err(Unfit::Misfit(Misfit { why: Why::Missing(_), .. })) => Ok(None),
            text => text.map(Some),
        }
    }

    fn filled(&self, at: At, parts: &'m [Part], element: &Element<'a>) -> Result<Box<str>, Unfit<'m>> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Key => text.push_str(&element.key),
                Part::Place(place) => text.push_str(&self.text_at(at, place, element)?),
            }
            if text.len() > TEXT_BYTES_MAX {
                return misfit(at, Why::NoText);
            }
        }
        Ok(text.into())
    }

    fn text_at(&self, at: At, place: &'m Place, element: &Element<'a>) -> Result<Cow<'a, str>, Unfit<'m>> {
        let value = self.at(place, element).filter(|value| !value.is_null());
        let Some(value) = value else { return misfit(at, Why::Missing(&place.text)) };
        match value.string() {
            Some(text) if text.len() <= TEXT_BYTES_MAX => Ok(text),
            None if !value.is_array() && !value.is_object() => Ok(value.text().into()),
            _ => misfit(at, Why::NoText),
        }
    }

    fn time(&self, number: usize, rule: &'m TimeRule, element: &Element<'a>) -> Result<Option<Box<str>>, Unfit<'m>> {
        let at = At::Item(number, "time");
        let Some(text) = self.if_there(at, &rule.source, element)? else { return Ok(None) };
        let time = match rule.format {
            TimeFormat::Rfc3339 => UnixMillis::parse_rfc3339(&text).is_ok().then_some(text),
            TimeFormat::Utc => {
                let text = format!("{text}Z");
                UnixMillis::parse_rfc3339(&text).is_ok().then(|| text.into())
            }
            TimeFormat::Unix => text.parse().ok().and_then(|seconds: f64| time_at(seconds * 1_000.0)),
            TimeFormat::UnixMs => text.parse().ok().and_then(time_at),
        };
        time.map_or_else(|| misfit(at, Why::NoTime), |time| Ok(Some(time)))
    }

    /// What an unregistered source calls itself: by the mapping, or else with a `NodeId` member, as everywhere.
    fn node_id(&self, number: usize, rule: &'m ItemRule, element: &Element<'a>) -> Result<Option<Box<str>>, Unfit<'m>> {
        let at = At::Item(number, "nodeId");
        let mapped = match &rule.node_id {
            Some(source) => self.if_there(at, source, element)?,
            None => None,
        };
        let own_name = || *self.own_name.get_or_init(|| self.payload.find(&[NODE_ID.to_owned()]));
        let name = match mapped {
            Some(name) => name,
            None => match own_name() {
                None => return Ok(None),
                Some(own) => own.string().map_or_else(|| misfit(at, Why::NoNodeId), |name| Ok(name.into()))?,
            },
        };
        if (1..=TEXT_CHARS_MAX).contains(&name.chars().count()) { Ok(Some(name)) } else { misfit(at, Why::NoNodeId) }
    }

    fn further(&mut self, rule: &'m ItemRule, element: &Element<'a>) -> Result<Vec<FurtherMember>, Unfit<'m>> {
        let mut further = Vec::new();
        match &rule.keep {
            Kept::All => {
                let is_payload = self.mapping.each.is_none();
                let of_element = element.value.members();
                let no_members = Members::new();
                let members = match (&self.payload.members, &of_element) {
                    (Some(members), _) if is_payload => members,
                    (_, Some(members)) => members,
                    (_, None) => &no_members,
                };
                for (name, value) in members {
                    let is_own = matches!(&**name, "name" | "value" | "unit" | "time");
                    let is_node_id = is_payload && **name == *NODE_ID && !self.payload.origin.registered;
                    if !is_own && !is_node_id && !self.mapping.used.contains(&**name) {
                        let path = [name.clone().into_owned()];
                        further.extend(self.kept(name, *value, rule, !is_payload, &path)?);
                    }
                }
            }
            Kept::Only(kept) => {
                for (name, place) in kept {
                    let (is_relative, path) = match &place.side {
                        Side::Payload(slot) => (false, self.mapping.absolute.get(*slot)),
                        Side::Element(pointer) => (true, Some(pointer)),
                    };
                    if let Some((value, path)) = self.at(place, element).zip(path) {
                        further.extend(self.kept(name, value, rule, is_relative, path.path())?);
                    }
                }
            }
        }
        Ok(further)
    }

    /// A member as it is kept: without what is dropped of it; nothing if that is all of it.
    fn kept(
        &mut self,
        name: &str,
        value: Value<'a>,
        rule: &ItemRule,
        is_relative: bool,
        path: &[String],
    ) -> Result<Option<FurtherMember>, Unfit<'m>> {
        let mut rest: Option<Box<RawValue>> = None;
        for (_, pointer) in rule.drop.iter().filter(|(relative, _)| *relative == is_relative) {
            if path.starts_with(pointer.path()) {
                return Ok(None);
            }
            if let Some(below) = pointer.path().strip_prefix(path) {
                let whole = rest.take().unwrap_or_else(|| value.to_raw());
                // It is read and written again for every item: that is paid for, whatever is left of it.
                self.spend(whole.get().len())?;
                // What was read strictly can be written again.
                rest = Some(without(&whole, below).map_err(|_| Unfit::Excess(Excess::Bytes))?);
            }
        }
        self.spend(name.len() + rest.as_ref().map_or(value.text().len(), |rest| rest.get().len()))?;
        Ok(Some((name.into(), rest.unwrap_or_else(|| value.to_raw()))))
    }

    fn at(&self, place: &Place, element: &Element<'a>) -> Option<Value<'a>> {
        match &place.side {
            Side::Payload(_) => self.in_payload(place),
            Side::Element(pointer) => find(element.value, pointer.path()),
        }
    }

    fn in_payload(&self, place: &Place) -> Option<Value<'a>> {
        let Side::Payload(slot) = place.side else { return None };
        let (found, pointer) = self.found.get(slot).zip(self.mapping.absolute.get(slot))?;
        *found.get_or_init(|| self.payload.find(pointer.path()))
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Unfit<'m>> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(Unfit::Excess(Excess::Bytes))?;
        Ok(())
    }
}

type FurtherMember = (Box<str>, Box<RawValue>);

/// The member with which an unregistered source names itself.
const NODE_ID: &str = "NodeId";

/// Milliseconds since 1970 as RFC 3339.
pub(super) fn time_at(millis: f64) -> Option<Box<str>> {
    let millis = millis.round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the years 1970 to 9999")]
    (0.0..=TIME_MS_MAX).contains(&millis).then(|| UnixMillis(millis as u64).to_string().into())
}

impl Expected {
    pub(super) fn of(value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::Null => Some(Self::Word("null")),
            serde_json::Value::Bool(true) => Some(Self::Word("true")),
            serde_json::Value::Bool(false) => Some(Self::Word("false")),
            serde_json::Value::Number(number) => number.as_f64().map(Self::Number),
            serde_json::Value::String(text) => Some(Self::Text(text.clone())),
            serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        }
    }

    fn is(&self, value: Value<'_>) -> bool {
        match self {
            Self::Text(text) => value.string().is_some_and(|value| value == **text),
            // 1 and 1.0 are the same.
            Self::Number(expected) => number(value).and_then(|text| text.parse::<f64>().ok()) == Some(*expected),
            Self::Word(word) => value.text() == *word,
        }
    }

    /// A constant as a text, if it is a scalar.
    pub(super) fn text_of(constant: &RawValue) -> Option<Box<str>> {
        match constant.get() {
            text if text.starts_with(['{', '[']) || text == "null" => None,
            text if text.starts_with('"') => serde_json::from_str(text).ok(),
            text => Some(text.into()),
        }
    }
}
