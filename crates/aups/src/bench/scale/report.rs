//! The curve.

use super::{Plan, Step};
use crate::{
    bench::{
        lane::{csv, parameters},
        machine,
        numbers::{float, grouped, megabytes},
    },
    cli::{failure::Failure, terminal::table},
    latency::in_words,
};
use serde_json::{Value, json};
use std::path::Path;

/// The outcome of a measurement.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    steps: Vec<Step>,
}

impl Report {
    pub(super) const fn new(plan: Plan, steps: Vec<Step>) -> Self {
        Self { plan, steps }
    }

    /// For machines; `bench/README.md` says what the members mean.
    pub(crate) fn json(&self) -> Value {
        let Plan { axis, requests, durability, .. } = &self.plan;
        let step = |step: &Step| {
            json!({
                "count": step.count,
                "parameters": parameters(requests, &self.plan.shape(step.count)),
                "setUpSeconds": step.set_up.as_secs_f64(),
                "rssIdleBytes": step.idle.rss_bytes,
                "load": step.load.json(),
            })
        };
        json!({
            "machine": machine::line(),
            "axis": axis,
            "durability": durability,
            "steps": self.steps.iter().map(step).collect::<Vec<_>>(),
            "rssBytesEach": self.rss_bytes_each(),
        })
    }

    /// Memory that one more takes, from the first step to the last.
    fn rss_bytes_each(&self) -> Option<f64> {
        let (first, last) = (self.steps.first()?, self.steps.last()?);
        let more = last.count.checked_sub(first.count).filter(|more| *more > 0)?;
        Some((float(last.load.usage.rss_bytes) - float(first.load.usage.rss_bytes)) / float(more as u64))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let rows = self.steps.iter().map(|step| {
            let quantile = |fraction| step.load.latency().quantile(fraction).map_or_else(String::new, in_words);
            [
                grouped(float(step.count as u64)),
                step.load.cpu_micros_per_item().map_or_else(String::new, |micros| format!("{micros:.1} µs")),
                quantile(0.5),
                quantile(0.99),
                megabytes(step.idle.rss_bytes),
                megabytes(step.load.usage.rss_bytes),
                in_words(step.set_up),
            ]
        });
        let name = self.plan.axis.name();
        let headings = [&name.to_uppercase(), "CPU/ITEM", "P50", "P99", "RSS IDLE", "RSS", "SET-UP"];
        let each = self
            .rss_bytes_each()
            .map_or_else(String::new, |bytes| format!("\n\n{bytes:.0} bytes of memory for each more of the {name}"));
        format!("{}{each}", table(&headings, &rows.collect::<Vec<_>>()))
    }

    /// Writes the figures of all steps as a table.
    pub(crate) fn write_csv(&self, file: &Path) -> Result<(), Failure> {
        let name = self.plan.axis.name();
        let rows = self.steps.iter().map(|step| {
            (
                [step.count.to_string(), step.set_up.as_secs_f64().to_string(), step.idle.rss_bytes.to_string()],
                &step.load,
            )
        });
        csv(file, [name, "setUpSeconds", "rssIdleBytes"], rows)
    }
}
