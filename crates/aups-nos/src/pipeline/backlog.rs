//! What was taken and is not yet published, in order.
//!
//! In memory mode it is a queue of entries. In disk mode the [`IngestQueue`] holds everything, durably, and the queue of
//! entries is a window onto it: as long as publishing keeps up, an entry goes through memory and its record is never read
//! back; when it does not, what does not fit the window is read from disk later.
//!
//! In either mode the [`IngestQueue`] keeps marks, if there is one: what must be known of the entries after a crash.

use crate::{
    accept::{Entry, RestoreError},
    analyse::recent::Recent,
    config::{ActiveConfig, ConfigInForce},
    settings::{BacklogLimits, Durability},
    trace::ITEM,
};
use aups_store::{DeadLetter, IngestQueue, Mark, QueueError};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc, oneshot},
    task::JoinError,
    time,
};

/// Appends that wait for the disk at a time; more wait for their turn to wait.
const APPENDS_WAITING_MAX: usize = 1_024;
/// Records and bytes that are put on disk together. The bytes stay below what the queue takes at once.
const GROUP_RECORDS_MAX: usize = 8_192;
const GROUP_BYTES_MAX: usize = aups_store::queue::APPEND_BYTES_MAX / 2;
/// How often the disk is tried again after it failed, while nothing is sent.
const DISK_TRIED_EVERY: Duration = Duration::from_secs(1);
/// The mark that is written to try it.
const TRIAL: (Bytes, Bytes) = (Bytes::from_static(b"trial"), Bytes::new());
/// Records and bytes that are read back from disk together.
const REFILL_RECORDS_MAX: usize = 1_024;
const REFILL_BYTES_MAX: usize = 4 << 20;

/// Why entries were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// No room: publishing does not keep up.
    #[error("the queue is full")]
    Full,
    /// This NOS is stopping.
    #[error("this NOS is stopping")]
    Stopping,
    /// The disk failed. It is not known whether the entries were kept.
    #[error("the disk failed")]
    Disk,
    /// The disk failed before, and nothing of the entries was kept.
    #[error("the disk fails")]
    Failing,
}

/// Entries that were not taken, and why.
type Refused = (NotTaken, Vec<Entry>);

/// What comes next, in order.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The entries.
    pub(crate) entries: Vec<Entry>,
    /// Records that are no items: they have a position and nothing to publish.
    pub(crate) unreadable: Vec<(Bytes, RestoreError)>,
    /// The last position of all these: to be acknowledged when all of them are published or withheld.
    pub(crate) through: u64,
}

