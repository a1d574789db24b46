//! The embedded MQTT broker behind a [`Gate`] that says who may do what.
#![warn(missing_docs)]

mod barrier;
pub mod broker;
pub mod gate;
mod kept;
mod presence;
pub mod settings;

pub use broker::{Broker, BrokerError, Delivered, Outgoing, Stats};
pub use gate::{Connect, Gate, Refusal, Verdict};
pub use settings::{BrokerLimits, BrokerSettings};
