//! The paper's tables beside ours, and its two figures.

use super::{Kind, Plan, RATES, Run, SOURCES, Steps, figures, users::USERS};
use crate::{
    bench::{
        numbers::{float, megabytes},
        plot::{BoxStats, Chart, Column, Drawing, Scale, Series},
    },
    cli::terminal::table,
    latency::in_words,
    settings::Durability,
};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// What is aimed at: reception to publish, median.
const PUBLISHED_MAX: [(Durability, Duration); 2] =
    [(Durability::Memory, Duration::from_micros(200)), (Durability::Disk, Duration::from_micros(1_500))];
/// What is aimed at: what AUPS adds to the median latency, where neither waits for a disk.
const ADDED_MAX: Duration = Duration::from_micros(25);

/// The outcome of all runs.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) machine: String,
    pub(super) plan: Plan,
    pub(super) steps: Steps,
    pub(super) runs: Vec<Run>,
}

impl Report {
    /// What must not be, in words; none if all is well. That a target is missed is no fault: it depends on the machine.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.runs.iter().flat_map(Run::faults).collect()
    }

    /// Writes the JSON and the figures into the folder.
    pub(super) fn write_files(&self) -> anyhow::Result<()> {
        self.write("paper.json", format!("{:#}\n", self.json()).as_bytes())?;
        for (name, drawing) in [("latency", self.latency_chart().draw()), ("cpu", self.cpu_chart().draw())] {
            self.write_drawing(name, &drawing)?;
        }
        Ok(())
    }

    fn write_drawing(&self, name: &str, drawing: &Drawing) -> anyhow::Result<()> {
        self.write(&format!("{name}.svg"), drawing.svg().as_bytes())?;
        self.write(&format!("{name}.png"), &drawing.png()?)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.plan.out.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    fn run(&self, kind: Kind, rate: u32) -> Option<&Run> {
        self.runs.iter().find(|run| run.kind == kind && run.rate == rate)
    }

    /// Median latency of a run.
    fn median(&self, kind: Kind, rate: u32) -> Option<Duration> {
        self.run(kind, rate)?.traced.delivered.quantile(0.5)
    }

    /// What AUPS adds to the median latency, in microseconds.
    fn added_micros(&self, rate: u32) -> Option<f64> {
        let micros = |kind| Some(self.median(kind, rate)?.as_secs_f64() * 1e6);
        Some(micros(Kind::With)? - micros(Kind::Without)?)
    }

    /// The part of the memory that is AUPS's, in percent, at a rate.
    fn memory_share_percent(&self, rate: u32) -> Option<f64> {
        let bytes = |kind| Some(float(self.run(kind, rate)?.usage.rss_bytes));
        let (with, without) = (bytes(Kind::With)?, bytes(Kind::Without)?);
        Some(100.0 * (with - without) / with)
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        [Kind::Without, Kind::With].into_iter().filter(|kind| self.run(*kind, RATES[0]).is_some())
    }

    fn chart(&self, title: &str, values: &str, scale: Scale, stats: impl Fn(&Run) -> Option<BoxStats>) -> Chart {
        let column = |rate| Column {
            name: format!("{rate} packets/s"),
            boxes: self.kinds().map(|kind| stats(self.run(kind, rate)?)).collect(),
            references: Vec::new(),
        };
        Chart {
            title: title.to_owned(),
            values: values.to_owned(),
            scale,
            series: self.kinds().map(|kind| Series(format!("{} AUPS", kind.name()))).collect(),
            columns: RATES.into_iter().map(column).collect(),
            reference: None,
        }
    }

    /// The paper's figure 6.
    fn latency_chart(&self) -> Chart {
        let stats = |run: &Run| BoxStats::of(&run.traced.delivered.counted_millis());
        let values = "milliseconds from POST to user, logarithmic";
        let mut chart = self.chart("Latency of a packet", values, Scale::Logarithmic, stats);
        for (column, rate) in chart.columns.iter_mut().zip(RATES) {
            column.references = self.kinds().map(|kind| figures::latency_millis(kind, rate)).collect();
        }
        chart.reference = Some("the paper: reception to broker, Raspberry Pi".to_owned());
        chart
    }

    /// The paper's figure 7.
    fn cpu_chart(&self) -> Chart {
        let stats = |run: &Run| BoxStats::of_samples(run.cpu.iter().copied());
        self.chart("Load of the processor", "percent of one core, second by second", Scale::Linear, stats)
    }

    /// For machines: microseconds, bytes and counts.
    pub(crate) fn json(&self) -> Value {
        let Steps { scope_known, scope_evaluated, seal, key_held, key_derived } = self.steps;
        let [scope_known, scope_evaluated, seal, key_held, key_derived] =
            [scope_known, scope_evaluated, seal, key_held, key_derived].map(micros);
        let by_rate = |of: &dyn Fn(u32) -> Option<f64>| -> Value {
            RATES.into_iter().map(|rate| (rate.to_string(), json!(of(rate)))).collect()
        };
        json!({
            "machine": self.machine,
            "sources": SOURCES,
            "users": USERS.len(),
            "seconds": self.plan.duration.as_secs_f64(),
            "lifeSeconds": self.plan.life.as_secs(),
            "durability": self.plan.durability,
            "broker": self.plan.broker.as_ref().map_or("embedded", |broker| broker.as_str()),
            "seed": self.plan.seed,
            "runs": self.runs.iter().map(Run::json).collect::<Vec<_>>(),
            "addedMicros": by_rate(&|rate| self.added_micros(rate)),
            "memorySharePercent": by_rate(&|rate| self.memory_share_percent(rate)),
            "stepMicros": {
                "scopeKnown": scope_known,
                "scopeEvaluated": scope_evaluated,
                "seal": seal,
                "keyHeld": key_held,
                "keyDerived": key_derived,
            },
            "targets": self.targets().iter().map(Target::json).collect::<Vec<_>>(),
            "paper": {
                "latencyMillis": RATES.into_iter().map(|rate| (rate.to_string(), json!({
                    "without": figures::latency_millis(Kind::Without, rate),
                    "with": figures::latency_millis(Kind::With, rate),
                }))).collect::<Value>(),
                "addedMillis": figures::ADDED_MILLIS,
                "queriesMillis": figures::QUERIES_MILLIS,
                "encryptionMillis": figures::ENCRYPTION_MILLIS,
                "ktmMillis": figures::KTM_MILLIS,
                "memoryMegabytesMax": figures::MEMORY_MEGABYTES,
                "memorySharePercent": figures::MEMORY_SHARE_PERCENT,
            },
            "faults": self.faults(),
        })
    }

    fn targets(&self) -> Vec<Target> {
        let durability = self.plan.durability;
        let at_most =
            PUBLISHED_MAX.into_iter().find(|(of, _)| *of == durability).map_or(Duration::ZERO, |(_, most)| most);
        let of_rate = |rate| {
            let published = self.run(Kind::With, rate).and_then(|run| run.published);
            let published = published.map(|[median, _]| Target {
                name: format!("reception to publish, median, {rate}/s"),
                micros: micros(median),
                micros_max: micros(at_most),
            });
            let comparable = self.added_micros(rate).filter(|_| durability == Durability::Memory);
            let added = comparable.map(|added| Target {
                name: format!("added to the median latency, {rate}/s"),
                micros: added,
                micros_max: micros(ADDED_MAX),
            });
            [published, added]
        };
        RATES.into_iter().flat_map(of_rate).flatten().collect()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let targets: Vec<_> = self.targets().iter().map(Target::row).collect();
        let parts = [
            format!("{}\n{}", self.machine, self.conditions()),
            self.latency_table(),
            self.steps_table(),
            self.memory_table(),
            table(&["AIMED AT", "AT MOST", "HERE", ""], &targets),
            NOTES.to_owned(),
            format!("figures and raw data: {}", self.plan.out.display()),
        ];
        parts.join("\n\n")
    }

    fn conditions(&self) -> String {
        let Plan { duration, life, durability, broker, seed, .. } = &self.plan;
        let broker = broker.as_ref().map_or("the embedded broker", |broker| broker.as_str());
        let durability = if *durability == Durability::Memory { "memory" } else { "disk" };
        format!(
            "{SOURCES} sources, {} users, {} s a run, keys of {} s, {durability}, {broker}, seed {seed}",
            USERS.len(),
            duration.as_secs(),
            life.as_secs()
        )
    }

    fn latency_table(&self) -> String {
        let row = |kind: Kind, rate: u32| {
            let Some(run) = self.run(kind, rate) else { return Vec::new() };
            let told = |quantile| run.traced.delivered.quantile(quantile).map_or_else(String::new, in_words);
            let answered = run.traced.answered.quantile(0.5).map_or_else(String::new, in_words);
            let published = run.published.map_or_else(String::new, |[median, _]| in_words(median));
            let paper = figures::latency_millis(kind, rate).map_or_else(String::new, |millis| format!("{millis} ms"));
            vec![format!("{} AUPS, {rate}/s", kind.name()), paper, told(0.5), told(0.99), answered, published]
        };
        let mut rows = Vec::new();
        for rate in RATES {
            rows.extend(self.kinds().map(|kind| row(kind, rate)));
            if let Some(added) = self.added_micros(rate) {
                let paper = format!("{} ms", figures::ADDED_MILLIS);
                rows.push(vec![format!("added, {rate}/s"), paper, format!("{added:+.0} µs")]);
            }
        }
        table(&["LATENCY", "PAPER (1)", "TO USER (2)", "P99", "TO 202", "TO BROKER (3)"], &rows)
    }

    fn steps_table(&self) -> String {
        let Steps { scope_known, scope_evaluated, seal, key_held, key_derived } = self.steps;
        let row = |what: &str, millis: Option<f64>, here: &str, took: Duration| {
            let millis = millis.map_or_else(String::new, |millis| format!("{millis} ms"));
            [what.to_owned(), millis, here.to_owned(), in_nanos(took)]
        };
        let rows = [
            row("three database queries", Some(figures::QUERIES_MILLIS), "scope, known", scope_known),
            row("", None, "scope, policies evaluated (4)", scope_evaluated),
            row("encryption", Some(figures::ENCRYPTION_MILLIS), "seal", seal),
            row("KTM call", Some(figures::KTM_MILLIS), "key, held", key_held),
            row("", None, "key, derived (5)", key_derived),
        ];
        table(&["PAPER (1)", "", "HERE (6)", ""], &rows)
    }

    fn memory_table(&self) -> String {
        let mut rows = vec![vec![
            "the paper (1)".to_owned(),
            format!("below {} MB", figures::MEMORY_MEGABYTES),
            format!("{} %", figures::MEMORY_SHARE_PERCENT),
            String::new(),
        ]];
        for run in &self.runs {
            let share = self.memory_share_percent(run.rate).filter(|_| run.kind == Kind::With);
            let share = share.map_or_else(String::new, |share| format!("{share:.0} %"));
            let cpu = BoxStats::of_samples(run.cpu.iter().copied());
            let cpu = cpu.map_or_else(String::new, |cpu| format!("{:.2} %", cpu.median));
            let name = format!("{} AUPS, {}/s", run.kind.name(), run.rate);
            rows.push(vec![name, megabytes(run.usage.rss_bytes), share, cpu]);
        }
        table(&["SERVER", "MEMORY (7)", "OF IT AUPS", "CPU, MEDIAN"], &rows)
    }
}

