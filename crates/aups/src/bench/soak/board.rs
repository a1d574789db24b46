//! What was taken, and what became of it at each reader.

use super::marks::Marks;
use aups_client::Event;
use aups_core::{Item, KeyId};
use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Sources that send all the time.
pub(super) const STEADY: usize = 4;
/// The place of the source that is removed and registered again.
pub(super) const NOMAD: usize = STEADY;
/// All sources.
pub(super) const SOURCES: usize = STEADY + 1;

/// The common notes of sources and readers.
#[derive(Debug)]
pub(super) struct Board {
    /// Readings of each source that were answered with 202: their numbers are those below this.
    taken: [AtomicU64; SOURCES],
    /// How often the nomad was removed and registered again.
    returns: AtomicU64,
    notes: Vec<Mutex<Notes>>,
}

/// What came to one reader.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// The numbers of the readings that it opened, by source.
    pub(super) opened: [Marks; SOURCES],
    /// Items that are not of the sources here.
    pub(super) foreign: u64,
    pub(super) denied: u64,
    /// The keys that were not given.
    pub(super) denied_keys: BTreeSet<KeyId>,
    pub(super) rejected: u64,
    /// Why the last of them was.
    pub(super) rejected_last: String,
    /// Connections that were lost, not ended by the reader.
    pub(super) disconnections: u64,
    /// Times that it came back by itself.
    pub(super) returns: u64,
}

impl Board {
    pub(super) fn new(readers: usize) -> Self {
        Self {
            taken: [const { AtomicU64::new(0) }; SOURCES],
            returns: AtomicU64::new(0),
            notes: (0..readers).map(|_| Mutex::default()).collect(),
        }
    }

    /// The number of a source's next reading.
    pub(super) fn next_number(&self, source: usize) -> u64 {
        self.taken.get(source).map_or(0, |taken| taken.load(Ordering::Acquire))
    }

    /// So many more of a source were answered with 202.
    pub(super) fn taken(&self, source: usize, readings: u64) {
        if let Some(taken) = self.taken.get(source) {
            taken.fetch_add(readings, Ordering::Release);
        }
    }

    /// Readings that were answered with 202, of all sources.
    pub(super) fn all_taken(&self) -> u64 {
        (0..SOURCES).map(|source| self.next_number(source)).sum()
    }

    /// The nomad was removed and registered again.
    pub(super) fn nomad_returned(&self) {
        self.returns.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn nomad_returns(&self) -> u64 {
        self.returns.load(Ordering::Relaxed)
    }

    /// Something happened to a reader.
    pub(super) fn note(&self, reader: usize, event: &Event) {
        if let Some(mut notes) = self.lock(reader) {
            notes.take(event);
        }
    }

    /// A reader that had left came back.
    pub(super) fn reader_returned(&self, reader: usize) {
        if let Some(mut notes) = self.lock(reader) {
            notes.returns += 1;
        }
    }

    /// What came to a reader.
    pub(super) fn notes(&self, reader: usize) -> Notes {
        self.lock(reader).map(|notes| notes.clone()).unwrap_or_default()
    }

    /// How many of a source's readings a reader has opened.
    pub(super) fn opened(&self, reader: usize, source: usize) -> u64 {
        self.lock(reader).and_then(|notes| notes.opened.get(source).map(Marks::distinct)).unwrap_or_default()
    }

    fn lock(&self, reader: usize) -> Option<MutexGuard<'_, Notes>> {
        // A panic elsewhere leaves numbers behind that are still numbers.
        self.notes.get(reader).map(|notes| notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Notes {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Item { item, .. } => {
                match place(item).and_then(|(source, number)| Some((self.opened.get_mut(source)?, number))) {
                    Some((marks, number)) => marks.note(number),
                    None => self.foreign += 1,
                }
            }
            Event::Denied { key_id, .. } => {
                self.denied += 1;
                self.denied_keys.insert(*key_id);
            }
            Event::Rejected { reason, .. } => {
                self.rejected += 1;
                self.rejected_last = reason.to_string();
            }
            Event::Disconnected { .. } => self.disconnections += 1,
            // What comes twice is dropped, and what is missing shows at the end.
            _ => {}
        }
    }
}

/// `s0` is the first source.
pub(super) fn node_id(source: usize) -> String {
    format!("s{source}")
}

/// Whose reading it is, and which.
fn place(item: &Item) -> Option<(usize, u64)> {
    Some((item.source.node_id.strip_prefix('s')?.parse().ok()?, item.data.value.get().parse().ok()?))
}
