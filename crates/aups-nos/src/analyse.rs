//! Scores of an item: how well it was protected on its way in, and how good the reading is.
//!
//! The paper leaves the rules open; these are ours, after the literature where there is any. Each score follows from the
//! reading, from how it arrived, from what the node said before ([`History`]) and from [`ScoringRules`], and from nothing
//! else: whoever has these computes it again ([`explain`]). `docs/guide/scores.md` explains them to users. Scores are rounded down
//! to 0.01.

pub mod explain;
mod expression;
mod formulas;
pub mod history;
pub mod recent;
pub mod rules;
mod scoring;

pub use expression::{EXPRESSION_BYTES_MAX, ExpressionError};
pub use history::{History, Observed};
pub use rules::ScoringRules;
pub use scoring::Scoring;

use crate::{accept::ADDRESS_NAME_PREFIX, settings::Transport};
use aups_core::{Quality, Reading, Score, Security, Source, Suite, UnixMillis};
use expression::{EvaluationError, Scope};
use formulas::{Facts, Parts};
use std::collections::BTreeSet;

/// How an item came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// How it was carried.
    pub transport: Transport,
    /// Whether its source registered and proved it with its credential or its key.
    pub registered: bool,
    /// How the source sealed it, with a counter that rose; `None`: it did not.
    pub sealed: Option<Suite>,
    /// When the NOS took it.
    pub received_at: UnixMillis,
}

/// What is scored.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The reading.
    pub reading: &'a Reading,
    /// The normalisation that applied.
    pub schema: &'a str,
    /// Who sent it.
    pub source: &'a Source,
}

/// An item's scores, and what they follow from besides the item itself.
#[derive(Debug, Clone, Copy)]
pub struct Scored {
    /// How well it was protected on its way in.
    pub security: Security,
    /// How good it is.
    pub quality: Quality,
    /// What one needs to compute them again.
    pub inputs: Inputs,
}

/// What the scores of an item follow from besides the item itself and the rules.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Inputs {
    /// How it came in.
    pub arrival: Arrival,
    /// Whether its source has a label that says that its readings are personal.
    pub personal: bool,
    /// Whether its source has a label that says that its NodeId is a pseudonym, or the NOS named it after its address.
    pub pseudonymous: bool,
    /// What was known of its series before.
    pub observed: Observed,
}

/// Scores a reading, and learns from it if its source is registered. `labels` are those of the source. About 1 µs; each
/// item that an expression is about costs some microseconds more, and counts `aups_score_override_errors_total` where that gives
/// no score.
pub fn analyse(
    subject: &Subject<'_>,
    labels: Option<&BTreeSet<String>>,
    arrival: Arrival,
    scoring: &Scoring,
    history: &History,
) -> Scored {
    let facts = Facts::of(subject.reading, scoring);
    let observed = match facts.number {
        Some(value) if arrival.registered => {
            let at = facts.taken.unwrap_or(arrival.received_at);
            let series = (&*subject.source.node_id, &*subject.reading.name);
            history.observe(series, (value, at), facts.plausibility.teaches(), facts.quantity)
        }
        _ => Observed::default(),
    };
    let privacy = &scoring.rules.privacy;
    let has_one = |of: &[String]| labels.is_some_and(|labels| of.iter().any(|label| labels.contains(label)));
    let inputs = Inputs {
        arrival,
        personal: has_one(&privacy.labels),
        pseudonymous: has_one(&privacy.pseudonyms)
            || (!arrival.registered && subject.source.node_id.starts_with(ADDRESS_NAME_PREFIX)),
        observed,
    };
    let (mut security, mut quality) = Parts::of(subject, &facts, &inputs, scoring).scores();
    for Outcome { result, .. } in override_scores(subject, &inputs, scoring, (&mut security, &mut quality)) {
        if result.is_err() {
            metrics::counter!("aups_score_override_errors_total").increment(1);
        }
    }
    Scored { security, quality, inputs }
}

/// What came of an expression that is about an item.
#[derive(Debug)]
struct Outcome {
    /// Which of the rules' overrides.
    number: usize,
    /// What the formula said.
    default: Score,
    /// What the expression says instead.
    result: Result<Score, EvaluationError>,
}

/// Puts the scores that expressions say in the place of those that formulas said: of each score, the first that applies. One
/// that fails changes nothing.
fn override_scores(
    subject: &Subject<'_>,
    inputs: &Inputs,
    scoring: &Scoring,
    (security, quality): (&mut Security, &mut Quality),
) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    if scoring.overrides.is_empty() {
        return outcomes;
    }
    let mut scope = Scope::of(subject, inputs, &scoring.overrides);
    let mut settled = Vec::new();
    for (number, rule) in scoring.overrides.iter().enumerate() {
        if settled.contains(&rule.score) {
            continue;
        }
        let default = rule.score.of(security, quality);
        let Some(result) = scope.overridden(rule, default).transpose() else { continue };
        if let Ok(score) = &result {
            *rule.score.of_mut(security, quality) = *score;
        }
        settled.push(rule.score);
        outcomes.push(Outcome { number, default, result });
    }
    outcomes
}

#[cfg(test)]
mod tests;
