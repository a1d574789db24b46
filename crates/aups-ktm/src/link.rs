//! The link: the network that [`KeysTopicsManager`](crate::KeysTopicsManager) crosses when NOSs run apart from the KTM.
//!
//! On the KTM's side stands a [`LinkServer`], on a NOS's side a [`RemoteKtm`]. What goes between them is HTTP in TLS with
//! certificates of the realm's authority on both sides ([`crate::ca`]); `docs/protocol.md` has the form.
//!
//! ```text
//!  NOS                                                        KTM
//!  admit      token, public key  ─────────────────────────▶   certificate, name, realm key      once, without a certificate
//!  revisions  from N             ◀═════════════════════════   every transaction, as it happens  for as long as the link holds
//!  lease      what was applied   ─────────────────────────▶   30 s                              every 5 s, and after each change
//!  keys       scopes             ─────────────────────────▶   key of now, next key              once per scope and epoch
//! ```
//!
//! INVARIANTS, which together let a revocation say when it is done ([`LinkServer::settled`]):
//! - a NOS seals and serves keys only while it holds a lease, which it counts from when it asked;
//! - it uses a key only once it has applied the revision of the record that the key comes from;
//! - it renews its lease only while what it follows was applied without a fault, and the KTM does not renew the lease of one
//!   that stays behind.

mod cache;
mod discipline;
mod follow;
pub(crate) mod history;
mod identity;
mod listener;
mod listener_identity;
mod nodes;
mod remote;
mod revisions;
mod routes;
mod server;
mod wire;

pub use discipline::DisciplinedClock;
pub use listener_identity::ListenerIdentity;
pub use remote::{Lease, LinkError, LinkSettings, RemoteKtm};
pub use server::{LinkParts, LinkServer};

use aups_core::{NosId, PublisherSlot, ScopeId, Topic, UnixMillis};
use aups_envelope::{Secret, b64};
use aups_store::{Changed, Revision};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, str::FromStr, time::Duration};
use thiserror::Error;

/// How long a NOS goes on without hearing from the KTM. A revocation is done everywhere after so long at the latest.
pub const LEASE: Duration = Duration::from_secs(30);

/// How often a NOS renews its lease.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(5);

/// How long an admission token holds.
pub const ADMISSION_LIFE: Duration = Duration::from_mins(15);

/// Most scopes whose keys a NOS keeps, about 1 KB each. Of more, the KTM is asked again.
pub const SCOPES_CACHED_MAX: usize = 32_768;

/// Most keys that a NOS keeps for readers who ask, about 2 KB each.
pub const RESOLVED_CACHED_MAX: usize = 16_384;

/// Largest request that is taken over a link, in bytes: a scope with residuals as long as they may be.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Largest answer, in bytes.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Longest line of the stream of revisions, in bytes: the largest transaction of a store, in base64.
pub const REVISION_LINE_BYTES_MAX: usize = 32 << 20;

/// Most bytes of records in one snapshot.
pub const SNAPSHOT_BYTES_MAX: usize = 512 << 20;

/// Most scopes whose keys are asked for at once.
pub const SCOPES_ASKED_MAX: usize = 256;

/// Most uses of topics that are reported at once.
pub const USES_REPORTED_MAX: usize = 4_096;

/// What an administrator gives a new NOS: it may be admitted with it, once, within [`ADMISSION_LIFE`].
///
/// As text: `<base64url of 32 random bytes>.<base64url of the SHA-256 of the authority's public key>`. The second half lets the
/// NOS know the realm's KTM before it trusts anybody.
#[derive(Debug)]
pub struct AdmissionToken {
    pub(crate) secret: Secret<32>,
    pub(crate) authority: [u8; 32],
}

/// A text that is no admission token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not an admission token: two parts of 43 characters with a dot between, as `aups ktm admit-nos` prints it")]
pub struct AdmissionTokenError;

