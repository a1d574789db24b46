//! Says when a published message can no longer be lost to a kill or a power cut.
//!
//! The `mqtt5` crate writes queued messages and messages in flight some time after they are routed. The barrier makes it
//! write, again and again while there is something to say: a pass is a flush, a sync of the file system, then a round of the links in [`kept`](crate::kept).
//! A batch is released at the end of the second pass that began after it was routed:
//! - when the first flush begins, each of its deliveries is in the session's queue, in flight, or acknowledged, for in this
//!   mode nothing goes past the queue (see `ALWAYS_QUEUE`); what is queued is on disk when that flush ends, and linked when the pass ends;
//! - what was taken from the queue before it was linked is in flight by the beginning of the second flush, and so on disk
//!   at its end, or acknowledged.

use crate::kept::Kept;
use mqtt5::broker::DynamicStorage;
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task,
    time::{Instant, sleep, sleep_until},
};

/// Between the beginnings of two passes, unless [`HURRY_MESSAGES`] wait.
const INTERVAL: Duration = Duration::from_millis(100);
/// So many unreleased messages begin a pass at once.
const HURRY_MESSAGES: usize = 500;
/// After a pass that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The crate says that a flush is done when it is, or when it waited for five seconds.
const FLUSH_PATIENCE: Duration = Duration::from_millis(4_900);

/// The sending end, and what it shares with the task.
#[derive(Debug)]
pub(crate) struct Barrier {
    requests: mpsc::Sender<Request>,
    room: Arc<Semaphore>,
    room_messages: u32,
    shared: Arc<Shared>,
}

#[derive(Debug)]
enum Request {
    Batch(Batch),
    /// Release what there is, answer, and end.
    Finish(oneshot::Sender<()>),
}

/// Messages that were routed and not released.
#[derive(Debug)]
struct Batch {
    released: oneshot::Sender<()>,
    _room: OwnedSemaphorePermit,
}

struct Shared {
    storage: Arc<DynamicStorage>,
    kept: Mutex<Kept>,
    /// Something may have moved that has no batch: a client takes what was queued for it.
    stir: Notify,
    hurry: Notify,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Barrier {
    /// Starts the task, after a first pass: before any client is served.
    pub(crate) async fn start(storage: Arc<DynamicStorage>, kept: Kept, unreleased_max: u32) -> io::Result<Self> {
        let shared = Arc::new(Shared { storage, kept: Mutex::new(kept), stir: Notify::new(), hurry: Notify::new() });
        shared.pass().await?;
        let capacity = unreleased_max.max(1);
        // A batch holds at least one permit, so that there is always room in the channel, and for the request to finish.
        let (requests, waiting) = mpsc::channel(capacity as usize + 1);
        let room = Arc::new(Semaphore::new(capacity as usize));
        let task = Task { shared: Arc::clone(&shared), waiting, fresh: Vec::new(), flushed: Vec::new() };
        tokio::spawn(task.run());
        Ok(Self { requests, room, room_messages: capacity, shared })
    }

    /// Waits until there is room for a batch, before it is routed. A batch that is larger than all the room takes all.
    pub(crate) async fn reserve(&self, messages: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(messages).unwrap_or(u32::MAX).clamp(1, self.room_messages);
        Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
    }

    /// Takes a batch that was routed; the answer comes when it is safe.
    pub(crate) fn release_when_safe(&self, room: OwnedSemaphorePermit) -> oneshot::Receiver<()> {
        let (released, answer) = oneshot::channel();
        // It fails only when the broker has ended; then nobody answers, and the sender keeps what it has.
        let _ = self.requests.try_send(Request::Batch(Batch { released, _room: room }));
        if self.unreleased() >= HURRY_MESSAGES {
            self.shared.hurry.notify_one();
        }
        answer
    }

    /// Messages that are routed or about to be, and not released.
    pub(crate) fn unreleased(&self) -> usize {
        (self.room_messages as usize).saturating_sub(self.room.available_permits())
    }

    /// For those who notice that clients take what was queued for them.
    pub(crate) fn stir(&self) -> Stir {
        Stir(Arc::clone(&self.shared))
    }

    /// Waits until the queues of these clients, emptied for good, are so on disk too.
    pub(crate) async fn forget(&self, clients: Vec<String>) -> io::Result<()> {
        self.shared.flush().await?;
        self.shared.with_kept(move |kept| clients.iter().try_for_each(|client| kept.forget(client))).await
    }

    /// Takes no more batches, releases those that were routed, and ends.
    pub(crate) async fn finish(&self) {
        self.room.close();
        let (finished, answer) = oneshot::channel();
        if self.requests.try_send(Request::Finish(finished)).is_ok() {
            // No answer: it had ended before.
            let _ = answer.await;
        }
    }
}

/// Says that something moves that has no batch.
#[derive(Debug, Clone)]
pub(crate) struct Stir(Arc<Shared>);

impl Stir {
    pub(crate) fn stir(&self) {
        self.0.stir.notify_one();
    }
}

impl Shared {
    /// One pass: whether nothing is in motion.
    async fn pass(self: &Arc<Self>) -> io::Result<bool> {
        self.flush().await?;
        let settled = self.with_kept(Kept::pass).await?;
        metrics::counter!("aups_broker_barriers_total").increment(1);
        Ok(settled)
    }

