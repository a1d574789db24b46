//! How long things took.

use std::time::Duration;

/// Durations, of which quantiles are asked.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Extend<Duration> for Latencies {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, latencies: I) {
        self.0.extend(latencies);
    }
}

impl Latencies {
    /// The least latency that so many per cent do not exceed (nearest rank); nothing if nothing was noted.
    pub(crate) fn percentile(&self, percent: usize) -> Option<Duration> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

/// Three digits in the unit that suits: `640 µs`, `1.52 ms`, `2.30 s`.
pub(crate) fn in_words(latency: Duration) -> String {
    let micros = latency.as_secs_f64() * 1e6;
    let (value, unit) = match micros {
        ..1e3 => return format!("{micros:.0} µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    match value {
        ..10.0 => format!("{value:.2} {unit}"),
        ..100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests;
