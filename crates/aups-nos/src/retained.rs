//! What the broker retains for later subscribers: the last item of each topic, so that it can be sealed anew.
//!
//! A retained message outlives the key that it was sealed under and the policies that were in force. When keys were
//! replaced, or policies, whoever subscribes next shall find it under the scope and the key that its item gets now.

use crate::{accept::Entry, seal::SealedUnder};
use aups_core::{Filter, ScopeId, Topic};
use std::collections::{HashMap, HashSet, VecDeque};

/// Most topics of which the broker retains a message for us, some 2 KB each. What comes on further ones is not retained.
pub(crate) const RETAINED_TOPICS_MAX: usize = 100_000;

/// Most bytes of their items' JSON. What comes on further topics is not retained.
pub(crate) const RETAINED_BYTES_MAX: usize = 256 << 20;

/// The last item of each topic that is retained.
#[derive(Debug, Default)]
pub(crate) struct Retained {
    filters: Vec<Filter>,
    last: HashMap<Topic, Last>,
    bytes: usize,
    /// Topics to look at again, each once, those that wait longest first.
    stale: VecDeque<Topic>,
    waiting: HashSet<Topic>,
    /// Topics on which the broker retains what it no longer should.
    to_clear: VecDeque<Topic>,
}

/// The last item of a topic.
#[derive(Debug)]
pub(crate) struct Last {
    pub(crate) entry: Entry,
    /// `None`: nobody may read it, and the broker retains nothing.
    pub(crate) under: Option<SealedUnder>,
    /// What was redacted of it is not known any more, so that nobody can say who may read it but for this scope.
    pub(crate) only: Option<ScopeId>,
}

impl Retained {
    pub(crate) fn new(filters: Vec<Filter>) -> Self {
        Self { filters, ..Self::default() }
    }

    /// From now on these filters say what is retained: what none of them matches is to be [cleared](Self::next_to_clear).
    pub(crate) fn set_filters(&mut self, filters: Vec<Filter>) {
        self.filters = filters;
        let gone: Vec<Topic> = self.last.keys().filter(|topic| !self.wants(topic)).cloned().collect();
        for topic in gone {
            if let Some(last) = self.remove(&topic)
                && last.under.is_some()
            {
                self.to_clear.push_back(topic);
            }
        }
        let Self { last, stale, waiting, .. } = self;
        stale.retain(|topic| last.contains_key(topic));
        waiting.retain(|topic| last.contains_key(topic));
    }

    /// Whether a filter says so.
    pub(crate) fn wants(&self, topic: &Topic) -> bool {
        self.filters.iter().any(|filter| filter.matches(topic))
    }

    /// The broker retains something on a topic that it should not.
    pub(crate) fn clear(&mut self, topic: Topic) {
        self.to_clear.push_back(topic);
    }

    /// The next topic of which the broker is to forget what it retains. Not one on which something was retained since.
    pub(crate) fn next_to_clear(&mut self) -> Option<Topic> {
        loop {
            let topic = self.to_clear.pop_front()?;
            if !self.last.contains_key(&topic) {
                return Some(topic);
            }
        }
    }

    fn remove(&mut self, topic: &Topic) -> Option<Last> {
        let last = self.last.remove(topic)?;
        self.bytes -= last.entry.json.len();
        Some(last)
    }

    /// Whether what is published on a topic is retained.
    pub(crate) fn retains(&self, topic: &Topic) -> bool {
        self.wants(topic)
            && (self.last.contains_key(topic)
                || (self.last.len() < RETAINED_TOPICS_MAX && self.bytes < RETAINED_BYTES_MAX))
    }

    /// Whether anything ever is.
    pub(crate) fn is_used(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Keeps the item that the broker retains now.
    pub(crate) fn keep(&mut self, last: Last) {
        self.bytes += last.entry.json.len();
        if let Some(before) = self.last.insert(last.entry.topic.clone(), last) {
            self.bytes -= before.entry.json.len();
        }
    }

    /// Keys or policies changed: each topic is to be looked at, those that wait already in their turn.
    pub(crate) fn look_again(&mut self) {
        for topic in self.last.keys() {
            if !self.waiting.contains(topic) {
                self.waiting.insert(topic.clone());
                self.stale.push_back(topic.clone());
            }
        }
    }

    /// Whether topics are to be looked at.
    pub(crate) fn is_stale(&self) -> bool {
        !self.stale.is_empty() || !self.to_clear.is_empty()
    }

    /// The next topic to look at, taken out; to be [kept](Self::keep) again.
    pub(crate) fn next_stale(&mut self) -> Option<Last> {
        let topic = self.stale.pop_front()?;
        self.waiting.remove(&topic);
        self.remove(&topic)
    }
}

#[cfg(test)]
mod tests;