impl AdmissionToken {
    /// The text, to be shown to its receiver once.
    pub fn expose(&self) -> String {
        format!("{}.{}", b64::encode(self.secret.expose()), b64::encode(&self.authority))
    }
}

impl FromStr for AdmissionToken {
    type Err = AdmissionTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (secret, authority) = text.split_once('.').ok_or(AdmissionTokenError)?;
        let secret = b64::decode_array(secret).map(Secret::from_bytes).map_err(|_| AdmissionTokenError)?;
        Ok(Self { secret, authority: b64::decode_array(authority).map_err(|_| AdmissionTokenError)? })
    }
}

/// A NOS as the KTM knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub nos: NosId,
    /// When it was admitted. `None`: it has a token that it has not used.
    pub admitted: Option<UnixMillis>,
    /// When its certificate expires: it renews it long before.
    pub certificate_expires: Option<UnixMillis>,
    /// Its slot, once it began.
    pub publisher: Option<PublisherSlot>,
    /// Its starts.
    pub incarnation: Option<u32>,
    /// Whether it follows revisions now.
    pub connected: bool,
    /// How long it may still seal and serve keys if it is not heard of again, in milliseconds; 0: it may not.
    pub lease_ms: u64,
    /// The revision up to which it has applied everything, as far as it said.
    pub applied: Revision,
    /// How far its wall clock is ahead of ours, in milliseconds, as it measured.
    pub skew_ms: Option<i64>,
}

/// What the rest of the KTM's process does for NOSs.
pub trait LinkHost: fmt::Debug + Send + Sync + 'static {
    /// Answers an enrolment (`POST /v1/enrol`) that a NOS took.
    fn enrol<'a>(&'a self, nos: &'a NosId, enrolment: Enrolment) -> BoxFuture<'a, Enrolled>;

    /// Takes note of what a NOS published under.
    ///
    /// An error is told to the NOS, which reports again later.
    fn uses<'a>(&'a self, nos: &'a NosId, uses: Vec<TopicUse>) -> BoxFuture<'a, Result<(), HostError>>;
}

/// What went wrong in the rest of a process. Logged there, not told to the other side.
pub type HostError = Box<dyn std::error::Error + Send + Sync>;

/// An enrolment as a NOS took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The body of the request.
    pub request: Bytes,
    /// Where it came from, as the NOS sees it.
    pub from: IpAddr,
    /// Where readers reach the NOS.
    pub server_url: String,
    /// Where they reach its broker.
    pub mqtt_url: String,
    /// Whose certificates they find there, in PEM; none: the system knows, or there is no TLS.
    pub ca: Option<String>,
}

/// The answer to an enrolment, for the NOS to pass on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// HTTP status.
    pub status: u16,
    /// Media type.
    pub content_type: String,
    /// Body.
    pub body: Bytes,
}

/// That something was published on a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicUse {
    /// Where.
    pub topic: Topic,
    /// Under which scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<ScopeId>,
    /// Whether its source is registered.
    pub registered: bool,
}

/// A NOS's copy of what it follows: policies, registrations.
///
/// Called in the order of revisions, one call at a time. A revision counts as applied, and is told to the KTM as such, when the
/// call returned: from then on nothing may be decided by what was before. After an error nothing more is sealed or served when
/// the lease ends, and the link begins anew with a snapshot.
pub trait Follower: fmt::Debug + Send + Sync + 'static {
    /// Everything there is, as of a revision: what is not in it is gone. Comes first, and whenever the KTM no longer knows
    /// what happened since.
    fn snapshot(&self, revision: Revision, records: Vec<Record>) -> BoxFuture<'_, Result<(), HostError>>;

    /// What one transaction changed, as far as it is followed.
    fn apply(&self, revision: Revision, changes: Vec<Changed>) -> BoxFuture<'_, Result<(), HostError>>;
}

/// A record that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its key in the KTM's store.
    pub key: String,
    /// Its value.
    pub value: Bytes,
}

#[cfg(test)]
mod tests;