    async fn flush(&self) -> io::Result<()> {
        let DynamicStorage::File(storage) = &*self.storage else { return Ok(()) };
        let began = Instant::now();
        storage.flush_queue_writes().await;
        if began.elapsed() < FLUSH_PATIENCE { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }

    async fn with_kept<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&mut Kept) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let shared = Arc::clone(self);
        // What a panic leaves behind is put right by the next pass, which looks at the directories.
        task::spawn_blocking(move || work(&mut shared.kept.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .map_err(io::Error::other)?
    }
}

struct Task {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Request>,
    /// Routed; no pass began since.
    fresh: Vec<Batch>,
    /// One whole pass began and ended since.
    flushed: Vec<Batch>,
}

/// Why [`Task::wait_for_work`] came back.
enum Work {
    Pass,
    Finish(oneshot::Sender<()>),
    /// Nobody is left to ask for anything.
    Nobody,
}

impl Task {
    async fn run(mut self) {
        let mut settled = false;
        loop {
            match self.wait_for_work(settled).await {
                Work::Pass => {
                    let began = Instant::now();
                    settled = self.step().await;
                    self.pace(began).await;
                }
                Work::Finish(finished) => {
                    while !(self.fresh.is_empty() && self.flushed.is_empty()) {
                        self.step().await;
                    }
                    // Nobody hears it who no longer waits.
                    let _ = finished.send(());
                    return;
                }
                Work::Nobody => return,
            }
        }
    }

    async fn wait_for_work(&mut self, settled: bool) -> Work {
        if self.flushed.is_empty() && settled {
            tokio::select! {
                request = self.waiting.recv() => match request {
                    Some(Request::Batch(batch)) => self.fresh.push(batch),
                    Some(Request::Finish(finished)) => return Work::Finish(finished),
                    None => return Work::Nobody,
                },
                () = self.shared.stir.notified() => {}
            }
        }
        loop {
            match self.waiting.try_recv() {
                Ok(Request::Batch(batch)) => self.fresh.push(batch),
                Ok(Request::Finish(finished)) => return Work::Finish(finished),
                Err(mpsc::error::TryRecvError::Empty) => return Work::Pass,
                Err(mpsc::error::TryRecvError::Disconnected) => return Work::Nobody,
            }
        }
    }

    /// One pass, and the release of the batches that saw two. Whether nothing is in motion.
    async fn step(&mut self) -> bool {
        match self.shared.pass().await {
            Ok(settled) => {
                let safe = std::mem::replace(&mut self.flushed, std::mem::take(&mut self.fresh));
                for batch in safe {
                    // Nobody hears it who no longer waits.
                    let _ = batch.released.send(());
                }
                settled
            }
            Err(error) => {
                metrics::counter!("aups_broker_barrier_errors_total").increment(1);
                tracing::error!(%error, "the broker cannot write its queues; nothing is released until it can");
                sleep(RETRY_PAUSE).await;
                false
            }
        }
    }

    /// Until the next pass may begin.
    async fn pace(&self, began: Instant) {
        tokio::select! {
            () = sleep_until(began + INTERVAL) => {}
            () = self.shared.hurry.notified() => {}
        }
    }
}
