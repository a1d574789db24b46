//! How fast a source sends.

use std::{str::FromStr, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Readings per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// So many.
    PerSecond(f64),
    /// As fast as they are taken.
    Max,
}

impl Rate {
    /// How many; nothing if there is no limit.
    pub(crate) const fn per_second(self) -> Option<f64> {
        match self {
            Self::PerSecond(rate) => Some(rate),
            Self::Max => None,
        }
    }

    /// The rate of each of so many sources that keep it together.
    pub(crate) fn shared_by(self, sources: usize) -> Self {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 sources")]
            Self::PerSecond(rate) => Self::PerSecond(rate / sources as f64),
            Self::Max => Self::Max,
        }
    }
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(rate) if (0.001..=1e9).contains(&rate) => Ok(Self::PerSecond(rate)),
            _ if text == "max" => Ok(Self::Max),
            _ => Err("use a number of readings per second above 0, or max".to_owned()),
        }
    }
}

/// Lets readings go at a rate, counted from the first question.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: Rate,
    started: Option<Instant>,
    gone: u64,
}

impl Pace {
    /// A pace at which nothing has gone yet.
    pub(crate) const fn new(rate: Rate) -> Self {
        Self { rate, started: None, gone: 0 }
    }

    /// Waits until at least one reading is due; how many may go now, at most `most`.
    pub(crate) async fn due(&mut self, most: usize) -> usize {
        let Rate::PerSecond(rate) = self.rate else { return most };
        let started = *self.started.get_or_insert_with(Instant::now);
        #[expect(clippy::cast_precision_loss, reason = "2^53 readings take longer than a life")]
        let next_at = started + Duration::from_secs_f64(self.gone as f64 / rate);
        sleep_until(next_at).await;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and a cast saturates"
        )]
        let allowed = (started.elapsed().as_secs_f64() * rate) as u64 + 1;
        usize::try_from(allowed.saturating_sub(self.gone)).unwrap_or(most).clamp(1, most)
    }

    /// Notes how many went.
    pub(crate) const fn went(&mut self, readings: usize) {
        self.gone += readings as u64;
    }
}

#[cfg(test)]
mod tests;
