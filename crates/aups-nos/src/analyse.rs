//! Scores of an item: how well it was protected on its way in, and how good the reading is.
//!
//! The paper leaves the rules open; these are ours. Each score is a pure function of the reading, of how it arrived and of
//! [`ScoringRules`]; `docs/guide/scores.md` explains them to users. Scores are rounded down to 0.01.

use crate::settings::Transport;
use aups_core::{Quality, Score, Security, Suite, UnixMillis, item::Reading, limits::SKEW_MAX};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;

/// How an item came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// How it was carried.
    pub transport: Transport,
    /// Whether its source registered and proved it with its credential or its key.
    pub registered: bool,
    /// How the source sealed it; `None`: it did not.
    pub sealed: Option<Suite>,
    /// When the NOS took it.
    pub received_at: UnixMillis,
}

/// The parameters of the scores. All fractions lie in [0, 1].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ScoringRules {
    /// Confidentiality of a loopback-only or TLS listener; in clear over a network it is 0.
    pub confidentiality_protected: f64,
    /// Integrity of a loopback-only or TLS listener.
    pub integrity_protected: f64,
    /// Integrity in clear over a network, where a checksum is all there is.
    pub integrity_clear: f64,
    /// Authentication by a credential that nobody could overhear.
    pub authentication_protected: f64,
    /// Authentication by a credential that went in clear over a network.
    pub authentication_clear: f64,
    /// Authentication of an unregistered source.
    pub authentication_unregistered: f64,
    /// Privacy: nothing is known about persons behind a reading.
    pub privacy: f64,
    /// What a certain quantity can plausibly be.
    pub ranges: Vec<Range>,
    /// Plausibility of a value for which no range is known.
    pub plausibility_unknown: f64,
    /// Certainty of a value that comes without an `uncertainty`.
    pub certainty_undeclared: f64,
    /// Digits after the point that make a number fully precise.
    pub decimals_wanted: u32,
    /// Precision of what is not a number.
    pub precision_unknown: f64,
    /// Age at which a reading is worth nothing any more (Ballou's and Wang's volatility).
    pub volatility: Duration,
    /// How fast a reading loses worth as it ages (the exponent s).
    pub sensitivity: f64,
    /// Timeliness of a reading that does not say when it was taken.
    pub timeliness_unknown: f64,
    /// Members that a complete reading has.
    pub expected: Vec<Box<str>>,
}

/// What a quantity can plausibly be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    /// The name of the reading.
    pub name: Box<str>,
    /// Units in which the range is meant, or how they are spelt. A reading with another unit has no range; one without a
    /// unit is taken to be in this one.
    pub units: Vec<Box<str>>,
    /// Least plausible value.
    pub low: f64,
    /// Greatest plausible value.
    pub high: f64,
}

impl Range {
    /// A range, for instance of `rain` in `["mm"]` from 0 to 100.
    pub fn new(name: &str, units: &[&str], low: f64, high: f64) -> Self {
        Self { name: name.into(), units: units.iter().map(|unit| (*unit).into()).collect(), low, high }
    }
}

/// What the weather on Earth can be like, hour by hour.
impl Default for ScoringRules {
    fn default() -> Self {
        Self {
            confidentiality_protected: 0.9,
            integrity_protected: 0.9,
            integrity_clear: 0.2,
            authentication_protected: 0.9,
            authentication_clear: 0.4,
            authentication_unregistered: 0.1,
            privacy: 0.5,
            ranges: vec![
                Range::new("temperature", &["Cel", "°C", "C"], -90.0, 60.0),
                Range::new("humidity", &["%RH", "%"], 0.0, 100.0),
                Range::new("pressure", &["hPa", "mbar"], 500.0, 1_100.0),
                Range::new("wind", &["m/s"], 0.0, 115.0),
                Range::new("irradiance", &["W/m2", "W/m²"], 0.0, 1_500.0),
                Range::new("rain", &["mm"], 0.0, 100.0),
            ],
            plausibility_unknown: 0.9,
            certainty_undeclared: 0.9,
            decimals_wanted: 1,
            precision_unknown: 0.5,
            volatility: Duration::from_mins(5),
            sensitivity: 1.0,
            timeliness_unknown: 0.5,
            expected: ["value", "name", "unit", "time"].map(Into::into).into(),
        }
    }
}

/// Scores a reading.
pub fn analyse(reading: &Reading, arrival: Arrival, rules: &ScoringRules) -> (Security, Quality) {
    let security = Security {
        confidentiality: Score::from_fraction(confidentiality(arrival, rules)),
        integrity: Score::from_fraction(integrity(arrival, rules)),
        privacy: Score::from_fraction(rules.privacy),
        authentication: Score::from_fraction(authentication(arrival, rules)),
    };
    let quality = Quality {
        accuracy: Score::from_fraction(plausibility(reading, rules) * certainty(reading, rules)),
        precision: Score::from_fraction(precision(reading, rules)),
        timeliness: Score::from_fraction(timeliness(reading, arrival.received_at, rules)),
        completeness: Score::from_fraction(completeness(reading, rules)),
    };
    (security, quality)
}

