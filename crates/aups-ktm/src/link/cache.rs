//! What a NOS keeps of the KTM's answers, so that it goes on while the KTM is away, and asks ahead of time. No I/O, no clock.

use super::{
    RESOLVED_CACHED_MAX, SCOPES_CACHED_MAX,
    wire::{ScopeNow, ScopeState},
};
use crate::{
    SCOPES_MAX,
    service::{Resolved, SealingKeys},
};
use aups_core::{KeyId, ScopeId, ScopeTag, UnixMillis};
use aups_envelope::{KeyEntry, random};
use aups_store::Revision;
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    time::Duration,
};

/// A scope under which nothing was sealed for so many of its lives is let go.
const UNUSED_LIVES_MAX: u32 = 2;

/// The part of an epoch over which the keys of the next are asked for, in hundredths; the rest is for when the KTM is away.
const ASKED_OVER_PERCENT: u64 = 80;

/// How long a list of publishers is taken: certificates are good for twelve hours more at least.
const PUBLISHERS_KEPT: Duration = Duration::from_hours(1);

/// How long to wait before keys are asked for again that were not to be had.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The answers that are kept.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    sealing: HashMap<ScopeId, Sealing>,
    /// When to ask for the next keys of which scope.
    due: BTreeSet<(UnixMillis, ScopeId)>,
    resolved: HashMap<KeyId, Resolved>,
    ensured: HashMap<ScopeId, ScopeTag>,
    publishers: Option<(Vec<String>, UnixMillis)>,
    publishers_changed: Revision,
    /// Every scope of the realm, as the stream of revisions has it.
    states: HashMap<ScopeId, ScopeState>,
    changed: Changes,
    /// Counts snapshots: what was asked before one and is answered after it may be of before.
    snapshots: u64,
}

/// What an answer is of. One that is of before what was heard meanwhile is not kept, and not to be used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AsOf {
    /// The revision of the record that it comes from.
    pub(crate) revision: Revision,
    /// [`Cache::snapshots`] when it was asked for.
    pub(crate) snapshots: u64,
}

/// What is sealed with in one scope.
#[derive(Debug)]
struct Sealing {
    current: KeyEntry,
    /// None once `current` is what `next` was, until the following one is here.
    next: Option<KeyEntry>,
    used: UnixMillis,
    due: UnixMillis,
}

/// When the keys of which scope were last changed otherwise than by time: the newest that we heard of. As many as there can be.
#[derive(Debug, Default)]
struct Changes {
    at: HashMap<ScopeId, Revision>,
    order: VecDeque<(Revision, ScopeId)>,
}

impl Changes {
    fn note(&mut self, scope: ScopeId, revision: Revision) {
        self.at.insert(scope, revision);
        self.order.push_back((revision, scope));
        while self.order.len() > SCOPES_MAX {
            if let Some((revision, scope)) = self.order.pop_front()
                && self.at.get(&scope) == Some(&revision)
            {
                self.at.remove(&scope);
            }
        }
    }
}

fn holds(key: &KeyEntry, now: UnixMillis) -> bool {
    key.terms.nbf <= now && now < key.terms.exp
}

fn life(key: &KeyEntry) -> Duration {
    key.terms.exp.since(key.terms.nbf)
}

/// When to ask for the keys that follow `next`: at some moment of its epoch, another one for each scope and each NOS.
fn due_within(next: &KeyEntry) -> UnixMillis {
    let span = u64::try_from(life(next).as_millis()).unwrap_or(u64::MAX).saturating_mul(ASKED_OVER_PERCENT) / 100;
    next.terms.nbf.plus(Duration::from_millis(u64::from_be_bytes(random()) % span.max(1)))
}

impl Cache {
    /// To be looked at before something is asked: see [`AsOf`].
    pub(crate) const fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// Whether an answer is of before what we heard since it was asked for.
    fn is_stale(&self, scope: &ScopeId, as_of: AsOf) -> bool {
        as_of.snapshots != self.snapshots || self.changed.at.get(scope).is_some_and(|changed| as_of.revision < *changed)
    }

    /// The key to seal with, if it is here.
    pub(crate) fn sealing_key(&mut self, scope: &ScopeId, now: UnixMillis) -> Option<KeyEntry> {
        let sealing = self.sealing.get_mut(scope)?;
        sealing.used = now;
        if let Some(next) = sealing.next.take_if(|next| holds(next, now)) {
            sealing.current = next;
        }
        holds(&sealing.current, now).then(|| sealing.current.duplicate())
    }

    /// Keeps what is sealed with, if there is room. `false`: it is stale.
    pub(crate) fn put_sealing(&mut self, keys: SealingKeys, as_of: AsOf, now: UnixMillis) -> bool {
        let SealingKeys { current, next } = keys;
        let scope = current.terms.scope;
        if self.is_stale(&scope, as_of) {
            return false;
        }
        let before = self.remove_sealing(&scope);
        if self.sealing.len() >= SCOPES_CACHED_MAX {
            return true;
        }
        let (used, due) = (before.map_or(now, |before| before.used), due_within(&next));
        self.due.insert((due, scope));
        self.sealing.insert(scope, Sealing { current, next: Some(next), used, due });
        true
    }

    fn remove_sealing(&mut self, scope: &ScopeId) -> Option<Sealing> {
        let removed = self.sealing.remove(scope)?;
        self.due.remove(&(removed.due, *scope));
        Some(removed)
    }

