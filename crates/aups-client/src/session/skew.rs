//! How far this machine's clock is from the server's: every answer to a key request carries the server's time.

use aups_core::{UnixMillis, limits::SKEW_MAX};
use std::time::Duration;

/// From here on the reader is told.
const NOTICEABLE: Duration = Duration::from_secs(5);

/// What is known of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Small,
    Noticeable,
    TooFar,
}

/// The last measurement.
#[derive(Debug)]
pub(crate) struct Skew(Class);

impl Skew {
    /// Not measured yet: as if the clocks agreed, for nothing opens before the first answer brings keys.
    pub(crate) const fn unknown() -> Self {
        Self(Class::Small)
    }

    /// Takes a measurement: the server said `server` at some moment of the `round_trip` that ended at `received`. Answers
    /// by how much this clock is ahead, in milliseconds, if it is a different matter than before.
    pub(crate) fn measure(&mut self, received: UnixMillis, round_trip: Duration, server: UnixMillis) -> Option<i64> {
        let millis = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
        // At best in the middle of the round trip; the half of it is what we cannot know.
        let unknown = millis(u64::try_from(round_trip.as_millis() / 2).unwrap_or(u64::MAX));
        let ahead = millis(received.0).saturating_sub(millis(server.0)).saturating_sub(unknown);
        let at_least = Duration::from_millis(ahead.saturating_abs().saturating_sub(unknown).max(0).unsigned_abs());
        let class = if at_least > SKEW_MAX {
            Class::TooFar
        } else if at_least > NOTICEABLE {
            Class::Noticeable
        } else {
            Class::Small
        };
        (std::mem::replace(&mut self.0, class) != class).then_some(ahead)
    }

    /// Whether messages cannot be judged.
    pub(crate) fn is_too_far(&self) -> bool {
        self.0 == Class::TooFar
    }
}

#[cfg(test)]
mod tests;
