//! Where sealed messages go, and how their acknowledgement comes back.

mod remote;

pub use remote::{BrokerUrl, BrokerUrlError, RemoteBroker};

use aups_core::Topic;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How a message is delivered (MQTT 5 section 4.3). In JSON its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum Qos {
    /// QoS 0: nobody acknowledges it.
    AtMostOnce,
    /// QoS 1: the broker acknowledges it.
    AtLeastOnce,
}

impl From<Qos> for u8 {
    fn from(qos: Qos) -> Self {
        match qos {
            Qos::AtMostOnce => 0,
            Qos::AtLeastOnce => 1,
        }
    }
}

impl TryFrom<u8> for Qos {
    type Error = NoQos;

    fn try_from(number: u8) -> Result<Self, NoQos> {
        match number {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            _ => Err(NoQos(number)),
        }
    }
}

/// A number that is no QoS of ours. Whoever configured it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("items are published at QoS 0 or 1, not {0}")]
pub struct NoQos(u8);

/// A message on its way to a broker: a sealed one, or an answer of the key service.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Where to.
    pub topic: Topic,
    /// What is sent.
    pub payload: Bytes,
    /// The content type (MQTT 5 section 3.3.2.3.9).
    pub content_type: &'static str,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// How it is delivered.
    pub qos: Qos,
}

/// Resolves once every message of a batch at QoS 1 was acknowledged by the broker, or one of them will not be.
pub type Receipt = BoxFuture<'static, Result<(), SinkError>>;

/// A broker as the pipeline sees it: it takes batches in order and gives a receipt for each.
///
/// A batch that failed, at once or by its receipt, is handed over again, with all that came after it: a sink may see a
/// message twice and readers tell duplicates by the item's id. What is at QoS 0 is not handed over again once it was taken.
pub trait Sink: Send + Sync + 'static {
    /// Hands a batch over. Waits while the sink has no room.
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>>;

    /// Sends one message at QoS 0, past the batches that wait: it is kept for nobody, and nobody is told whether it arrived.
    fn send(&self, message: Outgoing) -> BoxFuture<'static, ()>;

    /// Whether the broker can be reached now.
    fn connected(&self) -> bool;

    /// What the broker retains, as far as it tells us. A broker elsewhere does not: what it retained before this process
    /// began stays as it was sealed until something new comes on its topic.
    fn retained(&self) -> BoxFuture<'static, Vec<(Topic, Bytes)>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// Why a batch was not published. The broker, or the way to it, is at fault; it is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// No connection, or it broke before the acknowledgement.
    #[error("the broker is out of reach: {0}")]
    Unreachable(String),
    /// The broker refused a message.
    #[error("the broker refused a message: {0}; may this NOS publish on its topics?")]
    Refused(String),
}
