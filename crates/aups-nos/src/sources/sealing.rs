//! Sources that seal: what they sealed is taken once, in a rising order.

use super::SourceRecord;
use aups_core::{KeyId, Suite};
use aups_envelope::message::Header;
use bytes::{BufMut as _, Bytes, BytesMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Under what the high marks are kept: this, and the credential id.
pub(crate) const SESSION_PREFIX: &str = "session/";

/// A registered source that seals.
#[derive(Debug, Clone)]
pub(crate) struct SealingSource {
    pub(crate) record: Arc<SourceRecord>,
    pub(crate) suite: Suite,
    /// The same whatever else changes of its record.
    pub(crate) taken: Arc<HighMark>,
}

/// Where a message stands among all of one key: session, then seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    session: u64,
    seq: u64,
}

impl Place {
    pub(crate) const fn of(header: &Header) -> Self {
        Self { session: header.session.0, seq: header.seq }
    }

    /// What is kept of it: the greater place is the greater value, byte by byte.
    pub(super) fn mark(self, credential_id: &KeyId) -> (Bytes, Bytes) {
        let mut value = BytesMut::with_capacity(16);
        value.put_u64(self.session);
        value.put_u64(self.seq);
        (mark_key(credential_id), value.freeze())
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (session, seq) = value.split_first_chunk()?;
        Some(Self { session: u64::from_be_bytes(*session), seq: u64::from_be_bytes(seq.try_into().ok()?) })
    }
}

pub(crate) fn mark_key(credential_id: &KeyId) -> Bytes {
    [SESSION_PREFIX.as_bytes(), credential_id.as_bytes()].concat().into()
}

/// A mark that was kept: whose, and how far. `None` if it is none of ours.
pub(super) fn read_mark(key: &[u8], value: &[u8]) -> Option<(KeyId, Place)> {
    let id = key.strip_prefix(SESSION_PREFIX.as_bytes())?.try_into().ok()?;
    Some((KeyId::from_bytes(id), Place::read(value)?))
}

/// The highest place that was taken.
#[derive(Debug, Default)]
pub(crate) struct HighMark(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    highest: Option<Place>,
    /// Of these it is not known whether they were.
    doubtful: Vec<Place>,
}

/// Why a place cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotRaised {
    /// It was taken, or a higher one was.
    Below,
    /// The disk failed over it, and is yet to tell whether it was taken.
    Doubtful,
}

impl HighMark {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SealingSource {
    /// Takes a place if it is above all that were taken. Of two copies of one message one gets it.
    pub(crate) fn raise(&self, to: Place) -> Result<Raised, NotRaised> {
        let mut taken = self.taken.lock();
        if taken.doubtful.contains(&to) {
            return Err(NotRaised::Doubtful);
        }
        if taken.highest.is_some_and(|highest| to <= highest) {
            return Err(NotRaised::Below);
        }
        let before = taken.highest.replace(to);
        Ok(Raised { taken: Arc::clone(&self.taken), credential_id: self.record.credential_id, before, to, kept: false })
    }
}

/// A place that was taken. It is given back when this is dropped, so that the same message may come again; not if it is kept, or a
/// higher one was taken meanwhile.
#[derive(Debug)]
pub(crate) struct Raised {
    taken: Arc<HighMark>,
    credential_id: KeyId,
    before: Option<Place>,
    to: Place,
    kept: bool,
}

impl Raised {
    /// What is to be kept of it.
    pub(crate) fn mark(&self) -> (Bytes, Bytes) {
        self.to.mark(&self.credential_id)
    }

    /// It was kept.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }

    /// From now on, until this is dropped, nobody is told that it was taken.
    pub(crate) fn doubt(&self) {
        self.taken.lock().doubtful.push(self.to);
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        let mut taken = self.taken.lock();
        taken.doubtful.retain(|place| *place != self.to);
        if !self.kept && taken.highest == Some(self.to) {
            taken.highest = self.before;
        }
    }
}

#[cfg(test)]
mod tests;
