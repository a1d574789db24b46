//! All scopes of the realm: exactly one record each, all in memory, every change compared with the store's revision.

use crate::{
    custody::Keyring,
    error::KtmError,
    records::{RACES_MAX, Records, put},
    root::Roots,
    scope::{self, Marked, Scope, ScopeRecord},
    table::Shredded,
};
use aups_core::{Bump, ScopeId, ScopeSpec, ScopeTag, UnixMillis};
use aups_envelope::random;
use aups_store::{Change, Expect, Revision};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};

/// Most scopes that a realm keeps. Each takes some 2 KB of memory with residuals of ordinary length.
pub const SCOPES_MAX: usize = 100_000;

/// How far the store may lag in knowing when a scope was last used. It is remembered so much longer.
pub(crate) const USE_WRITTEN_EVERY: Duration = Duration::from_hours(24);

/// Most scopes that are bumped in one transaction, and most bytes of their records: below what a store takes at once.
const BUMPS_AT_ONCE: usize = 4_096;
const BUMPED_BYTES_AT_ONCE: usize = aups_store::store::COMMIT_BYTES_MAX / 2;

/// Most records that one transaction of the upkeep touches: with residuals as long as they may be it still is one.
const CHANGES_AT_ONCE: usize = 8;

const TAGS: &str = "ktm/tag/";
const SHREDDED: &str = "ktm/shredded/";

/// Finds a scope by the tag on the wire.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TagRecord {
    scope: ScopeId,
}

pub(crate) fn tag_key(tag: ScopeTag) -> String {
    format!("{TAGS}{tag}")
}

fn shredded_key(tag: ScopeTag) -> String {
    format!("{SHREDDED}{tag}")
}

/// The scopes.
#[derive(Debug)]
pub(crate) struct Scopes {
    records: Records,
    keyring: Keyring,
    most: usize,
    index: RwLock<Index>,
    /// One change at a time within this process, so that races are only with other instances.
    changing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<ScopeId, Arc<Scope>>,
    by_tag: HashMap<ScopeTag, ScopeId>,
}

impl Index {
    fn put(&mut self, scope: Arc<Scope>) {
        self.remove(&scope.spec.id);
        self.by_tag.insert(scope.tag, scope.spec.id);
        self.by_id.insert(scope.spec.id, scope);
    }

    fn remove(&mut self, id: &ScopeId) {
        if let Some(before) = self.by_id.remove(id) {
            self.by_tag.remove(&before.tag);
        }
    }
}

impl Scopes {
    /// Reads every record. `most` is how many there may be.
    pub(crate) async fn load(records: Records, keyring: Keyring, most: usize) -> Result<Self, KtmError> {
        let mut index = Index::default();
        for (key, record, revision) in records.list::<ScopeRecord>(scope::PREFIX).await? {
            index.put(Arc::new(Scope::open(record, &key, revision, &keyring)?));
        }
        Ok(Self { records, keyring, most, index: RwLock::new(index), changing: Mutex::default() })
    }

    /// A scope that we know, which is about to be sealed under. No I/O.
    pub(crate) fn using(&self, id: &ScopeId, now: UnixMillis) -> Option<Arc<Scope>> {
        // Noted under the lock: `forget_unused` either sees the use or has removed the scope before.
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let scope = index.by_id.get(id)?;
        scope.use_at(now);
        Some(Arc::clone(scope))
    }