/// Could others read it on the way?
fn confidentiality(arrival: Arrival, rules: &ScoringRules) -> f64 {
    match arrival.transport {
        Transport::Loopback | Transport::Tls => rules.confidentiality_protected,
        Transport::Clear => 0.0,
    }
}

/// Could others change it on the way?
fn integrity(arrival: Arrival, rules: &ScoringRules) -> f64 {
    match arrival.transport {
        Transport::Loopback | Transport::Tls => rules.integrity_protected,
        Transport::Clear => rules.integrity_clear,
    }
}

/// Is it known who sent it?
fn authentication(arrival: Arrival, rules: &ScoringRules) -> f64 {
    match (arrival.registered, arrival.transport) {
        (false, _) => rules.authentication_unregistered,
        (true, Transport::Loopback | Transport::Tls) => rules.authentication_protected,
        (true, Transport::Clear) => rules.authentication_clear,
    }
}

/// Can the value be? 1 within the range; just outside 0.5, falling to 0 at one width of the range beyond it.
fn plausibility(reading: &Reading, rules: &ScoringRules) -> f64 {
    let in_unit = |range: &&Range| match &reading.unit {
        Some(unit) => range.units.contains(unit),
        None => true,
    };
    let Some(range) = rules.ranges.iter().filter(|range| range.name == reading.name).find(in_unit) else {
        return rules.plausibility_unknown;
    };
    let Some(value) = reading.number() else { return 0.0 };
    let beyond = (range.low - value).max(value - range.high).max(0.0);
    if beyond == 0.0 { 1.0 } else { 0.5 * (1.0 - beyond / (range.high - range.low)).max(0.0) }
}

/// How sure the source is: `uncertainty` is a percentage of the value.
fn certainty(reading: &Reading, rules: &ScoringRules) -> f64 {
    match reading.further("uncertainty").and_then(number) {
        Some(percent) if percent >= 0.0 => 1.0 - (percent / 100.0).min(1.0),
        _ => rules.certainty_undeclared,
    }
}

/// How fine the value was written: (1 + decimals) / (1 + decimals wanted), 1 at most.
fn precision(reading: &Reading, rules: &ScoringRules) -> f64 {
    match decimals(reading.value.get()) {
        Some(decimals) => f64::from(1 + decimals.min(rules.decimals_wanted)) / f64::from(1 + rules.decimals_wanted),
        None => rules.precision_unknown,
    }
}

/// Digits after the point of a JSON number, its exponent counted: 1 of `0.5`, 3 of `5e-3`, 0 of `1.5e1`.
fn decimals(number: &str) -> Option<u32> {
    if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let written = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    // An exponent too large to be a number here says nothing about decimals that anyone could want.
    let exponent: i64 = exponent.parse().unwrap_or(0);
    Some(u32::try_from(i64::try_from(written).ok()?.saturating_sub(exponent).max(0)).unwrap_or(u32::MAX))
}

/// How old it was when it came: max(0, 1 − age / volatility)^s (Ballou and Wang 1998). What lies in the future further
/// than clocks may differ is worth nothing.
fn timeliness(reading: &Reading, received_at: UnixMillis, rules: &ScoringRules) -> f64 {
    let Some(taken) = reading.time.as_deref().and_then(|time| UnixMillis::parse_rfc3339(time).ok()) else {
        return rules.timeliness_unknown;
    };
    if taken.since(received_at) > SKEW_MAX {
        return 0.0;
    }
    let age = received_at.since(taken).as_secs_f64() / rules.volatility.as_secs_f64();
    (1.0 - age).max(0.0).powf(rules.sensitivity)
}

/// Which part of the expected members is there. `name` is there if it is not the one given to nameless readings.
fn completeness(reading: &Reading, rules: &ScoringRules) -> f64 {
    let present = |member: &str| match member {
        "value" => reading.value.get() != "null",
        "name" => *reading.name != *crate::normalise::NAMELESS,
        "unit" => reading.unit.is_some(),
        "time" => reading.time.is_some(),
        further => reading.further(further).is_some_and(|value| value.get() != "null"),
    };
    if rules.expected.is_empty() {
        return 1.0;
    }
    let count = |members: usize| f64::from(u32::try_from(members).unwrap_or(u32::MAX));
    count(rules.expected.iter().filter(|member| present(member)).count()) / count(rules.expected.len())
}

fn number(value: &RawValue) -> Option<f64> {
    value.get().parse().ok()
}

#[cfg(test)]
mod tests;
