//! The figures of a load, for people and for machines.

use super::Load;
use crate::{
    bench::{
        generator::{self, Pace},
        numbers::{float, per_second},
        recorder::Recorder,
        workload::Shape,
    },
    cli::failure::Failure,
};
use serde_json::{Value, json};
use std::{num::NonZeroUsize, path::Path};

impl Load {
    /// Readings that were taken, a second.
    pub(in crate::bench) fn accepted_per_second(&self) -> Option<f64> {
        per_second(self.answers.accepted, self.summary.elapsed)
    }

    /// Messages that all subscribers together got, a second.
    pub(in crate::bench) fn delivered_per_second(&self) -> Option<f64> {
        self.delivered.and_then(|delivered| per_second(delivered.messages, delivered.elapsed))
    }

    /// Processor time of the contender for a reading that it took, in microseconds.
    pub(in crate::bench) fn cpu_micros_per_item(&self) -> Option<f64> {
        (self.answers.accepted > 0).then(|| self.cpu.as_secs_f64() * 1e6 / float(self.answers.accepted))
    }

    /// Of its requests, from when each was due.
    pub(in crate::bench) const fn latency(&self) -> &Recorder {
        &self.answers.latency
    }

    /// Requests that were not answered with 2xx.
    pub(in crate::bench) const fn refused(&self) -> u64 {
        self.answers.refused
    }

    /// Requests whose connection broke.
    pub(in crate::bench) const fn broken(&self) -> u64 {
        self.summary.broken
    }

    /// Requests that were due and never sent.
    pub(in crate::bench) const fn unsent(&self) -> u64 {
        self.summary.unsent
    }

    /// Messages that subscribers should have got and did not.
    pub(in crate::bench) fn undelivered(&self) -> u64 {
        self.delivered
            .map_or(0, |delivered| (self.answers.accepted * delivered.subscribers).saturating_sub(delivered.messages))
    }

    /// For machines; `bench/README.md` says what the members mean.
    pub(in crate::bench) fn json(&self) -> Value {
        json!({
            "requests": self.answers.requests,
            "refused": self.refused(),
            "broken": self.broken(),
            "unsent": self.unsent(),
            "items": self.answers.readings,
            "accepted": self.answers.accepted,
            "delivered": self.delivered.map(|delivered| delivered.messages),
            "seconds": self.summary.elapsed.as_secs_f64(),
            "acceptedPerSecond": self.accepted_per_second(),
            "deliveredPerSecond": self.delivered_per_second(),
            "cpuMicrosPerItem": self.cpu_micros_per_item(),
            "rssBytes": self.usage.rss_bytes,
            "rssPeakBytes": self.usage.rss_peak_bytes,
            "latencyMicros": self.answers.latency.json(),
            "serviceMicros": self.answers.service.json(),
        })
    }
}

/// What is sent, and how, for machines.
pub(in crate::bench) fn parameters(requests: &generator::Plan, shape: &Shape) -> Value {
    let generator::Plan { connections, pace, batch, duration, .. } = requests;
    let readings = batch.map_or(1, NonZeroUsize::get) as u64;
    let (rate, arrivals) = match pace {
        Pace::Closed => (None, None),
        Pace::Open { rate, arrivals } => (Some(rate * float(readings)), Some(arrivals)),
    };
    json!({
        "seconds": duration.as_secs_f64(),
        "connections": connections,
        "itemsPerSecond": rate,
        "arrivals": arrivals,
        "batch": batch,
        "sources": shape.sources,
        "topics": shape.topics,
        "scopes": shape.scopes,
        "policies": shape.policies,
        "payloadBytes": shape.payload_bytes,
        "keyLifeSeconds": shape.key_life.as_secs(),
        "seed": shape.seed,
    })
}

/// Columns of a CSV file: where each is in the JSON of a load.
const COLUMNS: [&str; 20] = [
    "/requests",
    "/refused",
    "/broken",
    "/unsent",
    "/items",
    "/accepted",
    "/delivered",
    "/seconds",
    "/acceptedPerSecond",
    "/deliveredPerSecond",
    "/cpuMicrosPerItem",
    "/rssBytes",
    "/rssPeakBytes",
    "/latencyMicros/p50",
    "/latencyMicros/p90",
    "/latencyMicros/p99",
    "/latencyMicros/p999",
    "/latencyMicros/max",
    "/serviceMicros/p50",
    "/serviceMicros/p99",
];

/// Writes loads to a new CSV file, or over one: columns of these names before those of the figures.
pub(in crate::bench) fn csv<'a, const LABELS: usize>(
    file: &Path,
    labels: [&str; LABELS],
    loads: impl Iterator<Item = ([String; LABELS], &'a Load)>,
) -> Result<(), Failure> {
    let written = || {
        let mut table = csv::Writer::from_path(file)?;
        let names = COLUMNS.map(|pointer| pointer.trim_start_matches('/').replace('/', "."));
        table.write_record(labels.map(str::to_owned).iter().chain(&names))?;
        for (labels, load) in loads {
            let load = load.json();
            // Null is an empty cell.
            let cell = |pointer| load.pointer(pointer).filter(|cell| !cell.is_null()).map(Value::to_string);
            let cells = COLUMNS.map(|pointer| cell(pointer).unwrap_or_default());
            table.write_record(labels.iter().chain(&cells))?;
        }
        table.flush()?;
        Ok::<_, csv::Error>(())
    };
    written().map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))
}
