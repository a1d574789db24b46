//! Why an item has the scores that it has, in a form that anybody can compute again without the NOS.

use super::{
    Arrival, Inputs, Observed, Outcome, Scoring, ScoringRules, Subject,
    formulas::{Age, Facts, Parts},
    override_scores,
};
use crate::{config::ConfigError, settings::Transport};
use aups_core::{Item, Score, ScoreName, Suite};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::value::{RawValue, to_raw_value};
use std::collections::BTreeMap;
use thiserror::Error;

/// An item's scores, each with what it follows from; JSON in the API and in files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Explanation {
    /// The item, with its scores.
    pub item: Item,
    /// How it came in.
    pub arrival: Way,
    /// What the source's labels say.
    pub labels: Labels,
    /// What was known before of what this node said.
    pub history: Seen,
    /// The version of the Config that was in force.
    pub config_version: u64,
    /// The rules in it that have to do with this item.
    pub rules: ScoringRules,
    /// The scores.
    pub scores: Vec<Explained>,
}

/// How an item came in, its time and the registration of its source aside: those the item says itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Way {
    /// How it was carried.
    pub transport: Transport,
    /// The suite by which the source sealed it; `null`: it did not.
    pub sealed: Option<String>,
}

/// What the labels of a source say in the light of the rules.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// That its readings are personal.
    pub personal: bool,
    /// That its NodeId is a pseudonym; also of a name that the NOS made from an address.
    pub pseudonymous: bool,
}

/// What was known of a series.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// How many values.
    pub count: u8,
    /// Their median.
    #[serde(deserialize_with = "as_written")]
    pub median: f64,
    /// The median of their distances from it.
    #[serde(deserialize_with = "as_written")]
    pub mad: f64,
    /// The noise of values that were taken close together, as a standard deviation.
    #[serde(default, deserialize_with = "as_written_if_any")]
    pub noise: Option<f64>,
}

/// One score.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explained {
    /// Which.
    pub score: ScoreName,
    /// What it is.
    pub value: Score,
    /// How it is computed: a formula, or an expression.
    pub rule: String,
    /// What went into that.
    pub inputs: BTreeMap<String, Box<RawValue>>,
    /// The same in words.
    pub why: String,
}

/// A kept item that cannot be explained: the fault of this NOS.
#[derive(Debug, Error)]
#[error("what was kept of the item cannot be read")]
pub struct ExplainError(#[from] serde_json::Error);

/// A part of an explanation that does not follow from the rest of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which score.
    pub score: ScoreName,
    /// What about it.
    pub part: &'static str,
    /// What the explanation says.
    pub said: String,
    /// What follows from its item, arrival, history and rules.
    pub computed: String,
}

/// An explanation that cannot be computed again. Its author is at fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The rules in it are none.
    #[error("its rules are not valid")]
    Rules(Vec<ConfigError>),
    /// The suite in it is none.
    #[error("`arrival.sealed`: {0}")]
    Sealed(String),
    /// A part of it cannot be written as JSON.
    #[error("it cannot be computed again")]
    Json(#[from] serde_json::Error),
}

impl Explanation {
    /// Of an item as it was taken.
    pub(super) fn new(
        json: &[u8],
        inputs: &Inputs,
        config_version: u64,
        scoring: &Scoring,
    ) -> Result<Self, ExplainError> {
        let item: Item = serde_json::from_slice(json)?;
        let Inputs { arrival, personal, pseudonymous, observed } = *inputs;
        let Observed { count, median, mad, noise } = observed;
        Ok(Self {
            arrival: Way { transport: arrival.transport, sealed: arrival.sealed.map(|suite| suite.to_string()) },
            labels: Labels { personal, pseudonymous },
            history: Seen { count, median, mad, noise },
            config_version,
            rules: scoring.rules_of(&item.data),
            scores: explained(&item, inputs, scoring)?,
            item,
        })
    }

