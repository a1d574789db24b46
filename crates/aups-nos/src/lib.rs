//! The Networked Smart Object: takes data in over HTTP, makes items of it, and publishes them sealed for whoever the
//! policies name; gives those readers their keys.
//!
//! In the order of a value's way: [`southbound`](crate::Nos::router) takes it from a source ([`sources`]), strictly
//! ([`json`]); it is mapped to a reading ([`normalise`]) and scored ([`analyse`]), gets its [`topic`], and is in the
//! backlog when the source is told 202. One worker takes it from there: the policy enforcement point permits it, it is
//! sealed, handed to the broker ([`publish`]), and leaves the backlog when the broker acknowledged it. Readers ask the key
//! service for the keys.
//!
//! INVARIANT: sealing takes only what the policy enforcement point permitted; nothing else reaches a [`Sink`].
//!
//! # Metrics
//!
//! | name | |
//! | --- | --- |
//! | `aups_items_accepted_total` | items taken (202) |
//! | `aups_items_raw_total` | items of schema `raw`: what they were made of fitted no mapping |
//! | `aups_mapping_times_unread_total{mapping}` | values that a mapping did not fit because it could not read their time |
//! | `aups_score_override_errors_total` | expressions of an administrator that gave no score: the formula's stood |
//! | `aups_items_published_total` | items published and acknowledged by the broker |
//! | `aups_items_resealed_total` | retained messages that were sealed anew, or cleared, because keys or policies changed |
//! | `aups_notifications_total` | items that say on another topic that there was one, because a policy demands it |
//! | `aups_items_withheld_total{reason}` | items that left the queue unpublished: `nobody-may-read`, `policy-failed`, `too-many-scopes`, `no-keys`, `source-gone`, `unsealable`, `unreadable` |
//! | `aups_policy_errors_total` | decisions that failed, on items and on keys: each a no |
//! | `aups_scope_cache_hits_total`, `aups_scope_cache_misses_total` | items whose scope was found ready; items for which policies were evaluated |
//! | `aups_scope_cache_entries` | gauge: how many kinds of items the scope is kept for |
//! | `aups_offences_total{offence}` | what senders did wrong: `over-quota`, `wrong-credential`, `claim-token`, `replay`, `malformed` |
//! | `aups_quarantines_total{reason}` | senders put in quarantine, by the offence that was one too many or `by-hand` |
//! | `aups_quarantined_senders` | gauge: senders that are kept out |
//! | `aups_requests_refused_total{code}` | requests refused, by the code of their problem type |
//! | `aups_key_requests_dropped_total{reason}` | key requests over MQTT that were not answered: `rate` of their topic, `full` queue |
//! | `aups_keys_granted_total`, `aups_keys_denied_total` | keys asked for, and what came of it |
//! | `aups_backlog_items`, `aups_batches_in_flight` | gauges: taken and not acknowledged; batches at the broker |
//! | `aups_publish_latency_seconds` | histogram: from reception to hand-over to the broker, of the first item of each batch |
#![warn(missing_docs)]

mod nos;

mod southbound;

pub mod sources;

pub mod json;

mod accept;

pub mod normalise;

pub mod analyse;

pub mod topic;

mod pipeline;

mod pep;

mod redact;

mod notify;

mod seal;

pub mod publish;

mod retained;

mod usage;

mod key_service;

pub mod config;
pub mod settings;

pub mod trial;

mod bounded_log;
mod problem;
pub mod quarantine;
mod rate;
mod trace;

#[cfg(test)]
mod fixture;

pub use config::{ActiveConfig, Config, ConfigError, ConfigInForce};
pub use key_service::mqtt::{KeyRequests, WaitingKeyRequests, key_request_queue};
pub use key_service::{
    DeniedKey, GrantedKey, KeyLedger, KeyOutcome, LedgerError, Origin, Reader, ReaderKeys, Readers, is_fresh,
};
pub use nos::{Nos, NosParts, StartError};
pub use pipeline::dead_letters::{Dead, DeadLetterError, DeadLetters, DeadReason, LISTED_MAX, Obituary};
pub use problem::{PROBLEM_JSON, problem_response, retry_after};
pub use publish::{Outgoing, Qos, Receipt, Sink, SinkError};
pub use quarantine::Quarantine;
pub use rate::{Allowance, Buckets, Rate};
pub use settings::{BacklogLimits, Durability, KeyServiceLimits, NosSettings, Registration, Transport};
pub use sources::Sources;
pub use southbound::body::check_content_coding;
pub use usage::{UNREGISTERED_USES_MAX, USES_MAX, Usage, UsageError};
