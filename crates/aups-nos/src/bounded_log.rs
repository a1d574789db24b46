//! Trouble that may come with every message is not logged with every message.

use std::time::Duration;
use tokio::time::Instant;

/// Lets one line through in a while and counts the others.
#[derive(Debug)]
pub(crate) struct BoundedLog {
    every: Duration,
    last: Option<Instant>,
    held_back: u64,
}

impl BoundedLog {
    pub(crate) const fn every(every: Duration) -> Self {
        Self { every, last: None, held_back: 0 }
    }

    /// How many were held back since the last one, if this one may be written.
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < self.every) {
            self.held_back += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests;