    /// Computes every score again from the item, its arrival, its history and the rules, and tells where that comes to
    /// something else than the explanation, or the item, says.
    pub fn verify(&self) -> Result<Vec<Difference>, VerifyError> {
        let scoring = Scoring::new(self.rules.clone()).map_err(VerifyError::Rules)?;
        let computed = explained(&self.item, &self.inputs()?, &scoring)?;
        let mut differences = Vec::new();
        for computed in &computed {
            let mut differs = |part, said: String, computed_part: String| {
                differences.push(Difference { score: computed.score, part, said, computed: computed_part });
            };
            let of_item = computed.score.of(&self.item.security, &self.item.quality);
            if of_item != computed.value {
                differs("item", of_item.to_string(), computed.value.to_string());
            }
            let mut said = self.scores.iter().filter(|said| said.score == computed.score);
            let (Some(said), None) = (said.next(), said.next()) else {
                differs("explanation", "not there once".into(), "once".into());
                continue;
            };
            if said.value != computed.value {
                differs("value", said.value.to_string(), computed.value.to_string());
            }
            if said.rule != computed.rule {
                differs("rule", said.rule.clone(), computed.rule.clone());
            }
            if said.why != computed.why {
                differs("why", said.why.clone(), computed.why.clone());
            }
            if !same_inputs(&said.inputs, &computed.inputs) {
                let shown = |inputs| serde_json::to_string(inputs).unwrap_or_default();
                differs("inputs", shown(&said.inputs), shown(&computed.inputs));
            }
        }
        Ok(differences)
    }

    fn inputs(&self) -> Result<Inputs, VerifyError> {
        let sealed: Option<Result<Suite, _>> = self.arrival.sealed.as_deref().map(str::parse);
        let Seen { count, median, mad, noise } = self.history;
        Ok(Inputs {
            arrival: Arrival {
                transport: self.arrival.transport,
                registered: self.item.source.registered,
                sealed: sealed.transpose().map_err(|error| VerifyError::Sealed(error.to_string()))?,
                received_at: self.item.received_at,
            },
            personal: self.labels.personal,
            pseudonymous: self.labels.pseudonymous,
            observed: Observed { count, median, mad, noise },
        })
    }
}

/// What went into a score, by name.
type Named = BTreeMap<String, Box<RawValue>>;

/// A formula at work: its text, what went into it, and that in words.
struct Story {
    rule: &'static str,
    inputs: Vec<(&'static str, Result<Box<RawValue>, serde_json::Error>)>,
    why: String,
}

fn input<T: Serialize>(name: &'static str, value: T) -> (&'static str, Result<Box<RawValue>, serde_json::Error>) {
    (name, to_raw_value(&value))
}

fn explained(item: &Item, inputs: &Inputs, scoring: &Scoring) -> Result<Vec<Explained>, serde_json::Error> {
    let subject = Subject { reading: &item.data, schema: &item.schema, source: &item.source };
    let facts = Facts::of(subject.reading, scoring);
    let parts = Parts::of(&subject, &facts, inputs, scoring);
    let (mut security, mut quality) = parts.scores();
    let outcomes = override_scores(&subject, inputs, scoring, (&mut security, &mut quality));
    let one = |score: ScoreName| {
        let story = Story::of(score, &parts, &facts, inputs);
        let named: Result<Named, _> =
            story.inputs.into_iter().map(|(name, value)| Ok((name.to_owned(), value?))).collect();
        let formula = Explained {
            score,
            value: score.of(&security, &quality),
            rule: story.rule.into(),
            inputs: named?,
            why: story.why,
        };
        let rule = |outcome: &&Outcome| scoring.overrides.get(outcome.number).is_some_and(|rule| rule.score == score);
        match outcomes.iter().find(rule) {
            Some(outcome) => told_by_expression(formula, outcome, scoring),
            None => Ok(formula),
        }
    };
    ScoreName::ALL.into_iter().map(one).collect()
}

/// The same where an expression took the formula's place, or failed to.
fn told_by_expression(
    mut explained: Explained,
    outcome: &Outcome,
    scoring: &Scoring,
) -> Result<Explained, serde_json::Error> {
    explained.inputs.insert("default".into(), to_raw_value(&outcome.default)?);
    match (&outcome.result, scoring.rules.overrides.get(outcome.number)) {
        (Ok(_), Some(rule)) => {
            explained.rule = match &rule.when {
                Some(when) => format!("CEL {}: {} (when {when})", outcome.number, rule.value),
                None => format!("CEL {}: {}", outcome.number, rule.value),
            };
            explained.why = format!("expression {}; the formula says {}", outcome.number, outcome.default);
        }
        (Err(error), _) => {
            let why = format!("expression {} failed: {error}; so the formula stands: ", outcome.number);
            explained.why.insert_str(0, &why);
        }
        (Ok(_), None) => {}
    }
    Ok(explained)
}

impl Story {
    fn of(score: ScoreName, parts: &Parts, facts: &Facts<'_>, inputs: &Inputs) -> Self {
        match score {
            ScoreName::Accuracy => Self::accuracy(parts, facts, &inputs.observed).capped(parts),
            ScoreName::Precision => Self::precision(parts).capped(parts),
            ScoreName::Timeliness => Self::timeliness(parts).capped(parts),
            ScoreName::Completeness => Self::completeness(parts).capped(parts),
            ScoreName::Confidentiality => Self::channel(inputs.arrival, parts.confidentiality),
            ScoreName::Integrity => Self::channel(inputs.arrival, parts.integrity),
            ScoreName::Privacy => Self::privacy(parts),
            ScoreName::Authentication => Self::authentication(inputs.arrival, parts.authentication),
        }
    }