/// Why nothing could be taken from the queue on disk.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the ingest queue cannot be read")]
    Queue(#[from] QueueError),
    #[error("the reader of the ingest queue broke down")]
    Task(#[from] JoinError),
}

/// The backlog of one NOS: many append, one takes.
#[derive(Debug)]
pub(crate) struct Backlog {
    config: ConfigInForce,
    state: Mutex<State>,
    arrived: Notify,
    room: Notify,
    disk: Option<Disk>,
    /// Of memory mode: keeps the marks.
    marks: Option<IngestQueue>,
    recent: Arc<Recent>,
}

#[derive(Debug)]
struct Disk {
    queue: Arc<IngestQueue>,
    appends: mpsc::Sender<Append>,
    /// The last append failed, and no other nor a trial succeeded since.
    failing: AtomicBool,
}

#[derive(Debug)]
struct Append {
    entries: Vec<Entry>,
    marks: Vec<Mark>,
    answer: oneshot::Sender<Result<(), Refused>>,
}

#[derive(Debug, Default)]
struct State {
    limits: BacklogLimits,
    /// Entries with the positions `window_end - window.len() .. window_end`, less those of unreadable records.
    window: VecDeque<Entry>,
    window_bytes: usize,
    window_end: u64,
    /// Records between `next` and `window_end` that are no items.
    unreadable: Vec<(Bytes, RestoreError)>,
    /// The position that is taken next.
    next: u64,
    /// The position after the last that was accepted.
    end: u64,
    /// The position after the last that was acknowledged.
    acknowledged: u64,
    stopping: bool,
}

impl State {
    fn has_room(&self, items: usize, bytes: usize) -> bool {
        // Something always fits an empty window, however small the limits.
        self.window.is_empty()
            || (self.window.len() + items <= self.limits.items_max
                && self.window_bytes + bytes <= self.limits.bytes_max)
    }

    fn push(&mut self, entry: Entry) {
        self.window_bytes += entry.json.len();
        self.window.push_back(entry);
        self.window_end += 1;
    }
}

impl Backlog {
    /// An empty backlog in memory, or, in disk mode, what the queue holds. With a queue in disk mode, a task puts appends on
    /// disk until the backlog is dropped.
    pub(crate) fn new(config: ConfigInForce, queue: Option<IngestQueue>, durability: Durability) -> Arc<Self> {
        let limits = config.borrow().config.limits.backlog();
        let mut state = State { limits, ..State::default() };
        let (mut disk, mut appends, mut marks) = (None, None, None);
        match (queue, durability) {
            (None, _) => {}
            (Some(queue), Durability::Memory) => {
                let held = queue.unacknowledged();
                if !held.is_empty() {
                    let items = held.end - held.start;
                    tracing::warn!(
                        items,
                        "items wait on disk from a run that kept them there; start so again to publish them"
                    );
                }
                marks = Some(queue);
            }
            (Some(queue), Durability::Disk) => {
                let held = queue.unacknowledged();
                (state.next, state.acknowledged, state.window_end) = (held.start, held.start, held.start);
                state.end = held.end;
                let (sender, receiver) = mpsc::channel(APPENDS_WAITING_MAX);
                let queue = Arc::new(queue);
                disk = Some(Disk { queue: Arc::clone(&queue), appends: sender, failing: AtomicBool::new(false) });
                appends = Some((queue, receiver));
            }
        }
        let (arrived, room) = (Notify::new(), Notify::new());
        let backlog =
            Arc::new(Self { config, state: state.into(), arrived, room, disk, marks, recent: Arc::default() });
        if let Some((queue, appends)) = appends {
            tokio::spawn(keep(Arc::downgrade(&backlog), queue, appends));
        }
        backlog
    }

    /// The last items that were taken, and what their scores follow from.
    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// From now on so much may wait. What does already stays.
    pub(crate) fn set_limits(&self, limits: BacklogLimits) {
        self.lock().limits = limits;
        self.room.notify_waiters();
    }

    /// Takes entries with the marks that belong to them, all or none; in disk mode answers once they are on disk, else once
    /// the marks survive the end of the process.
    pub(crate) async fn append(&self, entries: Vec<Entry>, marks: Vec<Mark>) -> Result<(), Refused> {
        if entries.is_empty() && marks.is_empty() {
            return Ok(());
        }
        let Some(disk) = &self.disk else { return self.append_in_memory(entries, marks).await };
        if self.lock().stopping {
            return Err((NotTaken::Stopping, entries));
        }
        let (answer, answered) = oneshot::channel();
        match disk.appends.send(Append { entries, marks, answer }).await {
            Ok(()) => answered.await.unwrap_or_else(|_| Err((NotTaken::Stopping, Vec::new()))),
            Err(mpsc::error::SendError(append)) => Err((NotTaken::Stopping, append.entries)),
        }
    }

    /// Whether an append of so many items and bytes of JSON would find room now, for those who must know before they do what
    /// cannot be undone. Costs a lock.
    pub(crate) fn has_room(&self, items: usize, bytes: usize) -> Result<(), NotTaken> {
        let state = self.lock();
        if state.stopping {
            return Err(NotTaken::Stopping);
        }
        let has_room = match &self.disk {
            Some(disk) => disk.queue.has_room(items, bytes),
            None => state.has_room(items, bytes),
        };
        if has_room { Ok(()) } else { Err(NotTaken::Full) }
    }

    /// All marks whose keys begin with a prefix; none where nothing is kept on disk.
    pub(crate) async fn marks(&self, prefix: &[u8]) -> Result<Vec<Mark>, QueueError> {
        match self.queue() {
            Some(queue) => queue.marks(prefix).await,
            None => Ok(Vec::new()),
        }
    }

    /// Forgets the marks of these keys.
    pub(crate) async fn remove_marks(&self, keys: Vec<Bytes>) -> Result<(), QueueError> {
        match self.queue() {
            Some(queue) => queue.remove_marks(keys).await,
            None => Ok(()),
        }
    }

    /// The same, but waits a while for room.
    pub(crate) async fn append_waiting(&self, mut entries: Vec<Entry>) -> Result<(), NotTaken> {
        let give_up = time::Instant::now() + self.lock().limits.wait_max;
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // From here on no notification is missed.
            room.as_mut().enable();
            match self.append(entries, Vec::new()).await {
                Ok(()) => return Ok(()),
                Err((NotTaken::Full, refused)) if !refused.is_empty() => entries = refused,
                Err((why, _)) => return Err(why),
            }
            time::timeout_at(give_up, room).await.map_err(|_| NotTaken::Full)?;
        }
    }

    async fn append_in_memory(&self, mut entries: Vec<Entry>, marks: Vec<Mark>) -> Result<(), Refused> {
        let bytes = entries.iter().map(|entry| entry.json.len()).sum();
        if let (Some(queue), false) = (&self.marks, marks.is_empty()) {
            if let Err(why) = self.has_room(entries.len(), bytes) {
                return Err((why, entries));
            }
            if let Err(error) = queue.mark(marks).await {
                let why = match not_taken(&error) {
                    // The mark may be there; of the entries nothing is.
                    NotTaken::Disk => NotTaken::Failing,
                    other => other,
                };
                return Err((why, entries));
            }
        }
        let mut state = self.lock();
        if state.stopping {
            return Err((NotTaken::Stopping, entries));
        }
        if !state.has_room(entries.len(), bytes) {
            return Err((NotTaken::Full, entries));
        }
        self.note(&mut entries);
        for entry in entries {
            state.push(entry);
        }
        state.end = state.window_end;
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Entries that are on disk now, from a position on: into the window, if it reaches that far and has room.
    fn arrived_on_disk(&self, start: u64, mut entries: Vec<Entry>) {
        self.note(&mut entries);
        let mut state = self.lock();
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        for (position, entry) in (start..).zip(entries) {
            if state.window_end != position || !state.has_room(1, entry.json.len()) {
                break;
            }
            state.push(entry);
        }
        state.end = start.saturating_add(count);
        drop(state);
        self.arrived.notify_one();
    }

    /// Whoever asks for them finds these from now on.
    fn note(&self, entries: &mut [Entry]) {
        entries.iter().for_each(trace_taken);
        self.recent.keep(entries);
    }

    /// Takes the next entries, at most so many; waits while there are none. `None` when there are none and none will come.
    ///
    /// May be dropped while it waits: nothing is lost.
    pub(crate) async fn take(&self, entries_max: usize) -> Result<Option<Taken>, ReadError> {
        loop {
            {
                let mut state = self.lock();
                if let Some(taken) = take_from_window(&mut state, entries_max) {
                    drop(state);
                    self.room.notify_waiters();
                    return Ok(Some(taken));
                }
                if state.next == state.end && state.stopping {
                    return Ok(None);
                }
            }
            if !self.refill().await? {
                self.arrived.notified().await;
            }
        }
    }

    /// Reads what comes next from disk into the empty window. `false` if there is nothing.
    async fn refill(&self) -> Result<bool, ReadError> {
        let Some(disk) = &self.disk else { return Ok(false) };
        let (next, end) = {
            let state = self.lock();
            (state.next, state.end)
        };
        if next == end {
            return Ok(false);
        }
        let queue = Arc::clone(&disk.queue);
        let read = move || queue.read(next, REFILL_RECORDS_MAX, REFILL_BYTES_MAX);
        let records = tokio::task::spawn_blocking(read).await??;
        let config = Arc::clone(&self.config.borrow());
        let mut state = self.lock();
        for (position, json) in records {
            match Entry::restore(json.clone(), &config.topics) {
                Ok(entry) => state.push(entry),
                Err(error) => state.unreadable.push((json, error)),
            }
            state.window_end = position + 1;
        }
        Ok(state.window_end > next)
    }

    /// Everything up to and including a position was published, acknowledged or withheld.
    pub(crate) fn acknowledge_through(&self, position: u64) {
        self.lock().acknowledged = position.saturating_add(1);
        if let Some(disk) = &self.disk {
            disk.queue.acknowledge_through(position);
            self.room.notify_waiters();
        }
    }

    /// Sets items aside that can be taken no further. Where nothing is kept on disk they are gone.
    pub(crate) async fn bury(&self, letters: Vec<DeadLetter>) -> Result<(), QueueError> {
        let Some(queue) = self.queue() else {
            metrics::counter!("aups_dead_letters_dropped_total").increment(letters.len() as u64);
            return Ok(());
        };
        queue.bury(letters).await
    }

    /// What keeps things on disk, if anything does.
    pub(super) fn queue(&self) -> Option<&IngestQueue> {
        self.disk.as_ref().map(|disk| &*disk.queue).or(self.marks.as_ref())
    }

    /// What is in force now.
    pub(super) fn config(&self) -> Arc<ActiveConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Takes nothing more; what is there can still be taken out.
    pub(crate) fn stop(&self) {
        self.lock().stopping = true;
        self.arrived.notify_one();
    }

    /// Items that were taken and are not yet acknowledged.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let state = self.lock();
        state.end.saturating_sub(state.acknowledged)
    }

    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> usize {
        self.lock().window.len()
    }

    /// Whether the disk takes what is appended, as far as is known; it is tried by itself. Always so in memory mode.
    pub(crate) fn takes(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| !disk.failing.load(Ordering::Relaxed))
    }

    fn set_failing(&self, failing: bool) {
        if let Some(disk) = &self.disk {
            disk.failing.store(failing, Ordering::Relaxed);
        }
    }

    /// Whether what is here outlives the process.
    pub(crate) const fn is_durable(&self) -> bool {
        self.disk.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn trace_taken(entry: &Entry) {
    let source = &entry.item.source;
    tracing::debug!(target: ITEM, id = %entry.item.id, node = %source.node_id, topic = %entry.topic, bytes = entry.json.len(), "taken");
}

fn take_from_window(state: &mut State, entries_max: usize) -> Option<Taken> {
    let count = state.window.len().min(entries_max);
    let unreadable = std::mem::take(&mut state.unreadable);
    if count == 0 && unreadable.is_empty() {
        return None;
    }
    let entries: Vec<_> = state.window.drain(..count).collect();
    state.window_bytes -= entries.iter().map(|entry| entry.json.len()).sum::<usize>();
    // Where in the window unreadable records lie is not kept: positions count from its end.
    let left = u64::try_from(state.window.len()).unwrap_or(u64::MAX);
    state.next = state.window_end.saturating_sub(left);
    Some(Taken { entries, unreadable, through: state.next.saturating_sub(1) })
}

/// Puts appends on disk, as many together as wait, and in the window in the order of their positions.
async fn keep(backlog: std::sync::Weak<Backlog>, queue: Arc<IngestQueue>, mut appends: mpsc::Receiver<Append>) {
    let mut held = None;
    let mut failing = false;
    loop {
        let first = match held.take() {
            Some(append) => append,
            None if failing => match time::timeout(DISK_TRIED_EVERY, appends.recv()).await {
                Ok(Some(append)) => append,
                Ok(None) => return,
                Err(_) => {
                    failing = try_disk(&queue).await.is_err();
                    let Some(backlog) = backlog.upgrade() else { return };
                    backlog.set_failing(failing);
                    continue;
                }
            },
            None => match appends.recv().await {
                Some(append) => append,
                None => return,
            },
        };
        let mut group = Group::default();
        group.add(first);
        while let Ok(append) = appends.try_recv() {
            if group.is_full_with(&append) {
                held = Some(append);
                break;
            }
            group.add(append);
        }
        let outcome = queue.append(group.records, group.marks).await;
        let Some(backlog) = backlog.upgrade() else { return };
        let failed = matches!(outcome, Err(QueueError::Io(_) | QueueError::Failing(_)));
        if failing != failed {
            failing = failed;
            backlog.set_failing(failing);
        }
        match outcome {
            Ok(positions) => {
                let mut start = positions.start;
                for Append { entries, answer, .. } in group.appends {
                    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                    backlog.arrived_on_disk(start, entries);
                    start = start.saturating_add(count);
                    // Whoever asked may have gone away; what was kept is published all the same.
                    let _ = answer.send(Ok(()));
                }
            }
            Err(error) => {
                let why = not_taken(&error);
                for Append { entries, answer, .. } in group.appends {
                    let _ = answer.send(Err((why, entries)));
                }
            }
        }
    }
}

/// Writes something, and takes it away again, so that there is something to write the next time.
async fn try_disk(queue: &IngestQueue) -> Result<(), QueueError> {
    queue.append(Vec::new(), vec![TRIAL]).await?;
    queue.remove_marks(vec![TRIAL.0]).await
}

fn not_taken(error: &QueueError) -> NotTaken {
    match error {
        QueueError::Full | QueueError::TooLarge => NotTaken::Full,
        QueueError::Closed => NotTaken::Stopping,
        // The queue told of it when it failed.
        QueueError::Failing(_) => NotTaken::Failing,
        QueueError::Io(_) => NotTaken::Disk,
        error => {
            tracing::error!(error = error as &dyn std::error::Error, "the ingest queue did not keep what was sent");
            NotTaken::Disk
        }
    }
}

/// Appends that go to disk together.
#[derive(Default)]
struct Group {
    appends: Vec<Append>,
    records: Vec<Bytes>,
    marks: Vec<Mark>,
    bytes: usize,
}

impl Group {
    fn add(&mut self, mut append: Append) {
        self.marks.append(&mut append.marks);
        self.records.extend(append.entries.iter().map(|entry| entry.json.clone()));
        self.bytes += bytes(&append.entries);
        self.appends.push(append);
    }

    fn is_full_with(&self, append: &Append) -> bool {
        self.records.len() + append.entries.len() > GROUP_RECORDS_MAX
            || self.bytes + bytes(&append.entries) > GROUP_BYTES_MAX
    }
}

fn bytes(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.json.len() + aups_store::queue::RECORD_OVERHEAD_BYTES).sum()
}

#[cfg(test)]
mod tests;