    /// The scopes whose next keys are to be asked for now, at most so many. Lets go of those that nobody seals under any more.
    pub(crate) fn take_due(&mut self, now: UnixMillis, most: usize) -> Vec<ScopeId> {
        let mut wanted = Vec::new();
        while wanted.len() < most
            && let Some(&(due, scope)) = self.due.first()
            && due <= now
        {
            self.due.pop_first();
            let Some(sealing) = self.sealing.get_mut(&scope) else { continue };
            if now.since(sealing.used) > life(&sealing.current) * UNUSED_LIVES_MAX {
                self.sealing.remove(&scope);
                continue;
            }
            // If the answer does not come, soon again.
            sealing.due = now.plus(ASKED_AGAIN_AFTER);
            self.due.insert((sealing.due, scope));
            wanted.push(scope);
        }
        wanted
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<UnixMillis> {
        self.due.first().map(|(due, _)| *due)
    }

    /// The key of an id, if it is here and still what the KTM would say. The second member: whether the following key is missing,
    /// which the KTM would give with it.
    pub(crate) fn resolved(&self, key_id: &KeyId, now: UnixMillis) -> Option<(Resolved, bool)> {
        let Resolved { spec, key, next } = self.resolved.get(key_id).filter(|kept| now <= kept.key.terms.dec)?;
        let next = next.as_ref().filter(|_| now < key.terms.exp).map(KeyEntry::duplicate);
        let misses_next = next.is_none() && holds(key, now);
        Some((Resolved { spec: spec.clone(), key: key.duplicate(), next }, misses_next))
    }

    /// Keeps a key. `false`: it is stale.
    pub(crate) fn put_resolved(&mut self, resolved: Resolved, as_of: AsOf, now: UnixMillis) -> bool {
        if self.is_stale(&resolved.spec.id, as_of) {
            return false;
        }
        if self.resolved.len() >= RESOLVED_CACHED_MAX {
            self.resolved.retain(|_, kept| now < kept.key.terms.exp);
        }
        if self.resolved.len() >= RESOLVED_CACHED_MAX {
            // All are of now: those go that a hash table names first, a quarter.
            let some: Vec<_> = self.resolved.keys().take(RESOLVED_CACHED_MAX / 4).copied().collect();
            for key_id in some {
                self.resolved.remove(&key_id);
            }
        }
        self.resolved.insert(resolved.key.key_id, resolved);
        true
    }

    /// The tag of a scope that the KTM has.
    pub(crate) fn ensured(&self, scope: &ScopeId) -> Option<ScopeTag> {
        self.ensured.get(scope).copied()
    }

    /// Keeps it. `false`: it is stale.
    pub(crate) fn put_ensured(&mut self, scope: ScopeId, tag: ScopeTag, as_of: AsOf) -> bool {
        if self.is_stale(&scope, as_of) {
            return false;
        }
        if self.ensured.len() >= SCOPES_CACHED_MAX {
            self.ensured.clear();
        }
        self.ensured.insert(scope, tag);
        true
    }

    /// The certificates of the NOSs, and whether they are old.
    pub(crate) fn publishers(&self, now: UnixMillis) -> Option<(Vec<String>, bool)> {
        let (certificates, at) = self.publishers.as_ref()?;
        Some((certificates.clone(), now.since(*at) >= PUBLISHERS_KEPT))
    }

    /// Keeps them. `false`: they are stale.
    pub(crate) fn put_publishers(&mut self, certificates: Vec<String>, as_of: AsOf, now: UnixMillis) -> bool {
        let fits = as_of.revision >= self.publishers_changed && as_of.snapshots == self.snapshots;
        if fits {
            self.publishers = Some((certificates, now));
        }
        fits
    }

    /// A list of NOSs from before this revision is not taken any more.
    pub(crate) fn publishers_changed(&mut self, revision: Revision) {
        self.publishers = None;
        self.publishers_changed = revision;
    }

    /// Lets go of what a transaction changed. Whether keys that were there are others now, or none.
    pub(crate) fn changed(&mut self, revision: Revision, scopes: &[ScopeNow]) -> bool {
        let mut gone = HashSet::new();
        for ScopeNow { scope, state } in scopes {
            let before = match state {
                Some(state) => self.states.insert(*scope, *state),
                None => self.states.remove(scope),
            };
            // A scope that is new concerns nothing that we have; one that was only noted as used is as it was.
            if before.is_some() && before != *state {
                self.changed.note(*scope, revision);
                gone.insert(*scope);
            }
        }
        self.drop_all(&gone);
        !gone.is_empty()
    }

    /// Takes up every scope there is: lets go of what is different by now and of nothing else, so that not all is asked anew. The
    /// same answer.
    pub(crate) fn snapshot(&mut self, scopes: HashMap<ScopeId, ScopeState>) -> bool {
        self.snapshots += 1;
        let gone = self.states.iter().filter(|(scope, state)| scopes.get(*scope) != Some(*state));
        let gone: HashSet<ScopeId> = gone.map(|(scope, _)| *scope).collect();
        self.drop_all(&gone);
        self.states = scopes;
        self.publishers = None;
        // What is asked from now on is of this snapshot or later, and revisions may have begun again.
        self.changed = Changes::default();
        self.publishers_changed = 0;
        !gone.is_empty()
    }

    fn drop_all(&mut self, scopes: &HashSet<ScopeId>) {
        for scope in scopes {
            self.remove_sealing(scope);
            self.ensured.remove(scope);
        }
        if !scopes.is_empty() {
            self.resolved.retain(|_, kept| !scopes.contains(&kept.spec.id));
        }
    }
}

#[cfg(test)]
mod tests;
