//! Whatever a source sends becomes readings in one normal form.
//!
//! The first [`mapping`] that fits makes as many readings of a value as it says. Where none fits, the built-in
//! mapping `default`: an object with `value` is a reading; `name`, `unit` and `time` are what they are called, further
//! members are kept. A number, a text or a boolean is the `value` of a reading named `value`. What fits nothing is `raw`: the
//! whole of it is the `value` of a reading named `value`, so that nothing is lost. Of an unregistered source, a `NodeId`
//! member says what it calls itself and is taken out. [SenML](senml) packs have a media type, and a normal form, of their own.

pub mod mapping;
pub mod mappings;

mod compile;
mod evaluate;
mod glob;
mod number;
mod pointer;

pub mod senml;

pub use evaluate::{Excess, ITEMS_MAX, Misfit};
pub use mapping::Mapping;
pub use mappings::Mappings;

use crate::json::{Members, Value};
use aups_core::{UnixMillis, item::Reading};
use serde_json::value::RawValue;
use thiserror::Error;

/// The name of a reading that came without one.
pub const NAMELESS: &str = "value";
/// Longest name that a source may give itself, in characters; the same at a registration.
pub const TEXT_CHARS_MAX: usize = 64;

/// Whose value it is.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'s> {
    /// Whether its source registered and proved it.
    pub registered: bool,
    /// The `NodeId` of a registered source.
    pub node_id: Option<&'s str>,
    /// The `NodeType`.
    pub node_type: &'s str,
}

/// The normalisation that applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema<'m> {
    /// The mapping of this name.
    Mapped(&'m str),
    /// The built-in mapping.
    Default,
    /// That of RFC 8428.
    Senml,
    /// None: the value is kept as it came.
    Raw,
}

impl<'m> Schema<'m> {
    /// An item's `schema`.
    pub const fn as_str(self) -> &'m str {
        match self {
            Self::Mapped(name) => name,
            Self::Default => "default",
            Self::Senml => "senml",
            Self::Raw => "raw",
        }
    }
}

/// A reading, how it was made, and what its source calls itself.
#[derive(Debug)]
pub struct Normalised<'m> {
    /// The reading.
    pub reading: Reading,
    /// The normalisation that applied.
    pub schema: Schema<'m>,
    /// What an unregistered source calls itself, if it does.
    pub node_id: Option<Box<str>>,
}

/// A member that does not fit the mapping. The source is at fault.
#[derive(Debug, Clone, Copy, Error)]
#[error("`{member}` must be {wanted}")]
pub struct MappingError<'a> {
    /// The member.
    pub member: &'static str,
    /// What it must be.
    pub wanted: &'static str,
    /// What it is.
    pub value: Value<'a>,
}

/// Maps one value that no configured mapping fits. `registered` says whether its source is.
pub fn normalise(value: Value<'_>, registered: bool) -> Result<Normalised<'static>, MappingError<'_>> {
    let Some(mut members) = value.members() else {
        let schema = if value.is_array() || value.is_null() { Schema::Raw } else { Schema::Default };
        return Ok(Normalised { reading: nameless(value.to_raw()), schema, node_id: None });
    };
    let node_id = if registered { None } else { take_node_id(&mut members)? };
    let measured = members.iter().find(|(name, _)| name == "value").map(|(_, value)| *value);
    let (reading, schema) = match (measured, &node_id) {
        (Some(measured), _) => (reading(measured, members)?, Schema::Default),
        (None, None) => (nameless(value.to_raw()), Schema::Raw),
        (None, Some(_)) => (nameless(object(&members)), Schema::Raw),
    };
    Ok(Normalised { reading, schema, node_id })
}

fn take_node_id<'a>(members: &mut Members<'a>) -> Result<Option<Box<str>>, MappingError<'a>> {
    let Some(at) = members.iter().position(|(name, _)| name == "NodeId") else { return Ok(None) };
    let (_, value) = members.remove(at);
    match value.string() {
        Some(text) if (1..=TEXT_CHARS_MAX).contains(&text.chars().count()) => Ok(Some(text.into())),
        _ => Err(MappingError { member: "NodeId", wanted: "a text of 1 to 64 characters", value }),
    }
}

/// A reading from the members of an object with `value`, which is handed in apart.
fn reading<'a>(value: Value<'a>, members: Members<'a>) -> Result<Reading, MappingError<'a>> {
    let mut reading = nameless(value.to_raw());
    for (member, value) in members {
        match &*member {
            "value" => {}
            "name" => reading.name = text("name", value)?,
            "unit" => reading.unit = Some(text("unit", value)?),
            "time" => reading.time = Some(rfc3339(value)?),
            _ => reading.further.push((member.into(), value.to_raw())),
        }
    }
    Ok(reading)
}

fn text<'a>(member: &'static str, value: Value<'a>) -> Result<Box<str>, MappingError<'a>> {
    value.string().map(Into::into).ok_or(MappingError { member, wanted: "a string", value })
}

fn rfc3339(value: Value<'_>) -> Result<Box<str>, MappingError<'_>> {
    let wanted = "an RFC 3339 date-time with an offset, such as \"2026-01-31T12:00:00.000Z\"";
    let error = MappingError { member: "time", wanted, value };
    let time = value.string().ok_or(error)?;
    UnixMillis::parse_rfc3339(&time).map_err(|_| error)?;
    Ok(time.into())
}

/// The members as an object again.
fn object(members: &Members<'_>) -> Box<RawValue> {
    let quoted = |name: &str| serde_json::Value::from(name).to_string();
    let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.text())).collect();
    // What is put together from values that were read strictly is JSON: there is nothing to fall back to.
    RawValue::from_string(format!("{{{}}}", members.join(","))).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn nameless(value: Box<RawValue>) -> Reading {
    Reading { name: NAMELESS.into(), value, unit: None, time: None, further: Vec::new() }
}
