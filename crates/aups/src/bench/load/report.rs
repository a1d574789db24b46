//! What came out of it: medians over rounds, and ratios of contenders in the same round.

use super::{Load, Measured, Plan, Round};
use crate::{
    bench::{
        contender::Kind,
        lane::{csv, parameters},
        machine,
        numbers::{grouped, median, megabytes},
        recorder::Recorder,
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
    measured: Vec<Measured>,
}

/// Two contenders that are compared, and how much the first is to take at least for what the second takes (`DESIGN` section 13). For single
/// readings in memory mode.
const COMPARED: [(Kind, Kind, f64); 3] =
    [(Kind::With, Kind::Without, 0.9), (Kind::With, Kind::Bare, 0.5), (Kind::With, Kind::PaperStack, 10.0)];

/// Something about a round; nothing where it was not measured.
type Figure = fn(&Round) -> Option<f64>;

/// Accepted readings a second while nobody subscribes.
const ACCEPTED: Figure = |round| round.ingest.accepted_per_second();
/// Delivered messages a second, of all subscribers together.
const DELIVERED: Figure = |round| round.delivery.as_ref()?.delivered_per_second();
/// Processor time of the contender for an accepted reading while nobody subscribes, in microseconds.
const CPU: Figure = |round| round.ingest.cpu_micros_per_item();
/// Median latency of a request while nobody subscribes, in microseconds.
const P50: Figure = |round| Some(round.ingest.latency().quantile(0.5)?.as_secs_f64() * 1e6);

impl Measured {
    fn median(&self, figure: Figure) -> Option<f64> {
        median(self.rounds.iter().filter_map(figure).collect())
    }

    /// Of all rounds, while nobody subscribes.
    fn latency(&self) -> Option<Recorder> {
        let mut all = self.rounds.iter().map(|round| round.ingest.latency());
        let first = all.next()?.clone();
        all.try_fold(first, |mut sum, latency| {
            sum.add(latency).ok()?;
            Some(sum)
        })
    }

    /// What is resident after all rounds, and the most that was at once.
    fn memory(&self) -> Option<(u64, u64)> {
        let round = self.rounds.last()?;
        let usage = round.delivery.as_ref().unwrap_or(&round.ingest).usage;
        Some((usage.rss_bytes, usage.rss_peak_bytes))
    }

    fn json(&self) -> Value {
        let rounds = self.rounds.iter().map(
            |Round { ingest, delivery }| json!({ "ingest": ingest.json(), "delivery": delivery.as_ref().map(Load::json) }),
        );
        json!({
            "name": self.kind,
            "acceptedPerSecond": self.median(ACCEPTED),
            "deliveredPerSecond": self.median(DELIVERED),
            "cpuMicrosPerItem": self.median(CPU),
            "latencyMicros": self.latency().map(|latency| latency.json()),
            "rssBytes": self.memory().map(|(now, _)| now),
            "rssPeakBytes": self.memory().map(|(_, peak)| peak),
            "rounds": rounds.collect::<Vec<_>>(),
        })
    }
}

/// Two contenders that ran side by side.
struct Ratio<'a> {
    of: &'a Measured,
    to: &'a Measured,
    target: f64,
}

impl Ratio<'_> {
    /// The median, over the rounds, of what a figure of the one is to that of the other in the same round.
    fn of(&self, figure: Figure) -> Option<f64> {
        let rounds = self.of.rounds.iter().zip(&self.to.rounds);
        median(rounds.filter_map(|(of, to)| Some(figure(of)? / figure(to)?)).collect())
    }

    fn json(&self) -> Value {
        json!({
            "of": self.of.kind,
            "to": self.to.kind,
            "acceptedPerSecond": self.of(ACCEPTED),
            "acceptedPerSecondTarget": self.target,
            "deliveredPerSecond": self.of(DELIVERED),
            "cpuMicrosPerItem": self.of(CPU),
            "latencyP50": self.of(P50),
        })
    }

    fn row(&self) -> Vec<String> {
        let told = |figure| self.of(figure).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let name = format!("{} / {}", self.of.kind.name(), self.to.kind.name());
        vec![name, told(ACCEPTED), format!("{:.2}", self.target), told(DELIVERED), told(CPU), told(P50)]
    }
}

impl Report {
    pub(super) const fn new(plan: Plan, measured: Vec<Measured>) -> Self {
        Self { plan, measured }
    }

