//! A temporary key with its terms: what the KTM gives a NOS and a NOS gives a reader.

use crate::{schedule, secret::KeyT};
use aups_core::{Bump, Epoch, Flags, KeyId, ScopeId, ScopeTag, Suite, UnixMillis};
use thiserror::Error;

/// What a key is for. The key's id commits to all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyTerms {
    /// How its messages are sealed.
    pub suite: Suite,
    /// Flags that every message under it must carry.
    pub flags: Flags,
    /// Who may read.
    pub scope: ScopeId,
    /// Which validity interval.
    pub epoch: Epoch,
    /// How often the scope was revoked before.
    pub bump: Bump,
    /// Nobody seals before.
    pub nbf: UnixMillis,
    /// Nobody seals from then on (the paper's `val`).
    pub exp: UnixMillis,
    /// Nobody opens after.
    pub dec: UnixMillis,
}

/// A temporary key and everything that goes with it.
#[derive(Debug)]
pub struct KeyEntry {
    /// Its name, which commits to key and terms.
    pub key_id: KeyId,
    /// The key.
    pub key_t: KeyT,
    /// What it is for.
    pub terms: KeyTerms,
    /// Since when its bump holds: `max(nbf, time of the bump)`. The id does not commit to it; the answer's signature does.
    pub from: UnixMillis,
}

/// A key entry that does not hold together. Whoever sent it is at fault: take none of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyEntryError {
    /// Epoch of the terms and of the id differ.
    #[error("the key id is for another epoch than the entry says")]
    Epoch,
    /// Bump of the terms and of the id differ.
    #[error("the key id is for another bump than the entry says")]
    Bump,
    /// Not `nbf < exp ≤ dec`, or `from` outside `[nbf, exp]`.
    #[error("the times of the entry are not in order: nbf < exp <= dec, nbf <= from <= exp")]
    Times,
    /// A suite that is for sources only.
    #[error("the key is for a suite that only sources seal with")]
    Suite,
    /// The id does not commit to this key and these terms.
    #[error("the key id does not commit to this key and these terms")]
    Commit,
}

impl KeyEntry {
    /// Puts an entry together and names it.
    pub fn new(tag: ScopeTag, key_t: KeyT, terms: KeyTerms, from: UnixMillis) -> Self {
        let key_id = schedule::key_id(&key_t, tag, &terms);
        Self { key_id, key_t, terms, from }
    }

    /// Checks that the fields agree with the id and that the id commits to key and terms. About 1 µs.
    pub fn verify(&self) -> Result<(), KeyEntryError> {
        let KeyTerms { suite, epoch, bump, nbf, exp, dec, .. } = self.terms;
        if !suite.is_for_readers() {
            Err(KeyEntryError::Suite)
        } else if self.key_id.epoch() != epoch {
            Err(KeyEntryError::Epoch)
        } else if self.key_id.bump() != bump {
            Err(KeyEntryError::Bump)
        } else if nbf >= exp || exp > dec || self.from < nbf || self.from > exp {
            Err(KeyEntryError::Times)
        } else if self.key_id.commit() != schedule::commit(&self.key_t, &self.terms) {
            Err(KeyEntryError::Commit)
        } else {
            Ok(())
        }
    }

    /// A second copy. Named so that copies of secrets are seen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { key_id: self.key_id, key_t: self.key_t.duplicate(), terms: self.terms, from: self.from }
    }
}

#[cfg(test)]
mod tests;
