//! Instants as milliseconds since 1970, and the clock as a value that is handed in.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use thiserror::Error;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// A text that is not an RFC 3339 date-time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not an RFC 3339 date-time such as 2026-01-31T12:00:00.000Z")]
pub struct TimeError;

impl UnixMillis {
    /// Parses an RFC 3339 date-time with an offset; what is finer than a millisecond is cut off.
    pub fn parse_rfc3339(text: &str) -> Result<Self, TimeError> {
        let bytes = text.as_bytes();
        // RFC 3339 demands "T" and an offset; the parser below takes more forms (a space, `[zone]`).
        let plain = bytes.get(10).is_some_and(|b| matches!(b, b'T' | b't')) && !bytes.contains(&b'[');
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimeError)?;
        let millis = u64::try_from(instant.as_millisecond()).map_err(|_| TimeError)?;
        if plain { Ok(Self(millis)) } else { Err(TimeError) }
    }

    /// Later by a duration; the far end of time rather than an overflow.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC with milliseconds and `Z`.
impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        write!(f, "{:.3}", instant.unwrap_or(jiff::Timestamp::MAX))
    }
}

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a whole number with a unit (ms, s, m, h, d), as in 5m or 90d")]
pub struct DurationError;

/// A whole number and its unit: `500ms`, `30s`, `5m`, `1h`, `90d`.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (number, unit) = text.split_at_checked(text.bytes().take_while(u8::is_ascii_digit).count()).unwrap_or_default();
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(DurationError),
    };
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms)).ok_or(DurationError)?;
    Ok(Duration::from_millis(ms))
}

/// What time it is. Handed in, so that tests hold the hands.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Now, by the wall clock.
    fn now(&self) -> UnixMillis;
}

/// A clock that stands until it is moved: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub const fn at(now: UnixMillis) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Puts the hands somewhere else, forwards or back.
    pub fn set(&self, now: UnixMillis) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the hands forwards.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

/// `serde(with)`: RFC 3339 text in JSON instead of a number.
pub mod rfc3339 {
    use super::UnixMillis;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use std::borrow::Cow;

    /// Writes the text form.
    pub fn serialize<S: Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(time)
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        UnixMillis::parse_rfc3339(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
