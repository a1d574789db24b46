//! How long to wait before trying again: doubling, with jitter, so that readers that lost one server do not return as one.

use std::time::Duration;

/// Doubling waits: from `first` to `last`, each drawn between a half of it and the whole.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    last: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) const fn new(first: Duration, last: Duration) -> Self {
        Self { first, last, failures: 0 }
    }

    /// The wait after one more failure.
    pub(crate) fn next_wait(&mut self) -> Duration {
        // 2^16 times any first wait is past any last one that makes sense; the bound keeps the shift defined.
        let whole = self.first.saturating_mul(1 << self.failures.min(16)).min(self.last);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + jitter(whole / 2)
    }

    /// It worked: the next failure is the first again.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random duration below `most`.
pub(crate) fn jitter(most: Duration) -> Duration {
    most.mul_f64(f64::from(u32::from_be_bytes(aups_envelope::hash::random())) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
