//! One value that a source sent becomes an entry of the backlog: normalise, analyse, topic.

mod text;

use crate::{
    analyse::{Arrival, History, Scored, Subject, analyse, recent::Basis},
    config::{ActiveConfig, ConfigInForce},
    json::Value,
    normalise::{Excess, MappingError, Normalised, Origin, Schema, normalise},
    settings::Transport,
    sources::SourceRecord,
    topic::Topics,
};
use aups_core::{
    Clock, Item, ItemId, Suite, Topic, UnixMillis,
    item::Source,
    limits::LINE_BYTES_MAX,
    topic::{TOPIC_BYTES_MAX, TopicError},
};
use aups_envelope::hash;
use bytes::Bytes;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use thiserror::Error;
use tokio::time::Instant;

pub use text::Content;
pub(crate) use text::bad_json;

/// An item that this NOS has taken and not yet published.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The item.
    pub(crate) item: Item,
    /// Where it will be published.
    pub(crate) topic: Topic,
    /// The item's JSON: what the queue keeps and what is sealed.
    pub(crate) json: Bytes,
    /// When it came; for the latency, and of this process only.
    pub(crate) taken: Instant,
    /// What its scores follow from, until it is known among the [recent](crate::analyse::recent::Recent) ones; of this process only.
    pub(crate) basis: Option<Basis>,
}

impl Entry {
    /// From what the queue kept. Fails if that is not an item, or its topic is too long by now.
    pub(crate) fn restore(json: Bytes, topics: &Topics) -> Result<Self, RestoreError> {
        let item: Item = serde_json::from_slice(&json)?;
        let topic = topics.of(&item)?;
        Ok(Self { item, topic, json, taken: Instant::now(), basis: None })
    }

    /// From what was published on a topic.
    pub(crate) fn published(json: Bytes, topic: Topic) -> Result<Self, serde_json::Error> {
        Ok(Self { item: serde_json::from_slice(&json)?, topic, json, taken: Instant::now(), basis: None })
    }
}

/// A record of the queue that is no item: the disk's fault, or another version's.
#[derive(Debug, Error)]
pub(crate) enum RestoreError {
    #[error("not the JSON of an item")]
    Json(#[from] serde_json::Error),
    #[error("no topic for it")]
    Topic(#[from] TopicError),
}

/// Who sent a value.
#[derive(Debug, Clone)]
pub(crate) enum Sender {
    /// A registered source that proved it: with its credential, or by sealing what it sent with its key.
    Registered {
        /// Which.
        source: Arc<SourceRecord>,
        /// How it sealed what it sent.
        sealed: Option<Suite>,
    },
    /// Somebody at an address.
    Unregistered(IpAddr),
}

/// A value that is not taken. The source is at fault.
#[derive(Debug, Error)]
pub(crate) enum AcceptError<'a> {
    #[error("{0}")]
    Mapping(MappingError<'a>),
    #[error("this {0}")]
    Excess(Excess),
    #[error("`name` and `NodeId` make a topic of more than {TOPIC_BYTES_MAX} bytes; shorten them")]
    TopicTooLong,
    #[error("the item would have more than {ITEM_BYTES_MAX} bytes; send less at once")]
    ItemTooLong,
}

/// Largest JSON of an item: a body that is full of one value, with what an item adds.
pub(crate) const ITEM_BYTES_MAX: usize = aups_core::limits::BODY_BYTES_MAX + LINE_BYTES_MAX;

/// Turns values into entries.
#[derive(Debug)]
pub(crate) struct Acceptance {
    config: ConfigInForce,
    transport: Transport,
    clock: Arc<dyn Clock>,
    address_salt: [u8; 32],
    ids: ItemIds,
    history: History,
}

impl Acceptance {
    pub(crate) fn new(
        config: ConfigInForce,
        transport: Transport,
        clock: Arc<dyn Clock>,
        address_salt: [u8; 32],
    ) -> Self {
        Self { config, transport, clock, address_salt, ids: ItemIds::new(), history: History::default() }
    }

    /// What is in force now: to be asked for once for each text, so that all of it is taken alike.
    pub(crate) fn config(&self) -> Arc<ActiveConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// How a text of a sender comes in now.
    fn arrived(&self, sender: &Sender) -> Arrived {
        let (registered, sealed) = match sender {
            Sender::Registered { sealed, .. } => (true, *sealed),
            Sender::Unregistered(_) => (false, None),
        };
        let received_at = self.clock.now();
        let arrival = Arrival { transport: self.transport, registered, sealed, received_at };
        Arrived { taken: Instant::now(), arrival }
    }

    /// Takes a value: what it makes is put behind the entries. About 2 µs for each item.
    pub(crate) fn accept<'a>(
        &self,
        value: Value<'a>,
        sender: &Sender,
        config: &ActiveConfig,
        entries: &mut Vec<Entry>,
    ) -> Result<(), AcceptError<'a>> {
        let arrived = self.arrived(sender);
        if let Some(all) = config.mappings.apply(value, sender.origin()).map_err(AcceptError::Excess)? {
            return all.into_iter().try_for_each(|normalised| self.enter(normalised, sender, arrived, config, entries));
        }
        let mut normalised = normalise(value, arrived.arrival.registered).map_err(AcceptError::Mapping)?;
        config.mappings.trim(&mut normalised).map_err(|_| AcceptError::ItemTooLong)?;
        self.enter(normalised, sender, arrived, config, entries)
    }

