//! The audit trail: who did what to the realm, from where, and what came of it. Lines on disk, each bound to the one
//! before ([`chain`]), signed every so often ([`trail`]); no secret in any of them.
//!
//! A change is recorded twice: `begun` is on disk before anything happens, `call` with the outcome before its answer. If
//! the first cannot be written, nothing happens. Reads are counted and written every hour.

mod chain;
mod event;
pub(crate) mod files;
mod filter;
mod keys;
mod ledger;
mod quarantine;
pub(crate) mod replay;
pub(crate) mod state;
mod tally;
mod trail;
pub(crate) mod verify;

pub(crate) use chain::Signer;
pub(crate) use event::{Call, Denied, Event, Granted, Note};
pub(crate) use filter::Filter;
pub(crate) use keys::KeyHistory;
pub(crate) use ledger::KeyAudit;
pub(crate) use quarantine::tell_quarantines;

use anyhow::Context as _;
use aups_core::Clock;
use chain::Told;
use files::{Found, Span};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tally::Tally;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use trail::{CHECKPOINT_EVERY, GROUP_BYTES_MAX, GROUP_LINES_MAX, Trail};

/// Most entries that wait for the disk.
const QUEUE_ENTRIES_MAX: usize = 4_096;
/// How often what is only counted is written.
const TALLY_EVERY: Duration = Duration::from_hours(1);
/// Most lines that one question is answered with.
pub(crate) const LINES_ASKED_MAX: usize = 1_000;
/// Most lines that are looked at for one question.
const LINES_LOOKED_MAX: usize = 200_000;

/// Why an event is not in the trail.
#[derive(Debug, Clone, Error)]
#[error("the audit trail cannot be written: {0}")]
pub(crate) struct AuditError(Arc<io::Error>);

impl From<io::Error> for AuditError {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// Events on their way to the disk, and who waits for the number of the first.
#[derive(Debug)]
struct Pending {
    events: Vec<Told>,
    /// Whether everything up to here is to be signed.
    sign: bool,
    written: oneshot::Sender<Result<u64, AuditError>>,
}

/// What the writer tells.
#[derive(Debug, Default)]
struct Written {
    /// The number of the newest line that is on disk.
    newest: AtomicU64,
    /// Why the newest attempt failed, if it did.
    failure: Mutex<Option<AuditError>>,
    /// The newest checkpoint.
    checkpoint: Mutex<Option<String>>,
}

impl Written {
    fn tell(&self, trail: &Trail, failure: Option<AuditError>) {
        let checkpoint = trail.checkpoint().map(ToOwned::to_owned);
        *self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner) = checkpoint;
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
        self.newest.store(trail.newest(), Ordering::Release);
    }
}

/// The audit trail of a realm.
pub(crate) struct Audit {
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Pending>,
    written: Arc<Written>,
    signer: Arc<OnceLock<Signer>>,
    /// The hash of what was registered and in force when the newest run stopped by itself.
    stopped_with: Option<String>,
    state: OnceLock<Box<dyn Fn() -> Vec<Event> + Send + Sync>>,
    tally: Mutex<Tally>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("dir", &self.dir).field("written", &self.written).finish_non_exhaustive()
    }
}

