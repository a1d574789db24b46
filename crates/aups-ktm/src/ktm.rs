//! The KTM in process: the service over a store, and its upkeep.

use crate::{
    backup::Backup,
    custody::Keyring,
    erase::Eraser,
    error::KtmError,
    publisher::Publishers,
    realm::Realm,
    records::{RACES_MAX, Records},
    root::{self, Roots},
    scope::{Marked, Scope, following},
    scopes::{Changing, SCOPES_MAX, Scopes},
    service::{Incarnation, KeyRow, KeysTopicsManager, Resolved, SealingKeys},
    steady::Steadiness,
    table::{self, KEYS_LISTED_PER_SCOPE, KeyView, ScopeView},
};
use aups_core::{
    Bump, Clock, KeyId, NosId, ScopeId, ScopeSpec, ScopeTag, UnixMillis,
    limits::{HISTORY_DEFAULT, KEY_LIFE_MIN, ROOT_PERIOD_DEFAULT},
};
use aups_envelope::{KeyEntry, SecretBytes, VerifyingKey, constant_time_eq, passphrase::PassphraseCost, schedule};
use aups_store::{Change, Revision, Store};
use futures_util::{FutureExt as _, future, future::BoxFuture};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval_at},
};

/// How often roots are written ahead and destroyed, uses written down, unused scopes forgotten.
const UPKEEP_EVERY: Duration = Duration::from_mins(1);

/// Longest root period.
const ROOT_PERIOD_MAX: Duration = Duration::from_hours(24 * 366);

/// Longest history.
const HISTORY_MAX: Duration = Duration::from_hours(24 * 3_660);

/// What an administrator may set. A change holds for the generations of roots made from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KtmSettings {
    /// How long a root is in use, and the longest life of a key: 1 s to 366 days.
    pub root_period: Duration,
    /// How long after its expiry a key still opens: 0 to 10 years.
    pub history: Duration,
}

impl Default for KtmSettings {
    /// 24 hours, 7 days.
    fn default() -> Self {
        Self { root_period: ROOT_PERIOD_DEFAULT, history: HISTORY_DEFAULT }
    }
}

impl KtmSettings {
    fn check(&self) -> Result<(), KtmError> {
        let check = |setting, value, least: Duration, most: Duration| {
            let (least_secs, most_secs) = (least.as_secs(), most.as_secs());
            let fault = KtmError::Setting { setting, least: least_secs, most: most_secs };
            if (least..=most).contains(&value) { Ok(()) } else { Err(fault) }
        };
        check("the root period", self.root_period, KEY_LIFE_MIN, ROOT_PERIOD_MAX)?;
        check("the history", self.history, Duration::ZERO, HISTORY_MAX)
    }
}

/// What a revocation did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The new bump of each scope that was bumped.
    pub bumps: BTreeMap<ScopeId, Bump>,
    /// The transaction after which all of it holds; none if there was nothing to do.
    pub revision: Option<Revision>,
}

/// The Keys Topics Manager over a store, in this process.
///
/// A task of the runtime does the upkeep, and ends when this is dropped.
#[derive(Debug)]
pub struct Ktm {
    core: Arc<Core>,
    upkeep: JoinHandle<()>,
}

#[derive(Debug)]
struct Core {
    clock: Arc<dyn Clock>,
    settings: KtmSettings,
    realm: Arc<Realm>,
    roots: Arc<Roots>,
    scopes: Arc<Scopes>,
    eraser: Eraser,
    publishers: Publishers,
    steadiness: Steadiness,
    revisions: watch::Sender<u64>,
}