    /// Makes an entry of a reading.
    fn enter<'a>(
        &self,
        normalised: Normalised<'_>,
        sender: &Sender,
        Arrived { taken, arrival }: Arrived,
        config: &ActiveConfig,
        entries: &mut Vec<Entry>,
    ) -> Result<(), AcceptError<'a>> {
        let Normalised { reading, schema, node_id } = normalised;
        let source = match sender {
            Sender::Registered { source, .. } => source.source(),
            Sender::Unregistered(address) => Source {
                node_id: node_id.unwrap_or_else(|| self.address_name(*address)),
                node_type: UNKNOWN.into(),
                communication_mode: UNKNOWN.into(),
                registered: false,
            },
        };
        let labels = match sender {
            Sender::Registered { source, .. } => Some(&source.marks.labels),
            Sender::Unregistered(_) => None,
        };
        let subject = Subject { reading: &reading, schema: schema.as_str(), source: &source };
        let Scored { security, quality, inputs } = analyse(&subject, labels, arrival, &config.scoring, &self.history);
        let received_at = arrival.received_at;
        let id = self.ids.next(received_at);
        let item = Item { id, source, schema: schema.as_str().into(), received_at, data: reading, security, quality };
        let topic = config.topics.of(&item).map_err(|_| AcceptError::TopicTooLong)?;
        let json = item.to_json();
        if json.len() > ITEM_BYTES_MAX {
            return Err(AcceptError::ItemTooLong);
        }
        if schema == Schema::Raw {
            metrics::counter!("aups_items_raw_total").increment(1);
        }
        let basis = Some(Basis { inputs, config_version: config.version, scoring: Arc::clone(&config.scoring) });
        entries.push(Entry { item, topic, json: json.into(), taken, basis });
        Ok(())
    }

    /// What a source is called that says nothing of itself: the same for the same address on this NOS, and not to be
    /// turned back into the address without the NOS's salt.
    fn address_name(&self, address: IpAddr) -> Box<str> {
        let hash = match address.to_canonical() {
            IpAddr::V4(address) => hash::sha256(&[b"aups/1 address", &self.address_salt, &address.octets()]),
            IpAddr::V6(address) => hash::sha256(&[b"aups/1 address", &self.address_salt, &address.octets()]),
        };
        format!("{ADDRESS_NAME_PREFIX}{:016x}", hash.first_chunk().copied().map_or(0, u64::from_be_bytes)).into()
    }
}

/// What the names begin with that the NOS gives.
pub(crate) const ADDRESS_NAME_PREFIX: &str = "addr-";

/// When and how a text came in.
#[derive(Debug, Clone, Copy)]
struct Arrived {
    taken: Instant,
    arrival: Arrival,
}

impl Arrived {
    fn at(&self) -> UnixMillis {
        self.arrival.received_at
    }
}

impl Sender {
    /// Whose values these are.
    pub(crate) fn origin(&self) -> Origin<'_> {
        match self {
            Self::Registered { source, .. } => {
                Origin { registered: true, node_id: Some(source.node_id.as_str()), node_type: &source.node_type }
            }
            Self::Unregistered(_) => Origin { registered: false, node_id: None, node_type: UNKNOWN },
        }
    }
}

/// Node type and communication mode of a source that never said them.
const UNKNOWN: &str = "unknown";

/// Makes `UUIDv7`s (RFC 9562): random bits of this start, and a counter that rises within a millisecond and beyond.
#[derive(Debug)]
struct ItemIds {
    random: [u8; 10],
    counter: AtomicU32,
}

impl ItemIds {
    fn new() -> Self {
        Self { random: hash::random(), counter: AtomicU32::new(u32::from_be_bytes(hash::random())) }
    }

    fn next(&self, now: UnixMillis) -> ItemId {
        let mut bytes = self.random;
        let count = self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        // Before the counter 18 random bits, after it 24.
        bytes.iter_mut().skip(3).zip(count).for_each(|(byte, count)| *byte = count);
        ItemId(uuid::Builder::from_unix_timestamp_millis(now.0, &bytes).into_uuid())
    }
}

#[cfg(test)]
mod tests;
