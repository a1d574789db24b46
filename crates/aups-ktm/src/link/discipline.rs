//! A NOS's clock, disciplined by the KTM's: the KTM's time as of its last answers, and what the monotonic clock counted since.

use aups_core::{Clock, UnixMillis, limits::SKEW_MAX};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So old a measurement is replaced by any newer one: quartz drifts by some milliseconds meanwhile.
const MEASURED_AGAIN_AFTER: Duration = Duration::from_mins(1);

/// A smaller step back is waited out, so that time does not run backwards; a larger one is taken: the KTM's clock was set.
const STEP_BACK_WAITED_OUT: Duration = Duration::from_secs(1);

/// The KTM's time, as a NOS knows it.
///
/// Until the KTM answered for the first time it is the NOS's own wall clock. Whether the two are close enough to go on is what
/// [`skew_ms`](Self::skew_ms) is for.
#[derive(Debug)]
pub struct DisciplinedClock {
    wall: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    measured: Option<Measured>,
    /// The time that was told last.
    told: Option<UnixMillis>,
}

/// What the KTM's clock showed.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The KTM's time…
    time: UnixMillis,
    /// …at this moment…
    at: Instant,
    /// …give or take half of this.
    round_trip: Duration,
}

impl Measured {
    fn time_at(&self, now: Instant) -> UnixMillis {
        self.time.plus(now.saturating_duration_since(self.at))
    }
}

impl DisciplinedClock {
    /// Not disciplined yet.
    pub(crate) fn new(wall: Arc<dyn Clock>) -> Self {
        Self { wall, state: Mutex::default() }
    }

    /// Takes note of what an answer said: the KTM's time at some moment between sending and receiving.
    pub(crate) fn observe(&self, ktm: UnixMillis, sent: Instant, received: Instant) {
        let round_trip = received.saturating_duration_since(sent);
        let new = Measured { time: ktm.plus(round_trip / 2), at: received, round_trip };
        let mut state = self.lock();
        let keep = state.measured.is_some_and(|held| {
            let predicted = held.time_at(received);
            let differs = predicted.since(new.time).max(new.time.since(predicted));
            // A slow answer says less than what we have, unless it contradicts it.
            let age = received.saturating_duration_since(held.at);
            round_trip > held.round_trip && age < MEASURED_AGAIN_AFTER && differs <= round_trip
        });
        if !keep {
            state.measured = Some(new);
        }
    }

    /// How far the wall clock is ahead of the KTM's, in milliseconds. `None`: the KTM has not answered yet.
    pub fn skew_ms(&self) -> Option<i64> {
        let ktm = self.lock().measured?.time_at(Instant::now());
        let wall = self.wall.now();
        let signed = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Some(if wall >= ktm { signed(wall.since(ktm)) } else { -signed(ktm.since(wall)) })
    }

    /// The skew, if it is so large that nothing may go on.
    pub(crate) fn too_skewed(&self) -> Option<i64> {
        self.skew_ms().filter(|skew| skew.unsigned_abs() > u64::try_from(SKEW_MAX.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn wall(&self) -> UnixMillis {
        self.wall.now()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for DisciplinedClock {
    fn now(&self) -> UnixMillis {
        let mut state = self.lock();
        let Some(measured) = state.measured else { return self.wall.now() };
        let now = measured.time_at(Instant::now());
        let waited_for = state.told.filter(|told| *told > now && told.since(now) < STEP_BACK_WAITED_OUT);
        let now = waited_for.unwrap_or(now);
        state.told = Some(now);
        now
    }
}

#[cfg(test)]
mod tests;
