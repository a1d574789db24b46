//! One scope: its record, its epochs and bumps, and the keys that follow from them. Nothing here reads or writes.

use crate::{
    custody::Keyring,
    error::KtmError,
    records::Wrapped,
    root::Roots,
    service::{KeyState, SealingKeys},
    table::{self, BumpTime, KeyView, ScopeView},
};
use aups_core::{Bump, Epoch, ScopeId, ScopeSpec, ScopeTag, UnixMillis};
use aups_envelope::{KeyEntry, KeyTerms, Secret, schedule};
use aups_store::Revision;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

/// Most bumps whose times a scope remembers. Keys under older ones are no longer served.
pub const BUMPS_REMEMBERED_MAX: usize = 1_024;

pub(crate) const PREFIX: &str = "ktm/scope/";

/// Where the record of a scope stands.
pub(crate) fn key(id: &ScopeId) -> String {
    format!("{PREFIX}{id}")
}

/// A scope as it stands in the store.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ScopeRecord {
    pub(crate) tag: ScopeTag,
    spec: ScopeSpec,
    salt: Wrapped,
    bumps: Bumps,
    #[serde(default, skip_serializing_if = "Compromised::is_empty")]
    compromised: Compromised,
    /// When it was last sealed under, to within [`crate::scopes::USE_WRITTEN_EVERY`].
    used: UnixMillis,
}

impl ScopeRecord {
    /// The bump that its keys are under from now on.
    pub(crate) fn bump(&self) -> Bump {
        self.bumps.highest()
    }
}

impl ScopeRecord {
    /// The record after a restore: with a bump that was given to nobody. `None`: there is none left.
    pub(crate) fn ahead(self, by: u16, now: UnixMillis) -> Option<Self> {
        let bumps = self.bumps.ahead(by, now)?;
        Some(Self { bumps, ..self })
    }
}

/// A scope in memory: a snapshot of its record, the salt unwrapped. A change of the record makes another.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) spec: Arc<ScopeSpec>,
    pub(crate) tag: ScopeTag,
    pub(crate) bumps: Bumps,
    pub(crate) compromised: Compromised,
    /// The revision of the record that this is a snapshot of.
    revision: AtomicU64,
    salt: Secret<32>,
    phase_ms: u64,
    used_written: UnixMillis,
    used: AtomicU64,
    /// The keys of the current epoch and the next, once somebody asked.
    sealing: RwLock<Option<Arc<SealingKeys>>>,
}

impl Scope {
    /// A new scope with a fresh salt, not yet in the store.
    pub(crate) fn new(spec: &ScopeSpec, tag: ScopeTag, now: UnixMillis) -> Self {
        let history = (Bumps::starting(now), Compromised::default());
        Self::assemble(Arc::new(spec.clone()), tag, history, 0, Secret::random(), now)
    }

    /// From its record. Fails if what the salt is bound to was changed: whoever could change the residual of a scope
    /// would say who may read what was sealed long ago.
    pub(crate) fn open(
        record: ScopeRecord,
        found_at: &str,
        revision: Revision,
        keyring: &Keyring,
    ) -> Result<Self, KtmError> {
        let ScopeRecord { tag, spec, salt, bumps, compromised, used } = record;
        let salt = salt.unwrap(keyring, found_at, &[&bound(tag, &spec)])?;
        Ok(Self::assemble(Arc::new(spec), tag, (bumps, compromised), revision, salt, used))
    }

    fn assemble(
        spec: Arc<ScopeSpec>,
        tag: ScopeTag,
        (bumps, compromised): (Bumps, Compromised),
        revision: Revision,
        salt: Secret<32>,
        used: UnixMillis,
    ) -> Self {
        let phase_ms = schedule::phase_ms(&salt, &spec.id, spec.life_ms);
        Self {
            spec,
            tag,
            bumps,
            compromised,
            revision: AtomicU64::new(revision),
            salt,
            phase_ms,
            used_written: used,
            used: AtomicU64::new(used.0),
            sealing: RwLock::default(),
        }
    }

    /// The record that says all of this, the salt wrapped under the newest version of the KEK.
    pub(crate) fn record(&self, keyring: &Keyring) -> ScopeRecord {
        ScopeRecord {
            tag: self.tag,
            spec: (*self.spec).clone(),
            salt: Wrapped::wrap(keyring, &key(&self.spec.id), &[&bound(self.tag, &self.spec)], &self.salt),
            bumps: self.bumps.clone(),
            compromised: self.compromised.clone(),
            used: self.used(),
        }
    }

    /// How long the record is at most, in bytes of JSON, which may write a character as six.
    pub(crate) fn record_bytes_max(&self) -> usize {
        let texts = self.spec.app.len() + self.spec.user.len();
        1_024 + 6 * texts + 48 * (self.bumps.earlier.len() + 1) + 24 * self.compromised.keys.len()
    }

