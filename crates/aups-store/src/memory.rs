//! A store that forgets: for tests.

use crate::{
    store::{self, Change, Listed, Revision, Store, StoreError, Versioned},
    watch::{Changed, Feed, Watch},
};
use futures_util::{FutureExt as _, future, future::BoxFuture};
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// A [`Store`] in memory, lost with its last owner. Registrations of a real realm never live here.
#[derive(Debug)]
pub struct InMemory {
    state: Mutex<State>,
    feed: Feed,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<String, Versioned>,
    revision: Revision,
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl InMemory {
    /// An empty store.
    pub fn new() -> Self {
        Self { state: Mutex::default(), feed: Feed::starting_at(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A transaction changes nothing before all of it is known to succeed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_now(&self, changes: Vec<Change>) -> Result<Revision, StoreError> {
        store::check(&changes)?;
        let mut state = self.lock();
        for change in &changes {
            if !change.expect().holds(state.items.get(change.key()).map(|item| item.revision)) {
                return Err(StoreError::Conflict { key: change.key().to_owned() });
            }
        }
        state.revision += 1;
        let revision = state.revision;
        let changed = changes.into_iter().filter_map(|change| state.apply(change)).collect();
        // Under the lock, so that watchers see revisions in order.
        self.feed.publish(revision, changed);
        Ok(revision)
    }
}

impl State {
    fn apply(&mut self, change: Change) -> Option<Changed> {
        match change {
            Change::Put { key, value, .. } => {
                let versioned = Versioned { value: value.clone(), revision: self.revision };
                self.items.insert(key.clone(), versioned);
                Some(Changed { key, value: Some(value) })
            }
            Change::Delete { key, .. } => self.items.remove(&key).map(|_| Changed { key, value: None }),
        }
    }
}

impl Store for InMemory {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>> {
        future::ready(Ok(self.lock().items.get(key).cloned())).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listed, StoreError>> {
        let state = self.lock();
        let under = state.items.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        let items = under.map(|(key, item)| (key.clone(), item.clone())).collect();
        future::ready(Ok((items, state.revision))).boxed()
    }

    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        future::lazy(|_| self.commit_now(changes)).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.feed.watch(prefix, from)
    }
}
