//! What is said on another topic about an item, because a policy that lets it be read says so
//! (`@obligation("notify:alerts/hot")`): event, condition and action, as the rules of `SecKit` have it.

use crate::accept::Entry;
use aups_core::{
    Item, ItemId, NosId, Topic,
    item::{Reading, Source},
};
use aups_envelope::sha256;
use serde_json::value::to_raw_value;
use tokio::time::Instant;
use uuid::{Uuid, Variant, Version};

/// The schema of notifications.
const SCHEMA: &str = "notification";
/// The name of their reading, whose value is the topic of the item that they are about.
const NAME: &str = "notification";

/// An item that says that there was another one, for whom policies let read it. It names that item by its id and its
/// topic and tells nothing of its value: who is told may not be who may read.
///
/// Its scores are those of the item: how far that can be trusted is how far this can. Its id follows from the item's and the
/// topic, so that whoever hears of an item twice can tell.
pub(crate) fn notification(of: &Entry, topic: &Topic, nos: &NosId) -> Result<Entry, serde_json::Error> {
    let item = Item {
        id: id(of.item.id, topic),
        source: Source {
            node_id: nos.as_str().into(),
            node_type: "nos".into(),
            communication_mode: "event".into(),
            registered: true,
        },
        schema: SCHEMA.into(),
        received_at: of.item.received_at,
        data: Reading {
            name: NAME.into(),
            value: to_raw_value(of.topic.as_str())?,
            unit: None,
            time: None,
            further: vec![("item".into(), to_raw_value(&of.item.id)?)],
        },
        security: of.item.security,
        quality: of.item.quality,
    };
    let json = item.to_json().into();
    Ok(Entry { item, topic: topic.clone(), json, taken: Instant::now(), basis: None })
}

/// A `UUIDv7` with the time of the item's, and a hash in place of its random part.
fn id(of: ItemId, topic: &Topic) -> ItemId {
    let hash = sha256(&[b"aups notification", of.0.as_bytes(), topic.as_str().as_bytes()]);
    let mut bytes = *of.0.as_bytes();
    for (byte, hashed) in bytes.iter_mut().skip(6).zip(hash) {
        *byte = hashed;
    }
    let id = uuid::Builder::from_bytes(bytes).with_version(Version::SortRand).with_variant(Variant::RFC4122);
    ItemId(Uuid::from_bytes(*id.as_uuid().as_bytes()))
}

#[cfg(test)]
mod tests;
