//! What can go wrong in the KTM, and who is at fault.

use crate::custody::CustodyError;
use aups_core::{KeyId, NosId, ScopeId};
use aups_store::StoreError;
use thiserror::Error;

/// Why the KTM did not do it. That a key is not served is no error: [`crate::KeysTopicsManager::resolve`] answers `None`.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KtmError {
    /// The store is at fault; nothing was handed out.
    #[error("the KTM's store failed")]
    Store(#[from] StoreError),
    /// Whoever started us gave another KEK than the one under which this store was made.
    #[error(
        "the keyring does not fit this store: put back the one that it was last used with \
         (if it is lost, so is every key; restore a backup, or begin anew in an empty data directory)"
    )]
    WrongKek,
    /// What holds the key-encryption key is not taken, or its keyring.
    #[error(transparent)]
    Custody(#[from] CustodyError),
    /// A record is not of the form that this version writes.
    #[error("the record `{key}` cannot be read: was it written by a later version? Else restore a backup")]
    Record {
        /// Where it stands in the store.
        key: String,
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
    /// A record does not fit the secret wrapped inside it: somebody changed the store.
    #[error("the record `{key}` was altered: restore a backup")]
    Altered {
        /// Where it stands in the store.
        key: String,
    },
    /// The administrator's settings are out of range.
    #[error("{setting} must lie between {least} and {most} seconds")]
    Setting {
        /// Which.
        setting: &'static str,
        /// At least so many seconds.
        least: u64,
        /// At most so many seconds.
        most: u64,
    },
    /// The caller asks for a scope that does not exist, or no longer: ensure it first.
    #[error("there is no scope {0}, or it was destroyed: ensure it first")]
    UnknownScope(ScopeId),
    /// The caller names a key that was never served, or whose root is destroyed.
    #[error("there is no key {0}, or it was destroyed")]
    UnknownKey(KeyId),
    /// The caller's fault: the id is not the hash of the rest in this realm.
    #[error("the scope {0} is not named by the hash of what it says, in this realm")]
    ForeignScope(ScopeId),
    /// The caller's fault: what NOSs seal for readers has another suite.
    #[error("the scope {0} asks for a suite that only sources seal with")]
    SuiteForSources(ScopeId),
    /// A policy asks for keys that live shorter or longer than the KTM allows.
    #[error("keys may live {least} to {most} ms, a policy says {asked}: change its `@keylife`, or the root period")]
    Life {
        /// What the scope says, in milliseconds.
        asked: u64,
        /// At least, in milliseconds.
        least: u64,
        /// At most, in milliseconds: the root period of the generation that the key would come from.
        most: u64,
    },
    /// Policies make more scopes than we keep.
    #[error("there are {most} scopes already: make policies coarser, or wait until unused ones are forgotten")]
    ScopesFull {
        /// How many are kept.
        most: usize,
    },
    /// Too many NOSs.
    #[error("there are {most} NOSs already")]
    PublishersFull {
        /// How many are listed.
        most: usize,
    },
    /// A counter is at its end.
    #[error("the NOS {0} cannot begin another time: give it a new id")]
    IncarnationsUsedUp(NosId),
    /// The root of the current epoch is destroyed: the clock is days behind.
    #[error("the root of the keys of this time is destroyed: the clock is behind, set it")]
    RootDestroyed,
    /// No epoch holds the present time.
    #[error("the clock is out of range: set it")]
    Clock,
    /// Other instances won every race for a record; try again.
    #[error("`{key}` is being changed by others all the time: try again")]
    Contended {
        /// Where it stands in the store.
        key: String,
    },
    /// A TLS certificate could not be made: our fault, or that of whoever sent the public key.
    #[error("a certificate cannot be made")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A name that no certificate for a listener is made for, or too many of them. Whoever set them is at fault.
    #[error(
        "no certificate for `{0}`: a listener has 1 to 32 names, DNS names or IP addresses, none below aups.internal"
    )]
    ServerName(String),
    /// The KTM runs elsewhere and did not answer, or not in a way that we understand. Try again.
    #[error("the KTM cannot be asked: {why}")]
    Away {
        /// What went wrong.
        why: String,
    },
    /// This NOS has no lease: it has not heard from the KTM for too long, or does not keep up. It goes on by itself when it
    /// does again.
    #[error("this NOS holds no lease of the KTM: nothing is sealed and no key is served until it does")]
    NoLease,
    /// The clock of this NOS is wrong, or that of the KTM.
    #[error(
        "the clocks of this NOS and of the KTM differ by {skew_ms} ms: set them; nothing is sealed and no key is served until then"
    )]
    Skew {
        /// How far this NOS's wall clock is ahead, in milliseconds.
        skew_ms: i64,
    },
    /// The KTM does not know this NOS, or no longer.
    #[error("the KTM has not admitted this NOS, or has removed it: admit it anew")]
    NotAdmitted,
    /// A task of ours ended before it answered: the program is stopping.
    #[error("the KTM is stopping")]
    Stopping,
}

impl KtmError {
    /// Whether it ends by itself when a KTM that runs elsewhere is heard of again.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::NoLease | Self::Skew { .. })
    }
}
