//! The formulas: each says its score as a fraction, and keeps what it was made of for whoever asks why.

use super::{
    Arrival, Inputs, Subject,
    history::Observed,
    scoring::{Quantity, Scoring},
};
use crate::{normalise::Schema, settings::Transport};
use aups_core::{Quality, Reading, Score, Security, UnixMillis, limits::SKEW_MAX};
use std::time::Duration;

/// What a reading says, looked up once.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) quantity: &'a Quantity,
    /// The value as a number.
    pub(super) number: Option<f64>,
    /// When it was taken, if it says so.
    pub(super) taken: Option<UnixMillis>,
    pub(super) plausibility: Plausibility,
}

/// All that the scores are made of, by the formulas.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) confidentiality: f64,
    pub(super) integrity: f64,
    pub(super) authentication: f64,
    pub(super) privacy: Privacy,
    pub(super) accuracy: Accuracy,
    pub(super) precision: Precision,
    pub(super) timeliness: Timeliness,
    pub(super) completeness: Completeness,
    /// Most that each score for quality comes to.
    pub(super) cap: Option<f64>,
}

/// Whether a value can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Plausibility {
    /// No range is known.
    Unknown,
    /// A range is known, and the value is no number.
    NoNumber,
    /// How far it lies beyond the range.
    Beyond { by: f64, width: f64 },
}

#[derive(Debug)]
pub(super) struct Accuracy {
    pub(super) plausibility: f64,
    pub(super) uncertainty: Option<f64>,
    pub(super) certainty: f64,
    /// The modified z-score, where there is one.
    pub(super) deviation: Option<f64>,
    pub(super) steadiness: f64,
}

#[derive(Debug)]
pub(super) struct Precision {
    /// The step of the value; `None`: it is no number.
    pub(super) resolution: Option<f64>,
    pub(super) noise: Option<f64>,
    pub(super) wanted: f64,
    unknown: f64,
}

#[derive(Debug)]
pub(super) struct Timeliness {
    /// `None`: it does not say when it was taken.
    pub(super) age: Option<Age>,
    pub(super) volatility: Duration,
    pub(super) sensitivity: f64,
    unknown: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Age {
    Past(Duration),
    /// It says that it will be taken, further ahead than clocks may differ.
    Future,
}

#[derive(Debug)]
pub(super) struct Completeness {
    pub(super) present: usize,
    pub(super) expected: usize,
}

#[derive(Debug)]
pub(super) struct Privacy {
    /// Whether anything is declared as personal.
    pub(super) declared: bool,
    /// How many personal members, and labels, it has.
    pub(super) personal: usize,
    pub(super) pseudonymous: bool,
    undeclared: f64,
    each: f64,
    identified: f64,
}

impl<'a> Facts<'a> {
    pub(super) fn of(reading: &Reading, scoring: &'a Scoring) -> Self {
        let (quantity, number) = (scoring.quantity(reading), reading.number());
        let taken = reading.time.as_deref().and_then(|time| UnixMillis::parse_rfc3339(time).ok());
        Self { quantity, number, taken, plausibility: Plausibility::of(number, quantity.range) }
    }
}

impl Parts {
    pub(super) fn of(subject: &Subject<'_>, facts: &Facts<'_>, inputs: &Inputs, scoring: &Scoring) -> Self {
        let (reading, rules, arrival) = (subject.reading, &scoring.rules, inputs.arrival);
        let (present, expected) = scoring.completeness(reading, subject.schema, facts.quantity);
        Self {
            confidentiality: confidentiality(arrival, scoring),
            integrity: integrity(arrival, scoring),
            authentication: authentication(arrival, scoring),
            privacy: Privacy::of(reading, inputs, scoring),
            accuracy: Accuracy::of(reading, facts, &inputs.observed, scoring),
            precision: Precision {
                resolution: facts.number.and_then(|_| resolution(reading)),
                noise: inputs.observed.noise,
                wanted: facts.quantity.resolution,
                unknown: rules.precision.unknown,
            },
            timeliness: Timeliness {
                age: facts.taken.map(|taken| Age::of(taken, arrival.received_at)),
                volatility: facts.quantity.volatility,
                sensitivity: facts.quantity.sensitivity,
                unknown: rules.timeliness.unknown,
            },
            completeness: Completeness { present, expected },
            cap: (subject.schema == Schema::Raw.as_str()).then_some(rules.raw_max),
        }
    }

