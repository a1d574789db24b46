//! Messages that wait for a key: in order per topic, bounded.

use super::Message;
use crate::link::Ticket;
use aups_core::{KeyId, PublisherSlot, Topic};
use aups_envelope::message::SealedMessage;
use std::collections::{HashMap, VecDeque};

/// How much may wait before nothing more is taken from the broker ([`Hold::has_room`]).
#[derive(Debug, Clone, Copy)]
pub(crate) struct HoldLimits {
    /// Of messages that the broker does not hold back by itself (QoS 0), half as many.
    pub(crate) messages_max: usize,
    /// Less than one more message may come on top.
    pub(crate) bytes_max: usize,
}

/// The messages that wait. A topic of which one waits holds all that come after it.
#[derive(Debug)]
pub(crate) struct Hold {
    limits: HoldLimits,
    topics: HashMap<Topic, Queue>,
    messages: usize,
    bytes: usize,
    /// Number of the next message: the order of arrival across topics.
    arrivals: u64,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Held>,
    /// What the first one waits for besides a key that is not there: a publisher to be listed.
    publisher: Option<PublisherSlot>,
}

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) message: Message,
    /// `None`: it is not a sealed message, and is rejected when its turn comes.
    key_id: Option<KeyId>,
    arrival: u64,
}

/// What became of a message that was to wait.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// It waits.
    Held,
    /// It waits already: the broker sent it again over a new connection. The ticket is the one that it had before.
    Again(Ticket),
    /// It came with QoS 0, and there is no room for it.
    Full,
}

impl Hold {
    pub(crate) fn new(limits: HoldLimits) -> Self {
        Self { limits, topics: HashMap::new(), messages: 0, bytes: 0, arrivals: 0 }
    }

    /// Whether a message of the topic waits.
    pub(crate) fn holds(&self, topic: &Topic) -> bool {
        self.topics.contains_key(topic)
    }

    /// Whether more may be taken from the broker. A broker that keeps to the receive maximum never comes to the end of it.
    pub(crate) fn has_room(&self) -> bool {
        self.messages < self.limits.messages_max && self.bytes < self.limits.bytes_max
    }

    /// Lets a message wait behind those of its topic. `publisher`: what it waits for, if it is not its key.
    pub(crate) fn push(&mut self, topic: Topic, message: Message, publisher: Option<PublisherSlot>) -> Pushed {
        if let Some(queue) = self.topics.get_mut(&topic)
            && let Some(held) = queue.waiting.iter_mut().find(|held| held.message.is_same_as(&message))
        {
            return Pushed::Again(std::mem::replace(&mut held.message.ticket, message.ticket));
        }
        let may_be_lost = message.ticket.is_none();
        if may_be_lost && (self.messages >= self.limits.messages_max / 2 || self.bytes >= self.limits.bytes_max / 2) {
            return Pushed::Full;
        }
        self.messages += 1;
        self.bytes += message.payload.len();
        let key_id = SealedMessage::parse(&message.payload).ok().map(|sealed| sealed.header().key_id);
        let queue = self.topics.entry(topic).or_default();
        if queue.waiting.is_empty() {
            queue.publisher = publisher;
        }
        queue.waiting.push_back(Held { message, key_id, arrival: self.arrivals });
        self.arrivals += 1;
        Pushed::Held
    }

    /// The topics of which messages wait, the longest waiting first.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        let mut topics: Vec<_> =
            self.topics.iter().filter_map(|(topic, queue)| Some((queue.waiting.front()?.arrival, topic))).collect();
        topics.sort_unstable_by_key(|(arrival, _)| *arrival);
        topics.into_iter().map(|(_, topic)| topic.clone()).collect()
    }

    /// Takes the first of a topic.
    pub(crate) fn pop(&mut self, topic: &Topic) -> Option<Held> {
        let queue = self.topics.get_mut(topic)?;
        let held = queue.waiting.pop_front();
        if queue.waiting.is_empty() {
            self.topics.remove(topic);
        }
        let held = held?;
        self.messages -= 1;
        self.bytes -= held.message.payload.len();
        Some(held)
    }

    /// Puts the one that was taken back in front: it waits further.
    pub(crate) fn put_back(&mut self, topic: &Topic, held: Held, publisher: Option<PublisherSlot>) {
        self.messages += 1;
        self.bytes += held.message.payload.len();
        let queue = self.topics.entry(topic.clone()).or_default();
        queue.waiting.push_front(held);
        queue.publisher = publisher;
    }

    /// The keys to ask for, the longest waiting first, each with a topic. `is_settled` tells of which keys nothing needs to
    /// be asked, unless for the publisher that the first of a topic waits for.
    pub(crate) fn wanted(&self, is_settled: impl Fn(&KeyId) -> bool) -> Vec<(KeyId, &Topic)> {
        let mut wanted: Vec<_> = self.unsettled(is_settled).collect();
        wanted.sort_unstable_by_key(|(arrival, ..)| *arrival);
        wanted.into_iter().map(|(_, key_id, topic)| (key_id, topic)).collect()
    }

    /// Whether there are keys to ask for.
    pub(crate) fn wants_any(&self, is_settled: impl Fn(&KeyId) -> bool) -> bool {
        self.unsettled(is_settled).next().is_some()
    }

    fn unsettled(&self, is_settled: impl Fn(&KeyId) -> bool) -> impl Iterator<Item = (u64, KeyId, &Topic)> {
        let waiting = self.topics.iter().flat_map(|(topic, queue)| {
            let first_waits_for_publisher = std::iter::once(queue.publisher.is_some()).chain(std::iter::repeat(false));
            queue.waiting.iter().zip(first_waits_for_publisher).map(move |(held, publisher)| (topic, held, publisher))
        });
        waiting.filter_map(move |(topic, held, for_publisher)| {
            let key_id = held.key_id.filter(|key_id| for_publisher || !is_settled(key_id))?;
            Some((held.arrival, key_id, topic))
        })
    }

    /// The publishers that messages wait for.
    pub(crate) fn publishers(&self) -> impl Iterator<Item = PublisherSlot> {
        self.topics.values().filter_map(|queue| queue.publisher)
    }
}
