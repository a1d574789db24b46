//! What AUPS aims at, and what was measured of it.

use super::{
    Results,
    tables::{Form, lines, rows, text, with},
};
use serde_json::Value;

/// A goal: what is measured, where its figure is, how it is shown, and the bound.
struct Goal {
    name: &'static str,
    /// Of `bench/figures/<name>.json`.
    result: &'static str,
    figure: fn(&Value) -> Option<f64>,
    form: Form,
    bound: Bound,
}

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    Below(f64),
}

/// In the order in which they were set.
const GOALS: &[Goal] = &[
    Goal {
        name: "POSTs taken, of the same chain without AUPS",
        result: "load-single",
        figure: |load| ratio(load, "without"),
        form: Form::Places(2),
        bound: Bound::AtLeast(0.9),
    },
    Goal {
        name: "added median latency, 10 packets/s",
        result: "paper",
        figure: |paper| paper.pointer("/addedMicros/10")?.as_f64(),
        form: Form::Micros,
        bound: Bound::Below(25.0),
    },
    Goal {
        name: "POSTs taken, of a bare HTTP server",
        result: "load-single",
        figure: |load| ratio(load, "bare"),
        form: Form::Places(2),
        bound: Bound::AtLeast(0.5),
    },
    Goal {
        name: "POSTs taken, of the paper's stack",
        result: "load-single",
        figure: |load| ratio(load, "paper-stack"),
        form: Form::Places(2),
        bound: Bound::AtLeast(10.0),
    },
    Goal {
        name: "stream, items a second, taken",
        result: "load-ndjson",
        figure: |load| with(load, "/acceptedPerSecond"),
        form: Form::Count,
        bound: Bound::AtLeast(150_000.0),
    },
    Goal {
        name: "stream, items a second, from the POST to a subscriber, 150,000 sent",
        result: "load-stream",
        figure: |load| with(load, "/deliveredPerSecond"),
        form: Form::Count,
        bound: Bound::AtLeast(150_000.0),
    },
    Goal {
        name: "reception → publish, median, memory, 10 packets/s",
        result: "paper",
        figure: published,
        form: Form::Micros,
        bound: Bound::Below(200.0),
    },
    Goal {
        name: "reception → publish, median, disk, 10 packets/s",
        result: "paper-disk",
        figure: published,
        form: Form::Micros,
        bound: Bound::Below(1_500.0),
    },
    Goal {
        name: "key requests a second and core",
        result: "keys",
        figure: |keys| keys.pointer("/perSecondPerCore")?.as_f64(),
        form: Form::Count,
        bound: Bound::AtLeast(5_000.0),
    },
    Goal {
        name: "revocation, p99, ms",
        result: "revocation",
        figure: |revocation| revocation.pointer("/shutOutMillis/p99")?.as_f64(),
        form: Form::Places(1),
        bound: Bound::Below(1_000.0),
    },
    Goal {
        name: "resident after the start",
        result: "memory",
        figure: |memory| memory.pointer("/started/rssBytes")?.as_f64(),
        form: Form::Megabytes,
        bound: Bound::Below(40e6),
    },
    Goal {
        name: "bytes for each topic",
        result: "memory",
        figure: |memory| memory.pointer("/bytesPerTopic")?.as_f64(),
        form: Form::Count,
        bound: Bound::Below(1_000.0),
    },
];

/// The table. What was not measured has no figure.
pub(super) fn block(results: &Results) -> String {
    lines(&["", "aimed at", "measured", ""], GOALS.iter().map(|goal| goal.row(results)))
}

impl Goal {
    fn row(&self, results: &Results) -> Vec<String> {
        let figure = results.get(self.result).and_then(self.figure);
        let (aim, reached) = match self.bound {
            Bound::AtLeast(bound) => (format!("≥ {}", self.form.of(bound)), figure.map(|figure| figure >= bound)),
            Bound::Below(bound) => (format!("< {}", self.form.of(bound)), figure.map(|figure| figure < bound)),
        };
        let measured = figure.map_or_else(|| "not yet".to_owned(), |figure| self.form.of(figure));
        let verdict = reached.map_or("", |reached| if reached { "reached" } else { "missed" });
        vec![self.name.to_owned(), aim, measured, verdict.to_owned()]
    }
}

/// What is taken with AUPS, of what another contender takes in the same round.
fn ratio(load: &Value, to: &str) -> Option<f64> {
    rows(load, "/ratios").find(|ratio| text(ratio, "/to") == to)?.pointer("/acceptedPerSecond")?.as_f64()
}

/// With AUPS at 10 packets a second.
fn published(paper: &Value) -> Option<f64> {
    rows(paper, "/runs").find(|run| text(run, "/name") == "with-10")?.pointer("/publishedMicros/p50")?.as_f64()
}