    /// The same scope with other bumps; not yet in the store.
    pub(crate) fn with_bumps(&self, bumps: Bumps) -> Self {
        self.with_history(bumps, self.compromised.clone())
    }

    fn with_history(&self, bumps: Bumps, compromised: Compromised) -> Self {
        let (spec, salt) = (Arc::clone(&self.spec), self.salt.duplicate());
        Self::assemble(spec, self.tag, (bumps, compromised), self.revision(), salt, self.used())
    }

    /// The same scope, with keys that are never served again; not yet in the store. Marks for keys that nobody may open with
    /// any more are let go if the longest history is given.
    pub(crate) fn with_compromised(&self, marked: Marked, now: UnixMillis, history_max_ms: Option<u64>) -> Self {
        let opens = |epoch| history_max_ms.is_none_or(|history_ms| self.dec_at_most(epoch, history_ms) >= now);
        self.with_history(self.bumps.clone(), self.compromised.marking(marked, opens))
    }

    fn dec_at_most(&self, epoch: Epoch, history_ms: u64) -> UnixMillis {
        schedule::validity(epoch, self.phase_ms, self.spec.life_ms, history_ms).dec
    }

    /// The same scope as the store has it now.
    pub(crate) fn stored_at(self, revision: Revision) -> Self {
        Self { revision: AtomicU64::new(revision), used_written: self.used(), ..self }
    }

    /// The revision of its record.
    pub(crate) fn revision(&self) -> Revision {
        self.revision.load(Ordering::Relaxed)
    }

    /// Notes that its record was written again, and says the same.
    pub(crate) fn rewritten_at(&self, revision: Revision) {
        self.revision.store(revision, Ordering::Relaxed);
    }

    /// Notes that somebody seals under it.
    pub(crate) fn use_at(&self, now: UnixMillis) {
        self.used.store(now.0, Ordering::Relaxed);
    }

    /// When somebody last did.
    pub(crate) fn used(&self) -> UnixMillis {
        UnixMillis(self.used.load(Ordering::Relaxed))
    }

    /// When somebody last did, as far as the store knows.
    pub(crate) fn used_written(&self) -> UnixMillis {
        self.used_written
    }

    /// The epoch that holds `now`.
    pub(crate) fn epoch_at(&self, now: UnixMillis) -> Epoch {
        schedule::epoch_at(now, self.phase_ms, self.spec.life_ms)
    }

    /// The keys of now and of the next epoch, if they were derived already. Costs two copies of 32 bytes.
    pub(crate) fn sealing_keys(&self, now: UnixMillis) -> Option<SealingKeys> {
        let sealing = self.sealing.read().unwrap_or_else(PoisonError::into_inner);
        sealing.as_ref().filter(|keys| holds(&keys.current.terms, now)).map(|keys| keys.duplicate())
    }

