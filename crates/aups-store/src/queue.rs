//! The ingest queue: what sources sent and the broker has not acknowledged, on disk.
//!
//! Records get positions, counted from 0 over the life of the directory. [`IngestQueue::append`] answers when its records
//! are on disk: one thread takes all appends that wait and commits them together, one `fdatasync` for all (group commit).
//! An acknowledgement is a mark in memory that the same thread writes with the next commit, so that after a crash some
//! records are read again, and none is lost.
//!
//! Beside the records it keeps [`Mark`]s: what must be known after a crash of the records that were taken, though they are
//! long published. A mark is written in one commit with the records it came with, and only rises: of two values of a key the
//! greater one (byte by byte) stays, in whatever order they come.
//!
//! On disk (format `aups-queue 2`), keyspaces of one fjall database; integers are big-endian:
//! - `chunks`: position of the first record (8 bytes) → the records of one commit, each as length (4 bytes) and bytes;
//! - `index`: position of the first record → position after the last one (8), bytes of all chunks ever before this one (8);
//! - `meta`: `mark` → the position before which nothing is needed (8), position of the first record of the first chunk (8);
//! - `marks`: the marks;
//! - `dead`: number of a dead letter (8) → length of what is noted of it (4), that, and the record; in `meta`, `dead` → the
//!   next number (8).
//!
//! Format 1 had neither marks nor dead letters; it is upgraded when it is opened.
//!
//! The space of acknowledged chunks is reclaimed by fjall: the directory holds at most about 200 MB more (journals) than
//! [`IngestQueue::bytes`].
//!
//! Metrics: `aups_queue_records_total` (appended), `aups_queue_commits_total`, `aups_queue_errors_total` (failed writes),
//! `aups_queue_bytes` (gauge), `aups_queue_failing` (gauge: 1 from a failed write until the disk was opened anew),
//! `aups_dead_letters` (gauge), `aups_dead_letters_total`, `aups_dead_letters_dropped_total` (the oldest, for want of room).

mod dead;
mod marks;

pub use dead::{DEAD_LETTERS_BYTES_MAX, DEAD_LETTERS_MAX, DeadLetter};
pub use marks::{MARK_BYTES_MAX, MARKS_BYTES_MAX, Mark};

use crate::disk::{Disk, Layout, OpenError, Tables, blocking};
use bytes::{Buf as _, Bytes};
use dead::DeadLetters;
use fjall::PersistMode;
use marks::{MarkChange, MarkChanges};
use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};

/// Largest append, in bytes of records: they are kept or refused together.
pub const APPEND_BYTES_MAX: usize = 16 << 20;
/// What a record takes besides its bytes.
pub const RECORD_OVERHEAD_BYTES: usize = 4;
/// Appends that wait for the writer; more wait for their turn to wait.
const APPENDS_WAITING_MAX: usize = 4_096;
/// A commit takes no further append from here on.
const COMMIT_BYTES: u64 = 1 << 20;
/// Acknowledged chunks that one commit removes.
const RECLAIMED_CHUNKS_MAX: usize = 1_024;
/// How long the queue refuses at once after the disk failed, before it tries again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

const KEYSPACES: usize = 5;
const LAYOUT: Layout<KEYSPACES> = Layout {
    format: "aups-queue 2",
    upgraded: &["aups-queue 1"],
    keyspaces: ["chunks", "index", "meta", "marks", "dead"],
    memtable_bytes: 4 << 20,
    cache_bytes: 1 << 20,
};
const MARK: &str = "mark";

/// How much the queue may hold.
#[derive(Debug, Clone, Copy)]
pub struct QueueLimits {
    /// Bytes of records that are not acknowledged, with [`RECORD_OVERHEAD_BYTES`] each. 1 GiB by default.
    pub bytes_max: u64,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes_max: 1 << 30 }
    }
}

