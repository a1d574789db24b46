//! Whether the clock can be trusted to destroy.
//!
//! What is destroyed because its time is past cannot be brought back, and a clock may be wrong for a while (a board
//! without a battery, a bad time server, a slip of the administrator). So nothing is destroyed by time until the clock went
//! on steadily for [`STEADY_FOR`]: a jump either way, or a pause of the process that cannot be told from one, starts that
//! time anew. What is past its time is not served meanwhile; it only exists a little longer.

use crate::{
    error::KtmError,
    records::{Records, put},
};
use aups_core::{UnixMillis, limits::SKEW_MAX};
use aups_store::Expect;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::sync::Mutex;

/// How long the clock must have gone on steadily before anything is destroyed because its time is past.
pub const STEADY_FOR: Duration = Duration::from_hours(1);

/// A larger step between two looks at the clock counts as a jump. Looks are a minute apart, and a restart is shorter.
const STEP_MAX: Duration = Duration::from_mins(15);

/// How often what was seen is written down: well below [`STEP_MAX`], so that a restart does not look like a jump.
const WRITTEN_EVERY: Duration = Duration::from_mins(5);

const KEY: &str = "ktm/clock";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Seen {
    /// When the clock was last looked at, by that clock.
    last: UnixMillis,
    /// Since when it has not jumped.
    steady_since: UnixMillis,
}

impl Seen {
    fn look(before: Option<Self>, now: UnixMillis) -> Self {
        let steady = before.filter(|seen| now.since(seen.last) <= STEP_MAX && seen.last.since(now) <= SKEW_MAX);
        Self { last: now, steady_since: steady.map_or(now, |seen| seen.steady_since) }
    }

    fn is_steady(&self) -> bool {
        self.last.since(self.steady_since) >= STEADY_FOR
    }
}

/// Watches how the clock goes.
#[derive(Debug)]
pub(crate) struct Steadiness {
    records: Records,
    seen: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    seen: Option<Seen>,
    written: Option<Seen>,
}

impl Steadiness {
    /// Takes up what the last process saw.
    pub(crate) async fn load(records: Records) -> Result<Self, KtmError> {
        let written = records.get(KEY).await?.map(|(seen, _)| seen);
        Ok(Self { records, seen: Mutex::new(Memory { seen: written, written }) })
    }

    /// Looks at the clock, and says whether what is past its time may be destroyed.
    pub(crate) async fn look(&self, now: UnixMillis) -> Result<bool, KtmError> {
        let mut memory = self.seen.lock().await;
        let seen = Seen::look(memory.seen, now);
        memory.seen = Some(seen);
        let up_to_date = memory.written.is_some_and(|written| {
            written.steady_since == seen.steady_since && seen.last.since(written.last) < WRITTEN_EVERY
        });
        if !up_to_date {
            // The last to look is right: nothing to expect.
            self.records.commit(vec![put(KEY, &seen, Expect::Any)?]).await?;
            memory.written = Some(seen);
        }
        Ok(seen.is_steady())
    }

    /// Whether what is past its time may be destroyed. Nothing is written.
    pub(crate) async fn is_steady(&self, now: UnixMillis) -> bool {
        Seen::look(self.seen.lock().await.seen, now).is_steady()
    }
}

#[cfg(test)]
mod tests;