    pub(super) fn scores(&self) -> (Security, Quality) {
        let capped = |fraction: f64| Score::from_fraction(self.cap.map_or(fraction, |cap| fraction.min(cap)));
        let security = Security {
            confidentiality: Score::from_fraction(self.confidentiality),
            integrity: Score::from_fraction(self.integrity),
            privacy: Score::from_fraction(self.privacy.fraction()),
            authentication: Score::from_fraction(self.authentication),
        };
        let quality = Quality {
            accuracy: capped(self.accuracy.fraction()),
            precision: capped(self.precision.fraction()),
            timeliness: capped(self.timeliness.fraction()),
            completeness: capped(self.completeness.fraction()),
        };
        (security, quality)
    }
}

/// Could others read it on the way?
fn confidentiality(arrival: Arrival, scoring: &Scoring) -> f64 {
    let rules = &scoring.rules.confidentiality;
    match (arrival.sealed, arrival.transport) {
        (Some(_), _) => rules.sealed,
        (None, Transport::Loopback | Transport::Tls) => rules.protected,
        (None, Transport::Clear) => rules.clear,
    }
}

/// Could others change it on the way?
fn integrity(arrival: Arrival, scoring: &Scoring) -> f64 {
    let rules = &scoring.rules.integrity;
    match (arrival.sealed, arrival.transport) {
        (Some(_), _) => rules.sealed,
        (None, Transport::Loopback | Transport::Tls) => rules.protected,
        (None, Transport::Clear) => rules.clear,
    }
}

/// Is it known who sent it?
fn authentication(arrival: Arrival, scoring: &Scoring) -> f64 {
    let rules = &scoring.rules.authentication;
    match (arrival.registered, arrival.sealed, arrival.transport) {
        (false, ..) => rules.unregistered,
        (true, Some(_), _) => rules.sealed,
        (true, None, Transport::Loopback | Transport::Tls) => rules.protected,
        (true, None, Transport::Clear) => rules.clear,
    }
}

impl Privacy {
    fn of(reading: &Reading, inputs: &Inputs, scoring: &Scoring) -> Self {
        let rules = &scoring.rules.privacy;
        let declared = !(rules.members.is_empty() && rules.labels.is_empty() && rules.pseudonyms.is_empty());
        let members = scoring.personal.iter().filter(|pointer| pointer.is_in(reading)).count();
        Self {
            declared,
            personal: members + usize::from(inputs.personal),
            pseudonymous: inputs.pseudonymous,
            undeclared: rules.undeclared,
            each: rules.personal,
            identified: rules.identified,
        }
    }

    /// What the personal members leave, and less for a NodeId that leads to a person.
    pub(super) fn fraction(&self) -> f64 {
        if !self.declared {
            return self.undeclared;
        }
        let personal = self.each.powi(i32::try_from(self.personal).unwrap_or(i32::MAX));
        if self.pseudonymous { personal } else { personal * self.identified }
    }
}

impl Plausibility {
    fn of(number: Option<f64>, range: Option<[f64; 2]>) -> Self {
        match (range, number) {
            (None, _) => Self::Unknown,
            (Some(_), None) => Self::NoNumber,
            (Some([low, high]), Some(value)) => {
                Self::Beyond { by: (low - value).max(value - high).max(0.0), width: high - low }
            }
        }
    }

    /// Whether the value can be, as far as is known: the others teach nothing.
    pub(super) fn teaches(self) -> bool {
        match self {
            Self::Unknown => true,
            Self::NoNumber => false,
            Self::Beyond { by, .. } => by == 0.0,
        }
    }