impl Ktm {
    /// Takes up the realm of this store, or makes one in an empty store. Reads every scope.
    ///
    /// One process at a time should write: see the crate's documentation. [`KtmError::WrongKek`] if the store was made
    /// with another KEK.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn open(
        store: Arc<dyn Store>,
        keyring: Keyring,
        clock: Arc<dyn Clock>,
        settings: KtmSettings,
    ) -> Result<Self, KtmError> {
        settings.check()?;
        let realm = Arc::new(Realm::open(Arc::clone(&store), &keyring).await?);
        let records = Records::new(store);
        let KtmSettings { root_period, history } = settings;
        let roots = Arc::new(Roots::load(records.clone(), keyring.clone(), root_period, history).await?);
        let scopes = Arc::new(Scopes::load(records.clone(), keyring.clone(), SCOPES_MAX).await?);
        let eraser = Eraser::new(records.clone(), keyring, Arc::clone(&roots), Arc::clone(&scopes));
        let core = Arc::new(Core {
            clock,
            settings,
            roots,
            scopes,
            eraser,
            publishers: Publishers::load(records.clone(), Arc::clone(&realm)).await?,
            steadiness: Steadiness::load(records).await?,
            realm,
            revisions: watch::channel(0).0,
        });
        core.upkeep().await?;
        let upkeep = tokio::spawn(Arc::clone(&core).upkeep_forever());
        Ok(Self { core, upkeep })
    }

    /// The realm.
    pub fn realm(&self) -> &Arc<Realm> {
        &self.core.realm
    }

    /// Replaces the keys of scopes of which somebody may no longer read, in one transaction with the change that takes the
    /// right away: `with`, in the store that this was opened on. Answers with the new bumps; scopes that are gone have none.
    ///
    /// More than 4,096 scopes go in several transactions, the change with the last: until this returns, the caller lets the
    /// reader have no key, neither under the old rights nor under the new ones.
    ///
    /// [`KtmError::Contended`] if an expectation in `with` does not hold.
    pub async fn revoke(
        &self,
        scopes: &BTreeSet<ScopeId>,
        with: Vec<Change>,
    ) -> Result<BTreeMap<ScopeId, Bump>, KtmError> {
        self.core.revoke(scopes, with).await
    }

    /// The same, for scopes that are yet to be found, with the revision of the transaction that made the change.
    ///
    /// `look` is given every scope there is, and says which of them lost somebody and what changes with their bumps. From before
    /// it looks until the transaction is done no scope is made: so none slips through, whichever NOS asks for it. It should
    /// be quick, for items whose scope is a new one wait. What it fails with is passed on, and nothing was changed.
    ///
    /// A NOS in another process learns of it with the revision: see [`settled`](crate::LinkServer::settled).
    pub async fn revoke_with<F, E>(&self, look: impl FnOnce(Vec<Arc<ScopeSpec>>) -> F) -> Result<Revocation, E>
    where
        F: Future<Output = Result<(BTreeSet<ScopeId>, Vec<Change>), E>>,
        E: From<KtmError>,
    {
        let changing = self.core.scopes.hold().await;
        let (lost, with) = look(self.scopes()).await?;
        Ok(self.core.revoke_held(&lost, with, &changing).await?)
    }

    /// The keys to seal with now and in the next epoch. Costs no I/O and two copies of a key, unless the epoch is new.
    ///
    /// Keys asked for after a bump returned are under it. [`KtmError::UnknownScope`]: it was destroyed; ensure it anew.
    pub async fn sealing_keys(&self, scope: &ScopeId) -> Result<SealingKeys, KtmError> {
        let now = self.core.clock.now();
        match self.core.scopes.using(scope, now).and_then(|scope| scope.sealing_keys(now)) {
            Some(keys) => Ok(keys),
            None => self.core.derive_sealing_keys(scope, now).await,
        }
    }

    /// Replaces the scope's keys of now and later, because somebody may no longer read. What was sealed stays readable.
    pub async fn bump(&self, scope: &ScopeId) -> Result<Bump, KtmError> {
        self.core.bump(scope).await
    }

    /// The same by hand, without anybody having lost a right.
    pub async fn rotate(&self, scope: &ScopeId) -> Result<Bump, KtmError> {
        self.bump(scope).await
    }

    /// Destroys the scope's salt, and with it every key of the scope, past and to come.
    ///
    /// Readers keep what they were given. What the store's old blocks hold of the salt lies under a version of the KEK that is
    /// destroyed too, after everything else was wrapped anew, which takes time with every scope there is; see `docs/guide/keys.md`.
    pub async fn destroy(&self, scope: &ScopeId) -> Result<(), KtmError> {
        self.core.destroy(scope).await
    }

    /// The same for many, with one wrapping anew; those that there were. One that fails ends it: those before are destroyed.
    pub async fn destroy_all(&self, scopes: &BTreeSet<ScopeId>) -> Result<BTreeSet<ScopeId>, KtmError> {
        self.core.destroy_all(scopes).await
    }

    /// Every scope there is, with what it says.
    pub fn scopes(&self) -> Vec<Arc<ScopeSpec>> {
        self.core.scopes.all().iter().map(|scope| Arc::clone(&scope.spec)).collect()
    }

    /// As [`sealing_keys`](Self::sealing_keys), with the revision of the record that they come from.
    pub(crate) async fn sealing_keys_as_of(&self, id: &ScopeId) -> Result<(SealingKeys, Revision), KtmError> {
        let revision = || self.core.scopes.get(id).map(|scope| scope.revision());
        for _ in 0..RACES_MAX {
            let before = revision();
            let keys = self.sealing_keys(id).await?;
            // Else the record was changed meanwhile, and the keys may be from before or after.
            if let Some(revision) = revision().filter(|revision| Some(*revision) == before) {
                return Ok((keys, revision));
            }
        }
        Err(KtmError::Contended { key: crate::scope::key(id) })
    }

    /// As [`resolve`](KeysTopicsManager::resolve), with the revision of the record that the key comes from.
    pub(crate) async fn resolve_as_of(&self, key_id: &KeyId) -> Result<Option<(Resolved, Revision)>, KtmError> {
        let revision = || self.core.scopes.revision_of_tag(key_id.scope_tag());
        for _ in 0..RACES_MAX {
            let before = revision();
            let Some(resolved) = self.resolve(key_id).await? else { return Ok(None) };
            if let Some(revision) = revision().filter(|revision| Some(*revision) == before) {
                return Ok(Some((resolved, revision)));
            }
        }
        Err(KtmError::Contended { key: format!("ktm/tag/{}", key_id.scope_tag()) })
    }

    /// The revision of the record of a scope that is there.
    pub(crate) fn revision_of(&self, id: &ScopeId) -> Option<Revision> {
        self.core.scopes.get(id).map(|scope| scope.revision())
    }

    /// The tag and the bump of every scope, with every change that the store was seen to have before.
    pub(crate) async fn scope_states(&self) -> Vec<(ScopeId, ScopeTag, Bump)> {
        let _changes_that_are_under_way = self.core.scopes.hold().await;
        self.core.scopes.all().iter().map(|scope| (scope.spec.id, scope.tag, scope.bumps.highest())).collect()
    }

    pub(crate) fn listed_publishers(&self) -> &Publishers {
        &self.core.publishers
    }

    /// A backup of everything in the store as of now, with the keyring, sealed under a passphrase of twelve characters at least.
    pub async fn backup(&self, passphrase: SecretBytes, cost: PassphraseCost) -> Result<Backup, KtmError> {
        let (listed, versions) = self.core.eraser.snapshot().await?;
        let now = self.core.clock.now();
        let made = spawn_blocking(move || Backup::new(listed, &versions, &passphrase, cost, now));
        made.await.map_err(|_| KtmError::Stopping)?
    }

    /// Says that somebody has a key who should not: it is never served again, to nobody, and the scope is bumped, so that what
    /// is retained is sealed anew. What others sealed under it stays closed to readers who do not have it yet.
    ///
    /// [`KtmError::UnknownKey`]: no such key was ever served, or it is past its time.
    pub async fn compromise_key(&self, key_id: &KeyId) -> Result<(ScopeId, Bump), KtmError> {
        self.core.compromise_key(key_id).await
    }

    /// The same of every key of a scope until now. Keys of later come from the same salt: if that may be known, destroy the scope.
    pub async fn compromise(&self, scope: &ScopeId) -> Result<Bump, KtmError> {
        self.core.compromise(scope, |scope| Marked::Through(scope.bumps.highest())).await
    }

    /// Everything about a scope but its secrets. `None`: there is none, or no longer.
    pub async fn show(&self, scope: &ScopeId) -> Result<Option<ScopeView>, KtmError> {
        self.core.show(scope).await
    }

    /// The same of the scope of a key, with that key alone.
    pub async fn show_key(&self, key_id: &KeyId) -> Result<Option<ScopeView>, KtmError> {
        self.core.show_key(key_id).await
    }

    /// The scope of a key that was served at some time. Its time may be past.
    pub async fn scope_of(&self, key_id: &KeyId) -> Result<Option<ScopeId>, KtmError> {
        Ok(self.core.find_key(key_id).await?.map(|(scope, _)| scope.spec.id))
    }

    /// The paper's table, for people: the newest keys of every scope, and those of destroyed scopes.
    ///
    /// At most [`KEYS_LISTED_PER_SCOPE`](crate::KEYS_LISTED_PER_SCOPE) per scope; fewer, but at least two, where scopes
    /// are many and all together would be more than [`KEYS_LISTED_MAX`](crate::KEYS_LISTED_MAX). Never a keyT.
    pub async fn keys(&self) -> Result<Vec<KeyRow>, KtmError> {
        self.core.keys().await
    }
}