const NOTES: &str = "\
(1) a Raspberry Pi with Node.js, a database and Mosquitto: another machine
(2) from writing the POST until a user has the item: HTTP, broker and, with AUPS,
    opening it included, which the paper does not count
(3) the server's own figure: reception to the hand-over to the broker, as the paper's
(4) the first item of its kind; until policies change it is known after that
(5) once in the life of a key, ahead of time
(6) the step alone, in a loop in this process
(7) resident, of the whole server: HTTP, broker and store included, and the pages of
    the program itself that were used; the chain without AUPS is a smaller program,
    and keeps nothing on disk";

impl Run {
    fn faults(&self) -> Vec<String> {
        let counts = [(self.traced.refused, "packets were refused"), (self.traced.lost, "deliveries did not come")];
        let faults = counts.into_iter().filter(|(count, _)| *count > 0);
        faults.map(|(count, what)| format!("{}: {count} {what}", self.name())).collect()
    }

    fn name(&self) -> String {
        format!("{}-{}", self.kind.name(), self.rate)
    }

    fn json(&self) -> Value {
        let stats = |stats: Option<BoxStats>| {
            stats.map(|stats| {
                json!({
                    "q1": stats.q1,
                    "median": stats.median,
                    "q3": stats.q3,
                    "whiskers": [stats.whiskers.0, stats.whiskers.1],
                    "outliers": stats.outliers.len(),
                    "samples": stats.samples,
                })
            })
        };
        json!({
            "name": self.name(),
            "contender": self.kind,
            "ratePerSecond": self.rate,
            "sent": self.traced.sent,
            "refused": self.traced.refused,
            "lost": self.traced.lost,
            "answeredMicros": self.traced.answered.json(),
            "deliveredMicros": self.traced.delivered.json(),
            "deliveredMillisBox": stats(BoxStats::of(&self.traced.delivered.counted_millis())),
            "publishedMicros": self.published.map(|[p50, p99]| json!({ "p50": micros(p50), "p99": micros(p99) })),
            "cpuPercentBox": stats(BoxStats::of_samples(self.cpu.iter().copied())),
            "rssBytes": self.usage.rss_bytes,
            "rssPeakBytes": self.usage.rss_peak_bytes,
            "cpuSeconds": self.usage.cpu.as_secs_f64(),
        })
    }
}

/// A figure that is aimed at.
struct Target {
    name: String,
    micros: f64,
    micros_max: f64,
}

impl Target {
    fn is_reached(&self) -> bool {
        self.micros <= self.micros_max
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "micros": self.micros, "microsMax": self.micros_max, "reached": self.is_reached() })
    }

    fn row(&self) -> [String; 4] {
        let verdict = if self.is_reached() { "reached" } else { "missed" };
        [self.name.clone(), format!("{:.0} µs", self.micros_max), format!("{:.0} µs", self.micros), verdict.to_owned()]
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

fn in_nanos(duration: Duration) -> String {
    if duration < Duration::from_micros(10) { format!("{:.2} µs", micros(duration)) } else { in_words(duration) }
}
