//! Arithmetic on numbers as they are written: a result has as many decimals as what it was made of, and no more, so that
//! 213 tenths are 21.3 and not 21.300000000000001.

use crate::json::Value;
use serde_json::value::RawValue;

/// More decimals than these an `f64` does not have.
const DECIMALS_MAX: usize = 17;

/// `number` × `scale` + `offset`; `None` if that is beyond an `f64`.
pub(super) fn scaled(number: &str, scale: f64, offset: f64) -> Option<Box<RawValue>> {
    let result = number.parse::<f64>().ok()? * scale + offset;
    let decimals = decimals(number) + decimals(&scale.to_string());
    written(result, decimals.max(self::decimals(&offset.to_string())))
}

/// The sum of two numbers; `None` if that is beyond an `f64`.
pub(super) fn sum(one: &str, other: &str) -> Option<Box<RawValue>> {
    let result = one.parse::<f64>().ok()? + other.parse::<f64>().ok()?;
    written(result, decimals(one).max(decimals(other)))
}

/// The text of a number, if a value is one.
pub(super) fn number(value: Value<'_>) -> Option<&str> {
    let text = value.text();
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit()).then_some(text)
}

fn written(number: f64, decimals: usize) -> Option<Box<RawValue>> {
    let text = number.is_finite().then(|| {
        // So small a number would become another, or 0.
        if decimals > DECIMALS_MAX { format!("{number:e}") } else { format!("{number:.decimals$}") }
    })?;
    RawValue::from_string(text).ok()
}

/// Digits after the point of a JSON number, its exponent counted: 1 of `0.5`, 3 of `5e-3`, 0 of `1.5e1`.
fn decimals(number: &str) -> usize {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let written = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let exponent: i64 = exponent.parse().unwrap_or(0);
    usize::try_from(i64::try_from(written).unwrap_or(0).saturating_sub(exponent)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
