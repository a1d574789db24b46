//! What the KTM does for NOSs: the trait that a network crosses ([`crate::link`]).

use crate::error::KtmError;
use aups_core::{KeyId, NosId, PublisherSlot, ScopeId, ScopeSpec, ScopeTag, UnixMillis};
use aups_envelope::{KeyEntry, VerifyingKey};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use tokio::sync::watch;

/// The Keys Topics Manager as NOSs see it: what administrators may do besides stands at [`crate::Ktm`].
///
/// Every call is safe to repeat; only [`begin_incarnation`](Self::begin_incarnation) then counts twice. What is read is right
/// as of some moment during the call.
pub trait KeysTopicsManager: Send + Sync + 'static {
    /// Gives a NOS that starts its slot (the same for ever, from 1) and the number of this start (from 1, rising).
    ///
    /// From then on readers are told to verify its signatures with `signing_key`: a NOS keeps its key, else readers can
    /// no longer verify what it signed before.
    fn begin_incarnation<'a>(
        &'a self,
        nos: &'a NosId,
        signing_key: VerifyingKey,
    ) -> BoxFuture<'a, Result<Incarnation, KtmError>>;

    /// Whether what the caller knows of policies and registrations is what holds now: if not, it decides nothing.
    fn current(&self) -> Result<(), KtmError> {
        Ok(())
    }

    /// Makes sure that the scope exists, whoever else asks for it at the same time. No I/O if it does.
    fn ensure_scope<'a>(&'a self, spec: &'a ScopeSpec) -> BoxFuture<'a, Result<ScopeTag, KtmError>>;

    /// The key to seal with now.
    ///
    /// Ask for every batch: it costs no I/O and a copy of a key, and a bump shows at once.
    /// [`KtmError::UnknownScope`]: it was destroyed; ensure it anew.
    fn sealing_key<'a>(&'a self, scope: &'a ScopeId) -> BoxFuture<'a, Result<KeyEntry, KtmError>>;

    /// The key of an id, for a reader whom the caller then checks against the scope.
    ///
    /// `None` says nothing more: unknown, altered, never current, too far ahead, past its `dec`, or destroyed.
    fn resolve<'a>(&'a self, key_id: &'a KeyId) -> BoxFuture<'a, Result<Option<Resolved>, KtmError>>;

    /// A certificate for every NOS, signed with the realm key (JWS, typ `aups-nos`), good for twelve more hours at least.
    fn publishers(&self) -> BoxFuture<'_, Result<Vec<String>, KtmError>>;

    /// Counts what changes keys otherwise than time does: bumps and destructions. A NOS asks again for the keys of its scopes
    /// when it moves, and re-seals what a broker retains.
    fn revisions(&self) -> watch::Receiver<u64>;

    /// Which scopes there are: a NOS forgets what it knows of others.
    fn scope_ids(&self) -> BoxFuture<'_, Result<Vec<ScopeId>, KtmError>>;
}

/// A start of a NOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incarnation {
    /// The NOS's slot: in the header of everything that it publishes.
    pub publisher: PublisherSlot,
    /// Which start this is: the high half of its session.
    pub incarnation: u32,
}

/// What a NOS seals with.
#[derive(Debug)]
pub struct SealingKeys {
    /// The key of now.
    pub current: KeyEntry,
    /// The key from `current.terms.exp` on, unless a bump comes before.
    pub next: KeyEntry,
}

impl SealingKeys {
    /// A second copy. Named so that copies of secrets are seen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { current: self.current.duplicate(), next: self.next.duplicate() }
    }
}

/// A key that may be served to whoever satisfies its scope.
#[derive(Debug)]
pub struct Resolved {
    /// Who may have it.
    pub spec: Arc<ScopeSpec>,
    /// The key.
    pub key: KeyEntry,
    /// The following epoch's, if `key` is of the current one.
    pub next: Option<KeyEntry>,
}

impl Resolved {
    /// A second copy. Named so that copies of secrets are seen.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let (spec, next) = (Arc::clone(&self.spec), self.next.as_ref().map(KeyEntry::duplicate));
        Self { spec, key: self.key.duplicate(), next }
    }
}

/// A row of the paper's KTM table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRow {
    /// The key's name.
    pub key_id: KeyId,
    /// When it expires: nobody seals from then on.
    pub val: UnixMillis,
    /// Who may read, in words.
    pub atb: String,
    /// Where it is in its life.
    pub state: KeyState,
}

/// Where a key is in its life, as in NIST SP 800-57 part 1, section 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// Of the next epoch: handed out ahead, sealed with by nobody yet.
    PreActivation,
    /// Sealed with.
    Active,
    /// Only opened with, until its `dec`.
    Deactivated,
    /// Gone for good.
    Destroyed,
    /// Somebody has it who should not: never served again.
    Compromised,
}

/// As in JSON: `pre-activation`, `active`, `deactivated`, `destroyed`, `compromised`.
impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreActivation => "pre-activation",
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Destroyed => "destroyed",
            Self::Compromised => "compromised",
        })
    }
}
