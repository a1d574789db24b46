//! What a reader remembers, in pieces that can be written down and remembered again after a restart.

use super::{Acceptance, ItemIds, KeyRing, Stream, TopicMemory, window::Window};
use crate::jws;
use aups_core::{ItemId, KeyId, PublisherSlot, ScopeTag, Session, UnixMillis, limits::ITEM_IDS_REMEMBERED};
use serde::{Deserialize, Serialize};

/// One thing that a reader remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Memory {
    /// A message that was taken.
    Taken(Taken),
    /// What came of one counter.
    Window(WindowMemory),
    /// What came on one topic.
    Topic(TopicItems),
    /// The highest incarnation of a publisher.
    #[serde(rename_all = "camelCase")]
    Incarnation {
        /// The publisher.
        publisher: PublisherSlot,
        /// The highest that was seen.
        incarnation: u32,
    },
    /// A key that was held: its bump says from when on the keys before it seal nothing.
    #[serde(rename_all = "camelCase")]
    Bump {
        /// The key.
        key_id: KeyId,
        /// Since when.
        from: UnixMillis,
    },
}

/// A message that was taken, less what was in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taken {
    /// Where it came.
    pub topic: Box<str>,
    /// Who sealed it.
    pub publisher: PublisherSlot,
    /// In which incarnation.
    pub session: Session,
    /// Under a key of which scope.
    pub scope: ScopeTag,
    /// Its number.
    pub topic_seq: u32,
    /// When it was sealed.
    pub ts: UnixMillis,
    /// Its item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<ItemId>,
}

/// The window of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WindowMemory {
    topic: Box<str>,
    publisher: PublisherSlot,
    session: Session,
    scope: ScopeTag,
    highest: u32,
    missed: u32,
    #[serde(with = "jws::bytes")]
    seen: [u8; Window::BYTES],
}

/// The items of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicItems {
    topic: Box<str>,
    newest: Option<UnixMillis>,
    /// In the order in which they came.
    items: Vec<ItemId>,
}

impl Acceptance {
    /// All that is remembered of messages: topics, then windows, then incarnations.
    pub fn memories(&self) -> impl Iterator<Item = Memory> {
        let topics = self.topics.iter().map(|(topic, memory)| {
            Memory::Topic(TopicItems {
                topic: topic.clone(),
                newest: memory.newest,
                items: memory.items.ids.iter().copied().collect(),
            })
        });
        let names: std::collections::HashMap<_, _> =
            self.topics.iter().map(|(topic, memory)| (memory.number, topic)).collect();
        let windows = self.windows.iter().filter_map(move |(stream, window)| {
            let Stream { publisher, session, scope, topic } = *stream;
            let topic = Box::<str>::clone(names.get(&topic)?);
            let (highest, missed, seen) = window.to_parts();
            Some(Memory::Window(WindowMemory { topic, publisher, session, scope, highest, missed, seen }))
        });
        let incarnations = self
            .incarnations
            .iter()
            .map(|(publisher, incarnation)| Memory::Incarnation { publisher: *publisher, incarnation: *incarnation });
        topics.chain(windows).chain(incarnations)
    }

    /// Remembers something again. What is remembered of keys goes to [`KeyRing::remember`].
    pub fn remember(&mut self, memory: &Memory) {
        match memory {
            Memory::Taken(taken) => self.remember_taken(taken),
            Memory::Window(window) => {
                let WindowMemory { publisher, session, scope, highest, missed, seen, .. } = window;
                let topic = self.topic(&window.topic).number;
                let stream = Stream { publisher: *publisher, session: *session, scope: *scope, topic };
                self.windows.insert(stream, Window::from_parts(*highest, *missed, seen));
            }
            Memory::Topic(TopicItems { topic, newest, items }) => {
                let topic = self.topic(topic);
                topic.newest = *newest;
                topic.items = ItemIds::default();
                for item in items.iter().take(ITEM_IDS_REMEMBERED) {
                    topic.items.push(*item);
                }
            }
            Memory::Incarnation { publisher, incarnation } => self.see_incarnation(*publisher, *incarnation),
            Memory::Bump { .. } => {}
        }
    }

    fn remember_taken(&mut self, taken: &Taken) {
        let Taken { publisher, session, scope, topic_seq, ts, item, .. } = *taken;
        let topic = self.topic(&taken.topic);
        if let Some(item) = item.filter(|item| !topic.items.contains(*item)) {
            topic.items.push(item);
        }
        topic.newest = topic.newest.max(Some(ts));
        let stream = Stream { publisher, session, scope, topic: topic.number };
        let window = self.windows.entry(stream, || Window::new(topic_seq));
        window.mark_again(topic_seq);
        let _ = window.take_missed();
        self.see_incarnation(publisher, session.incarnation());
    }

    fn topic(&mut self, topic: &str) -> &mut TopicMemory {
        let named = &mut self.topics_named;
        self.topics.entry(topic.into(), || TopicMemory::new(named))
    }

    fn see_incarnation(&mut self, publisher: PublisherSlot, incarnation: u32) {
        let highest = self.incarnations.entry(publisher).or_default();
        *highest = incarnation.max(*highest);
    }
}

impl KeyRing {
    /// All that is remembered of bumps, the keys that are not held any more among them.
    pub fn memories(&self) -> impl Iterator<Item = Memory> {
        let held = self.bumps.iter().chain(self.remembered.iter());
        held.map(|((.., key_id), from)| Memory::Bump { key_id: *key_id, from: *from })
    }
}

#[cfg(test)]
mod tests;
