//! What tests have in common: a KTM over a store in memory, with a clock that the test moves.

use crate::{Ktm, KtmSettings, custody::Keyring};
use aups_core::{Clock as _, ManualClock, Obligations, RealmId, ScopeSpec, Suite, UnixMillis};
use aups_envelope::{Secret, schedule};
use aups_store::{Change, InMemory, Revision, Store, StoreError, Versioned, Watch};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Some day in 2026.
pub(crate) const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

pub(crate) const MINUTE: Duration = Duration::from_mins(1);
pub(crate) const HOUR: Duration = Duration::from_hours(1);
pub(crate) const DAY: Duration = Duration::from_hours(24);
pub(crate) const LIFE: Duration = Duration::from_mins(5);

/// A keyring whose first version is always the same.
pub(crate) fn kek() -> Keyring {
    Keyring::in_memory(Secret::from_bytes([7; 32]))
}

/// The n-th scope of a realm.
pub(crate) fn spec(realm: RealmId, n: u32, life: Duration) -> ScopeSpec {
    let user = format!("permit(principal, action, resource) when {{ principal.clearance > {n} }};");
    let (obligations, suite) = (Obligations { sign: true, pad_bytes: 32, ..Obligations::default() }, Suite::Aes256Gcm);
    let life_ms = u64::try_from(life.as_millis()).unwrap();
    let id = schedule::scope_id(&realm, "", &user, &obligations, suite, life_ms);
    ScopeSpec { id, app: "".into(), user: user.into(), obligations, suite, life_ms }
}

pub(crate) struct Rig {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) keyring: Keyring,
    pub(crate) ktm: Ktm,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(KtmSettings::default()).await
    }

    pub(crate) async fn with(settings: KtmSettings) -> Self {
        let (store, clock): (Arc<dyn Store>, _) = (Arc::new(Busy::default()), Arc::new(ManualClock::at(NOW)));
        let keyring = kek();
        let ktm = Ktm::open(store.clone(), keyring.clone(), clock.clone(), settings).await.unwrap();
        Self { store, clock, keyring, ktm }
    }

    /// Another KTM over the same store, by the same clock.
    pub(crate) async fn another(&self) -> Ktm {
        self.another_with(KtmSettings::default()).await
    }

    pub(crate) async fn another_with(&self, settings: KtmSettings) -> Ktm {
        Ktm::open(self.store.clone(), self.keyring.clone(), self.clock.clone(), settings).await.unwrap()
    }

    pub(crate) fn spec(&self, n: u32) -> ScopeSpec {
        spec(self.ktm.realm().id(), n, LIFE)
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// Lets time go by steadily, with the upkeep that goes with it.
    pub(crate) async fn pass(&self, duration: Duration) {
        let end = self.now().plus(duration);
        while self.now() < end {
            self.clock.advance((10 * MINUTE).min(end.since(self.now())));
            self.ktm.keep_up().await;
        }
    }

    /// Everything in the store, as bytes.
    pub(crate) async fn dump(&self) -> Vec<(String, Vec<u8>)> {
        let (items, _) = self.store.list("").await.unwrap();
        items.into_iter().map(|(key, found)| (key, found.value.to_vec())).collect()
    }
}

/// A store that counts how often it is called, and each time lets other tasks go first: so that races happen.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    store: InMemory,
    calls: AtomicUsize,
}

impl Busy {
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call(&self) -> &InMemory {
        self.calls.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        &self.store
    }
}

impl Store for Busy {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>> {
        async move { self.call().await.get(key).await }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<(Vec<(String, Versioned)>, Revision), StoreError>> {
        async move { self.call().await.list(prefix).await }.boxed()
    }

    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        async move { self.call().await.commit(changes).await }.boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.store.watch(prefix, from)
    }
}