    /// A scope that we know.
    pub(crate) fn get(&self, id: &ScopeId) -> Option<Arc<Scope>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    /// The revision of the record of a tag's scope, as far as we know it.
    pub(crate) fn revision_of_tag(&self, tag: ScopeTag) -> Option<Revision> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        Some(index.by_id.get(index.by_tag.get(&tag)?)?.revision())
    }

    /// Every scope that we know.
    pub(crate) fn all(&self) -> Vec<Arc<Scope>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).by_id.values().cloned().collect()
    }

    /// The scope of a tag, as new as this bump if there is any: another instance may have made or bumped it.
    pub(crate) async fn find_by_tag(&self, tag: ScopeTag, bump: Bump) -> Result<Option<Arc<Scope>>, KtmError> {
        let known = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            index.by_tag.get(&tag).and_then(|id| index.by_id.get(id)).cloned()
        };
        let id = match known {
            Some(scope) if bump <= scope.bumps.highest() => return Ok(Some(scope)),
            Some(scope) => scope.spec.id,
            None => match self.records.get::<TagRecord>(&tag_key(tag)).await? {
                Some((record, _)) => record.scope,
                None => return Ok(None),
            },
        };
        let changing = self.changing.lock().await;
        Ok(self.reload(&id, &changing).await?.filter(|scope| scope.tag == tag))
    }

    /// Makes the record, unless it exists: then that one counts, whoever made it.
    pub(crate) async fn create(&self, spec: &ScopeSpec, now: UnixMillis) -> Result<Arc<Scope>, KtmError> {
        self.create_tagged(spec, now, || ScopeTag::from_bytes(random())).await
    }

    async fn create_tagged(
        &self,
        spec: &ScopeSpec,
        now: UnixMillis,
        mut tag: impl FnMut() -> ScopeTag,
    ) -> Result<Arc<Scope>, KtmError> {
        let changing = self.changing.lock().await;
        for _ in 0..RACES_MAX {
            if let Some(scope) = self.using(&spec.id, now) {
                return Ok(scope);
            }
            if self.index.read().unwrap_or_else(PoisonError::into_inner).by_id.len() >= self.most {
                return Err(KtmError::ScopesFull { most: self.most });
            }
            let scope = Scope::new(spec, tag(), now);
            if let Some(revision) = self.records.commit(writing(None, &scope, &self.keyring)?).await? {
                return Ok(self.learn(scope.stored_at(revision)));
            }
            // Another instance made this scope, or another scope has this tag: then we draw again.
            self.reload(&spec.id, &changing).await?;
        }
        Err(KtmError::Contended { key: scope::key(&spec.id) })
    }

    /// The next bump of each of these scopes, from now on, together with changes of the caller's: all of it or nothing.
    /// Scopes that are gone are passed over. At the counter's end: a new record, and the old keys are gone.
    ///
    /// What is more than one transaction takes goes in several, the caller's changes with the last: a kill in between
    /// leaves scopes that were bumped for nothing. Scopes that were bumped before the caller's changes are then bumped once
    /// more, for elsewhere somebody may have been given the key between the two.
    ///
    /// Bumps under which no key opens any more are forgotten if the longest history is given. The revision is that after which
    /// all of it holds.
    pub(crate) async fn revoke(
        &self,
        ids: &BTreeSet<ScopeId>,
        with: Vec<Change>,
        now: UnixMillis,
        history_max_ms: Option<u64>,
        changing: &Changing<'_>,
    ) -> Result<(Vec<Arc<Scope>>, Option<Revision>), KtmError> {
        let mut batches = self.batches(ids);
        let last = batches.pop().unwrap_or_default();
        for some in &batches {
            self.bump_some(some, &[], now, history_max_ms, changing).await?;
        }
        let (mut bumped, mut revision) = self.bump_some(&last, &with, now, history_max_ms, changing).await?;
        for some in &batches {
            let (more, later) = self.bump_some(some, &[], now, history_max_ms, changing).await?;
            bumped.extend(more);
            revision = later.or(revision);
        }
        Ok((bumped, revision))
    }

    /// As many scopes together as one transaction takes.
    fn batches(&self, ids: &BTreeSet<ScopeId>) -> Vec<Vec<ScopeId>> {
        let (mut batches, mut some, mut bytes) = (Vec::new(), Vec::new(), 0);
        for id in ids {
            let record_bytes = self.get(id).map_or(0, |scope| scope.record_bytes_max());
            if some.len() >= BUMPS_AT_ONCE || bytes + record_bytes > BUMPED_BYTES_AT_ONCE {
                batches.push(std::mem::take(&mut some));
                bytes = 0;
            }
            some.push(*id);
            bytes += record_bytes;
        }
        batches.push(some);
        batches
    }

    /// Lets nobody make, change or destroy a scope for as long as this is held.
    pub(crate) async fn hold(&self) -> Changing<'_> {
        self.changing.lock().await
    }

    async fn bump_some(
        &self,
        ids: &[ScopeId],
        with: &[Change],
        now: UnixMillis,
        history_max_ms: Option<u64>,
        changing: &Changing<'_>,
    ) -> Result<(Vec<Arc<Scope>>, Option<Revision>), KtmError> {
        for _ in 0..RACES_MAX {
            let mut before = Vec::with_capacity(ids.len());
            for id in ids {
                before.extend(self.find_if_there(id, changing).await?);
            }
            let after: Vec<_> = before.iter().map(|scope| Self::bumped(scope, now, history_max_ms)).collect();
            let changes = before.iter().zip(&after).map(|(before, after)| writing(Some(before), after, &self.keyring));
            let mut changes = changes.collect::<Result<Vec<_>, _>>()?.concat();
            changes.extend_from_slice(with);
            if changes.is_empty() {
                return Ok((Vec::new(), None));
            }
            if let Some(revision) = self.records.commit(changes).await? {
                let bumped = after.into_iter().map(|scope| self.learn(scope.stored_at(revision))).collect();
                return Ok((bumped, Some(revision)));
            }
            for id in ids {
                self.reload(id, changing).await?;
            }
        }
        Err(KtmError::Contended { key: ids.first().map(scope::key).unwrap_or_default() })
    }

    fn bumped(scope: &Scope, now: UnixMillis, history_max_ms: Option<u64>) -> Scope {
        let opens_ms = history_max_ms.map(|history_ms| history_ms.saturating_add(scope.spec.life_ms));
        let forget_before = UnixMillis(opens_ms.map_or(0, |opens_ms| now.0.saturating_sub(opens_ms)));
        let next = scope.bumps.bumped(now, forget_before).map(|bumps| scope.with_bumps(bumps));
        next.unwrap_or_else(|| Scope::new(&scope.spec, ScopeTag::from_bytes(random()), now))
    }

    /// Makes sure that we know the scope, and that none of its times lies ahead of `now`; see
    /// [`scope::Bumps::not_after`]. No I/O if we do and the clock was not set back.
    pub(crate) async fn settle(&self, id: &ScopeId, now: UnixMillis) -> Result<(), KtmError> {
        let scope = match self.get(id) {
            Some(scope) => scope,
            None => self.find(id, &self.changing.lock().await).await?,
        };
        if scope.bumps.highest_since() <= now {
            return Ok(());
        }
        tracing::warn!(scope = %id, since = %scope.bumps.highest_since(), %now, "the clock was set back");
        self.change(id, |scope| scope.with_bumps(scope.bumps.not_after(now))).await.map(drop)
    }

    /// Destroys the salt, and keeps what people are told about the keys that were.
    pub(crate) async fn destroy(&self, id: &ScopeId, roots: &Roots, now: UnixMillis) -> Result<(), KtmError> {
        let changing = self.changing.lock().await;
        for _ in 0..RACES_MAX {
            let scope = self.find(id, &changing).await?;
            let changes = vec![
                Change::delete(scope::key(id), Expect::Revision(scope.revision())),
                Change::delete(tag_key(scope.tag), Expect::Any),
                put(&shredded_key(scope.tag), &Shredded::of(&scope, roots, now), Expect::Any)?,
            ];
            if self.records.commit(changes).await?.is_some() {
                self.forget(id);
                return Ok(());
            }
            self.reload(id, &changing).await?;
        }
        Err(KtmError::Contended { key: scope::key(id) })
    }

    /// What is left of destroyed scopes.
    pub(crate) async fn shredded(&self) -> Result<Vec<Shredded>, KtmError> {
        let records = self.records.list::<Shredded>(SHREDDED).await?;
        Ok(records.into_iter().map(|(_, record, _)| record).collect())
    }

    /// Writes down which scopes were used, for those where the store lags by more than [`USE_WRITTEN_EVERY`].
    pub(crate) async fn write_use(&self) -> Result<(), KtmError> {
        let lags = |scope: &Arc<Scope>| scope.used().since(scope.used_written()) >= USE_WRITTEN_EVERY;
        let lagging: Vec<_> = self.all().into_iter().filter(lags).collect();
        for some in lagging.chunks(CHANGES_AT_ONCE) {
            let _one_at_a_time = self.changing.lock().await;
            let after: Vec<_> = some.iter().map(|scope| scope.with_bumps(scope.bumps.clone())).collect();
            let changes = some.iter().zip(&after).map(|(before, after)| writing(Some(before), after, &self.keyring));
            let changes = changes.collect::<Result<Vec<_>, _>>()?.concat();
            // Whoever was faster changed one of them; the next round writes what is left.
            if let Some(revision) = self.records.commit(changes).await? {
                for scope in after {
                    self.learn(scope.stored_at(revision));
                }
            }
        }
        Ok(())
    }

    /// Whether there is a scope to forget.
    pub(crate) fn any_unused(&self, history_max: Duration, now: UnixMillis) -> bool {
        self.all().iter().any(|scope| is_unused(scope, history_max, now))
    }

    /// Whether the next bump of one of these ends the counter, and so destroys a salt.
    pub(crate) fn any_at_last_bump(&self, ids: &BTreeSet<ScopeId>) -> bool {
        ids.iter().filter_map(|id| self.get(id)).any(|scope| scope.bumps.highest() == Bump(u16::MAX))
    }

    /// Forgets scopes whose last key is past its `dec`, and what was left of destroyed ones.
    pub(crate) async fn forget_unused(&self, history_max: Duration, now: UnixMillis) -> Result<(), KtmError> {
        let unused = |scope: &Scope| is_unused(scope, history_max, now);
        let candidates: Vec<_> = self.all().into_iter().filter(|scope| unused(scope)).collect();
        for some in candidates.chunks(CHANGES_AT_ONCE) {
            let changing = self.changing.lock().await;
            let forgotten = self.remove_if(some, unused);
            let changes = forgotten.iter().flat_map(|scope| {
                let record = Change::delete(scope::key(&scope.spec.id), Expect::Revision(scope.revision()));
                [record, Change::delete(tag_key(scope.tag), Expect::Any)]
            });
            let changes: Vec<_> = changes.collect();
            if changes.is_empty() {
                continue;
            }
            if self.records.commit(changes).await?.is_some() {
                tracing::info!(scopes = forgotten.len(), "forgot unused scopes");
            } else {
                for scope in forgotten {
                    self.reload(&scope.spec.id, &changing).await?;
                }
            }
        }
        self.forget_shredded(now).await
    }

    async fn forget_shredded(&self, now: UnixMillis) -> Result<(), KtmError> {
        let records = self.records.list::<Shredded>(SHREDDED).await?;
        let past = records.into_iter().filter(|(_, shredded, _)| shredded.until < now);
        let changes: Vec<_> = past.map(|(key, _, _)| Change::delete(key, Expect::Any)).collect();
        for some in changes.chunks(CHANGES_AT_ONCE) {
            self.records.commit(some.to_vec()).await?;
        }
        Ok(())
    }

    /// Marks keys that are never served again, and bumps the scope, so that what is retained is sealed anew.
    pub(crate) async fn compromise(
        &self,
        id: &ScopeId,
        marked: impl Fn(&Scope) -> Marked,
        now: UnixMillis,
        history_max_ms: Option<u64>,
    ) -> Result<Arc<Scope>, KtmError> {
        self.change(id, |scope| {
            Self::bumped(&scope.with_compromised(marked(scope), now, history_max_ms), now, history_max_ms)
        })
        .await
    }

    /// Changes a record, again on what is new if somebody else was faster.
    async fn change(&self, id: &ScopeId, change: impl Fn(&Scope) -> Scope) -> Result<Arc<Scope>, KtmError> {
        let changing = self.changing.lock().await;
        for _ in 0..RACES_MAX {
            let before = self.find(id, &changing).await?;
            let after = change(&before);
            if let Some(revision) = self.records.commit(writing(Some(&before), &after, &self.keyring)?).await? {
                return Ok(self.learn(after.stored_at(revision)));
            }
            self.reload(id, &changing).await?;
        }
        Err(KtmError::Contended { key: scope::key(id) })
    }

    /// The scope, from the store if another instance made it.
    async fn find(&self, id: &ScopeId, changing: &Changing<'_>) -> Result<Arc<Scope>, KtmError> {
        self.find_if_there(id, changing).await?.ok_or(KtmError::UnknownScope(*id))
    }

    async fn find_if_there(&self, id: &ScopeId, changing: &Changing<'_>) -> Result<Option<Arc<Scope>>, KtmError> {
        match self.get(id) {
            Some(scope) => Ok(Some(scope)),
            None => self.reload(id, changing).await,
        }
    }

    /// Reads the record again. Takes the guard so that it never puts back what a change replaced meanwhile.
    async fn reload(&self, id: &ScopeId, _changing: &Changing<'_>) -> Result<Option<Arc<Scope>>, KtmError> {
        let key = scope::key(id);
        let Some((record, revision)) = self.records.get::<ScopeRecord>(&key).await? else {
            self.forget(id);
            return Ok(None);
        };
        // Nothing new: a made-up bump in a key id must not cost us the keys that we derived.
        if let Some(known) = self.get(id).filter(|known| known.revision() == revision) {
            return Ok(Some(known));
        }
        Ok(Some(self.learn(Scope::open(record, &key, revision, &self.keyring)?)))
    }

    /// Whether one of these is there.
    pub(crate) async fn any_known(&self, ids: &BTreeSet<ScopeId>) -> Result<bool, KtmError> {
        let changing = self.changing.lock().await;
        for id in ids {
            if self.find_if_there(id, &changing).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes note that the record of a scope was written again and says the same.
    pub(crate) fn rewritten(&self, id: &ScopeId, revision: Revision, _changing: &Changing<'_>) {
        if let Some(scope) = self.get(id) {
            scope.rewritten_at(revision);
        }
    }

    fn learn(&self, scope: Scope) -> Arc<Scope> {
        let scope = Arc::new(scope);
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        index.put(Arc::clone(&scope));
        metrics::gauge!("aups_ktm_scopes").set(u32::try_from(index.by_id.len()).unwrap_or(u32::MAX));
        scope
    }

    fn forget(&self, id: &ScopeId) {
        self.index.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    fn remove_if(&self, some: &[Arc<Scope>], unused: impl Fn(&Scope) -> bool) -> Vec<Arc<Scope>> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let still_unused = |scope: &&Arc<Scope>| index.by_id.get(&scope.spec.id).is_some_and(|scope| unused(scope));
        let removed: Vec<_> = some.iter().filter(still_unused).cloned().collect();
        for scope in &removed {
            index.remove(&scope.spec.id);
        }
        removed
    }
}

/// Proof that no other task of this process changes records meanwhile.
pub(crate) type Changing<'a> = MutexGuard<'a, ()>;

/// Whether its last key is past its `dec`.
fn is_unused(scope: &Scope, history_max: Duration, now: UnixMillis) -> bool {
    let last_dec = scope.used().plus(scope.spec.life()).plus(history_max);
    last_dec.plus(USE_WRITTEN_EVERY) < now
}

/// The changes that bring the store from one snapshot to the next.
fn writing(before: Option<&Scope>, after: &Scope, keyring: &Keyring) -> Result<Vec<Change>, KtmError> {
    let expect = before.map_or(Expect::Absent, |before| Expect::Revision(before.revision()));
    let mut changes = vec![put(&scope::key(&after.spec.id), &after.record(keyring), expect)?];
    if before.is_none_or(|before| before.tag != after.tag) {
        changes.push(put(&tag_key(after.tag), &TagRecord { scope: after.spec.id }, Expect::Absent)?);
        changes.extend(before.map(|before| Change::delete(tag_key(before.tag), Expect::Any)));
    }
    Ok(changes)
}

#[cfg(test)]
mod tests;
