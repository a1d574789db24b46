//! What a NOS that runs apart knows of its realm: readers, policies and the configuration, as of the newest revision that the KTM told.

use super::{
    config::{self, FollowedConfig},
    gate::Credentials,
    policies,
    registry::state::{self, State},
};
use crate::server::policies::blocking;
use aups_core::{RealmId, Sub};
use aups_ktm::link::{Follower, HostError, Record};
use aups_nos::{Reader, Readers};
use aups_policy::{Pdp, PolicySet};
use aups_store::{Changed, Revision};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};
use tokio::sync::{Notify, watch};

/// What a NOS follows: prefixes of keys in the KTM's store.
pub(super) const FOLLOWED: [&str; 5] =
    [state::READER_PREFIX, state::GROUP_PREFIX, policies::FOLLOWED[0], policies::FOLLOWED[1], config::ACTIVE_KEY];

/// The copy of a NOS. Nothing is decided by it before the first snapshot: nobody is known, and no policy is in force.
#[derive(Debug)]
pub(super) struct Replica {
    realm: RealmId,
    readers: RwLock<State>,
    policies: Mutex<BTreeMap<String, Bytes>>,
    decisions: watch::Sender<Arc<Pdp>>,
    config: Arc<FollowedConfig>,
    /// Readers whose sessions are to be ended: each once, however often it changed.
    changed: Mutex<BTreeSet<Sub>>,
    has_changed: Notify,
}

impl Replica {
    pub(super) fn new(realm: RealmId, config: Arc<FollowedConfig>) -> Self {
        let (decisions, _) = watch::channel(Arc::new(Pdp::new(realm, PolicySet::empty())));
        Self {
            realm,
            readers: RwLock::default(),
            policies: Mutex::default(),
            decisions,
            config,
            changed: Mutex::default(),
            has_changed: Notify::new(),
        }
    }

    /// The decision point of the policies in force, and of all later ones.
    pub(super) fn decisions(&self) -> watch::Receiver<Arc<Pdp>> {
        self.decisions.subscribe()
    }

    /// Readers that are gone, or have other rights or another password than before. Waits for the first.
    pub(super) async fn changed_readers(&self) -> BTreeSet<Sub> {
        loop {
            let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
            if !changed.is_empty() {
                return changed;
            }
            self.has_changed.notified().await;
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.readers.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts readers in place of those that were.
    fn install(&self, readers: State, changed: BTreeSet<Sub>) {
        *self.readers.write().unwrap_or_else(PoisonError::into_inner) = readers;
        self.tell(changed);
    }

    fn tell(&self, changed: BTreeSet<Sub>) {
        if !changed.is_empty() {
            self.changed.lock().unwrap_or_else(PoisonError::into_inner).extend(changed);
            self.has_changed.notify_one();
        }
    }

    async fn decide_by(&self, records: BTreeMap<String, Bytes>) -> Result<(), HostError> {
        let given = records.clone();
        let set = blocking(move || policies::followed(|key| given.get(key).cloned())).await?;
        *self.policies.lock().unwrap_or_else(PoisonError::into_inner) = records;
        self.decisions.send_replace(Arc::new(Pdp::new(self.realm, set)));
        Ok(())
    }

    async fn take(&self, mut records: Vec<Record>) -> Result<(), HostError> {
        let config = records.extract_if(.., |record| record.key == config::ACTIVE_KEY).last();
        self.config.take(config.map(|record| record.value)).await;
        let is_policy = |record: &Record| policies::FOLLOWED.contains(&record.key.as_str());
        let (of_policies, of_readers): (Vec<_>, Vec<_>) = records.into_iter().partition(is_policy);
        let readers = State::of(of_readers.into_iter().map(|record| (record.key, record.value)))?;
        let changed = self.read().differing(&readers);
        // Readers first: between the two, old policies decide about them as they are.
        self.install(readers, changed);
        self.decide_by(of_policies.into_iter().map(|record| (record.key, record.value)).collect()).await
    }

    async fn take_changes(&self, mut changes: Vec<Changed>) -> Result<(), HostError> {
        if let Some(Changed { value, .. }) = changes.extract_if(.., |change| change.key == config::ACTIVE_KEY).last() {
            self.config.take(value).await;
        }
        let is_policy = |change: &Changed| policies::FOLLOWED.contains(&change.key.as_str());
        let (of_policies, of_readers): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_policy);
        if !of_readers.is_empty() {
            let changes = of_readers.into_iter().map(|change| (change.key, change.value));
            let changed = self.readers.write().unwrap_or_else(PoisonError::into_inner).apply(changes)?;
            self.tell(changed);
        }
        if !of_policies.is_empty() {
            let mut records = self.policies.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for Changed { key, value } in of_policies {
                match value {
                    Some(value) => records.insert(key, value),
                    None => records.remove(&key),
                };
            }
            self.decide_by(records).await?;
        }
        Ok(())
    }
}

impl Follower for Replica {
    fn snapshot(&self, _revision: Revision, records: Vec<Record>) -> BoxFuture<'_, Result<(), HostError>> {
        self.take(records).boxed()
    }

    fn apply(&self, _revision: Revision, changes: Vec<Changed>) -> BoxFuture<'_, Result<(), HostError>> {
        self.take_changes(changes).boxed()
    }
}

impl Readers for Replica {
    fn reader(&self, sub: &Sub) -> Option<Arc<Reader>> {
        self.read().reader(sub)
    }
}

impl Credentials for Replica {
    fn password_matches(&self, sub: &Sub, password: &[u8]) -> bool {
        self.read().password_matches(sub, password)
    }
}

#[cfg(test)]
mod tests;
