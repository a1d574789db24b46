//! What was counted, for people and as JSON.

use super::{Budget, Stage, callgrind::Counted};
use anyhow::Result;
use serde_json::json;
use std::fmt;

/// How far a count may be above its budget, and below it before the budget is to be tightened.
const TOLERANCE: f64 = 0.05;
/// What rounding, and maps that grow at chance, make of the same allocations: so many more or less, or such a part.
const ALLOCATIONS_TOLERANCE: f64 = 0.02;
const ALLOCATIONS_TOLERATED_PART: f64 = 0.000_5;

/// A stage, and what was counted.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) stage: Stage,
    pub(super) budget: Option<Budget>,
    pub(super) counted: Counted,
}

/// What is to be said of a budget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is exceeded, or there is none.
    Over(String),
    /// It could be less.
    Loose(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(what) => write!(f, "OVER ITS BUDGET: {what}"),
            Self::Loose(what) => write!(f, "{what}: tighten the budget with `cargo xtask budget --write`"),
        }
    }
}

impl Measured {
    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let Counted { instructions, allocations, .. } = self.counted;
        let Some(Budget { instructions: budget, allocations: allocations_budget }) = self.budget else {
            return vec![Verdict::Over("it has none; write one with `cargo xtask budget --write`".into())];
        };
        let change = instructions / as_f64(budget) - 1.0;
        let more = allocations - allocations_budget;
        let mut verdicts = Vec::new();
        if change.abs() > TOLERANCE {
            let direction = if change > 0.0 { "more" } else { "fewer" };
            let what = format!("{:.1} % {direction} instructions than budgeted", change.abs() * 100.0);
            verdicts.push(if change > 0.0 { Verdict::Over(what) } else { Verdict::Loose(what) });
        }
        if more.abs() > (allocations_budget * ALLOCATIONS_TOLERATED_PART).max(ALLOCATIONS_TOLERANCE) {
            let direction = if more > 0.0 { "more" } else { "fewer" };
            let what = format!("{:.2} {direction} allocations than budgeted", more.abs());
            verdicts.push(if more > 0.0 { Verdict::Over(what) } else { Verdict::Loose(what) });
        }
        verdicts
    }
}

/// A table for a terminal.
pub(super) fn print(all: &[Measured]) {
    println!("{:<26} {:>12} {:>12} {:>11} {:>8}", "", "instructions", "budget", "allocations", "budget");
    for Measured { stage, budget, counted } in all {
        let (instructions, allocations) =
            budget.map_or(("-".into(), "-".into()), |b| (b.instructions.to_string(), format!("{:.2}", b.allocations)));
        println!(
            "{:<26} {:>12.0} {instructions:>12} {:>11.2} {allocations:>8}",
            stage.name, counted.instructions, counted.allocations
        );
    }
    for Measured { stage, counted, .. } in all {
        for (part, instructions) in parts(&stage.name, counted) {
            let share = 100.0 * instructions / counted.instructions;
            println!("{}: {part:<50} {instructions:>8.0} {share:>5.1} %", stage.name);
        }
    }
}

/// Everything, for programs.
pub(super) fn json(all: &[Measured]) -> Result<()> {
    let stages: Vec<_> = all
        .iter()
        .map(|Measured { stage, counted, .. }| {
            let Budget { instructions, allocations } = counted.budget();
            let parts: Vec<_> = parts(&stage.name, counted)
                .into_iter()
                .map(|(part, instructions)| json!({ "part": part, "instructions": instructions.round() }))
                .collect();
            json!({
                "name": stage.name,
                "operation": stage.operation,
                "instructions": instructions,
                "allocations": allocations,
                "parts": parts,
            })
        })
        .collect();
    println!("{}", serde_json::to_string_pretty(&json!({ "stages": stages }))?);
    Ok(())
}

/// A part of the way of an item: what some functions come to with all that they call, less what others do that are parts of
/// their own or no part at all.
struct Part {
    name: &'static str,
    functions: &'static [&'static str],
    less: &'static [&'static str],
}

