//! The subscriber SDK: enrol, subscribe, obtain keys, open, filter
#![warn(missing_docs)]

mod backoff;
mod clock;
mod enrol;
mod identity;
mod link;
mod minimum;
mod server;
mod topics;

#[cfg(test)]
mod fixture;

pub use clock::SystemClock;
pub use enrol::{EnrolOptions, EnrolmentError, enrol};
pub use identity::{Identity, IdentityFileError, ReservedFile};
pub use link::ConnectError;
pub use minimum::{Minimum, MinimumError};
pub use server::ServerError;
pub use topics::{TopicsError, topics};