impl Drop for Ktm {
    fn drop(&mut self) {
        self.upkeep.abort();
    }
}

impl KeysTopicsManager for Ktm {
    fn begin_incarnation<'a>(
        &'a self,
        nos: &'a NosId,
        signing_key: VerifyingKey,
    ) -> BoxFuture<'a, Result<Incarnation, KtmError>> {
        self.core.publishers.begin(nos, signing_key).boxed()
    }

    fn ensure_scope<'a>(&'a self, spec: &'a ScopeSpec) -> BoxFuture<'a, Result<ScopeTag, KtmError>> {
        let now = self.core.clock.now();
        match self.core.scopes.using(&spec.id, now) {
            Some(scope) => future::ready(Ok(scope.tag)).boxed(),
            None => self.core.create_scope(spec, now).boxed(),
        }
    }

    fn sealing_key<'a>(&'a self, scope: &'a ScopeId) -> BoxFuture<'a, Result<KeyEntry, KtmError>> {
        async move { Ok(self.sealing_keys(scope).await?.current) }.boxed()
    }

    fn resolve<'a>(&'a self, key_id: &'a KeyId) -> BoxFuture<'a, Result<Option<Resolved>, KtmError>> {
        self.core.resolve(key_id).boxed()
    }

    fn publishers(&self) -> BoxFuture<'_, Result<Vec<String>, KtmError>> {
        future::ready(Ok(self.core.publishers.certificates(self.core.clock.now()))).boxed()
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.core.revisions.subscribe()
    }

    fn scope_ids(&self) -> BoxFuture<'_, Result<Vec<ScopeId>, KtmError>> {
        future::ready(Ok(self.core.scopes.all().iter().map(|scope| scope.spec.id).collect())).boxed()
    }
}

