//! What must survive: the versioned [`Store`] of everything that is administered (registrations, policies, scopes, roots,
//! counters), and the ingest [`queue`] of what sources sent and nobody has published yet.
//!
//! The store is small, shared by all roles, and exact: every change is a transaction with expectations, has a revision, and
//! is seen by watchers. [`Embedded`] keeps it in a directory, one process at a time; [`InMemory`] is for tests. One
//! conformance suite runs on both.
#![warn(missing_docs)]

mod disk;
pub mod embedded;
pub mod memory;
pub mod queue;
pub mod store;
pub mod watch;

#[cfg(test)]
mod conformance;

pub use disk::OpenError;
pub use embedded::Embedded;
pub use memory::InMemory;
pub use queue::{DeadLetter, IngestQueue, Mark, QueueError, QueueLimits};
pub use store::{Change, Expect, Listed, Revision, Store, StoreError, Versioned};
pub use watch::{Changed, Event, Watch};
