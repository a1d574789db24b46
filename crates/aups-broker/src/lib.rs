//! The embedded MQTT broker behind a [`Gate`] that says who may do what.
//!
//! MQTT 3.1.1 and 5 over TCP or TLS, by the `mqtt5` crate, in the runtime of the caller. It carries what others sealed: this crate
//! depends on neither the envelope nor the KTM, and cannot decrypt.
//!
//! # Rights
//!
//! Whoever connects, subscribes, publishes or leaves a will is asked about at the [`Gate`]; nothing is allowed by default, and
//! nobody is anonymous. `$SYS` does not exist. A client id belongs to the user of its session as long as that lasts:
//! another user can neither resume nor end it. A refused subscription is answered with 0x87 (MQTT 3.1.1: 0x80), a refused
//! message with PUBACK 0x87, and goes nowhere. MQTT 3.1.1 has no word for that: the crate sends those clients the PUBACK of
//! MQTT 5, which Mosquitto's take for an acknowledgement, and stricter ones for a reason to disconnect. Rights
//! are asked when a client subscribes and when it resumes a session, not per delivery: whoever loses a right is
//! [kicked](Broker::kick).
//!
//! # What survives a kill
//!
//! With [`BrokerSettings::data_dir`], sessions, their subscriptions, what waits for them, and retained messages survive `kill -9`
//! and, as far as the disk keeps its word, a power cut; [`Broker::start`] returns when they are back. What [`Broker::publish`] took may leave the sender's queue when its
//! [`Delivered`] resolves; what was not released is to be sent again after a restart, and comes a second time to some: at
//! most [`BrokerLimits::unreleased_max`] messages. Readers drop what they have by item id.
//!
//! For this, every delivery to a session that outlives its connection goes through the session's queue; a barrier releases a batch
//! after two whole flushes and syncs of the file system; and queued messages have a second name on disk until their next home is written.
//!
//! What can be lost all the same:
//! - what is published at QoS 0, or to sessions that end with their connection;
//! - the oldest messages of a session for which more than [`BrokerLimits::queued_messages_max`] or
//!   [`BrokerLimits::queued_bytes_max`] wait, because its client is away for too long or too slow to be waited for. The crate
//!   logs it; [`Stats::full_queues`] shows it;
//! - a retained message whose topic has more than about 240 bytes once written as a file name (`/` counts three), on disk;
//! - what the disk refused after the barrier's probe of 4 KiB succeeded: the crate logs it, and nobody is told.
//!
//! Retained messages are synced one by one as they are published: some milliseconds each on disk.
//!
//! # Metrics
//!
//! Those of [`aups_net`] with `listener="mqtt"`, and:
//!
//! | name | counts |
//! | --- | --- |
//! | `aups_broker_connects_total` | clients that connected |
//! | `aups_broker_connects_refused_total{reason}` | those that were refused: `anonymous`, `credentials`, `not-authorised`, `unavailable` |
//! | `aups_broker_subscribes_refused_total` | filters that were refused |
//! | `aups_broker_publishes_refused_total` | messages and wills that were refused |
//! | `aups_broker_messages_total` | messages published in this process |
//! | `aups_broker_readers_overrun_total` | times that a connected reader was too slow to be waited for |
//! | `aups_broker_sessions_ended_total` | sessions that were ended by a kick |
//! | `aups_broker_barriers_total` | passes of the barrier |
//! | `aups_broker_barrier_errors_total` | passes that failed: the disk takes no writes, and nothing is released |
#![warn(missing_docs)]

mod barrier;
pub mod broker;
mod engine;
mod flow;
pub mod gate;
mod kept;
mod presence;
pub mod settings;

pub use broker::{Broker, BrokerError, Delivered, Outgoing, Stats};
pub use gate::{Connect, Gate, Refusal, Verdict};
pub use settings::{BrokerLimits, BrokerSettings};