/// Why a key is not served: for the operator's eyes, in a metric. The asker learns nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    UnknownTag,
    NeverCurrent,
    NoRoot,
    OtherCommit,
    PastDec,
    Compromised,
}

impl Refused {
    const fn reason(self) -> &'static str {
        match self {
            Self::UnknownTag => "unknown_tag",
            Self::NeverCurrent => "never_current",
            Self::NoRoot => "no_root",
            Self::OtherCommit => "other_commit",
            Self::PastDec => "past_dec",
            Self::Compromised => "compromised",
        }
    }
}

impl Core {
    async fn create_scope(&self, spec: &ScopeSpec, now: UnixMillis) -> Result<ScopeTag, KtmError> {
        let ScopeSpec { id, ref app, ref user, ref obligations, suite, life_ms } = *spec;
        if id != schedule::scope_id(&self.realm.id(), app, user, obligations, suite, life_ms) {
            return Err(KtmError::ForeignScope(id));
        }
        if !suite.is_for_readers() {
            return Err(KtmError::SuiteForSources(id));
        }
        root::check_life(life_ms, self.settings.root_period)?;
        Ok(self.scopes.create(spec, now).await?.tag)
    }

    async fn derive_sealing_keys(&self, id: &ScopeId, now: UnixMillis) -> Result<SealingKeys, KtmError> {
        self.scopes.settle(id, now).await?;
        // As new as it is now, and noted as used.
        let scope = self.scopes.using(id, now).ok_or(KtmError::UnknownScope(*id))?;
        // The root period may have been shortened since the scope was made.
        root::check_life(scope.spec.life_ms, self.settings.root_period)?;
        self.roots.extend(now).await?;
        scope.derive_sealing_keys(&self.roots, now)
    }

    async fn resolve(&self, key_id: &KeyId) -> Result<Option<Resolved>, KtmError> {
        let now = self.clock.now();
        let Some(scope) = self.scopes.find_by_tag(key_id.scope_tag(), key_id.bump()).await? else {
            return Ok(Self::refuse(Refused::UnknownTag));
        };
        self.roots.extend(now).await?;
        Ok(self.serve(&scope, key_id, now).unwrap_or_else(Self::refuse))
    }

