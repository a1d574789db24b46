//! Asking for the next key before the current one ends, so that nobody waits at an expiry.
//!
//! An answer brings a key and its successor. So one request per scope and epoch is enough: some time before a key in use
//! ends, and its successor is not here, it is asked for once more. When exactly is random, so that readers of one scope do
//! not ask all at once.

use crate::backoff::jitter;
use aups_core::{KeyId, ScopeTag, Topic, UnixMillis};
use aups_envelope::KeyTerms;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

/// Earliest before the end of a key that its successor is asked for, however long it lives.
const LEAD_MAX: Duration = Duration::from_mins(10);

/// The newest key in use of each scope.
#[derive(Debug)]
pub(crate) struct Prefetch {
    scopes_max: usize,
    scopes: HashMap<ScopeTag, InUse>,
    /// When to ask for which, the next first.
    due: BTreeSet<(UnixMillis, ScopeTag)>,
}

#[derive(Debug)]
struct InUse {
    key_id: KeyId,
    /// For the audit of the server.
    topic: Topic,
    ends: UnixMillis,
    /// When to ask; `None` where there is nothing to ask for.
    due: Option<UnixMillis>,
}

impl Prefetch {
    pub(crate) fn new(scopes_max: usize) -> Self {
        Self { scopes_max, scopes: HashMap::new(), due: BTreeSet::new() }
    }

    /// Whether the key is known to be in use: then there is nothing to note. The one look-up per message.
    pub(crate) fn knows(&self, key_id: &KeyId) -> bool {
        self.scopes.get(&key_id.scope_tag()).is_some_and(|in_use| !is_newer(key_id, &in_use.key_id))
    }

    /// Notes a key that opened a message. `has_next`: its successor is here already.
    pub(crate) fn used(&mut self, key_id: KeyId, topic: &Topic, terms: &KeyTerms, has_next: bool, now: UnixMillis) {
        if self.knows(&key_id) || terms.exp <= now {
            return;
        }
        let tag = key_id.scope_tag();
        self.remove(tag);
        if self.scopes.len() >= self.scopes_max {
            self.forget_ended(now);
        }
        if self.scopes.len() >= self.scopes_max {
            return;
        }
        let due = (!has_next).then(|| UnixMillis(terms.exp.0.saturating_sub(lead_ms(terms))));
        self.due.extend(due.map(|due| (due, tag)));
        self.scopes.insert(tag, InUse { key_id, topic: topic.clone(), ends: terms.exp, due });
    }

    /// The keys to ask for now.
    pub(crate) fn due(&self, now: UnixMillis) -> impl Iterator<Item = (KeyId, &Topic)> {
        let due = self.due.iter().take_while(move |(due, _)| *due <= now);
        due.filter_map(|(_, tag)| self.scopes.get(tag)).map(|in_use| (in_use.key_id, &in_use.topic))
    }

    /// When to ask next.
    pub(crate) fn next_due(&self) -> Option<UnixMillis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The key was asked for and there is an answer, whatever it is.
    pub(crate) fn answered(&mut self, key_id: &KeyId) {
        let tag = key_id.scope_tag();
        if let Some(in_use) = self.scopes.get_mut(&tag)
            && in_use.key_id == *key_id
            && let Some(due) = in_use.due.take()
        {
            self.due.remove(&(due, tag));
        }
    }

    fn forget_ended(&mut self, now: UnixMillis) {
        let ended: Vec<_> = self.scopes.iter().filter(|(_, in_use)| in_use.ends <= now).map(|(tag, _)| *tag).collect();
        for tag in ended {
            self.remove(tag);
        }
    }

    fn remove(&mut self, tag: ScopeTag) {
        if let Some(due) = self.scopes.remove(&tag).and_then(|in_use| in_use.due) {
            self.due.remove(&(due, tag));
        }
    }
}

/// How long before its end a key is asked for again: drawn from 10 % to 40 % of its life, ten minutes at most.
fn lead_ms(terms: &KeyTerms) -> u64 {
    let most = (terms.exp.since(terms.nbf) * 2 / 5).min(LEAD_MAX);
    let lead = most / 4 + jitter(most * 3 / 4);
    u64::try_from(lead.as_millis()).unwrap_or(u64::MAX)
}

/// Whether `key` is of a later epoch of its scope than `other`, or of a later bump of the same epoch.
fn is_newer(key: &KeyId, other: &KeyId) -> bool {
    (key.epoch(), key.bump()) > (other.epoch(), other.bump())
}

#[cfg(test)]
mod tests;
