//! How long things took, of however many: a histogram of three significant digits (`HdrHistogram`), some ten kilobytes large.

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

/// Longest duration that is told from longer ones.
const DURATION_MAX: Duration = Duration::from_hours(1);
/// Digits that count.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Durations, of which quantiles are asked.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Histogram<u64>);

impl Recorder {
    /// Nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let nanos = u64::try_from(DURATION_MAX.as_nanos())?;
        Histogram::new_with_bounds(1, nanos, SIGNIFICANT_DIGITS).map(Self).context("the bounds of a histogram")
    }

    /// Notes one. What is longer than an hour counts as an hour.
    pub(crate) fn note(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Adds what another one noted.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.0.add(&other.0).context("two histograms with the same bounds")
    }

    /// How many were noted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The least duration that a fraction (0 to 1) of all do not exceed, to three digits; nothing if nothing was noted.
    pub(crate) fn quantile(&self, fraction: f64) -> Option<Duration> {
        (!self.0.is_empty()).then(|| Duration::from_nanos(self.0.value_at_quantile(fraction)))
    }

    /// Each duration that was noted, to three digits and in milliseconds, with how often; rising.
    pub(crate) fn counted_millis(&self) -> Vec<(f64, u64)> {
        let millis = |nanos: u64| Duration::from_nanos(nanos).as_secs_f64() * 1e3;
        let recorded = self.0.iter_recorded();
        recorded.map(|value| (millis(value.value_iterated_to()), value.count_since_last_iteration())).collect()
    }

    /// For machines, in microseconds: `count`, `mean`, `p50`, `p90`, `p99`, `p999`, `max`; null where nothing was noted.
    pub(crate) fn json(&self) -> Value {
        let micros = |fraction| self.quantile(fraction).map(|duration| duration.as_secs_f64() * 1e6);
        json!({
            "count": self.count(),
            "mean": (!self.0.is_empty()).then(|| self.0.mean() / 1e3),
            "p50": micros(0.5),
            "p90": micros(0.9),
            "p99": micros(0.99),
            "p999": micros(0.999),
            "max": micros(1.0),
        })
    }
}

#[cfg(test)]
mod tests;
