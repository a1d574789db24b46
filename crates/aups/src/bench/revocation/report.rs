//! What came out of it.

use super::{
    Plan,
    reader::Way,
    watch::{Findings, Trial},
};
use crate::{
    cli::terminal::table,
    latency::{Latencies, in_words},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// At most so long may 99 of 100 ex-readers go on to open messages.
const SHUT_OUT_P99_MAX: Duration = Duration::from_secs(1);

/// The outcome of a measurement.
#[derive(Debug)]
pub(crate) struct Report {
    broker: String,
    topics: usize,
    scopes: usize,
    readers: usize,
    seed: u64,
    ways: BTreeMap<Way, usize>,
    answered: Latencies,
    shut_out: Latencies,
    published: usize,
    opened: usize,
    findings: Findings,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            broker: plan.broker.clone().unwrap_or_else(|| "embedded".to_owned()),
            topics: plan.topics,
            scopes: plan.scopes,
            readers: plan.readers,
            seed: plan.seed,
            ways: BTreeMap::new(),
            answered: Latencies::default(),
            shut_out: Latencies::default(),
            published: 0,
            opened: 0,
            findings: Findings::default(),
        }
    }

    /// A reader was shut out.
    pub(super) fn note(&mut self, trial: &Trial) {
        *self.ways.entry(trial.reader.way).or_default() += 1;
        self.answered.extend(trial.until_answered());
        self.shut_out.extend(trial.until_shut_out());
    }

    pub(super) fn finish(&mut self, published: usize, opened: usize, findings: Findings) {
        (self.published, self.opened, self.findings) = (published, opened, findings);
    }

    fn revocations(&self) -> usize {
        self.ways.values().sum()
    }

    /// What must not be, in words; none if all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let Findings { opened_after, given_after, bumps_for_nothing, .. } = self.findings;
        let mut faults = Vec::new();
        let mut fault = |is: bool, words: String| faults.extend(is.then_some(words));
        let slowest = self.shut_out.percentile(99).unwrap_or(Duration::MAX);
        fault(
            slowest >= SHUT_OUT_P99_MAX,
            format!("p99 of being shut out is not below {}", in_words(SHUT_OUT_P99_MAX)),
        );
        fault(opened_after > 0, format!("ex-readers opened {opened_after} messages that were sealed after the answer"));
        fault(given_after > 0, format!("ex-readers were given {given_after} keys"));
        fault(bumps_for_nothing > 0, format!("{bumps_for_nothing} keys were replaced of scopes that lost nobody"));
        let missed = self.published.saturating_sub(self.opened);
        fault(missed > 0, format!("the reader that kept its rights missed {missed} items"));
        faults
    }

    /// For machines: milliseconds and counts.
    pub(crate) fn json(&self) -> Value {
        let quantiles = |latencies: &Latencies| {
            let millis = |percent| latencies.percentile(percent).map(|latency| latency.as_secs_f64() * 1e3);
            json!({ "p50": millis(50), "p99": millis(99), "max": millis(100) })
        };
        json!({
            "revocations": self.revocations(),
            "ways": self.ways,
            "broker": self.broker,
            "topics": self.topics,
            "scopes": self.scopes,
            "readers": self.readers,
            "seed": self.seed,
            "answeredMillis": quantiles(&self.answered),
            "shutOutMillis": quantiles(&self.shut_out),
            "itemsPublished": self.published,
            "itemsOpenedByKeeper": self.opened,
            "bumps": self.findings.bumps,
            "bumpsForNothing": self.findings.bumps_for_nothing,
            "triedAfter": self.findings.tried_after,
            "openedAfter": self.findings.opened_after,
            "keysGivenAfter": self.findings.given_after,
            "deliveredAfter": self.findings.delivered_after,
            "faults": self.faults(),
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let row = |name: &str, latencies: &Latencies| {
            let told = |percent| latencies.percentile(percent).map_or_else(String::new, in_words);
            [name.to_owned(), told(50), told(99), told(100)]
        };
        let rows = [row("answered", &self.answered), row("shut out", &self.shut_out)];
        let Findings { tried_after, opened_after, given_after, delivered_after, bumps, bumps_for_nothing } =
            &self.findings;
        format!(
            "{times}\n\n\
             {revocations} revocations of {readers} readers, {topics} topics, {scopes} scopes, broker {broker}\n\
             {published} items published; the reader that kept its rights opened {opened}\n\
             {bumps} keys replaced, {bumps_for_nothing} of them of scopes that lost nobody\n\
             ex-readers tried {tried_after} messages sealed after the answer and opened {opened_after};\n\
             they were given {given_after} keys, and {delivered_after} of those messages by the broker",
            times = table(&["FROM THE REQUEST", "P50", "P99", "MAX"], &rows),
            revocations = self.revocations(),
            readers = self.readers,
            topics = self.topics,
            scopes = self.scopes,
            broker = self.broker,
            published = self.published,
            opened = self.opened,
        )
    }
}

#[cfg(test)]
mod tests;