    fn accuracy(parts: &Parts, facts: &Facts<'_>, observed: &Observed) -> Self {
        let accuracy = &parts.accuracy;
        let range = match (facts.quantity.range, facts.number) {
            (None, _) => "no range known".to_owned(),
            (Some([low, high]), Some(value)) => format!("{value} in {low} to {high}"),
            (Some([low, high]), None) => format!("not a number in {low} to {high}"),
        };
        let certain = match accuracy.uncertainty {
            Some(uncertainty) => format!("{uncertainty} of {}", facts.quantity.uncertainty.max),
            None => "not declared".to_owned(),
        };
        let steady = match accuracy.deviation {
            Some(deviation) => {
                format!("{} of {} from the last {}", short(deviation), facts.quantity.deviation, observed.count)
            }
            None => "nothing to compare with".to_owned(),
        };
        Self {
            rule: "plausibility × certainty × steadiness",
            inputs: vec![
                input("value", facts.number),
                input("range", facts.quantity.range),
                input("plausibility", accuracy.plausibility),
                input("uncertainty", accuracy.uncertainty),
                input("certainty", accuracy.certainty),
                input("deviation", accuracy.deviation),
                input("steadiness", accuracy.steadiness),
            ],
            why: format!(
                "plausibility {} ({range}) × certainty {} ({certain}) × steadiness {} ({steady})",
                short(accuracy.plausibility),
                short(accuracy.certainty),
                short(accuracy.steadiness),
            ),
        }
    }

    fn precision(parts: &Parts) -> Self {
        let precision = &parts.precision;
        let why = match (precision.resolution, precision.noise) {
            (None, _) => "not a number".to_owned(),
            (Some(resolution), None) => format!("resolution {} of {} wanted", short(resolution), precision.wanted),
            (Some(resolution), Some(noise)) => {
                format!("resolution {}, noise {}, of {} wanted", short(resolution), short(noise), precision.wanted)
            }
        };
        Self {
            rule: "1 / (1 + log10(max(resolution, noise) / wanted)), at most 1",
            inputs: vec![
                input("resolution", precision.resolution),
                input("noise", precision.noise),
                input("wanted", precision.wanted),
            ],
            why,
        }
    }

