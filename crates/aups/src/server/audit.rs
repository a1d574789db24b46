//! The audit trail: who did what to the realm, from where, and what came of it. Lines on disk, each bound to the one
//! before ([`trail`]); no secret in any of them.
//!
//! A change is recorded twice: `begun` is on disk before anything happens, `call` with the outcome before its answer. If
//! the first cannot be written, nothing happens. Reads are counted and written every hour.

mod event;
mod tally;
mod trail;

pub(crate) use event::{Call, Event, Note};

use anyhow::Context as _;
use aups_core::{Clock, UnixMillis};
use serde_json::value::RawValue;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tally::Tally;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use trail::Trail;

/// Most events that wait for the disk.
const QUEUE_EVENTS_MAX: usize = 1_024;
/// Most events that are synced as one.
const GROUP_EVENTS_MAX: usize = 16;
/// How often what is only counted is written.
const TALLY_EVERY: Duration = Duration::from_hours(1);
/// Most lines that one question is answered with.
pub(crate) const LINES_ASKED_MAX: usize = 1_000;

/// Why an event is not in the trail.
#[derive(Debug, Clone, Error)]
#[error("the audit trail cannot be written: {0}")]
pub(crate) struct AuditError(Arc<io::Error>);

impl From<io::Error> for AuditError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// An event on its way to the disk, and who waits for its number.
#[derive(Debug)]
struct Pending {
    event: Event,
    written: oneshot::Sender<Result<u64, AuditError>>,
}

/// What the writer tells.
#[derive(Debug)]
struct Written {
    /// The number of the newest line that is on disk.
    newest: AtomicU64,
    /// Why the newest attempt failed, if it did.
    failure: Mutex<Option<AuditError>>,
}

/// The audit trail of a realm.
#[derive(Debug)]
pub(crate) struct Audit {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Pending>,
    written: Arc<Written>,
    tally: Mutex<Tally>,
}

impl Audit {
    /// Opens the trail in `dir`, or begins it, and cuts off what a kill left unfinished.
    pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let trail = Trail::open(dir, clock.now()).context("the audit trail cannot be gone on with")?;
        Ok(Self::start(trail, dir, clock))
    }

    fn start(trail: Trail, dir: &Path, clock: Arc<dyn Clock>) -> Self {
        let (queue, events) = mpsc::channel(QUEUE_EVENTS_MAX);
        let written = Arc::new(Written { newest: AtomicU64::new(trail.newest()), failure: Mutex::new(None) });
        let tally = Mutex::new(Tally::since(clock.now()));
        tokio::task::spawn_blocking({
            let (clock, written) = (Arc::clone(&clock), Arc::clone(&written));
            move || write(trail, events, &*clock, &written)
        });
        Self { dir: dir.to_owned(), clock, queue, written, tally }
    }

    /// Writes an event and gives its number; it is on disk when this returns. An event that was begun to be written is
    /// written although the caller goes away.
    pub(crate) async fn record(&self, event: Event) -> Result<u64, AuditError> {
        let (written, outcome) = oneshot::channel();
        let stopped = || AuditError::from(io::Error::other("the server is stopping"));
        self.queue.send(Pending { event, written }).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    /// Whether the newest attempt to write failed: then what cannot be recorded beforehand is not done at all.
    pub(crate) fn check(&self) -> Result<(), AuditError> {
        self.written.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    /// Counts a read of the administrator's API.
    pub(crate) fn count_read(&self, call: &Call, route: &str, status: u16) {
        let full = self.tally().read(call, route, status);
        if full {
            self.write_tally();
        }
    }

    /// Records a request that was refused before anybody was known; of a flood, some lines and the count of the rest.
    pub(crate) fn refused(&self, call: Call, status: u16) {
        if self.tally().refusal() {
            self.record_unawaited(Event::Refused { call, status });
        }
    }

    /// Writes what was counted, every hour, for as long as the task runs.
    pub(crate) async fn keep_tally(self: Arc<Self>) {
        let mut hour = tokio::time::interval(TALLY_EVERY);
        loop {
            hour.tick().await;
            self.write_tally();
        }
    }

    /// Ends the trail of this run: what was counted, and that it stops.
    pub(crate) async fn stop(&self) -> Result<(), AuditError> {
        self.write_tally();
        self.record(Event::Stopped).await.map(drop)
    }

    /// The lines after a number, or the newest ones: oldest first, as they are on disk.
    pub(crate) async fn lines(&self, after: Option<u64>, limit: usize) -> io::Result<Vec<Box<RawValue>>> {
        let newest = self.written.newest.load(Ordering::Acquire);
        let limit = limit.min(LINES_ASKED_MAX);
        let after = after.unwrap_or_else(|| newest.saturating_sub(limit as u64));
        if after >= newest {
            // Whoever follows the trail asks often.
            return Ok(Vec::new());
        }
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || trail::lines(&dir, after, newest, limit)).await;
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tally(&self) {
        let counted = std::mem::replace(&mut *self.tally(), Tally::since(self.clock.now()));
        for event in counted.into_events() {
            self.record_unawaited(event);
        }
    }

    /// Without waiting for the disk; an event for which there is no room is logged instead.
    fn record_unawaited(&self, event: Event) {
        let (written, _) = oneshot::channel();
        if let Err(refused) = self.queue.try_send(Pending { event, written }) {
            let event = match refused {
                mpsc::error::TrySendError::Full(pending) | mpsc::error::TrySendError::Closed(pending) => pending.event,
            };
            tracing::warn!(?event, "the audit trail is behind: an event is in this log alone");
        }
    }
}

/// Writes events in the order of their numbers, those that wait as one. Ends when the trail is dropped.
fn write(mut trail: Trail, mut events: mpsc::Receiver<Pending>, clock: &dyn Clock, written: &Written) {
    while let Some(first) = events.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP_EVENTS_MAX
            && let Ok(next) = events.try_recv()
        {
            group.push(next);
        }
        let at: UnixMillis = clock.now();
        let outcome = trail.append(at, group.iter().map(|pending| &pending.event)).map_err(AuditError::from);
        match &outcome {
            Ok(_) => written.newest.store(trail.newest(), Ordering::Release),
            Err(error) => {
                metrics::counter!("aups_audit_errors_total").increment(1);
                tracing::error!(%error, "changes are refused until the audit trail can be written again");
            }
        }
        *written.failure.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().cloned();
        for (number, pending) in group.into_iter().enumerate() {
            // Somebody who has gone is not told.
            let _ = pending.written.send(outcome.clone().map(|first| first + number as u64));
        }
    }
}

#[cfg(test)]
mod tests;
