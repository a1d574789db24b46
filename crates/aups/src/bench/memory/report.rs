//! What came out of it, beside what is aimed at.

use super::{FEW_TOPICS, Loaded, Plan, Resident, Usage};
use crate::{
    bench::numbers::{float, median, megabytes},
    cli::terminal::table,
};
use serde_json::{Value, json};

/// What is aimed at: resident after the start, in bytes.
const STARTED_BYTES_MAX: u64 = 40_000_000;
/// What is aimed at: for each topic, in bytes.
const TOPIC_BYTES_MAX: f64 = 1_000.0;
/// Where memory is scarce, a server takes at least so much of what it takes otherwise.
const SPEED_MIN: f64 = 0.9;

/// The outcome of a measurement.
#[derive(Debug)]
pub(crate) struct Report {
    pub(super) plan: Plan,
    pub(super) resident: Resident,
    pub(super) unlimited: Vec<Loaded>,
    pub(super) limited: Vec<Loaded>,
}

impl Report {
    /// Bytes for each topic beyond the few.
    fn bytes_per_topic(&self) -> f64 {
        let Resident { few_topics, many_topics, .. } = self.resident;
        (float(many_topics.rss_bytes) - float(few_topics.rss_bytes)) / float((self.plan.topics - FEW_TOPICS) as u64)
    }

    fn bytes_per_reader(&self) -> f64 {
        (float(self.resident.readers.rss_bytes) - float(self.resident.started.rss_bytes))
            / float(self.plan.readers as u64)
    }

    /// What is taken with the limit, of what is taken without: the median over the rounds.
    fn speed(&self) -> f64 {
        let ratios = self.limited.iter().zip(&self.unlimited);
        median(ratios.map(|(limited, unlimited)| limited.accepted_per_second / unlimited.accepted_per_second).collect())
            .unwrap_or(f64::NAN)
    }

    /// For machines: bytes and readings a second.
    pub(crate) fn json(&self) -> Value {
        let usage = |usage: &Usage| json!({ "rssBytes": usage.rss_bytes, "rssPeakBytes": usage.rss_peak_bytes });
        let loaded = |all: &[Loaded]| -> Value {
            let round = |loaded: &Loaded| {
                json!({
                    "acceptedPerSecond": loaded.accepted_per_second,
                    "rssBytes": loaded.usage.rss_bytes,
                    "rssPeakBytes": loaded.usage.rss_peak_bytes,
                })
            };
            all.iter().map(round).collect()
        };
        let Resident { started, few_topics, many_topics, readers } = &self.resident;
        json!({
            "durability": self.plan.durability,
            "topics": self.plan.topics,
            "readers": self.plan.readers,
            "started": usage(started),
            "fewTopics": usage(few_topics),
            "manyTopics": usage(many_topics),
            "withReaders": usage(readers),
            "bytesPerTopic": self.bytes_per_topic(),
            "bytesPerReader": self.bytes_per_reader(),
            "limitBytes": self.plan.limit_bytes,
            "unlimited": loaded(&self.unlimited),
            "limited": loaded(&self.limited),
            "limitedToUnlimited": self.speed(),
            "startedBytesMax": STARTED_BYTES_MAX,
            "topicBytesMax": TOPIC_BYTES_MAX,
            "limitedToUnlimitedMin": SPEED_MIN,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let Resident { started, few_topics, many_topics, readers } = &self.resident;
        let row = |what: String, usage: &Usage, each: String, aim: String, reached: Option<bool>| {
            let verdict = reached.map_or("", |reached| if reached { "reached" } else { "missed" });
            [what, megabytes(usage.rss_bytes), each, aim, verdict.to_owned()]
        };
        let (topic, reader) = (self.bytes_per_topic(), self.bytes_per_reader());
        let none = String::new;
        let aim = format!("below {}", megabytes(STARTED_BYTES_MAX));
        let rows = [
            row("after the start".to_owned(), started, none(), aim, Some(started.rss_bytes < STARTED_BYTES_MAX)),
            row(format!("{FEW_TOPICS} topics"), few_topics, none(), none(), None),
            row(
                format!("{} topics", self.plan.topics),
                many_topics,
                format!("{topic:.0} bytes each"),
                format!("below {TOPIC_BYTES_MAX}"),
                Some(topic < TOPIC_BYTES_MAX),
            ),
            row(format!("{} readers", self.plan.readers), readers, format!("{reader:.0} bytes each"), none(), None),
        ];
        let load = |what: &str, all: &[Loaded]| {
            let taken = median(all.iter().map(|loaded| loaded.accepted_per_second).collect()).unwrap_or(f64::NAN);
            let peak = all.iter().map(|loaded| loaded.usage.rss_peak_bytes).max().unwrap_or_default();
            [what.to_owned(), format!("{taken:.0}"), megabytes(peak)]
        };
        let limited = format!("at most {} of data", megabytes(self.plan.limit_bytes));
        let loads = [load("no limit", &self.unlimited), load(&limited, &self.limited)];
        format!(
            "{}\n\n{}\n\nwith the limit {:.2} of what is taken without (aimed at {SPEED_MIN}); memory is what is resident,\n\
             the limit is RLIMIT_DATA: heap, stacks and whatever else the server alone can write",
            table(&["MEMORY", "RESIDENT", "", "AIMED AT", ""], &rows),
            table(&["UNDER LOAD", "READINGS/S", "MOST RESIDENT"], &loads),
            self.speed(),
        )
    }
}
