//! What a reader demands of an item: scores that reach a minimum. Applied after opening; the server does not see it.

use aups_core::{Item, ScoreName};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// A score must be at least this: `quality.accuracy=0.8`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Minimum {
    score: ScoreName,
    at_least: f64,
}

/// A text that is not a minimum.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MinimumError {
    /// No `=`.
    #[error("`{0}` is not a minimum: write it as in quality.accuracy=0.8")]
    Form(String),
    /// Not one of the eight scores.
    #[error("there is no score `{0}`; the scores are {known}", known = ScoreName::LIST)]
    UnknownScore(String),
    /// Not a number in [0, 1].
    #[error("`{0}` is not a score: use a number from 0 to 1")]
    Value(String),
}

impl Minimum {
    /// Whether the item reaches the minimum.
    pub fn is_met_by(&self, item: &Item) -> bool {
        self.score.of(&item.security, &item.quality).fraction() >= self.at_least
    }
}

impl FromStr for Minimum {
    type Err = MinimumError;
    fn from_str(text: &str) -> Result<Self, MinimumError> {
        let (name, value) = text.split_once('=').ok_or_else(|| MinimumError::Form(text.into()))?;
        let score = ScoreName::ALL
            .into_iter()
            .find(|known| known.as_str() == name)
            .ok_or_else(|| MinimumError::UnknownScore(name.into()))?;
        let at_least = value.parse().ok().filter(|at_least| (0.0..=1.0).contains(at_least));
        Ok(Self { score, at_least: at_least.ok_or_else(|| MinimumError::Value(value.into()))? })
    }
}

impl fmt::Display for Minimum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.score, self.at_least)
    }
}

#[cfg(test)]
mod tests;
