//! Dead letters: records that nobody could take any further, kept beside the queue for people to look at.

use super::{IngestQueue, KEYSPACES, QueueError};
use crate::disk::{Disk, Tables, blocking};
use bytes::{Buf as _, Bytes};
use fjall::PersistMode;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Most dead letters; when there is one more, the oldest goes.
pub const DEAD_LETTERS_MAX: usize = 10_000;
/// Bytes of all dead letters; likewise.
pub const DEAD_LETTERS_BYTES_MAX: u64 = 64 << 20;

/// In the keyspace `meta`: the number of the next dead letter (8 bytes).
const NEXT: &str = "dead";

/// A record that was given up, and what is to be known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Why, when, and whatever else its owner notes.
    pub about: Bytes,
    /// The record itself.
    pub record: Bytes,
}

/// Which letters there are, with their bytes.
#[derive(Debug)]
pub(super) struct DeadLetters(Mutex<Listed>);

#[derive(Debug)]
struct Listed {
    next: u64,
    sizes: BTreeMap<u64, u32>,
    bytes: u64,
}

impl DeadLetters {
    pub(super) fn open(tables: &Tables<KEYSPACES>) -> fjall::Result<Self> {
        let [_, _, meta, _, dead] = &tables.keyspaces;
        let mut listed = Listed { next: 0, sizes: BTreeMap::new(), bytes: 0 };
        for letter in dead.iter() {
            let (key, value) = letter.into_inner()?;
            listed.add(super::number(&key), u32::try_from(value.len()).unwrap_or(u32::MAX));
        }
        let next = meta.get(NEXT)?.map_or(0, |stored| super::number(&stored));
        listed.next = next.max(listed.next);
        listed.show();
        Ok(Self(Mutex::new(listed)))
    }

    fn bury(&self, disk: &Disk<KEYSPACES>, letters: &[DeadLetter]) -> fjall::Result<()> {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = Listed { next: listed.next, sizes: listed.sizes.clone(), bytes: listed.bytes };
        let mut stored = BTreeMap::new();
        for letter in letters {
            let bytes = encode(letter);
            let number = after.next;
            after.add(number, u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            stored.insert(number, bytes);
        }
        let gone = after.drop_oldest();
        disk.write(PersistMode::SyncData, |batch, [_, _, meta, _, dead]| {
            for (number, bytes) in stored {
                batch.insert(dead, number.to_be_bytes(), bytes);
            }
            for number in &gone {
                batch.remove(dead, number.to_be_bytes());
            }
            batch.insert(meta, NEXT, after.next.to_be_bytes());
        })?;
        *listed = after;
        listed.show();
        metrics::counter!("aups_dead_letters_total").increment(letters.len() as u64);
        metrics::counter!("aups_dead_letters_dropped_total").increment(gone.len() as u64);
        Ok(())
    }

    fn discard(&self, disk: &Disk<KEYSPACES>, number: u64) -> fjall::Result<bool> {
        let mut listed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !listed.sizes.contains_key(&number) {
            return Ok(false);
        }
        disk.write(PersistMode::SyncData, |batch, [.., dead]| batch.remove(dead, number.to_be_bytes()))?;
        listed.remove(number);
        listed.show();
        Ok(true)
    }
}

impl Listed {
    fn add(&mut self, number: u64, bytes: u32) {
        self.next = number.saturating_add(1);
        self.sizes.insert(number, bytes);
        self.bytes += u64::from(bytes);
    }

    fn remove(&mut self, number: u64) {
        if let Some(bytes) = self.sizes.remove(&number) {
            self.bytes -= u64::from(bytes);
        }
    }

    /// Keeps the newest, as many as there may be; says which went.
    fn drop_oldest(&mut self) -> Vec<u64> {
        let mut gone = Vec::new();
        while self.sizes.len() > DEAD_LETTERS_MAX || self.bytes > DEAD_LETTERS_BYTES_MAX {
            let Some((&oldest, _)) = self.sizes.first_key_value() else { break };
            self.remove(oldest);
            gone.push(oldest);
        }
        gone
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn show(&self) {
        metrics::gauge!("aups_dead_letters").set(self.sizes.len() as f64);
    }
}

impl IngestQueue {
    /// Keeps dead letters; they are on disk when this answers. When there are too many, the oldest go.
    pub async fn bury(&self, letters: Vec<DeadLetter>) -> Result<(), QueueError> {
        let shared = Arc::clone(&self.shared);
        let buried = blocking(move || match shared.dead.bury(&shared.disk, &letters) {
            // Work in the background failed some time ago, and nothing of this was written; the disk may be well again.
            Err(fjall::Error::Poisoned) if shared.disk.reopen().is_ok() => shared.dead.bury(&shared.disk, &letters),
            other => other,
        });
        buried.await.map_err(io)
    }

    /// The dead letters after a number, the oldest first, at most so many, each with its number.
    pub async fn dead_letters(&self, after: Option<u64>, max: usize) -> Result<Vec<(u64, DeadLetter)>, QueueError> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            shared.disk.read(|tables| {
                let [.., dead] = &tables.keyspaces;
                let from = after.map_or(0, |number| number.saturating_add(1));
                let letters = dead.range(from.to_be_bytes()..).take(max).map(fjall::Guard::into_inner);
                letters.collect::<fjall::Result<Vec<_>>>()
            })
        };
        let stored = blocking(read).await.map_err(io)?;
        Ok(stored.into_iter().map(|(key, value)| (super::number(&key), decode(Bytes::from_owner(value)))).collect())
    }

    /// One dead letter.
    pub async fn dead_letter(&self, number: u64) -> Result<Option<DeadLetter>, QueueError> {
        let shared = Arc::clone(&self.shared);
        let read = move || {
            shared.disk.read(|tables| {
                let [.., dead] = &tables.keyspaces;
                dead.get(number.to_be_bytes())
            })
        };
        Ok(blocking(read).await.map_err(io)?.map(|value| decode(Bytes::from_owner(value))))
    }

    /// Gives a dead letter up for good; `false` if there is none of this number.
    pub async fn discard(&self, number: u64) -> Result<bool, QueueError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.dead.discard(&shared.disk, number)).await.map_err(io)
    }
}

fn io(error: fjall::Error) -> QueueError {
    QueueError::Io(Arc::new(error))
}

/// As stored: the length of what is noted (4), that, and the record.
fn encode(letter: &DeadLetter) -> Vec<u8> {
    let length = u32::try_from(letter.about.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], &letter.about, &letter.record].concat()
}

/// Reads what [`encode`] wrote. Other forms do not occur in a database whose blocks carry checksums.
fn decode(mut stored: Bytes) -> DeadLetter {
    let length = stored.try_get_u32().map_or(0, |length| length as usize);
    let about = stored.split_to(length.min(stored.len()));
    DeadLetter { about, record: stored }
}

#[cfg(test)]
mod tests;
