//! What a reader is told.

use crate::{link::ConnectError, reader::FilterRefused};
use aups_core::{Item, KeyId, Topic};
use aups_envelope::accept::Rejection;
use serde::Serialize;
use serde_json::value::RawValue;
use std::{fmt, time::Duration};
use thiserror::Error;

/// What happened, in order. Of one topic, messages come in the order in which the broker delivered them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// An item that the reader may read, opened and verified. No item comes twice.
    Item {
        /// Where it was published.
        topic: Topic,
        /// What was published.
        item: Box<Item>,
        /// The same as the NOS wrote it.
        json: Box<RawValue>,
        /// How current it is.
        status: Status,
    },
    /// A message that the reader must not open, by the server's word. The server does not tell forbidden from unknown.
    Denied {
        /// Where it was published.
        topic: Topic,
        /// The key that was not given.
        key_id: KeyId,
    },
    /// A message, or an item, that was there before. Dropped.
    Duplicate {
        /// Where it was published.
        topic: Topic,
    },
    /// A message too far behind the newest to tell whether it was there before, or a retained one that is not newer than
    /// what came. Dropped.
    Stale {
        /// Where it was published.
        topic: Topic,
    },
    /// Messages of a topic that did not come: lost, not yet here, or under keys that the reader is not given.
    Gap {
        /// Where they were published.
        topic: Topic,
        /// How many.
        missed: u32,
    },
    /// A message that is not as it must be. Dropped; whoever can publish on the topic, or alter what is published, is at fault.
    Rejected {
        /// Where it was published.
        topic: Topic,
        /// What is wrong.
        reason: RejectReason,
    },
    /// Keys are needed and do not come. Messages wait; the reader asks again by itself.
    KeysUnavailable {
        /// Why.
        reason: String,
        /// When it asks again.
        retry_in: Duration,
    },
    /// What came over MQTT as the answer to a key request is not right: somebody poses as the NOS. The reader goes on waiting
    /// for the right one. Told once for each request.
    AnswerRejected {
        /// What is wrong.
        reason: String,
    },
    /// The state file cannot be written. Nothing more is acknowledged to the broker until it can.
    StateUnwritten {
        /// Why.
        reason: String,
    },
    /// This machine's clock and the server's differ. Told once, and again when it gets better or worse.
    ClockSkew {
        /// How far this machine's clock is ahead of the server's, in milliseconds; negative where it is behind.
        ahead_ms: i64,
        /// Whether it is too far for messages to be accepted: they wait until the clock is set.
        too_far: bool,
    },
    /// The connection to the broker is lost. The reader connects again by itself.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Connected again.
    Reconnected {
        /// Whether the broker still had the session. If not, messages published in between are lost to this reader.
        session_present: bool,
    },
    /// A filter that was subscribed is refused after a reconnection: the reader's rights have changed.
    Unsubscribed(FilterRefused),
    /// The broker refuses this reader from now on. The last event.
    Ended(ConnectError),
}

/// How current an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Sealed a moment ago, and in order.
    Fresh,
    /// Valid, but old or out of order.
    Late,
    /// What the broker kept as the last of the topic. Nobody vouches for when it was sent.
    Retained,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fresh => "fresh",
            Self::Late => "late",
            Self::Retained => "retained",
        })
    }
}

/// Why a message was rejected.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// It breaks the rules of the sealed message.
    #[error(transparent)]
    Message(#[from] Rejection),
    /// What it holds is not an item.
    #[error("the plaintext is not an item: {0}")]
    Item(String),
    /// So much waits for keys already that there is no room for it. Comes to messages with QoS 0 only: the broker holds the
    /// others back.
    #[error("too many messages wait for keys")]
    HoldFull,
}
