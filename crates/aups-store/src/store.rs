//! The interface of every store, and the rules that all of them keep.

use crate::watch::Watch;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::{collections::BTreeSet, fmt};
use thiserror::Error;

/// Counts the transactions of a store: global, strictly rising, kept across restarts. Nothing was ever written at 0.
pub type Revision = u64;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// Largest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Most changes in one transaction: a revocation bumps every scope that its reader could read, in one.
pub const CHANGES_MAX: usize = 16_384;
/// Largest transaction, in bytes of keys and values.
pub const COMMIT_BYTES_MAX: usize = 16 << 20;

/// A value, and the transaction that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Bytes,
    /// The revision of the transaction that wrote this value.
    pub revision: Revision,
}

/// What a change expects to find; a transaction is done only if every expectation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Nothing in particular.
    Any,
    /// That the key is absent.
    Absent,
    /// That the value is still the one written by this revision.
    Revision(Revision),
}

impl Expect {
    pub(crate) fn holds(self, found: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

/// One change of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a value.
    Put {
        /// Where.
        key: String,
        /// What.
        value: Bytes,
        /// What must be found there.
        expect: Expect,
    },
    /// Removes a key; one that is absent already stays so. With [`Expect::Absent`]: a mere condition on the transaction.
    Delete {
        /// What to remove.
        key: String,
        /// What must be found there.
        expect: Expect,
    },
}

impl Change {
    /// Writes a value if the expectation holds.
    pub fn put(key: impl Into<String>, value: impl Into<Bytes>, expect: Expect) -> Self {
        Self::Put { key: key.into(), value: value.into(), expect }
    }

    /// Removes a key if the expectation holds.
    pub fn delete(key: impl Into<String>, expect: Expect) -> Self {
        Self::Delete { key: key.into(), expect }
    }

    /// The key that is changed.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } => key,
        }
    }

    /// What must be found there.
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } => key.len().saturating_add(value.len()),
            Self::Delete { key, .. } => key.len(),
        }
    }
}

/// Items with their keys, and the revision as of which they are listed.
pub type Listed = (Vec<(String, Versioned)>, Revision);

/// Why a store did not do it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The caller raced with another, or assumed wrongly: nothing was changed. Read again, decide again.
    #[error("`{key}` is not as the transaction expected")]
    Conflict {
        /// The first key whose expectation did not hold.
        key: String,
    },
    /// The caller's fault: a transaction that no store takes.
    #[error(
        "a transaction changes at most {CHANGES_MAX} different keys and {COMMIT_BYTES_MAX} bytes; keys have 1 to {KEY_BYTES_MAX} bytes, values at most {VALUE_BYTES_MAX}"
    )]
    Transaction,
    /// The disk failed or is full. Of a transaction it is unknown whether it was done; read again when the disk is well.
    #[error("the disk failed or is full; free space or look at the system's log, then try again")]
    Io(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was read is not what was written. Restore a backup.
    #[error("{what} is damaged; restore a backup")]
    Corrupt {
        /// What could not be read.
        what: &'static str,
    },
}

impl StoreError {
    /// Whether a raced expectation is the cause, so that reading and trying again may help at once.
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    pub(crate) fn io(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Io(source.into())
    }
}

/// What must survive, by key. Keys are texts like `scope/<id>`; a prefix is any beginning of a key.
///
/// Reads see every transaction that was answered before they began. A future that is dropped before it answers may or may
/// not have done its work.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// The value of a key, if it is there.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>>;

    /// Everything under a prefix in the order of keys, as of one moment: the revision to watch from.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listed, StoreError>>;

    /// Does all changes or none, durably before it answers; the revision is that of every value written.
    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Revision, StoreError>>;

    /// The transactions under a prefix after the revision `from`, in order, then those that come. See [`Watch`].
    fn watch(&self, prefix: &str, from: Revision) -> Watch;

    /// Writes one value if the expectation holds.
    fn put_if<'a>(&'a self, key: &str, value: Bytes, expect: Expect) -> BoxFuture<'a, Result<Revision, StoreError>> {
        self.commit(vec![Change::put(key, value, expect)])
    }

    /// Removes one key if the expectation holds.
    fn delete_if<'a>(&'a self, key: &str, expect: Expect) -> BoxFuture<'a, Result<Revision, StoreError>> {
        self.commit(vec![Change::delete(key, expect)])
    }
}

/// Refuses a transaction that breaks a limit or names a key twice.
pub(crate) fn check(changes: &[Change]) -> Result<(), StoreError> {
    let mut keys = BTreeSet::new();
    let mut bytes = 0_usize;
    let sound = !changes.is_empty()
        && changes.len() <= CHANGES_MAX
        && changes.iter().all(|change| {
            bytes = bytes.saturating_add(change.bytes());
            let value_fits = !matches!(change, Change::Put { value, .. } if value.len() > VALUE_BYTES_MAX);
            (1..=KEY_BYTES_MAX).contains(&change.key().len()) && value_fits && keys.insert(change.key())
        })
        && bytes <= COMMIT_BYTES_MAX;
    if sound { Ok(()) } else { Err(StoreError::Transaction) }
}