    fn refuse(refused: Refused) -> Option<Resolved> {
        metrics::counter!("aups_ktm_keys_refused_total", "reason" => refused.reason()).increment(1);
        None
    }

    fn serve(&self, scope: &Scope, key_id: &KeyId, now: UnixMillis) -> Result<Option<Resolved>, Refused> {
        let (epoch, bump, current) = (key_id.epoch(), key_id.bump(), scope.epoch_at(now));
        if !scope.serves(epoch, bump, now) {
            return Err(Refused::NeverCurrent);
        }
        let key = scope.key(&self.roots, epoch, bump).map_err(|_| Refused::NoRoot)?;
        if !constant_time_eq(key.key_id.as_bytes(), key_id.as_bytes()) {
            return Err(Refused::OtherCommit);
        }
        if now > key.terms.dec {
            return Err(Refused::PastDec);
        }
        if scope.compromised.has(epoch, bump) {
            tracing::warn!(%key_id, "somebody asks for a key that is compromised");
            return Err(Refused::Compromised);
        }
        let next = (epoch == current).then(|| scope.key(&self.roots, following(current), scope.bumps.highest()).ok());
        Ok(Some(Resolved { spec: Arc::clone(&scope.spec), key, next: next.flatten() }))
    }

    async fn revoke(&self, ids: &BTreeSet<ScopeId>, with: Vec<Change>) -> Result<BTreeMap<ScopeId, Bump>, KtmError> {
        let changing = self.scopes.hold().await;
        Ok(self.revoke_held(ids, with, &changing).await?.bumps)
    }

    async fn revoke_held(
        &self,
        ids: &BTreeSet<ScopeId>,
        with: Vec<Change>,
        changing: &Changing<'_>,
    ) -> Result<Revocation, KtmError> {
        let now = self.clock.now();
        // Nothing is forgotten while the clock is in doubt.
        let history_max_ms = self.steadiness.is_steady(now).await.then(|| self.roots.history_max_ms());
        if self.scopes.any_at_last_bump(ids) {
            // A salt goes. Nothing can be wrapped anew while scopes are held: the next upkeep does it.
            self.eraser.begin().await?;
        }
        let (bumped, revision) = self.scopes.revoke(ids, with, now, history_max_ms, changing).await?;
        self.tell_revision();
        for scope in &bumped {
            tracing::info!(scope = %scope.spec.id, bump = scope.bumps.highest().0, "bumped a scope");
        }
        metrics::counter!("aups_ktm_bumps_total").increment(bumped.len() as u64);
        let bumps = bumped.iter().map(|scope| (scope.spec.id, scope.bumps.highest())).collect();
        Ok(Revocation { bumps, revision })
    }

    async fn bump(&self, id: &ScopeId) -> Result<Bump, KtmError> {
        self.revoke(&[*id].into(), Vec::new()).await?.remove(id).ok_or(KtmError::UnknownScope(*id))
    }

    /// A key that was, is or is next to be current, whether or not it may still be served.
    async fn find_key(&self, key_id: &KeyId) -> Result<Option<(Arc<Scope>, KeyEntry)>, KtmError> {
        let (epoch, bump, now) = (key_id.epoch(), key_id.bump(), self.clock.now());
        let Some(scope) = self.scopes.find_by_tag(key_id.scope_tag(), bump).await? else { return Ok(None) };
        self.roots.extend(now).await?;
        let key = scope.serves(epoch, bump, now).then(|| scope.key(&self.roots, epoch, bump).ok()).flatten();
        let key = key.filter(|key| constant_time_eq(key.key_id.as_bytes(), key_id.as_bytes()));
        Ok(key.map(|key| (scope, key)))
    }

    async fn compromise_key(&self, key_id: &KeyId) -> Result<(ScopeId, Bump), KtmError> {
        let (scope, _) = self.find_key(key_id).await?.ok_or(KtmError::UnknownKey(*key_id))?;
        let (id, marked) = (scope.spec.id, Marked::Key(key_id.epoch(), key_id.bump()));
        Ok((id, self.compromise(&id, |_| marked).await?))
    }

