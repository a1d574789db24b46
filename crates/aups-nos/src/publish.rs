//! Where sealed messages go, and how their acknowledgement comes back.

mod remote;

pub use remote::{BrokerUrl, BrokerUrlError, RemoteBroker};

use aups_core::Topic;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

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
}

/// Resolves once every message of a batch was acknowledged by the broker, or one of them will not be.
pub type Receipt = BoxFuture<'static, Result<(), SinkError>>;

/// A broker as the pipeline sees it: it takes batches in order and gives a receipt for each.
///
/// A batch that failed, at once or by its receipt, is handed over again, with all that came after it: a sink may see a
/// message twice and readers tell duplicates by the item's id.
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
