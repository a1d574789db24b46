//! Which topics are in use, and the scopes under which something was published on them.
//!
//! Administrators ask: what a change of policies means is said for the topics in use, and destroying a scope's keys says
//! first which topics lose their past. It is not part of any decision.

use aups_core::{ScopeId, Topic};
use aups_envelope::{b64, sha256};
use aups_ktm::link::TopicUse;
use aups_store::{Change, Expect, Store, StoreError};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use thiserror::Error;

/// Most (topic, scope) pairs that are remembered, some 150 bytes each. What comes after is published all the same.
pub const USES_MAX: usize = 1_000_000;
/// Most of them that are of unregistered sources: whoever can reach the listener makes up topics.
pub const UNREGISTERED_USES_MAX: usize = 10_000;
/// Most that are written in one transaction.
const CHANGES_AT_ONCE: usize = 1_024;

const PREFIX: &str = "nos/use/";

/// The record of topics cannot be read: the store's fault.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum UsageError {
    /// The store failed.
    #[error("the topics in use cannot be read")]
    Store(#[from] StoreError),
    /// It holds something else.
    #[error("the record `{0}` does not name a topic in use; restore a backup")]
    Corrupt(String),
}

/// The topics in use. Kept in memory and, as soon as the store takes it, in the store.
#[derive(Debug)]
pub struct Usage {
    store: Arc<dyn Store>,
    uses: Mutex<Uses>,
}

#[derive(Debug, Default)]
struct Uses {
    /// Whether the source was registered.
    registered: BTreeMap<(Topic, Option<ScopeId>), bool>,
    unregistered: usize,
    /// Not yet in the store.
    unwritten: Vec<TopicUse>,
    /// Not yet told to whoever keeps the uses of all NOSs, if anybody does.
    unreported: Option<Vec<TopicUse>>,
}

impl Uses {
    fn insert(&mut self, used: &TopicUse) -> bool {
        let full =
            self.registered.len() >= USES_MAX || (!used.registered && self.unregistered >= UNREGISTERED_USES_MAX);
        let Entry::Vacant(new) = self.registered.entry((used.topic.clone(), used.scope)) else { return false };
        if full {
            return false;
        }
        new.insert(used.registered);
        self.unregistered += usize::from(!used.registered);
        true
    }
}

impl Usage {
    /// Reads what is remembered.
    pub async fn open(store: Arc<dyn Store>) -> Result<Self, UsageError> {
        let mut uses = Uses::default();
        for (key, value) in store.list(PREFIX).await?.0 {
            let used = serde_json::from_slice(&value.value).map_err(|_| UsageError::Corrupt(key))?;
            uses.insert(&used);
        }
        Ok(Self { store, uses: uses.into() })
    }

    /// Topics in use, sorted, each once.
    pub fn topics(&self) -> Vec<Topic> {
        let uses = self.lock();
        let mut topics: Vec<_> = uses.registered.keys().map(|(topic, _)| topic.clone()).collect();
        topics.dedup();
        topics
    }

    /// The topics on which something was published under each scope, sorted.
    pub fn topics_by_scope(&self) -> BTreeMap<ScopeId, Vec<Topic>> {
        let mut scopes: BTreeMap<ScopeId, Vec<Topic>> = BTreeMap::new();
        for (topic, scope) in self.lock().registered.keys() {
            if let Some(scope) = scope {
                scopes.entry(*scope).or_default().push(topic.clone());
            }
        }
        scopes
    }

    /// Notes a use. No I/O; cheap, but not for every message: callers know what they noted.
    pub(crate) fn note(&self, topic: &Topic, scope: Option<ScopeId>, registered: bool) {
        let used = TopicUse { topic: topic.clone(), scope, registered };
        let mut uses = self.lock();
        if uses.insert(&used) {
            if let Some(unreported) = &mut uses.unreported {
                unreported.push(used.clone());
            }
            uses.unwritten.push(used);
        }
    }

    /// From now on, what is noted is to be reported as well, and first all that is known.
    pub fn begin_reporting(&self) {
        let mut uses = self.lock();
        let known = uses.registered.iter().map(|((topic, scope), registered)| TopicUse {
            topic: topic.clone(),
            scope: *scope,
            registered: *registered,
        });
        uses.unreported = Some(known.collect());
    }

    /// Uses that are to be reported, as many at most; whoever cannot report them [gives them back](Self::not_reported).
    pub fn to_report(&self, most: usize) -> Vec<TopicUse> {
        let mut uses = self.lock();
        let Some(unreported) = &mut uses.unreported else { return Vec::new() };
        unreported.split_off(unreported.len().saturating_sub(most))
    }

    /// Uses that could not be reported.
    pub fn not_reported(&self, uses: Vec<TopicUse>) {
        if let Some(unreported) = &mut self.lock().unreported {
            unreported.extend(uses);
        }
    }

    /// Takes note of what another NOS reports, and writes it down.
    pub async fn take_report(&self, uses: Vec<TopicUse>) {
        for TopicUse { topic, scope, registered } in uses {
            self.note(&topic, scope, registered);
        }
        self.write().await;
    }

    /// Writes down what was noted; what the store does not take is tried again with the next call.
    pub(crate) async fn write(&self) {
        let unwritten = std::mem::take(&mut self.lock().unwritten);
        let mut rest = unwritten.as_slice();
        while let Some((some, later)) =
            rest.split_at_checked(CHANGES_AT_ONCE.min(rest.len())).filter(|s| !s.0.is_empty())
        {
            if let Err(error) = self.store.commit(some.iter().map(put).collect()).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "topics in use are not written down yet");
                self.lock().unwritten.extend_from_slice(rest);
                return;
            }
            rest = later;
        }
    }

    /// Forgets the uses of scopes that are gone.
    pub async fn forget(&self, scopes: &BTreeSet<ScopeId>) -> Result<(), StoreError> {
        let gone = {
            let mut uses = self.lock();
            let (mut gone, mut unregistered) = (Vec::new(), 0);
            uses.registered.retain(|(topic, scope), registered| {
                let forgotten = scope.is_some_and(|scope| scopes.contains(&scope));
                if forgotten {
                    gone.push(key(topic, *scope));
                    unregistered += usize::from(!*registered);
                }
                !forgotten
            });
            uses.unregistered -= unregistered;
            gone
        };
        for some in gone.chunks(CHANGES_AT_ONCE) {
            let changes = some.iter().map(|key| Change::delete(key.clone(), Expect::Any));
            self.store.commit(changes.collect()).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Topics may be as long as a store's key: a hash stands for them.
fn key(topic: &Topic, scope: Option<ScopeId>) -> String {
    let scope = scope.as_ref().map_or(&[][..], |scope| scope.as_bytes());
    format!("{PREFIX}{}", b64::encode(&sha256(&[scope, b"/", topic.as_str().as_bytes()])))
}

fn put(used: &TopicUse) -> Change {
    // A topic and an id: JSON always takes them.
    let value = serde_json::to_vec(used).unwrap_or_default();
    Change::put(key(&used.topic, used.scope), value, Expect::Any)
}

#[cfg(test)]
mod tests;