/// Why the queue did not take or give records.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Records come faster than they are published, for long. The source tries again later.
    #[error("the queue holds as much as it may")]
    Full,
    /// The caller's fault: more than [`APPEND_BYTES_MAX`] at once, or a mark of more than [`MARK_BYTES_MAX`].
    #[error("an append has at most {APPEND_BYTES_MAX} bytes, and a mark {MARK_BYTES_MAX}")]
    TooLarge,
    /// The disk failed or is full. Whether the records were kept is unknown: the source sends them again, and one may come
    /// twice. The queue tries the disk again by itself.
    #[error("the disk failed or is full; free space or look at the system's log")]
    Io(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The disk failed before, and is tried again soon: nothing of this was written.
    #[error("the disk fails; free space or look at the system's log")]
    Failing(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// What was read is not what was written.
    #[error("the queue is damaged at position {position}; move its directory away to go on without what it holds")]
    Corrupt {
        /// Where.
        position: u64,
    },
    /// The queue is shutting down.
    #[error("the queue is closed")]
    Closed,
}

impl QueueError {
    /// The same for everybody whose records were in the same commit.
    fn again(&self) -> Self {
        match self {
            Self::Full => Self::Full,
            Self::TooLarge => Self::TooLarge,
            Self::Io(source) => Self::Io(Arc::clone(source)),
            Self::Failing(source) => Self::Failing(Arc::clone(source)),
            Self::Corrupt { position } => Self::Corrupt { position: *position },
            Self::Closed => Self::Closed,
        }
    }
}

/// A durable queue in a directory, for one process at a time. Dropping it waits for the commit that is being done.
#[derive(Debug)]
pub struct IngestQueue {
    shared: Arc<Shared>,
    /// Taken on drop, which tells the writer to finish.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl IngestQueue {
    /// Opens the directory, making it at first.
    pub async fn open(dir: impl Into<PathBuf>, limits: QueueLimits) -> Result<Self, OpenError> {
        let dir = dir.into();
        blocking(move || Self::open_now(dir, limits)).await
    }

    fn open_now(path: PathBuf, limits: QueueLimits) -> Result<Self, OpenError> {
        let disk = Disk::open(&path, LAYOUT)?;
        let opened = disk.read(|tables| Ok((Extent::read(tables)?, DeadLetters::open(tables)?)));
        let (extent, dead) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(OpenError::Database { path, source: Box::new(source) }),
        };
        let shared = Arc::new(Shared {
            disk,
            limits,
            end: AtomicU64::new(extent.end),
            acknowledged: AtomicU64::new(extent.acknowledged),
            first_chunk: AtomicU64::new(extent.first_chunk),
            bytes_stored: AtomicU64::new(extent.bytes()),
            bytes_waiting: AtomicU64::new(0),
            marks_bytes: AtomicU64::new(extent.marks_bytes),
            dead,
            reclaim_requested: AtomicBool::new(false),
        });
        let (requests, waiting) = mpsc::channel(APPENDS_WAITING_MAX);
        let writer = Writer { shared: Arc::clone(&shared), waiting, extent, failed: None };
        let thread = thread::Builder::new().name("aups-queue".to_owned()).spawn(move || writer.run());
        let writer = thread.map_err(|source| OpenError::Io { path, source })?;
        Ok(Self { shared, requests: Some(requests), writer: Some(writer) })
    }

    /// Keeps records with the marks that belong to them, all or nothing; answers with the positions of the records once
    /// they are on disk.
    ///
    /// If the future is dropped, they may or may not be kept.
    pub async fn append(&self, records: Vec<Bytes>, marks: Vec<Mark>) -> Result<Range<u64>, QueueError> {
        let sync = !records.is_empty() || !marks.is_empty();
        self.request(records, MarkChange::raise(marks)?, sync).await
    }

    /// Keeps marks that belong to no record here. They survive the end of the process, but not always that of the machine:
    /// no `fdatasync` is waited for.
    pub async fn mark(&self, marks: Vec<Mark>) -> Result<(), QueueError> {
        self.request(Vec::new(), MarkChange::raise(marks)?, false).await.map(|_| ())
    }

    /// Forgets the marks of these keys. After a crash of the machine some may be there again.
    pub async fn remove_marks(&self, keys: Vec<Bytes>) -> Result<(), QueueError> {
        let removals = keys.into_iter().map(MarkChange::Remove).collect();
        self.request(Vec::new(), removals, false).await.map(|_| ())
    }

    async fn request(&self, records: Vec<Bytes>, marks: Vec<MarkChange>, sync: bool) -> Result<Range<u64>, QueueError> {
        let bytes = stored_bytes(&records);
        if bytes > APPEND_BYTES_MAX {
            return Err(QueueError::TooLarge);
        }
        let marks_bytes = marks.iter().map(MarkChange::bytes).sum::<usize>() as u64;
        if marks_bytes > 0 && self.shared.marks_bytes.load(Ordering::Acquire) + marks_bytes > MARKS_BYTES_MAX {
            return Err(QueueError::Full);
        }
        let room = Room::reserve(&self.shared, bytes)?;
        let (answer, answered) = oneshot::channel();
        let append = Append { records, marks, sync, room, answer };
        let requests = self.requests.as_ref().ok_or(QueueError::Closed)?;
        requests.send(Request::Append(append)).await.map_err(|_| QueueError::Closed)?;
        answered.await.map_err(|_| QueueError::Closed)?
    }

    /// Whether an append of so many records and bytes would find room now. Costs some atomic reads.
    pub fn has_room(&self, records: usize, bytes: usize) -> bool {
        let bytes = bytes.saturating_add(records.saturating_mul(RECORD_OVERHEAD_BYTES)) as u64;
        self.bytes().saturating_add(bytes) <= self.shared.limits.bytes_max
    }

    /// The marks whose keys begin with a prefix, in the order of their keys. Takes about 1 s for a million.
    pub async fn marks(&self, prefix: &[u8]) -> Result<Vec<Mark>, QueueError> {
        let (shared, prefix) = (Arc::clone(&self.shared), prefix.to_owned());
        let read = blocking(move || shared.disk.read(|tables| marks::read(tables, &prefix))).await;
        read.map_err(|error| QueueError::Io(Arc::new(error)))
    }

    /// Records from a position on, in order, until one of the limits is reached; at least one if there is any. Positions
    /// that were acknowledged may be missing.
    ///
    /// Blocks on the disk where the records are not recent: not for a thread of the runtime.
    pub fn read(&self, from: u64, records_max: usize, bytes_max: usize) -> Result<Vec<(u64, Bytes)>, QueueError> {
        let unacknowledged = self.unacknowledged();
        let from = from.max(unacknowledged.start);
        if from >= unacknowledged.end {
            return Ok(Vec::new());
        }
        let mut taken = Taken { from, records_max, bytes_left: bytes_max, records: Vec::new() };
        let damage = self.shared.disk.read(|tables| {
            let [chunks, ..] = &tables.keyspaces;
            // Never a range that begins before the first chunk: it would pass over the tombstones of all that was reclaimed.
            let first_chunk = self.shared.first_chunk.load(Ordering::Acquire);
            let mut at_or_before = chunks.range(first_chunk.to_be_bytes()..=from.to_be_bytes());
            let start = at_or_before.next_back().map(fjall::Guard::key).transpose()?;
            for chunk in chunks.range(start.unwrap_or_else(|| from.to_be_bytes().into())..) {
                let (key, records) = chunk.into_inner()?;
                if let Err(damage) = taken.take(number(&key), Bytes::from_owner(records)) {
                    return Ok(Some(damage));
                }
                if taken.is_complete() {
                    break;
                }
            }
            Ok(None)
        });
        match damage.map_err(|error| QueueError::Io(Arc::new(error)))? {
            Some(damage) => Err(damage),
            None => Ok(taken.records),
        }
    }

    /// Says that everything up to and including a position was published. Costs two atomic writes; repeating it, or
    /// going back, does nothing.
    pub fn acknowledge_through(&self, position: u64) {
        let needed_from = position.saturating_add(1).min(self.shared.end.load(Ordering::Acquire));
        let before = self.shared.acknowledged.fetch_max(needed_from, Ordering::AcqRel);
        let news = before < needed_from && !self.shared.reclaim_requested.swap(true, Ordering::AcqRel);
        if news && let Some(requests) = &self.requests {
            // Where the channel is full, the writer has commits to do, and each of them looks at the acknowledgements.
            let _ = requests.try_send(Request::Reclaim);
        }
    }

    /// The positions on disk that nobody acknowledged.
    pub fn unacknowledged(&self) -> Range<u64> {
        let acknowledged = self.shared.acknowledged.load(Ordering::Acquire);
        acknowledged..self.shared.end.load(Ordering::Acquire).max(acknowledged)
    }

    /// Bytes held and waiting to be held. Falls when the chunk of a record is acknowledged whole.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes()
    }
}

