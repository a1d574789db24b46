//! Marks: small facts that are kept in the same commit as the records they belong to.

use super::QueueError;
use crate::disk::Tables;
use bytes::Bytes;
use std::collections::BTreeMap;

/// A mark: a key, and what is kept under it.
pub type Mark = (Bytes, Bytes);

/// Largest mark, in bytes of key and value.
pub const MARK_BYTES_MAX: usize = 1_024;
/// Bytes of keys and values of all marks: a million sources that seal, and what is remembered of requests for some minutes.
pub const MARKS_BYTES_MAX: u64 = 256 << 20;

/// What is to be done with the mark of a key.
#[derive(Debug)]
pub(super) enum MarkChange {
    /// Kept, unless what is there is greater.
    Raise(Mark),
    /// Forgotten.
    Remove(Bytes),
}

impl MarkChange {
    pub(super) fn raise(marks: Vec<Mark>) -> Result<Vec<Self>, QueueError> {
        if marks.iter().any(|mark| bytes(mark) > MARK_BYTES_MAX) {
            return Err(QueueError::TooLarge);
        }
        Ok(marks.into_iter().map(Self::Raise).collect())
    }

    /// Bytes that it may add to those on disk.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Raise(mark) => bytes(mark),
            Self::Remove(_) => 0,
        }
    }
}

fn bytes((key, value): &Mark) -> usize {
    key.len() + value.len()
}

/// What changes of several appends come to, one after the other.
#[derive(Debug, Default)]
pub(super) struct MarkChanges {
    /// What is kept under each key from now on; `None`: nothing.
    pub(super) kept: BTreeMap<Bytes, Option<Bytes>>,
    added: u64,
    removed: u64,
}

impl MarkChanges {
    pub(super) fn of<'a>(
        changes: impl Iterator<Item = &'a MarkChange>,
        tables: &Tables<{ super::KEYSPACES }>,
    ) -> fjall::Result<Self> {
        let [_, _, _, marks, _] = &tables.keyspaces;
        let mut all = Self::default();
        for change in changes {
            let key = match change {
                MarkChange::Raise((key, _)) | MarkChange::Remove(key) => key,
            };
            let before = match all.kept.get(key) {
                Some(before) => before.clone(),
                None => marks.get(key)?.map(Bytes::from_owner),
            };
            let after = match change {
                MarkChange::Raise((_, value)) if before.as_ref().is_none_or(|before| before < value) => {
                    Some(value.clone())
                }
                MarkChange::Raise(_) => continue,
                MarkChange::Remove(_) if before.is_none() => continue,
                MarkChange::Remove(_) => None,
            };
            let stored = |value: Option<&Bytes>| value.map_or(0, |value| (key.len() + value.len()) as u64);
            all.removed += stored(before.as_ref());
            all.added += stored(after.as_ref());
            all.kept.insert(key.clone(), after);
        }
        Ok(all)
    }

    /// Bytes of all marks after these changes, of so many before them.
    pub(super) const fn bytes_after(&self, before: u64) -> u64 {
        before.saturating_add(self.added).saturating_sub(self.removed)
    }
}

/// Bytes of all marks on disk. Reads them all: about 1 s for a million.
pub(super) fn stored_bytes(tables: &Tables<{ super::KEYSPACES }>) -> fjall::Result<u64> {
    let [_, _, _, marks, _] = &tables.keyspaces;
    let mut bytes = 0;
    for mark in marks.iter() {
        let (key, value) = mark.into_inner()?;
        bytes += (key.len() + value.len()) as u64;
    }
    Ok(bytes)
}

/// The marks whose keys begin with a prefix, in the order of their keys.
pub(super) fn read(tables: &Tables<{ super::KEYSPACES }>, prefix: &[u8]) -> fjall::Result<Vec<Mark>> {
    let [_, _, _, marks, _] = &tables.keyspaces;
    let mark =
        |mark: fjall::Guard| mark.into_inner().map(|(key, value)| (Bytes::from_owner(key), Bytes::from_owner(value)));
    marks.prefix(prefix).map(mark).collect()
}

#[cfg(test)]
mod tests;