impl Audit {
    /// Opens the trail in `dir`, or begins it, and cuts off what a kill left unfinished.
    pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let signer = Arc::new(OnceLock::new());
        let trail = Trail::open(dir, clock.now(), Arc::clone(&signer));
        let trail = trail.context("the audit trail cannot be gone on with")?;
        let stopped_with = stopped_with(dir, trail.newest())?;
        Ok(Self { stopped_with, ..Self::start(trail, dir, clock, signer) })
    }

    fn start(trail: Trail, dir: &Path, clock: Arc<dyn Clock>, signer: Arc<OnceLock<Signer>>) -> Self {
        let (queue, entries) = mpsc::channel(QUEUE_ENTRIES_MAX);
        let written = Arc::new(Written::default());
        written.tell(&trail, None);
        let tally = Mutex::new(Tally::since(clock.now()));
        tokio::task::spawn_blocking({
            let (clock, written) = (Arc::clone(&clock), Arc::clone(&written));
            move || write(trail, entries, &*clock, &written)
        });
        let (stopped_with, state) = (None, OnceLock::new());
        Self { dir: dir.to_owned(), clock, queue, written, signer, stopped_with, state, tally }
    }

    /// From now on, and once only, this signs the checkpoints.
    pub(crate) fn sign_with(&self, signer: Signer) {
        if self.signer.set(signer).is_err() {
            tracing::warn!("the audit trail has its signer already");
        }
    }

    /// Writes an event and gives its number; it is on disk when this returns. An event that was begun to be written is
    /// written although the caller goes away.
    pub(crate) async fn record(&self, event: Event) -> Result<u64, AuditError> {
        self.record_all(&[event]).await
    }

    /// Writes events, all or none, without another between them, and gives the number of the first.
    pub(crate) async fn record_all(&self, events: &[Event]) -> Result<u64, AuditError> {
        self.enter(events.iter().map(Told::of).collect(), false).await
    }

    /// A checkpoint over everything that was recorded up to now. `None`: there is nothing that signs, or no line.
    pub(crate) async fn checkpoint(&self) -> Result<Option<String>, AuditError> {
        self.enter(Vec::new(), true).await?;
        Ok(self.written.checkpoint.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Writes events if there is room for them at once.
    async fn record_if_room(&self, events: &[Event]) -> Result<u64, AuditError> {
        let (written, outcome) = oneshot::channel();
        let events = events.iter().map(Told::of).collect();
        let refused = |_| AuditError::from(io::Error::other("more waits to be written than there is room for"));
        self.queue.try_send(Pending { events, sign: false, written }).map_err(refused)?;
        outcome.await.map_err(|_| AuditError::from(io::Error::other("the server is stopping")))?
    }

    async fn enter(&self, events: Vec<Told>, sign: bool) -> Result<u64, AuditError> {
        let (written, outcome) = oneshot::channel();
        let stopped = || AuditError::from(io::Error::other("the server is stopping"));
        self.queue.send(Pending { events, sign, written }).await.map_err(|_| stopped())?;
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
            self.record_unawaited(&Event::Refused { call, status });
        }
    }

    /// Records who is kept out or let in again; of a flood, some lines and the count of the rest.
    fn quarantine(&self, event: &Event) {
        if self.tally().quarantine() {
            self.record_unawaited(event);
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

    /// Sees that lines after which nothing comes are signed as well, for as long as the task runs.
    pub(crate) async fn keep_signed(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(CHECKPOINT_EVERY);
        loop {
            ticks.tick().await;
            // Whether it can be written is told to whoever has something to write.
            let _ = self.enter(Vec::new(), false).await;
        }
    }

    /// Ends the trail of this run: what was counted, that it stops, and a checkpoint over all of it.
    pub(crate) async fn stop(&self) -> Result<(), AuditError> {
        self.write_tally();
        let state = self.state.get().map(|state| state::hash(&state()));
        self.enter(vec![Told::of(&Event::Stopped { state })], true).await.map(drop)
    }

    /// The lines after a number, or the newest ones: oldest first, as they are on disk. Of a filter, those that it takes,
    /// from the first line on that it can take.
    pub(crate) async fn lines(&self, after: Option<u64>, limit: usize, filter: Filter) -> io::Result<Found> {
        let newest = self.written.newest.load(Ordering::Acquire);
        let found_max = limit.min(LINES_ASKED_MAX);
        if after.is_some_and(|after| after >= newest) {
            // Whoever follows the trail asks often.
            return Ok(Found { lines: Vec::new(), looked_to: newest });
        }
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || {
            let after = match after {
                Some(after) => after,
                None if filter.takes_all() => newest.saturating_sub(found_max as u64),
                None => filter.starts_after(&dir)?,
            };
            let span = Span { after, newest, found_max, looked_max: LINES_LOOKED_MAX };
            files::find(&dir, span, |line| filter.takes(line))
        });
        read.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    /// The number of the newest line.
    pub(crate) fn newest(&self) -> u64 {
        self.written.newest.load(Ordering::Acquire)
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_tally(&self) {
        let counted = std::mem::replace(&mut *self.tally(), Tally::since(self.clock.now()));
        for event in counted.into_events() {
            self.record_unawaited(&event);
        }
    }

    /// Without waiting for the disk; an event for which there is no room is logged instead.
    fn record_unawaited(&self, event: &Event) {
        let (written, _) = oneshot::channel();
        if let Err(refused) = self.queue.try_send(Pending { events: vec![Told::of(event)], sign: false, written }) {
            let (mpsc::error::TrySendError::Full(pending) | mpsc::error::TrySendError::Closed(pending)) = refused;
            let event = pending.events.first().map(Told::as_str).unwrap_or_default();
            tracing::warn!(event, "the audit trail is behind: an event is in this log alone");
        }
    }
}

/// The state that the newest run stopped with, if it stopped by itself: only a checkpoint may come after that it did.
fn stopped_with(dir: &Path, newest: u64) -> io::Result<Option<String>> {
    let span = Span { after: newest.saturating_sub(2), newest, found_max: 2, looked_max: 2 };
    let last = files::find(dir, span, |line| !line.contains(r#""event":"checkpoint""#))?.lines.pop();
    Ok(match last.map(|line| serde_json::from_str(line.get())) {
        Some(Ok(Event::Stopped { state })) => state,
        _ => None,
    })
}

/// Writes events in the order of their numbers, those that wait as one. Ends when the trail is dropped.
fn write(mut trail: Trail, mut entries: mpsc::Receiver<Pending>, clock: &dyn Clock, written: &Written) {
    while let Some(first) = entries.blocking_recv() {
        let mut group = Group::default();
        group.add(first);
        while group.has_room()
            && let Ok(next) = entries.try_recv()
        {
            group.add(next);
        }
        let outcome = trail.append(clock.now(), &group.events, group.sign).map_err(AuditError::from);
        if let Err(error) = &outcome {
            metrics::counter!("aups_audit_errors_total").increment(1);
            tracing::error!(%error, "changes are refused until the audit trail can be written again");
        }
        written.tell(&trail, outcome.as_ref().err().cloned());
        for (offset, waiting) in group.waiting {
            // Somebody who has gone is not told.
            let _ = waiting.send(outcome.clone().map(|first| first + offset));
        }
    }
}

/// What is written and synced as one.
#[derive(Debug, Default)]
struct Group {
    events: Vec<Told>,
    bytes: usize,
    sign: bool,
    /// Who waits, and how many events come before theirs.
    waiting: Vec<(u64, oneshot::Sender<Result<u64, AuditError>>)>,
}

impl Group {
    fn add(&mut self, pending: Pending) {
        let Pending { events, sign, written } = pending;
        self.waiting.push((self.events.len() as u64, written));
        self.bytes += events.iter().map(|event| event.as_str().len()).sum::<usize>();
        self.events.extend(events);
        self.sign |= sign;
    }

    fn has_room(&self) -> bool {
        self.events.len() < GROUP_LINES_MAX && self.bytes < GROUP_BYTES_MAX && self.waiting.len() < GROUP_LINES_MAX
    }
}

#[cfg(test)]
mod tests;
