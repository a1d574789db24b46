//! When the requests of an open loop come.

use crate::bench::draws::Draws;
use clap::ValueEnum;
use serde::Serialize;
use std::time::Duration;

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// At equal distances
    #[default]
    Constant,
    /// As of many sources that know nothing of each other
    Poisson,
}

/// Of the draws of a seed, those that arrivals are made of.
const STREAM: u64 = 16;

impl Arrivals {
    /// The times of arrivals at so many a second, from the beginning. Never ends; the same seed gives the same times.
    pub(super) fn times(self, rate: f64, seed: u64) -> impl Iterator<Item = Duration> {
        let draws = Draws::new(seed, STREAM);
        let mut seconds = 0.0;
        (0..).map(move |number| {
            match self {
                #[expect(clippy::cast_precision_loss, reason = "2^53 arrivals take longer than a life")]
                Self::Constant => seconds = number as f64 / rate,
                // The distance between two is distributed exponentially.
                Self::Poisson => seconds -= draws.fraction(number).ln() / rate,
            }
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        })
    }
}