    /// 1 within the range; just outside 0.5, falling to 0 at one width of the range beyond it.
    fn fraction(self, unknown: f64) -> f64 {
        match self {
            Self::Unknown => unknown,
            Self::NoNumber => 0.0,
            Self::Beyond { by: 0.0, .. } => 1.0,
            Self::Beyond { by, width } => 0.5 * (1.0 - by / width).max(0.0),
        }
    }
}

impl Accuracy {
    fn of(reading: &Reading, facts: &Facts<'_>, observed: &Observed, scoring: &Scoring) -> Self {
        let (rules, quantity) = (&scoring.rules.accuracy, facts.quantity);
        let declared = reading.further(&quantity.uncertainty.member).and_then(|value| value.get().parse().ok());
        let uncertainty = declared.filter(|uncertainty: &f64| *uncertainty >= 0.0);
        let deviation = facts.number.and_then(|value| observed.deviation(value, quantity));
        Self {
            plausibility: facts.plausibility.fraction(rules.plausibility_unknown),
            uncertainty,
            certainty: uncertainty.map_or(rules.certainty_undeclared, |uncertainty| {
                1.0 - (uncertainty / quantity.uncertainty.max).min(1.0)
            }),
            deviation,
            // A deviation of 0 is within any.
            steadiness: deviation.map_or(1.0, |deviation| (quantity.deviation / deviation).min(1.0)),
        }
    }

    pub(super) fn fraction(&self) -> f64 {
        self.plausibility * self.certainty * self.steadiness
    }
}

impl Precision {
    /// 1 / (1 + the decades by which the coarser of resolution and noise is coarser than what is wanted).
    pub(super) fn fraction(&self) -> f64 {
        let Some(resolution) = self.resolution else { return self.unknown };
        let coarser = resolution.max(self.noise.unwrap_or_default()) / self.wanted;
        // A millionth makes up for binary fractions: a tenth of a tenth is not quite a hundredth.
        if coarser <= 1.000_001 { 1.0 } else { 1.0 / (1.0 + coarser.log10()) }
    }
}

/// The step in which the value was measured: declared as `resolution`, or that of its last digit.
fn resolution(reading: &Reading) -> Option<f64> {
    let declared = reading.further("resolution").and_then(|value| value.get().parse().ok());
    match declared.filter(|step: &f64| step.is_finite() && *step > 0.0) {
        Some(step) => Some(step),
        None => decimals(reading.value.get()).map(|decimals| 10_f64.powi(-i32::try_from(decimals).unwrap_or(i32::MAX))),
    }
}

/// Digits after the point of a JSON number, its exponent counted: 1 of `0.5`, 3 of `5e-3`, 0 of `1.5e1`.
pub(super) fn decimals(number: &str) -> Option<u32> {
    if !number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let written = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    // An exponent too large to be a number here says nothing about decimals that anyone could want.
    let exponent: i64 = exponent.parse().unwrap_or(0);
    Some(u32::try_from(i64::try_from(written).ok()?.saturating_sub(exponent).max(0)).unwrap_or(u32::MAX))
}

impl Age {
    fn of(taken: UnixMillis, received_at: UnixMillis) -> Self {
        if taken.since(received_at) > SKEW_MAX { Self::Future } else { Self::Past(received_at.since(taken)) }
    }
}

impl Timeliness {
    /// max(0, 1 − age / volatility)^s (Ballou and Wang). What lies in the future further than clocks may differ is worth
    /// nothing.
    pub(super) fn fraction(&self) -> f64 {
        let age = match self.age {
            None => return self.unknown,
            Some(Age::Future) => return 0.0,
            Some(Age::Past(age)) => age,
        };
        let left = 1.0 - age.as_secs_f64() / self.volatility.as_secs_f64();
        // What is too old is worth nothing, also where s is 0.
        if left <= 0.0 { 0.0 } else { left.powf(self.sensitivity) }
    }
}

impl Completeness {
    /// Which part of the expected members is there.
    pub(super) fn fraction(&self) -> f64 {
        let count = |members: usize| f64::from(u32::try_from(members).unwrap_or(u32::MAX));
        if self.expected == 0 { 1.0 } else { count(self.present) / count(self.expected) }
    }
}
