//! `SenML` JSON (RFC 8428): a pack becomes one reading per record, with its base fields resolved (section 4.6).

use super::{
    Normalised, Schema,
    evaluate::time_at,
    number::{number, sum},
};
use crate::json::{Members, Value};
use aups_core::{UnixMillis, item::Reading};
use aups_envelope::b64;
use serde_json::value::{RawValue, to_raw_value};
use std::{borrow::Cow, fmt};

/// Most records of a pack.
pub const RECORDS_MAX: usize = 10_000;
/// Longest name, in bytes: it becomes a level of a topic.
pub const NAME_BYTES_MAX: usize = 512;
/// Longest unit, in bytes.
pub const UNIT_BYTES_MAX: usize = 64;
/// The version of RFC 8428.
const VERSION: u64 = 10;
/// Times below are relative to now (section 4.5.3): 2²⁸ seconds.
const RELATIVE_BELOW: f64 = 268_435_456.0;

/// A pack that is not taken. Its source is at fault.
#[derive(Debug, Clone)]
pub struct SenmlError<'a> {
    /// What is wrong.
    pub fault: SenmlFault,
    /// The field.
    pub field: Option<Cow<'a, str>>,
    /// Where it is.
    pub value: Value<'a>,
}

/// What is wrong with a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SenmlFault {
    /// Not an array of objects, or empty.
    NoPack,
    /// Too many records.
    TooManyRecords,
    /// A field is not what it must be.
    Wanted(&'static str),
    /// A field must be understood and is not.
    MustUnderstand,
    /// Written for a later version, or for two of them.
    Version,
    /// More than one value in a record.
    TwoValues,
    /// Neither a value nor a sum in a record.
    NoValue,
    /// A name that is none.
    Name,
    /// A time before 1970 or after 9999.
    Time,
    /// A sum beyond a 64-bit float.
    Overflow,
}

impl fmt::Display for SenmlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPack => f.write_str("a SenML pack is an array of at least one record, each an object"),
            Self::TooManyRecords => write!(f, "a pack has at most {RECORDS_MAX} records; send several"),
            Self::Wanted(wanted) => write!(f, "must be {wanted}"),
            Self::MustUnderstand => f.write_str("a field whose name ends with `_` must be understood, and is not"),
            Self::Version => {
                write!(f, "all records are of one version, and versions above {VERSION} are not understood")
            }
            Self::TwoValues => f.write_str("a record has one of `v`, `vs`, `vb` and `vd`"),
            Self::NoValue => f.write_str("a record has a value (`v`, `vs`, `vb`, `vd`) or a sum (`s`)"),
            Self::Name => write!(
                f,
                "`bn` and `n` together are 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 - : . / _ and start with a letter or a digit"
            ),
            Self::Time => f.write_str("`bt` and `t` together are a time between 1970 and 9999"),
            Self::Overflow => f.write_str("the base and the value together are beyond a 64-bit float"),
        }
    }
}

/// The readings of a pack: all of them, or none. `now` is what relative times are relative to.
///
/// `v`, `vs`, `vb` or `vd` becomes the value (`vd` stays base64url, and `"encoding":"base64url"` says so; null where there
/// is a sum only), the sum and `ut` become the further members `sum` and `updateTime`. Other fields are ignored, as section
/// 4.4 demands.
pub fn resolve(pack: Value<'_>, now: UnixMillis) -> Result<Vec<Normalised<'static>>, SenmlError<'_>> {
    let records = pack.elements().filter(|records| !records.is_empty());
    let records = records.ok_or(SenmlError { fault: SenmlFault::NoPack, field: None, value: pack })?;
    if records.len() > RECORDS_MAX {
        return Err(SenmlError { fault: SenmlFault::TooManyRecords, field: None, value: pack });
    }
    let mut base = Base::default();
    let mut readings = Vec::with_capacity(records.len());
    for value in records {
        let no_record = SenmlError { fault: SenmlFault::NoPack, field: None, value };
        let record = Record::read(value, value.members().ok_or(no_record)?, &mut base)?;
        readings.extend(record.resolve(&base, now)?);
    }
    let normalised = |reading| Normalised { reading, schema: Schema::Senml, node_id: None };
    Ok(readings.into_iter().map(normalised).collect())
}