    /// Derives the keys of now and of the next epoch, and keeps them.
    pub(crate) fn derive_sealing_keys(&self, roots: &Roots, now: UnixMillis) -> Result<SealingKeys, KtmError> {
        let (epoch, bump) = (self.epoch_at(now), self.bumps.highest());
        let (current, next) = (self.key(roots, epoch, bump)?, self.key(roots, following(epoch), bump)?);
        if !holds(&current.terms, now) {
            return Err(KtmError::Clock);
        }
        let keys = SealingKeys { current, next };
        *self.sealing.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys.duplicate()));
        Ok(keys)
    }

    /// Lets go of keys that are no longer those of now: they do not stay in memory longer than somebody seals with them.
    pub(crate) fn drop_old_keys(&self, now: UnixMillis) {
        let mut sealing = self.sealing.write().unwrap_or_else(PoisonError::into_inner);
        sealing.take_if(|keys| !holds(&keys.current.terms, now));
    }

    /// Derives one key, whether or not it may be served. About 4 µs.
    pub(crate) fn key(&self, roots: &Roots, epoch: Epoch, bump: Bump) -> Result<KeyEntry, KtmError> {
        let ScopeSpec { id, suite, life_ms, .. } = *self.spec;
        let nbf = schedule::validity(epoch, self.phase_ms, life_ms, 0).nbf;
        let generation = roots.covering(nbf)?;
        let key_t = schedule::derive_key_t(generation.root_for(life_ms)?, &self.salt, &id, epoch, bump);
        let schedule::Validity { nbf, exp, dec } =
            schedule::validity(epoch, self.phase_ms, life_ms, generation.history_ms());
        let terms = KeyTerms { suite, flags: self.spec.flags(), scope: id, epoch, bump, nbf, exp, dec };
        // A bump lies within the epochs that it is served for, unless the clock was set back since.
        let began = self.bumps.window(bump).map_or(nbf, |window| window.begins);
        Ok(KeyEntry::new(self.tag, key_t, terms, began.clamp(nbf, exp)))
    }

    /// Everything but the secrets, with these keys.
    pub(crate) fn view(&self, keys: Vec<KeyView>) -> ScopeView {
        let (spec, atb) = (Arc::clone(&self.spec), table::atb(&self.spec));
        ScopeView { spec, atb, tag: self.tag, used: self.used(), bumps: self.bumps.times(), keys }
    }

    /// Whether this pair was, is or is to be current, and is no later than the next epoch.
    pub(crate) fn serves(&self, epoch: Epoch, bump: Bump, now: UnixMillis) -> bool {
        let current = self.epoch_at(now);
        if epoch > following(current) {
            return false;
        }
        let is_or_will_be = bump == self.bumps.highest() && epoch >= current;
        let was = || {
            let validity = schedule::validity(epoch, self.phase_ms, self.spec.life_ms, 0);
            self.bumps.window(bump).is_some_and(|window| window.meets(validity.nbf, validity.exp))
        };
        is_or_will_be || was()
    }

    /// The newest keys that may be served, each with its state, the newest first.
    pub(crate) fn newest_keys(&self, roots: &Roots, now: UnixMillis, most: usize) -> Vec<(KeyEntry, KeyState)> {
        let current = self.epoch_at(now);
        let epochs = (0..=following(current).0).rev().map(Epoch);
        let pairs = epochs.flat_map(|epoch| self.bumps.oldest_first().rev().map(move |bumped| (epoch, bumped.bump)));
        pairs
            .take_while(|(epoch, _)| {
                let validity = schedule::validity(*epoch, self.phase_ms, self.spec.life_ms, roots.history_max_ms());
                validity.dec >= now && validity.exp > self.bumps.remembered_since().min(now)
            })
            .filter(|(epoch, bump)| self.serves(*epoch, *bump, now))
            .filter_map(|(epoch, bump)| self.key(roots, epoch, bump).ok())
            .filter(|key| key.terms.dec >= now)
            .map(|key| {
                let state = self.state(&key.terms, now);
                (key, state)
            })
            .take(most)
            .collect()
    }

    pub(crate) fn state(&self, terms: &KeyTerms, now: UnixMillis) -> KeyState {
        if self.compromised.has(terms.epoch, terms.bump) {
            KeyState::Compromised
        } else if now > terms.dec {
            KeyState::Destroyed
        } else if now < terms.nbf {
            KeyState::PreActivation
        } else if holds(terms, now) && terms.bump == self.bumps.highest() {
            KeyState::Active
        } else {
            KeyState::Deactivated
        }
    }
}

fn holds(terms: &KeyTerms, now: UnixMillis) -> bool {
    terms.nbf <= now && now < terms.exp
}

/// The epoch after this one; the last one there is has none.
pub(crate) fn following(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.saturating_add(1))
}

/// What the salt is bound to: all that says who may read and how it is sealed.
fn bound(tag: ScopeTag, spec: &ScopeSpec) -> Vec<u8> {
    let mut bound = tag.as_bytes().to_vec();
    bound.push(spec.suite.into());
    bound.extend_from_slice(&schedule::obligations_member(&spec.obligations));
    bound.extend_from_slice(&spec.life_ms.to_be_bytes());
    for residual in [&spec.app, &spec.user] {
        bound.extend_from_slice(&u64::try_from(residual.len()).unwrap_or(u64::MAX).to_be_bytes());
        bound.extend_from_slice(residual.as_bytes());
    }
    bound
}

/// Most keys of a scope that are marked one by one as compromised. One more, and every key until then counts as such.
pub(crate) const COMPROMISED_KEYS_MAX: usize = 1_024;

/// What is marked as compromised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    /// One key.
    Key(Epoch, Bump),
    /// Every key under this bump and those before.
    Through(Bump),
}

/// The keys of a scope that are never served again, because somebody has them who should not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Compromised {
    /// Every key under this bump and those before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<Bump>,
    /// Others, one by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<(Epoch, Bump)>,
}

impl Compromised {
    fn is_empty(&self) -> bool {
        self.through.is_none() && self.keys.is_empty()
    }

    /// Whether this key is.
    pub(crate) fn has(&self, epoch: Epoch, bump: Bump) -> bool {
        self.through.is_some_and(|through| bump <= through) || self.keys.contains(&(epoch, bump))
    }

    fn marking(&self, marked: Marked, opens: impl Fn(Epoch) -> bool) -> Self {
        let Self { mut through, mut keys } = self.clone();
        keys.retain(|(epoch, _)| opens(*epoch));
        match marked {
            Marked::Key(epoch, bump) if keys.len() < COMPROMISED_KEYS_MAX => keys.push((epoch, bump)),
            Marked::Key(_, bump) => through = through.max(keys.iter().map(|(_, bump)| *bump).max()).max(Some(bump)),
            Marked::Through(bump) => through = through.max(Some(bump)),
        }
        keys.retain(|(_, bump)| through.is_none_or(|through| *bump > through));
        Self { through, keys }
    }
}