    fn timeliness(parts: &Parts) -> Self {
        let timeliness = &parts.timeliness;
        let volatility = timeliness.volatility.as_secs_f64();
        let (age, why) = match timeliness.age {
            None => (None, "it does not say when it was taken".to_owned()),
            Some(Age::Future) => (None, "it says that it will be taken".to_owned()),
            Some(Age::Past(age)) => {
                let age = age.as_secs_f64();
                let why = format!("age {age} s, volatility {volatility} s, s = {}", timeliness.sensitivity);
                (Some(age), why)
            }
        };
        Self {
            rule: "max(0, 1 − age / volatility)^s",
            inputs: vec![input("age", age), input("volatility", volatility), input("s", timeliness.sensitivity)],
            why,
        }
    }

    fn completeness(parts: &Parts) -> Self {
        let completeness = &parts.completeness;
        Self {
            rule: "present / expected",
            inputs: vec![input("present", completeness.present), input("expected", completeness.expected)],
            why: format!("{} of {} expected members", completeness.present, completeness.expected),
        }
    }

    fn channel(arrival: Arrival, fraction: f64) -> Self {
        let how = match arrival.sealed {
            Some(suite) => format!("sealed by the source ({suite})"),
            None => format!("came by {}", came_by(arrival.transport)),
        };
        Self {
            rule: "as it came",
            inputs: vec![
                input("transport", arrival.transport),
                input("sealed", arrival.sealed.map(|suite| suite.to_string())),
                input("worth", fraction),
            ],
            why: how,
        }
    }

    fn authentication(arrival: Arrival, fraction: f64) -> Self {
        let mut story = Self::channel(arrival, fraction);
        story.inputs.push(input("registered", arrival.registered));
        story.why = match (arrival.registered, arrival.sealed) {
            (false, _) => "unregistered".to_owned(),
            (true, Some(_)) => format!("registered, {}", story.why),
            (true, None) => format!("registered, its credential {}", story.why),
        };
        story
    }

    fn privacy(parts: &Parts) -> Self {
        let privacy = &parts.privacy;
        let name = if privacy.pseudonymous { "a pseudonym" } else { "a name that leads to a source" };
        Self {
            rule: "personal^n × identified",
            inputs: vec![
                input("declared", privacy.declared),
                input("n", privacy.personal),
                input("pseudonymous", privacy.pseudonymous),
            ],
            why: if privacy.declared {
                format!("{} personal members, under {name}", privacy.personal)
            } else {
                "nothing is declared as personal".to_owned()
            },
        }
    }

    fn capped(mut self, parts: &Parts) -> Self {
        if let Some(cap) = parts.cap {
            self.inputs.push(input("cap", cap));
            self.why = format!("at most {cap}, for it fitted no mapping: {}", self.why);
        }
        self
    }
}

const fn came_by(transport: Transport) -> &'static str {
    match transport {
        Transport::Loopback => "a listener that only this machine reaches",
        Transport::Tls => "TLS",
        Transport::Clear => "a network in clear",
    }
}

/// A number for a person.
fn short(number: f64) -> String {
    if number != 0.0 && number.abs() < 0.001 {
        return format!("{number:.1e}");
    }
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether the same went into both; `1` is the same as `1.0`.
fn same_inputs(one: &Named, other: &Named) -> bool {
    let same = |one: &RawValue, other: &RawValue| match (one.get().parse::<f64>(), other.get().parse::<f64>()) {
        (Ok(one), Ok(other)) => one.to_bits() == other.to_bits(),
        _ => one.get() == other.get(),
    };
    one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
}

/// A number exactly as it was written: the reader of JSON may be off by the last digit.
fn as_written<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    text.get().parse().map_err(|_| D::Error::custom("not a number"))
}

fn as_written_if_any<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let text = Option::<Box<RawValue>>::deserialize(deserializer)?;
    let number = text.map(|text| text.get().parse().map_err(|_| D::Error::custom("not a number")));
    number.transpose()
}

#[cfg(test)]
mod tests;