/// The base fields in force.
#[derive(Default)]
struct Base<'a> {
    name: Cow<'a, str>,
    time: f64,
    unit: Option<Cow<'a, str>>,
    value: Option<&'a str>,
    sum: Option<&'a str>,
    version: Option<&'a str>,
}

/// The fields of one record.
struct Record<'a> {
    whole: Value<'a>,
    name: Option<Cow<'a, str>>,
    unit: Option<Cow<'a, str>>,
    value: Option<Measured<'a>>,
    sum: Option<&'a str>,
    time: Option<f64>,
    update_time: Option<&'a str>,
}

#[derive(Clone, Copy)]
enum Measured<'a> {
    Number(&'a str),
    /// A text or a boolean.
    Plain(Value<'a>),
    Data(Value<'a>),
}

impl<'a> Record<'a> {
    /// Reads a record; its base fields change what is in force.
    fn read(whole: Value<'a>, members: Members<'a>, base: &mut Base<'a>) -> Result<Self, SenmlError<'a>> {
        let mut record = Self { whole, name: None, unit: None, value: None, sum: None, time: None, update_time: None };
        for (label, value) in members {
            let field = Field { label, value };
            match &*field.label {
                "bn" => base.name = field.text(NAME_BYTES_MAX, "a text of at most 512 bytes")?,
                "bt" => base.time = field.float()?,
                "bu" => base.unit = Some(field.unit()?),
                "bv" => base.value = Some(field.number()?),
                "bs" => base.sum = Some(field.number()?),
                "bver" => base.version = Some(field.version(base.version)?),
                "n" => record.name = Some(field.text(NAME_BYTES_MAX, "a text of at most 512 bytes")?),
                "u" => record.unit = Some(field.unit()?),
                "t" => record.time = Some(field.float()?),
                "ut" => record.update_time = Some(field.number()?),
                "s" => record.sum = Some(field.number()?),
                "v" | "vs" | "vb" | "vd" if record.value.is_some() => return Err(field.wrong(SenmlFault::TwoValues)),
                "v" | "vs" | "vb" | "vd" => record.value = Some(field.measured()?),
                label if label.ends_with('_') => return Err(field.wrong(SenmlFault::MustUnderstand)),
                // Section 4.4: what is not understood is ignored.
                _ => {}
            }
        }
        Ok(record)
    }

    /// `None` of a record that only sets base fields.
    fn resolve(&self, base: &Base<'a>, now: UnixMillis) -> Result<Option<Reading>, SenmlError<'a>> {
        let sets_bases_only = self.name.is_none()
            && self.unit.is_none()
            && self.value.is_none()
            && self.sum.is_none()
            && self.time.is_none()
            && self.update_time.is_none();
        if sets_bases_only {
            return Ok(None);
        }
        let name = self.full_name(base)?;
        let value = self.full_value(base)?;
        let sum = match (base.sum, self.sum) {
            (Some(base), Some(own)) => Some(sum(base, own).ok_or_else(|| self.wrong(SenmlFault::Overflow, "s"))?),
            (one, other) => one.or(other).map(as_written),
        };
        if value.is_none() && sum.is_none() {
            return Err(SenmlError { fault: SenmlFault::NoValue, field: None, value: self.whole });
        }
        let mut further = Vec::new();
        if let Some(Measured::Data(_)) = self.value {
            further.extend(to_raw_value("base64url").map(|encoding| ("encoding".into(), encoding)));
        }
        further.extend(sum.map(|sum| ("sum".into(), sum)));
        further.extend(self.update_time.map(|seconds| ("updateTime".into(), as_written(seconds))));
        Ok(Some(Reading {
            name,
            value: value.unwrap_or_else(|| RawValue::NULL.to_owned()),
            unit: self.unit.as_ref().or(base.unit.as_ref()).map(|unit| unit.as_ref().into()),
            time: Some(self.full_time(base, now)?),
            further,
        }))
    }

    /// Section 4.5.1.
    fn full_name(&self, base: &Base<'a>) -> Result<Box<str>, SenmlError<'a>> {
        let name = format!("{}{}", base.name, self.name.as_deref().unwrap_or_default());
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'/' | b'_');
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        if starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(is_letter) {
            Ok(name.into())
        } else {
            Err(self.wrong(SenmlFault::Name, "n"))
        }
    }

    /// Section 4.5.4: the base value is added to a number, and stands alone where there is no value.
    fn full_value(&self, base: &Base<'a>) -> Result<Option<Box<RawValue>>, SenmlError<'a>> {
        match (self.value, base.value) {
            (Some(Measured::Number(own)), Some(base)) => {
                sum(base, own).map(Some).ok_or_else(|| self.wrong(SenmlFault::Overflow, "v"))
            }
            (Some(Measured::Number(number)), None) | (None, Some(number)) => Ok(Some(as_written(number))),
            (Some(Measured::Plain(value) | Measured::Data(value)), _) => Ok(Some(value.to_raw())),
            (None, None) => Ok(None),
        }
    }

    /// Section 4.5.3.
    fn full_time(&self, base: &Base<'a>, now: UnixMillis) -> Result<Box<str>, SenmlError<'a>> {
        let seconds = base.time + self.time.unwrap_or(0.0);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds until the year 9999 fit into 53 bits")]
        let millis = if seconds < RELATIVE_BELOW { now.0 as f64 + seconds * 1_000.0 } else { seconds * 1_000.0 };
        time_at(millis).ok_or_else(|| self.wrong(SenmlFault::Time, "t"))
    }

    fn wrong(&self, fault: SenmlFault, field: &'static str) -> SenmlError<'a> {
        SenmlError { fault, field: Some(field.into()), value: self.whole }
    }
}

/// A field of a record.
struct Field<'a> {
    label: Cow<'a, str>,
    value: Value<'a>,
}

impl<'a> Field<'a> {
    fn text(&self, bytes_max: usize, wanted: &'static str) -> Result<Cow<'a, str>, SenmlError<'a>> {
        let text = self.value.string().filter(|text| text.len() <= bytes_max);
        text.ok_or_else(|| self.wrong(SenmlFault::Wanted(wanted)))
    }

    fn unit(&self) -> Result<Cow<'a, str>, SenmlError<'a>> {
        self.text(UNIT_BYTES_MAX, "a text of at most 64 bytes")
    }

    fn number(&self) -> Result<&'a str, SenmlError<'a>> {
        number(self.value).ok_or_else(|| self.wrong(SenmlFault::Wanted("a number")))
    }

    fn float(&self) -> Result<f64, SenmlError<'a>> {
        self.number()?.parse().map_err(|_| self.wrong(SenmlFault::Wanted("a number")))
    }

    fn version(&self, before: Option<&str>) -> Result<&'a str, SenmlError<'a>> {
        let text = self.number()?;
        let version: u64 = text.parse().map_err(|_| self.wrong(SenmlFault::Wanted("a positive whole number")))?;
        let is_same = before.is_none_or(|before| before == text);
        if is_same && (1..=VERSION).contains(&version) { Ok(text) } else { Err(self.wrong(SenmlFault::Version)) }
    }

    fn measured(&self) -> Result<Measured<'a>, SenmlError<'a>> {
        match &*self.label {
            "v" => self.number().map(Measured::Number),
            "vb" if matches!(self.value.text(), "true" | "false") => Ok(Measured::Plain(self.value)),
            "vb" => Err(self.wrong(SenmlFault::Wanted("true or false"))),
            "vs" if self.value.string().is_some() => Ok(Measured::Plain(self.value)),
            "vd" if self.value.string().is_some_and(|text| b64::decode(&text).is_ok()) => {
                Ok(Measured::Data(self.value))
            }
            "vd" => Err(self.wrong(SenmlFault::Wanted("base64url without padding"))),
            _ => Err(self.wrong(SenmlFault::Wanted("a text"))),
        }
    }

    fn wrong(&self, fault: SenmlFault) -> SenmlError<'a> {
        SenmlError { fault, field: Some(self.label.clone()), value: self.value }
    }
}

/// A number as it was written.
fn as_written(number: &str) -> Box<RawValue> {
    // It was read as a JSON number: there is nothing to fall back to.
    RawValue::from_string(number.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests;