impl Drop for IngestQueue {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            // It panicked and said so, or it is done.
            let _ = writer.join();
        }
    }
}

#[derive(Debug)]
struct Shared {
    disk: Disk<KEYSPACES>,
    limits: QueueLimits,
    /// The position after the last record on disk.
    end: AtomicU64,
    acknowledged: AtomicU64,
    /// The position of the first record of the first chunk that is still there.
    first_chunk: AtomicU64,
    bytes_stored: AtomicU64,
    bytes_waiting: AtomicU64,
    /// Bytes of all marks on disk.
    marks_bytes: AtomicU64,
    dead: DeadLetters,
    reclaim_requested: AtomicBool,
}

impl Shared {
    fn bytes(&self) -> u64 {
        self.bytes_stored.load(Ordering::Acquire).saturating_add(self.bytes_waiting.load(Ordering::Acquire))
    }
}

/// Room in the queue for an append that is on its way. Given back on drop: by then the bytes count as stored, or are gone.
#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Room {
    fn reserve(shared: &Arc<Shared>, bytes: usize) -> Result<Self, QueueError> {
        let bytes = bytes as u64;
        shared.bytes_waiting.fetch_add(bytes, Ordering::AcqRel);
        let room = Self { shared: Arc::clone(shared), bytes };
        if shared.bytes() > shared.limits.bytes_max { Err(QueueError::Full) } else { Ok(room) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shared.bytes_waiting.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[derive(Debug)]
enum Request {
    Append(Append),
    /// Acknowledgements wait to be written.
    Reclaim,
}

#[derive(Debug)]
struct Append {
    records: Vec<Bytes>,
    marks: Vec<MarkChange>,
    /// Whether it is to be on disk before it is answered.
    sync: bool,
    room: Room,
    answer: oneshot::Sender<Result<Range<u64>, QueueError>>,
}

/// What is on disk. Chunks follow one another without a gap.
#[derive(Debug, Clone, Copy)]
struct Extent {
    /// The position before which nothing is needed.
    acknowledged: u64,
    /// The position of the first record of the first chunk.
    first_chunk: u64,
    /// The position after the last record of the first chunk, which must be acknowledged before that can be reclaimed.
    first_chunk_end: u64,
    end: u64,
    /// Bytes of all chunks ever that are no longer there.
    bytes_reclaimed: u64,
    /// Bytes of all chunks ever.
    bytes_appended: u64,
    /// Bytes of all marks.
    marks_bytes: u64,
}

impl Extent {
    const fn bytes(&self) -> u64 {
        self.bytes_appended.saturating_sub(self.bytes_reclaimed)
    }

    const fn can_reclaim(&self, acknowledged: u64) -> bool {
        self.first_chunk < self.end && self.first_chunk_end <= acknowledged
    }

    fn read(tables: &Tables<KEYSPACES>) -> fjall::Result<Self> {
        let [chunks, index, meta, ..] = &tables.keyspaces;
        let marks_bytes = marks::stored_bytes(tables)?;
        let (acknowledged, first_chunk) = two_numbers(meta.get(MARK)?.as_deref().unwrap_or_default());
        let mut entries = index.range(first_chunk.to_be_bytes()..);
        let Some(first) = entries.next().map(fjall::Guard::value).transpose()? else {
            let empty = acknowledged.max(first_chunk);
            return Ok(Self {
                acknowledged: empty,
                first_chunk: empty,
                first_chunk_end: empty,
                end: empty,
                bytes_reclaimed: 0,
                bytes_appended: 0,
                marks_bytes,
            });
        };
        let (first_chunk_end, bytes_reclaimed) = two_numbers(&first);
        let last = index.range(first_chunk.to_be_bytes()..).next_back().map(fjall::Guard::into_inner).transpose()?;
        let (end, bytes_before, last_bytes) = match last {
            Some((key, entry)) => {
                let (end, bytes_before) = two_numbers(&entry);
                (end, bytes_before, chunks.size_of(&key)?.map_or(0, u64::from))
            }
            None => (first_chunk_end, bytes_reclaimed, 0),
        };
        let bytes_appended = bytes_before.saturating_add(last_bytes);
        Ok(Self { acknowledged, first_chunk, first_chunk_end, end, bytes_reclaimed, bytes_appended, marks_bytes })
    }
}

/// Two numbers of eight bytes, as in `index` and `meta`.
fn encode_two(first: u64, second: u64) -> [u8; 16] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

/// Reads what [`encode_two`] wrote. Other lengths do not occur in a database whose blocks carry checksums.
fn two_numbers(stored: &[u8]) -> (u64, u64) {
    let (first, second) = stored.split_at_checked(8).unwrap_or_default();
    (number(first), number(second))
}

fn number(stored: &[u8]) -> u64 {
    stored.try_into().map_or(0, u64::from_be_bytes)
}

fn stored_bytes(records: &[Bytes]) -> usize {
    records.iter().map(|record| record.len().saturating_add(RECORD_OVERHEAD_BYTES)).fold(0, usize::saturating_add)
}

/// The records of one commit, as stored.
struct Chunk {
    records: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    fn of(appends: &[Append]) -> Option<Self> {
        let records = || appends.iter().flat_map(|append| &append.records);
        let mut bytes = Vec::with_capacity(appends.iter().map(|append| stored_bytes(&append.records)).sum());
        for record in records() {
            // An append, and so a record, is far smaller than 4 GiB.
            bytes.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(record);
        }
        let records = records().count() as u64;
        (records > 0).then_some(Self { records, bytes })
    }
}

/// What [`IngestQueue::read`] has found so far.
struct Taken {
    from: u64,
    records_max: usize,
    bytes_left: usize,
    records: Vec<(u64, Bytes)>,
}

impl Taken {
    /// Takes the records of a chunk, sharing its memory.
    fn take(&mut self, mut position: u64, mut chunk: Bytes) -> Result<(), QueueError> {
        while !chunk.is_empty() && !self.is_complete() {
            let length = chunk.try_get_u32().map_err(|_| QueueError::Corrupt { position })? as usize;
            if length > chunk.len() {
                return Err(QueueError::Corrupt { position });
            }
            let record = chunk.split_to(length);
            if position >= self.from {
                self.bytes_left = self.bytes_left.saturating_sub(length);
                self.records.push((position, record));
            }
            position += 1;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.records.len() >= self.records_max || (self.bytes_left == 0 && !self.records.is_empty())
    }
}

/// The one thread that writes.
struct Writer {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Request>,
    extent: Extent,
    failed: Option<Failed>,
}

/// The disk failed, and the database was not opened anew since.
struct Failed {
    at: Instant,
    error: Arc<dyn std::error::Error + Send + Sync>,
}

impl Writer {
    fn run(mut self) {
        while let Some(request) = self.next() {
            let appends = self.gather(request);
            let result = self.commit(&appends);
            answer(appends, &result);
        }
        // The last acknowledgements, so that little is read again.
        if let Err(error) = self.commit(&[]) {
            tracing::warn!(%error, "the queue could not write its last acknowledgements");
        }
    }

    /// What to do next; none when the queue was dropped.
    fn next(&mut self) -> Option<Request> {
        let owes = self.failed.is_none() && self.extent.can_reclaim(self.shared.acknowledged.load(Ordering::Acquire));
        match self.waiting.try_recv() {
            Ok(request) => Some(request),
            Err(TryRecvError::Empty) if owes => Some(Request::Reclaim),
            Err(TryRecvError::Empty) => self.waiting.blocking_recv(),
            Err(TryRecvError::Disconnected) => None,
        }
    }

    /// Everything that waits, up to the size of a commit.
    fn gather(&mut self, first: Request) -> Vec<Append> {
        let mut appends = Vec::new();
        let mut bytes = 0_u64;
        let mut next = Some(first);
        while let Some(request) = next {
            if let Request::Append(append) = request {
                bytes = bytes.saturating_add(append.room.bytes);
                appends.push(append);
            }
            next = if bytes < COMMIT_BYTES { self.waiting.try_recv().ok() } else { None };
        }
        appends
    }

    /// Writes the records, and what was acknowledged meanwhile. Answers with the position of the first record.
    fn commit(&mut self, appends: &[Append]) -> Result<u64, QueueError> {
        if let Some(failed) = &self.failed {
            if failed.at.elapsed() < RETRY_PAUSE {
                return Err(QueueError::Failing(Arc::clone(&failed.error)));
            }
            self.recover()?;
        }
        let written = match self.write(appends) {
            // Work in the background failed some time ago, and nothing of this was written; the disk may be well again.
            Err(fjall::Error::Poisoned) => {
                self.recover()?;
                self.write(appends)
            }
            other => other,
        };
        written.map_err(|error| QueueError::Io(self.fail(error)))
    }

    fn write(&mut self, appends: &[Append]) -> fjall::Result<u64> {
        self.shared.reclaim_requested.store(false, Ordering::Release);
        let mut extent = self.extent;
        extent.acknowledged = self.shared.acknowledged.load(Ordering::Acquire);
        let reclaimed = self.reclaim(&mut extent)?;
        let chunk = Chunk::of(appends);
        let marks =
            self.shared.disk.read(|tables| MarkChanges::of(appends.iter().flat_map(|append| &append.marks), tables))?;
        extent.marks_bytes = marks.bytes_after(extent.marks_bytes);
        let (start, bytes_before) = (extent.end, extent.bytes_appended);
        if let Some(chunk) = &chunk {
            extent.end += chunk.records;
            extent.bytes_appended += chunk.bytes.len() as u64;
            if extent.first_chunk == start {
                extent.first_chunk_end = extent.end;
            }
        } else if extent.acknowledged == self.extent.acknowledged && reclaimed.is_empty() && marks.kept.is_empty() {
            return Ok(start);
        }
        // Acknowledgements may be lost, records may not.
        let sync = appends.iter().any(|append| append.sync);
        let durability = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        self.shared.disk.write(durability, |batch, [chunks, index, meta, keyspace_of_marks, _]| {
            for (key, value) in marks.kept {
                match value {
                    Some(value) => batch.insert(keyspace_of_marks, &*key, &*value),
                    None => batch.remove(keyspace_of_marks, &*key),
                }
            }
            for first in reclaimed {
                batch.remove(chunks, first.clone());
                batch.remove(index, first);
            }
            batch.insert(meta, MARK, encode_two(extent.acknowledged, extent.first_chunk));
            if let Some(chunk) = chunk {
                batch.insert(index, start.to_be_bytes(), encode_two(extent.end, bytes_before));
                batch.insert(chunks, start.to_be_bytes(), chunk.bytes);
            }
        })?;
        metrics::counter!("aups_queue_records_total").increment(extent.end - start);
        metrics::counter!("aups_queue_commits_total").increment(1);
        self.take_extent(extent);
        Ok(start)
    }

    /// The keys of chunks that are acknowledged whole, taken out of the extent.
    fn reclaim(&self, extent: &mut Extent) -> fjall::Result<Vec<fjall::UserKey>> {
        let mut reclaimed = Vec::new();
        if !extent.can_reclaim(extent.acknowledged) {
            return Ok(reclaimed);
        }
        self.shared.disk.read(|tables| {
            let [_, index, ..] = &tables.keyspaces;
            for chunk in index.range(extent.first_chunk.to_be_bytes()..) {
                let (key, entry) = chunk.into_inner()?;
                (extent.first_chunk_end, extent.bytes_reclaimed) = two_numbers(&entry);
                if extent.first_chunk_end > extent.acknowledged || reclaimed.len() == RECLAIMED_CHUNKS_MAX {
                    return Ok(());
                }
                extent.first_chunk = extent.first_chunk_end;
                reclaimed.push(key);
            }
            extent.bytes_reclaimed = extent.bytes_appended;
            Ok(())
        })?;
        Ok(reclaimed)
    }

    fn take_extent(&mut self, extent: Extent) {
        self.extent = extent;
        self.shared.first_chunk.store(extent.first_chunk, Ordering::Release);
        self.shared.bytes_stored.store(extent.bytes(), Ordering::Release);
        self.shared.marks_bytes.store(extent.marks_bytes, Ordering::Release);
        self.shared.end.store(extent.end, Ordering::Release);
        #[expect(clippy::cast_precision_loss, reason = "a gauge that is off by less than 1 in 2^52")]
        metrics::gauge!("aups_queue_bytes").set(extent.bytes() as f64);
    }

    fn fail(
        &mut self,
        error: impl std::error::Error + Send + Sync + 'static,
    ) -> Arc<dyn std::error::Error + Send + Sync> {
        metrics::counter!("aups_queue_errors_total").increment(1);
        tracing::error!(%error, "the queue could not write; it tries again in {RETRY_PAUSE:?}");
        metrics::gauge!("aups_queue_failing").set(1.0);
        let error = Arc::new(error);
        self.failed = Some(Failed { at: Instant::now(), error: error.clone() });
        error
    }

    /// Opens the database anew and takes what is on disk as the truth: of the commit that failed, it may hold the records.
    fn recover(&mut self) -> Result<(), QueueError> {
        self.shared.disk.reopen().map_err(|error| QueueError::Failing(self.fail(error)))?;
        let extent = self.shared.disk.read(Extent::read).map_err(|error| QueueError::Failing(self.fail(error)))?;
        self.shared.acknowledged.fetch_max(extent.acknowledged, Ordering::AcqRel);
        self.take_extent(extent);
        self.failed = None;
        metrics::gauge!("aups_queue_failing").set(0.0);
        tracing::info!(records = extent.end - extent.acknowledged, "the queue opened its database anew");
        Ok(())
    }
}

fn answer(appends: Vec<Append>, result: &Result<u64, QueueError>) {
    let mut next = *result.as_ref().unwrap_or(&0);
    for Append { records, answer, room, .. } in appends {
        // By now its bytes count as stored, or are gone.
        drop(room);
        let start = next;
        next += records.len() as u64;
        // Nobody hears it who no longer waits.
        let _ = answer.send(match result {
            Ok(_) => Ok(start..next),
            Err(error) => Err(error.again()),
        });
    }
}

#[cfg(test)]
mod tests;
