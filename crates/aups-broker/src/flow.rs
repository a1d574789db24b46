//! Publishing waits for readers that read, and for no others.
//!
//! A queue that is full drops its oldest messages, and on disk what waits in a queue is a file per message. So that a burst costs
//! a healthy reader nothing and the disk little, publishing pauses while some messages wait for a connected reader that
//! acknowledges at a fair rate; the sender's own queue takes the burst. A reader that is slower than that, stuck, or away
//! holds up nobody, and is overrun.

use mqtt5::broker::storage::QueueHandle;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Over which the rate of a reader is taken.
const WINDOW: Duration = Duration::from_secs(1);
/// Between two looks at readers that are behind.
const PAUSE: Duration = Duration::from_millis(1);

/// The connected readers.
#[derive(Debug)]
pub(crate) struct Flow {
    /// A queue of so many messages holds up publishing.
    behind_from: usize,
    rate_min: u32,
    readers: RwLock<HashMap<Arc<str>, Arc<Reader>>>,
}

#[derive(Debug)]
struct Reader {
    queue: QueueHandle,
    /// More than one while a connection takes over from another.
    connections: AtomicU64,
    acknowledged: AtomicU64,
    window: Mutex<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    acknowledged: u64,
    overrun: bool,
}

impl Flow {
    pub(crate) fn new(behind_from: usize, rate_min: u32) -> Self {
        Self { behind_from: behind_from.max(1), rate_min, readers: RwLock::default() }
    }

    pub(crate) fn connected(&self, client: Arc<str>, queue: QueueHandle) {
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        let reader = readers.entry(client).or_insert_with(|| Arc::new(Reader::new(queue)));
        reader.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self, client: &str) {
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        if readers.get(client).is_some_and(|reader| reader.connections.fetch_sub(1, Ordering::Relaxed) == 1) {
            readers.remove(client);
        }
    }

    pub(crate) fn acknowledged(&self, client: &str) {
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(client) {
            reader.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits while a reader is behind that keeps reading. Costs a look at each connected reader.
    pub(crate) async fn wait(&self) {
        while self.is_held_up(Instant::now()) {
            sleep(PAUSE).await;
        }
    }

    fn is_held_up(&self, now: Instant) -> bool {
        let readers = self.readers.read().unwrap_or_else(PoisonError::into_inner);
        // Every reader is looked at, so that each has its window.
        readers.iter().fold(false, |held_up, (client, reader)| self.waits_for(client, reader, now) || held_up)
    }

    fn waits_for(&self, client: &str, reader: &Reader, now: Instant) -> bool {
        let acknowledged = reader.acknowledged.load(Ordering::Relaxed);
        let mut window = reader.window.lock().unwrap_or_else(PoisonError::into_inner);
        if reader.queue.count() < self.behind_from {
            *window = Window { began: now, acknowledged, overrun: false };
            return false;
        }
        let elapsed = now.duration_since(window.began);
        if elapsed >= WINDOW {
            let fair = u128::from(self.rate_min) * elapsed.as_millis();
            let overrun = u128::from(acknowledged - window.acknowledged) * 1_000 < fair;
            if overrun && !window.overrun {
                metrics::counter!("aups_broker_readers_overrun_total").increment(1);
                tracing::warn!(
                    client,
                    waiting = reader.queue.count(),
                    "a reader is too slow; its oldest messages may be dropped"
                );
            }
            *window = Window { began: now, acknowledged, overrun };
        }
        !window.overrun
    }
}

impl Reader {
    fn new(queue: QueueHandle) -> Self {
        let window = Window { began: Instant::now(), acknowledged: 0, overrun: false };
        Self { queue, connections: AtomicU64::new(0), acknowledged: AtomicU64::new(0), window: Mutex::new(window) }
    }
}

#[cfg(test)]
mod tests;
