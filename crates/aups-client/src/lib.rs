//! The subscriber SDK: enrol, subscribe, obtain keys, open, filter
#![warn(missing_docs)]

mod backoff;
mod clock;
mod link;
mod minimum;
mod server;

pub use clock::SystemClock;
pub use link::ConnectError;
pub use minimum::{Minimum, MinimumError};
pub use server::ServerError;