    async fn compromise(&self, id: &ScopeId, marked: impl Fn(&Scope) -> Marked) -> Result<Bump, KtmError> {
        let now = self.clock.now();
        let history_max_ms = self.steadiness.is_steady(now).await.then(|| self.roots.history_max_ms());
        let compromising = self.scopes.compromise(id, marked, now, history_max_ms);
        // At the last bump the record is replaced, and its salt destroyed.
        let scope = if self.scopes.any_at_last_bump(&[*id].into()) {
            self.eraser.destroying(compromising).await?
        } else {
            compromising.await?
        };
        self.tell_revision();
        tracing::warn!(scope = %id, bump = scope.bumps.highest().0, "keys of a scope are compromised");
        metrics::counter!("aups_ktm_compromised_total").increment(1);
        Ok(scope.bumps.highest())
    }

    async fn show(&self, id: &ScopeId) -> Result<Option<ScopeView>, KtmError> {
        let now = self.clock.now();
        self.roots.extend(now).await?;
        Ok(self.scopes.get(id).map(|scope| {
            let keys = scope.newest_keys(&self.roots, now, KEYS_LISTED_PER_SCOPE);
            scope.view(keys.iter().map(|(key, state)| KeyView::of(key, *state)).collect())
        }))
    }

    async fn show_key(&self, key_id: &KeyId) -> Result<Option<ScopeView>, KtmError> {
        let now = self.clock.now();
        let found = self.find_key(key_id).await?;
        Ok(found.map(|(scope, key)| scope.view(vec![KeyView::of(&key, scope.state(&key.terms, now))])))
    }

    async fn destroy(&self, id: &ScopeId) -> Result<(), KtmError> {
        let destroyed = self.destroy_all(&[*id].into()).await?;
        if destroyed.contains(id) { Ok(()) } else { Err(KtmError::UnknownScope(*id)) }
    }

    async fn destroy_all(&self, ids: &BTreeSet<ScopeId>) -> Result<BTreeSet<ScopeId>, KtmError> {
        // Nothing new is wrapped for a scope that is not there.
        if !self.scopes.any_known(ids).await? {
            return Ok(BTreeSet::new());
        }
        let now = self.clock.now();
        let destroy = async {
            let mut destroyed = BTreeSet::new();
            for id in ids {
                match self.scopes.destroy(id, &self.roots, now).await {
                    Ok(()) => drop(destroyed.insert(*id)),
                    Err(KtmError::UnknownScope(_)) => {}
                    Err(error) => return Err(error),
                }
                // It can be seen now; whoever seals need not wait until the rest is done.
                self.tell_revision();
                tracing::info!(scope = %id, "destroyed a scope");
            }
            Ok(destroyed)
        };
        self.eraser.destroying(destroy).await
    }

    /// After the change can be seen, never before.
    fn tell_revision(&self) {
        self.revisions.send_modify(|revision| *revision += 1);
    }

    async fn keys(&self) -> Result<Vec<KeyRow>, KtmError> {
        let now = self.clock.now();
        self.roots.extend(now).await?;
        let (scopes, roots) = (self.scopes.all(), Arc::clone(&self.roots));
        let listed = spawn_blocking(move || table::rows(scopes, &roots, now)).await;
        let mut rows = listed.map_err(|_| KtmError::Stopping)?;
        rows.extend(self.scopes.shredded().await?.into_iter().flat_map(table::Shredded::rows));
        Ok(rows)
    }

    async fn upkeep(&self) -> Result<(), KtmError> {
        let now = self.clock.now();
        self.roots.extend(now).await?;
        self.scopes.all().iter().for_each(|scope| scope.drop_old_keys(now));
        self.scopes.write_use().await?;
        if self.steadiness.look(now).await? {
            self.destroy_spent(now).await?;
        }
        self.eraser.finish().await
    }

    /// What is past its time goes at once, so that the rest is wrapped anew once.
    async fn destroy_spent(&self, now: UnixMillis) -> Result<(), KtmError> {
        let history_max = Duration::from_millis(self.roots.history_max_ms());
        let any = self.roots.any_spent(now) || self.scopes.any_unused(history_max, now);
        let destroy = async {
            self.roots.destroy_spent(now).await?;
            self.scopes.forget_unused(history_max, now).await
        };
        if any { self.eraser.destroying(destroy).await } else { destroy.await }
    }

    async fn upkeep_forever(self: Arc<Self>) {
        let mut ticks = interval_at(Instant::now() + UPKEEP_EVERY, UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.upkeep().await {
                // Nothing is lost: roots reach ahead by two periods, and the next round does what this one did not.
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, "the KTM's upkeep failed and is tried again in a minute");
            }
        }
    }
}

#[cfg(test)]
mod tests;
