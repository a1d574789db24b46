//! The Keys Topics Manager: roots, scopes, epochs, bumps, publisher slots.
//!
//! [`Ktm`] does for NOSs and administrators what [`KeysTopicsManager`] says. It keeps little and derives the rest, so that
//! any instance over the same store computes the same keys without asking another:
//!
//! ```text
//! keyT = HKDF(scope's salt, root of the generation of nbf, scopeId, epoch, bump)      aups_envelope::schedule
//! ```
//!
//! What it keeps, as JSON in the [`Store`](aups_store::Store), secrets wrapped under the KEK ([`custody`]):
//!
//! | key | record |
//! | --- | --- |
//! | `ktm/kek` | random bytes wrapped under the KEK: tells a keyring that does not fit at the start |
//! | `ktm/realm` | the realm's public key, its seed wrapped |
//! | `ktm/root/<number, ten digits>` | a root generation: the `nbf`s it covers, history, longest life, the root wrapped |
//! | `ktm/scope/<scopeId>` | a scope: tag, residuals and terms, bumps with their times, when last used, the salt wrapped |
//! | `ktm/tag/<scopeTag>` | the scopeId of a tag; makes tags unique |
//! | `ktm/shredded/<scopeTag>` | what people are told of a destroyed scope: the names of its newest keys |
//! | `ktm/publisher/<nosId>` | a NOS: slot, incarnation, signing key |
//! | `ktm/slots` | the last publisher slot that was given |
//! | `ktm/clock` | when the clock was last looked at, and since when it has not jumped |
//! | `ktm/ca` | the realm's certificate authority, its private key wrapped under a data key, that wrapped under the KEK |
//! | `ktm/node/<nosId>` | a NOS that runs apart: hash of its admission token, fingerprints of its TLS certificates |
//! | `ktm/given/<nosId>/<scopeId>` | that this NOS was given a key of this scope: bumped when the NOS is removed |
//! | `ktm/history` | which history of the store NOSs follow; after a restore another |
//! | `nos/signing-key/<nosId>` | what a NOS of this process signs with, its seed wrapped |
//!
//! A wrapped secret is bound to its record's key and to the members that say what it is for: a store in which records were
//! exchanged or altered is refused, not believed.
//!
//! NOSs in other processes reach it over a [`link`], and follow its revisions there.
//!
//! # Metrics
//!
//! | name | kind | what |
//! | --- | --- | --- |
//! | `aups_ktm_scopes` | gauge | scopes in memory |
//! | `aups_ktm_bumps_total` | counter | bumps |
//! | `aups_ktm_keys_refused_total{reason}` | counter | keys that were asked for and are not served |
//! | `aups_link_requests_total{status}` | counter | what NOSs asked over links, at the KTM, by HTTP status |
//! | `aups_link_connections_refused_total` | counter | connections beyond the limit, at the KTM |
//! | `aups_ktm_skew_seconds` | gauge | how far the wall clock is ahead of the KTM's, at a NOS; beyond ±30 it stops |
//! | `aups_ktm_lease_held` | gauge | 1 while a NOS may seal and serve keys, else 0 |
//! | `aups_ktm_keys_asked_ahead_total` | counter | scopes whose next keys a NOS asked for ahead of time |
//!
//! INVARIANT: one process at a time writes to a store. Records are held in memory and every change is compared with the
//! store's revision, so that a second process can break nothing, makes nothing twice, and derives the same keys; but it
//! learns of a change made elsewhere only when it meets something new (a tag, a bump) or changes the record itself.
//! NOSs do not write to it: they ask.
#![warn(missing_docs)]

mod ktm;
mod service;

mod erase;
mod publisher;
mod root;
mod scope;
mod scopes;
mod steady;
mod table;

pub mod backup;
pub mod ca;
pub mod custody;
pub mod link;
pub mod realm;

#[cfg(test)]
mod fixture;

mod error;
mod records;

pub use ca::Ca;
pub use error::KtmError;
pub use ktm::{Ktm, KtmSettings, Revocation};
pub use link::{LinkServer, RemoteKtm};
pub use publisher::{CERTIFICATE_LIFE, PUBLISHERS_MAX};
pub use realm::Realm;
pub use scope::BUMPS_REMEMBERED_MAX;
pub use scopes::SCOPES_MAX;
pub use service::{Incarnation, KeyRow, KeyState, KeysTopicsManager, Resolved, SealingKeys};
pub use steady::STEADY_FOR;
pub use table::{ATB_CHARS_MAX, BumpTime, KEYS_LISTED_MAX, KEYS_LISTED_PER_SCOPE, KeyView, ScopeView, atb};
