//! The SDK for programs that read: enrol, subscribe, obtain keys, open, filter.
//!
//! ```no_run
#![doc = include_str!("../examples/read.rs")]
//! ```
//!
//! An administrator's one-time token becomes an [`Identity`] ([`enrol`]); [`topics`] lists what it may subscribe,
//! [`may_subscribe`] says why or why not. A
//! [`Reader`] keeps one MQTT 5 session, asks for keys by itself, ahead of time where it can, and tells what comes as
//! [`Event`]s: items, opened and verified, each once, and everything that is not as it should be. What each event means,
//! and what nobody can prove: `docs/guide/reading.md`.
//!
//! In message order: the MQTT session (`link`) hands messages to the state of the reader (`session`), which has no I/O and
//! no clock, and which the task in [`Reader`] drives; key requests leave over HTTP (`server`) or MQTT (`ways`).
#![warn(missing_docs)]

mod enrol;
mod identity;

mod event;
mod link;
mod minimum;
mod reader;
mod session;
mod state;

mod server;
mod topics;
mod ways;

mod backoff;
mod clock;
mod error;

#[cfg(test)]
mod fixture;

pub use clock::SystemClock;
pub use enrol::{EnrolError, enrol};
pub use event::{Event, RejectReason, Status};
pub use identity::{Identity, IdentityFileError, ReservedFile};
pub use link::ConnectError;
pub use minimum::{Minimum, MinimumError};
pub use reader::{FilterRefused, Reader, ReaderError, ReaderOptions, RefusalReason, SubscribeError};
pub use server::ServerError;
pub use state::StateError;
pub use topics::{FilterAnswer, TopicsError, may_subscribe, topics};
pub use ways::{KeysOver, KeysOverError};