/// The bumps of a scope with their times, as far back as they are remembered. In JSON: a list, the oldest first.
///
/// INVARIANT: numbers rise, by one but for a restore; times do not fall.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Bumped>", into = "Vec<Bumped>")]
pub(crate) struct Bumps {
    earlier: Vec<Bumped>,
    highest: Bumped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bumped {
    bump: Bump,
    at: UnixMillis,
}

/// When a bump was the highest. Both ends count: within one millisecond the old and the new were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    begins: UnixMillis,
    /// `None`: it is the highest.
    ends: Option<UnixMillis>,
}

impl Window {
    /// Whether it has an instant in common with `[nbf, exp)`.
    fn meets(&self, nbf: UnixMillis, exp: UnixMillis) -> bool {
        self.begins < exp && self.ends.is_none_or(|ends| nbf <= ends)
    }
}

impl Bumps {
    /// The bump 0 of a new record.
    fn starting(now: UnixMillis) -> Self {
        Self { earlier: Vec::new(), highest: Bumped { bump: Bump(0), at: now } }
    }

    /// The bump that holds now.
    pub(crate) fn highest(&self) -> Bump {
        self.highest.bump
    }

    /// Since when it does.
    pub(crate) fn highest_since(&self) -> UnixMillis {
        self.highest.at
    }

    /// Since when we know which bump was the highest.
    fn remembered_since(&self) -> UnixMillis {
        self.earlier.first().unwrap_or(&self.highest).at
    }

    /// Each with the time since when it held, the oldest first.
    pub(crate) fn times(&self) -> Vec<BumpTime> {
        self.oldest_first().map(|bumped| BumpTime { bump: bumped.bump, at: bumped.at }).collect()
    }

    fn oldest_first(&self) -> impl DoubleEndedIterator<Item = &Bumped> {
        self.earlier.iter().chain([&self.highest])
    }

    /// When this bump was the highest, if it ever was and we remember.
    fn window(&self, bump: Bump) -> Option<Window> {
        let mut since = self.oldest_first().skip_while(|bumped| bumped.bump < bump);
        let begins = since.next().filter(|bumped| bumped.bump == bump)?.at;
        Some(Window { begins, ends: since.next().map(|successor| successor.at) })
    }

    /// One more. Forgets bumps that ended before `forget_before`. `None`: the counter is at its end.
    pub(crate) fn bumped(&self, now: UnixMillis, forget_before: UnixMillis) -> Option<Self> {
        self.raised(1, now, forget_before)
    }

    /// So many more, and nothing forgotten but what is too much.
    fn ahead(&self, by: u16, now: UnixMillis) -> Option<Self> {
        self.raised(by, now, UnixMillis(0))
    }

    fn raised(&self, by: u16, now: UnixMillis, forget_before: UnixMillis) -> Option<Self> {
        let highest = Bumped { bump: Bump(self.highest.bump.0.checked_add(by)?), at: now.max(self.highest.at) };
        let mut ends = self.oldest_first().skip(1).map(|successor| successor.at);
        let spent = self.earlier.iter().take_while(|_| ends.next().is_some_and(|ended| ended < forget_before)).count();
        // The new one and the one that was the highest until now count as well.
        let too_many = (self.earlier.len() + 2).saturating_sub(BUMPS_REMEMBERED_MAX);
        Some(Self { earlier: self.oldest_first().skip(spent.max(too_many)).copied().collect(), highest })
    }

    /// With no time ahead of `now`: mends what a clock wrote that was ahead and has been set back.
    pub(crate) fn not_after(&self, now: UnixMillis) -> Self {
        let mend = |bumped: &Bumped| Bumped { at: bumped.at.min(now), ..*bumped };
        Self { earlier: self.earlier.iter().map(mend).collect(), highest: mend(&self.highest) }
    }
}

impl From<Bumps> for Vec<Bumped> {
    fn from(bumps: Bumps) -> Self {
        let Bumps { mut earlier, highest } = bumps;
        earlier.push(highest);
        earlier
    }
}

impl TryFrom<Vec<Bumped>> for Bumps {
    type Error = &'static str;
    fn try_from(mut earlier: Vec<Bumped>) -> Result<Self, Self::Error> {
        let in_order = earlier.is_sorted_by(|a, b| a.bump < b.bump && a.at <= b.at);
        match earlier.pop() {
            Some(highest) if in_order => Ok(Self { earlier, highest }),
            _ => Err("a scope has at least one bump; bumps rise, in the order of time"),
        }
    }
}

#[cfg(test)]
mod tests;