    fn ratios(&self) -> Vec<Ratio<'_>> {
        let find = |kind| self.measured.iter().find(|measured| measured.kind == kind);
        let ratio = |(of, to, target)| Some(Ratio { of: find(of)?, to: find(to)?, target });
        COMPARED.into_iter().filter_map(ratio).collect()
    }

    /// For machines; `bench/README.md` says what the members mean.
    pub(crate) fn json(&self) -> Value {
        let Plan { rounds, requests, shape, subscribers, durability, broker, .. } = &self.plan;
        json!({
            "machine": machine::line(),
            "rounds": rounds,
            "subscribers": subscribers,
            "durability": durability,
            "broker": broker.as_ref().map_or("embedded", |_| "external"),
            "parameters": parameters(requests, shape),
            "contenders": self.measured.iter().map(Measured::json).collect::<Vec<_>>(),
            "ratios": self.ratios().iter().map(Ratio::json).collect::<Vec<_>>(),
        })
    }

    /// Writes the figures of all loads as a table.
    pub(crate) fn write_csv(&self, file: &Path) -> Result<(), Failure> {
        let rows = self.measured.iter().flat_map(|Measured { kind, rounds }| {
            rounds.iter().enumerate().flat_map(move |(number, Round { ingest, delivery })| {
                let labels = move |phase: &str| [kind.name().to_owned(), (number + 1).to_string(), phase.to_owned()];
                let delivery = delivery.as_ref().map(|load| (labels("delivery"), load));
                std::iter::once((labels("ingest"), ingest)).chain(delivery)
            })
        });
        csv(file, ["contender", "round", "phase"], rows)
    }

    /// For people: tables of 80 columns.
    pub(crate) fn text(&self) -> String {
        let parts = [self.throughput(), self.latencies(), self.compared(), self.troubles()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n\n")
    }

    fn throughput(&self) -> String {
        let rows: Vec<_> = self
            .measured
            .iter()
            .map(|measured| {
                let rate =
                    |figure| measured.median(figure).map_or_else(String::new, |rate| format!("{:>11}", grouped(rate)));
                let cpu = measured.median(CPU).map_or_else(String::new, |micros| format!("{micros:>5.1} µs"));
                let memory = |bytes: u64| format!("{:>8}", megabytes(bytes));
                let (now, peak) =
                    measured.memory().map_or_else(Default::default, |(now, peak)| (memory(now), memory(peak)));
                vec![measured.kind.name().to_owned(), rate(ACCEPTED), rate(DELIVERED), cpu, now, peak]
            })
            .collect();
        table(&["CONTENDER", " ACCEPTED/S", "DELIVERED/S", "CPU/ITEM", "     RSS", "    PEAK"], &rows)
    }

    fn latencies(&self) -> String {
        let rows: Vec<_> = self
            .measured
            .iter()
            .map(|measured| {
                let latency = measured.latency();
                let told = |fraction| {
                    let quantile = latency.as_ref().and_then(|latency| latency.quantile(fraction));
                    quantile.map_or_else(String::new, |quantile| format!("{:>8}", in_words(quantile)))
                };
                vec![measured.kind.name().to_owned(), told(0.5), told(0.9), told(0.99), told(0.999), told(1.0)]
            })
            .collect();
        table(&["LATENCY", "     P50", "     P90", "     P99", "   P99.9", "     MAX"], &rows)
    }

    fn compared(&self) -> String {
        let rows: Vec<_> = self.ratios().iter().map(Ratio::row).collect();
        if rows.is_empty() {
            return String::new();
        }
        table(&["RATIO", "ACCEPTED/S", "TARGET", "DELIVERED/S", "CPU/ITEM", "P50"], &rows)
    }

    /// What was not as it should be; nothing if all was.
    fn troubles(&self) -> String {
        let mut lines = Vec::new();
        for Measured { kind, rounds } in &self.measured {
            let loads = || rounds.iter().flat_map(|round| [Some(&round.ingest), round.delivery.as_ref()]).flatten();
            let mut line =
                |count: u64, what: &str| lines.extend((count > 0).then(|| format!("{}: {count} {what}", kind.name())));
            line(loads().map(Load::refused).sum(), "requests were refused");
            line(loads().map(Load::broken).sum(), "connections broke");
            line(loads().map(Load::unsent).sum(), "requests were never sent: the rate is more than it takes");
            line(loads().map(Load::undelivered).sum(), "messages did not reach a subscriber (QoS 0)");
        }
        lines.join("\n")
    }
}
