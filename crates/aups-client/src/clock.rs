//! The wall clock: the only place outside tests that reads it.

use aups_core::{Clock, UnixMillis};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    /// A clock that stands before 1970 reads 1970: every key is then out of its validity, and nothing opens.
    fn now(&self) -> UnixMillis {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that reads the wall clock; everything else takes a Clock"
        )]
        let now = SystemTime::now();
        UnixMillis(0).plus(now.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}
