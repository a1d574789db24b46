//! The keys that a reader holds, and the publishers that it believes.

use super::{Memory, Rejection};
use crate::{
    certificate::Certificate,
    key::{KeyEntry, KeyEntryError},
    message::Header,
    sign::VerifyingKey,
};
use aups_core::{Bump, Epoch, KeyId, PublisherSlot, ScopeTag, UnixMillis, limits::SKEW_MAX};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most keys that a reader holds, of about 300 bytes each. Beyond it the one that came first goes, to be asked for again.
pub const KEYS_MAX: usize = 8_192;
/// Most publishers that a reader knows, withdrawn ones included.
pub const PUBLISHERS_MAX: usize = 4_096;

/// Keys by their ids, and certified publishers.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: BTreeMap<KeyId, KeyEntry>,
    /// In the order in which they came.
    order: VecDeque<KeyId>,
    /// `from` of each key held, so that the higher bumps of a scope are found at once.
    pub(super) bumps: BTreeMap<(ScopeTag, Bump, KeyId), UnixMillis>,
    /// The same of keys that were held before a restart.
    pub(super) remembered: BTreeMap<(ScopeTag, Bump, KeyId), UnixMillis>,
    listed: BTreeMap<PublisherSlot, Certificate>,
    withdrawn: BTreeSet<PublisherSlot>,
}

impl KeyRing {
    /// Holds nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a key that holds together. One that is held already changes nothing.
    pub fn insert(&mut self, entry: KeyEntry) -> Result<(), KeyEntryError> {
        entry.verify()?;
        let key_id = entry.key_id;
        if self.keys.contains_key(&key_id) {
            return Ok(());
        }
        if self.keys.len() >= KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
            self.bumps.remove(&bump_key(&oldest));
        }
        self.order.push_back(key_id);
        self.bumps.insert(bump_key(&key_id), entry.from);
        self.keys.insert(key_id, entry);
        Ok(())
    }

    /// Remembers the bump of a key that was held before; at most [`KEYS_MAX`].
    pub fn remember(&mut self, memory: &Memory) {
        if let Memory::Bump { key_id, from } = memory
            && self.remembered.len() < KEYS_MAX
        {
            self.remembered.insert(bump_key(key_id), *from);
        }
    }

    /// Takes the publishers of an answer: all that the realm lists. A publisher that was listed before and is not among them
    /// was withdrawn.
    pub fn list(&mut self, publishers: Vec<Certificate>) {
        let listed: BTreeMap<_, _> = publishers
            .into_iter()
            .take(PUBLISHERS_MAX)
            .map(|certificate| (certificate.publisher, certificate))
            .collect();
        let before = std::mem::replace(&mut self.listed, listed);
        self.withdrawn.extend(before.into_keys());
        self.withdrawn.retain(|slot| !self.listed.contains_key(slot));
        while self.listed.len() + self.withdrawn.len() > PUBLISHERS_MAX {
            // Slots rise and are never used again: the lowest was withdrawn first, and is now unknown instead.
            self.withdrawn.pop_first();
        }
    }

    /// The key of an id.
    pub fn get(&self, key_id: &KeyId) -> Option<&KeyEntry> {
        self.keys.get(key_id)
    }

    /// Whether the same scope's key of the following epoch is held: if not, it is time to ask for this one again, whose
    /// answer brings the next.
    pub fn has_next(&self, key_id: &KeyId) -> bool {
        let Some(next) = key_id.epoch().0.checked_add(1).map(Epoch) else { return true };
        let tag = key_id.scope_tag();
        let first = KeyId::new(tag, next, Bump(0), [0; KeyId::COMMIT_BYTES]);
        let last = KeyId::new(tag, next, Bump(u16::MAX), [0xff; KeyId::COMMIT_BYTES]);
        self.keys.range(first..=last).next().is_some()
    }

    /// The key that a publisher signs with, if it is listed with a certificate that holds.
    pub(super) fn publisher(&self, slot: PublisherSlot, now: UnixMillis) -> Result<&VerifyingKey, Rejection> {
        match self.listed.get(&slot) {
            Some(certificate) if now <= certificate.exp.plus(SKEW_MAX) => Ok(&certificate.signing_key),
            None if self.withdrawn.contains(&slot) => Err(Rejection::Withdrawn(slot)),
            _ => Err(Rejection::UnknownPublisher(slot)),
        }
    }

    /// Since when the key of a message was revoked, if the message says it was sealed more than 30 s after.
    pub(super) fn superseded(&self, header: &Header) -> Option<UnixMillis> {
        let (tag, bump) = (header.key_id.scope_tag(), header.key_id.bump());
        let higher = Bump(bump.0.checked_add(1)?);
        let first = (tag, higher, KeyId::from_bytes([0; KeyId::BYTES]));
        let last = (tag, Bump(u16::MAX), KeyId::from_bytes([0xff; KeyId::BYTES]));
        let higher = self.bumps.range(first..=last).chain(self.remembered.range(first..=last));
        higher.map(|(_, from)| *from).filter(|from| header.ts >= from.plus(SKEW_MAX)).min()
    }
}

fn bump_key(key_id: &KeyId) -> (ScopeTag, Bump, KeyId) {
    (key_id.scope_tag(), key_id.bump(), *key_id)
}

#[cfg(test)]
mod tests;
