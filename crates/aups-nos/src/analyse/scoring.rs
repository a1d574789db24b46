//! The rules of the scores, checked, and ready to be used: nothing is searched that can be looked up.

use super::{
    expression::Override,
    rules::{Check, QuantityRules, ScoringRules, Span, Uncertainty},
};
use crate::config::ConfigError;
use aups_core::Reading;
use serde_json::value::RawValue;
use std::{collections::HashMap, time::Duration};

/// Rules of scores in use.
#[derive(Debug)]
pub struct Scoring {
    pub(super) rules: ScoringRules,
    quantities: HashMap<Box<str>, Vec<Quantity>>,
    /// What is known of readings of which nothing is known.
    any: Quantity,
    /// Expected members, by schema.
    schemas: HashMap<Box<str>, Box<[Member]>>,
    /// Expected members where neither the quantity nor the schema says any.
    expected: Box<[Member]>,
    pub(super) personal: Box<[Pointer]>,
    pub(super) overrides: Box<[Override]>,
}

/// A quantity, with what holds for all filled in.
#[derive(Debug)]
pub(super) struct Quantity {
    /// Which of the rules' quantities it is.
    pub(super) number: Option<usize>,
    pub(super) rules: QuantityRules,
    pub(super) range: Option<[f64; 2]>,
    pub(super) spread: f64,
    pub(super) deviation: f64,
    pub(super) window: u8,
    pub(super) count_min: u8,
    pub(super) repeated_within: Duration,
    pub(super) uncertainty: Uncertainty,
    pub(super) resolution: f64,
    pub(super) volatility: Duration,
    pub(super) sensitivity: f64,
    expected: Option<Box<[Member]>>,
}

/// A member of a reading that is looked for.
#[derive(Debug)]
enum Member {
    Value,
    Name,
    Unit,
    Time,
    Further(Box<str>),
}

/// A JSON Pointer into a reading: the member, and the rest of the way.
#[derive(Debug)]
pub(super) struct Pointer {
    member: Box<str>,
    rest: Box<str>,
}

impl Default for Scoring {
    fn default() -> Self {
        Self::with(ScoringRules::default(), Box::default())
    }
}

impl Scoring {
    /// Checks the rules as a whole: everything that is wrong with them is told at once.
    pub fn new(rules: ScoringRules) -> Result<Self, Vec<ConfigError>> {
        let mut check = Check::default();
        check.rules(&rules);
        let overrides = Override::all(&rules.overrides, &mut check);
        if check.errors.is_empty() { Ok(Self::with(rules, overrides.into())) } else { Err(check.errors) }
    }

    fn with(rules: ScoringRules, overrides: Box<[Override]>) -> Self {
        let mut quantities: HashMap<Box<str>, Vec<Quantity>> = HashMap::new();
        for (number, quantity) in rules.quantities.iter().enumerate() {
            let compiled = Quantity::new(Some(number), quantity.clone(), &rules);
            quantities.entry(quantity.name.as_str().into()).or_default().push(compiled);
        }
        let schemas = &rules.completeness.schemas;
        Self {
            any: Quantity::new(None, QuantityRules::named(""), &rules),
            schemas: schemas.iter().map(|(schema, expected)| (schema.as_str().into(), members(expected))).collect(),
            expected: members(&rules.completeness.expected),
            personal: rules.privacy.members.iter().map(|pointer| Pointer::new(pointer)).collect(),
            quantities,
            overrides,
            rules,
        }
    }

    /// The rules, as an administrator writes them.
    pub const fn rules(&self) -> &ScoringRules {
        &self.rules
    }

    /// What is known of the quantity that a reading is one of.
    pub(super) fn quantity(&self, reading: &Reading) -> &Quantity {
        let of_name = self.quantities.get(&reading.name).map(Vec::as_slice).unwrap_or_default();
        of_name.iter().find(|quantity| quantity.rules.has_unit(reading.unit.as_deref())).unwrap_or(&self.any)
    }

    /// How many members are expected of a reading, and how many of them are there.
    pub(super) fn completeness(&self, reading: &Reading, schema: &str, quantity: &Quantity) -> (usize, usize) {
        let expected = match &quantity.expected {
            Some(expected) => expected,
            None if self.schemas.is_empty() => &self.expected,
            None => self.schemas.get(schema).unwrap_or(&self.expected),
        };
        (expected.iter().filter(|member| member.is_in(reading)).count(), expected.len())
    }

    /// The rules without the quantities that have nothing to do with a reading: what its scores follow from.
    pub(super) fn rules_of(&self, reading: &Reading) -> ScoringRules {
        let quantity = self.quantity(reading);
        ScoringRules {
            quantities: quantity.number.map(|_| quantity.rules.clone()).into_iter().collect(),
            ..self.rules.clone()
        }
    }
}

impl Quantity {
    fn new(number: Option<usize>, rules: QuantityRules, all: &ScoringRules) -> Self {
        let Span(volatility) = rules.volatility.unwrap_or(all.timeliness.volatility);
        let Span(repeated_within) = all.precision.repeated_within;
        Self {
            number,
            range: rules.range,
            spread: rules.spread.unwrap_or_default(),
            deviation: all.accuracy.deviation,
            window: rules.window.unwrap_or(all.accuracy.window),
            count_min: all.accuracy.count_min,
            repeated_within,
            uncertainty: rules.uncertainty.clone().unwrap_or_else(|| all.accuracy.uncertainty.clone()),
            resolution: rules.resolution.unwrap_or(all.precision.resolution),
            volatility,
            sensitivity: rules.sensitivity.unwrap_or(all.timeliness.sensitivity),
            expected: rules.expected.as_deref().map(members),
            rules,
        }
    }
}

fn members(names: &[String]) -> Box<[Member]> {
    let member = |name: &String| match name.as_str() {
        "value" => Member::Value,
        "name" => Member::Name,
        "unit" => Member::Unit,
        "time" => Member::Time,
        further => Member::Further(further.into()),
    };
    names.iter().map(member).collect()
}

impl Member {
    /// Whether a reading has it. `name` is there if it is not the one given to nameless readings.
    fn is_in(&self, reading: &Reading) -> bool {
        match self {
            Self::Value => reading.value.get() != "null",
            Self::Name => *reading.name != *crate::normalise::NAMELESS,
            Self::Unit => reading.unit.is_some(),
            Self::Time => reading.time.is_some(),
            Self::Further(name) => reading.further(name).is_some_and(|value| value.get() != "null"),
        }
    }
}

impl Pointer {
    fn new(text: &str) -> Self {
        let text = text.strip_prefix('/').unwrap_or(text);
        let (member, rest) = match text.split_once('/') {
            Some((member, rest)) => (member, format!("/{rest}")),
            None => (text, String::new()),
        };
        Self { member: member.replace("~1", "/").replace("~0", "~").into(), rest: rest.into() }
    }

    /// Whether a reading has anything there, `null` aside.
    pub(super) fn is_in(&self, reading: &Reading) -> bool {
        let at_top = self.rest.is_empty();
        match &*self.member {
            "value" => self.is_within(&reading.value),
            "name" => at_top,
            "unit" => at_top && reading.unit.is_some(),
            "time" => at_top && reading.time.is_some(),
            further => reading.further(further).is_some_and(|value| self.is_within(value)),
        }
    }

    fn is_within(&self, value: &RawValue) -> bool {
        if self.rest.is_empty() {
            return value.get() != "null";
        }
        let value: Result<serde_json::Value, _> = serde_json::from_str(value.get());
        value.is_ok_and(|value| value.pointer(&self.rest).is_some_and(|value| !value.is_null()))
    }
}