/// In the order of an item's way. A function that the compiler no longer keeps apart counts as nothing, and what it does as
/// part of its caller, or of the rest.
const PARTS: &[Part] = &[
    Part { name: "HTTP: requests read, answers written, routes", functions: &[CONNECTION], less: &[HANDLER] },
    Part { name: "who sends: credential, quarantine", functions: &[ADMIT], less: &[] },
    Part { name: "JSON read", functions: &[READ], less: &[] },
    Part { name: "normalised", functions: &[NORMALISE], less: &[] },
    Part { name: "scored", functions: &[SCORE], less: &[] },
    Part { name: "topic", functions: &[TOPIC], less: &[] },
    Part { name: "item written as JSON", functions: &[WRITE], less: &[] },
    Part { name: "answer", functions: &[ANSWER], less: &[] },
    Part {
        name: "the rest of taking it: quota, idempotency, queue",
        functions: &[HANDLER],
        less: &[ADMIT, READ, NORMALISE, SCORE, TOPIC, WRITE, ANSWER],
    },
    Part { name: "PEP: scope looked up", functions: &[PERMIT], less: &[] },
    Part { name: "sealed", functions: &[SEAL], less: &[] },
    Part { name: "broker: routed to the subscriber", functions: &[HAND_OVER], less: &[] },
    Part { name: "metrics of the pipeline", functions: &[SHOW], less: &[] },
    Part { name: "the rest of the pipeline", functions: &[PIPELINE], less: &[PERMIT, SEAL, HAND_OVER, SHOW] },
    Part { name: "broker: written to the subscriber", functions: &[CLIENT], less: &[] },
];

const CONNECTION: &str =
    "<hyper_util::server::conn::auto::UpgradeableConnection<I,S,E> as core::future::future::Future>::poll";
const HANDLER: &str = "<F as axum::handler::Handler<(M,T1,T2),S>>::call::{{closure}}";
const ADMIT: &str = "aups_nos::southbound::defence::<impl aups_nos::southbound::Southbound>::admit";
const READ: &str = "aups_nos::json::Document::read";
const NORMALISE: &str = "aups_nos::normalise::normalise";
const SCORE: &str = "aups_nos::analyse::analyse";
const TOPIC: &str = "aups_core::topic::TopicTemplate::fill";
const WRITE: &str = "aups_core::item::_::<impl serde_core::ser::Serialize for aups_core::item::Item>::serialize";
const ANSWER: &str =
    "<aups_nos::southbound::data::Accepted as axum_core::response::into_response::IntoResponse>::into_response";
const PIPELINE: &str = "aups_nos::pipeline::Pipeline::run::{{closure}}";
const PERMIT: &str = "aups_nos::pep::Pep::permit::{{closure}}";
const SEAL: &str = "aups_nos::seal::Sealer::seal::{{closure}}";
const HAND_OVER: &str = "aups_nos::pipeline::Flight::hand_over::{{closure}}";
const SHOW: &str = "aups_nos::pipeline::Pipeline::show_depth";
const CLIENT: &str = "aups_net::listener::Listener::serve::{{closure}}::{{closure}}";

fn parts(stage: &str, counted: &Counted) -> Vec<(&'static str, f64)> {
    if !stage.starts_with("path-") {
        return Vec::new();
    }
    let of = |names: &[&str]| names.iter().filter_map(|name| counted.functions.get(*name)).sum::<f64>();
    let mut parts: Vec<_> = PARTS.iter().map(|part| (part.name, of(part.functions) - of(part.less))).collect();
    let rest = counted.instructions - parts.iter().map(|(_, instructions)| instructions).sum::<f64>();
    parts.push(("the rest: the runtime, and the load itself", rest));
    parts
}

#[expect(clippy::cast_precision_loss, reason = "counts of one operation are far below 2^52")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
