//! What happens to the realm's keys, as its store tells it: scopes made, bumped, compromised and gone, root generations made and
//! destroyed. Each line follows its transaction; whoever asked for it has a line of the administrator's API.

use super::{Audit, Event};
use aups_core::{Bump, ScopeId};
use aups_store::{Changed, Event as Committed, Revision, Store, StoreError, Watch};
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

const SCOPES: &str = "ktm/scope/";
const ROOTS: &str = "ktm/root/";
/// Most transactions that are told together.
const TRANSACTIONS_AT_ONCE: usize = 256;

/// Follows the keys in the store.
#[derive(Debug)]
pub(crate) struct KeyHistory {
    store: Arc<dyn Store>,
    known: Known,
    revision: Revision,
}

/// What there was when it was last looked.
#[derive(Debug, Default, Clone, PartialEq)]
struct Known {
    scopes: BTreeMap<ScopeId, ScopeState>,
    roots: BTreeSet<u32>,
}

#[derive(Debug, Clone, PartialEq)]
struct ScopeState {
    bump: Bump,
    compromised: Value,
}

/// As much of the record of a scope as is told.
#[derive(Deserialize)]
struct ScopeRecord {
    bumps: Vec<BumpRecord>,
    #[serde(default)]
    compromised: Value,
}

#[derive(Deserialize)]
struct BumpRecord {
    bump: Bump,
}

impl KeyHistory {
    /// Begins with what is in the store now: only what comes is told.
    pub(crate) async fn begin(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let (known, revision) = Known::read(&*store).await?;
        Ok(Self { store, known, revision })
    }

    /// Tells what happens, for as long as the store is there.
    pub(crate) async fn tell(mut self, audit: Arc<Audit>) {
        loop {
            let mut watch = self.store.watch("ktm/", self.revision);
            while let Some(events) = self.next(&mut watch).await {
                if let Err(error) = record(&audit, &events).await {
                    tracing::error!(%error, ?events, "what happened to keys is in this log alone");
                }
            }
            // Too much at once, or the store is gone.
            match Known::read(&*self.store).await {
                Ok((known, revision)) if revision > self.revision => {
                    let events = self.known.become_now(&known);
                    self.revision = revision;
                    if let Err(error) = record(&audit, &events).await {
                        tracing::error!(%error, ?events, "what happened to keys is in this log alone");
                    }
                }
                _ => return,
            }
        }
    }

    /// What the next transactions did to keys. `None`: they are not known any more.
    async fn next(&mut self, watch: &mut Watch) -> Option<Vec<Event>> {
        let mut events = self.take(watch.next().await?)?;
        for _ in 1..TRANSACTIONS_AT_ONCE {
            match watch.next().now_or_never() {
                Some(Some(event)) => events.extend(self.take(event)?),
                Some(None) | None => break,
            }
        }
        Some(events)
    }

    fn take(&mut self, event: Committed) -> Option<Vec<Event>> {
        let Committed::Committed { revision, changes } = event else { return None };
        self.revision = revision;
        Some(changes.iter().flat_map(|Changed { key, value }| self.known.change(key, value.as_deref())).collect())
    }
}

async fn record(audit: &Audit, events: &[Event]) -> Result<(), super::AuditError> {
    if events.is_empty() { Ok(()) } else { audit.record_all(events).await.map(drop) }
}

impl Known {
    async fn read(store: &dyn Store) -> Result<(Self, Revision), StoreError> {
        let mut known = Self::default();
        let (roots, _) = store.list(ROOTS).await?;
        let (scopes, revision) = store.list(SCOPES).await?;
        for (key, record) in roots.into_iter().chain(scopes) {
            known.change(&key, Some(&record.value));
        }
        Ok((known, revision))
    }

    fn change(&mut self, key: &str, value: Option<&[u8]>) -> Vec<Event> {
        if let Some(Ok(number)) = key.strip_prefix(ROOTS).map(str::parse) {
            return self.set_root(number, value.is_some()).into_iter().collect();
        }
        let Some(Ok(id)) = key.strip_prefix(SCOPES).map(str::parse) else { return Vec::new() };
        match value.map(serde_json::from_slice::<ScopeRecord>).transpose() {
            Ok(record) => self.set_scope(id, record.map(ScopeState::from)),
            // The KTM's own form: what it cannot read stops it, not us.
            Err(error) => {
                tracing::warn!(%error, key, "what happened to a scope is not told");
                Vec::new()
            }
        }
    }

    fn set_root(&mut self, root: u32, is_there: bool) -> Option<Event> {
        if is_there {
            self.roots.insert(root).then_some(Event::RootMade { root })
        } else {
            self.roots.remove(&root).then_some(Event::RootDestroyed { root })
        }
    }

    fn set_scope(&mut self, scope: ScopeId, state: Option<ScopeState>) -> Vec<Event> {
        let Some(state) = state else {
            return self.scopes.remove(&scope).map(|_| Event::ScopeGone { scope }).into_iter().collect();
        };
        match self.scopes.insert(scope, state.clone()) {
            None => vec![Event::ScopeMade { scope }],
            Some(before) => {
                let bumped = Event::ScopeBumped { scope, from: before.bump, to: state.bump };
                let bumped = (before.bump != state.bump).then_some(bumped);
                let compromised =
                    (before.compromised != state.compromised).then_some(Event::ScopeCompromised { scope });
                bumped.into_iter().chain(compromised).collect()
            }
        }
    }

    /// What happened until there was this.
    fn become_now(&mut self, now: &Self) -> Vec<Event> {
        let roots: BTreeSet<u32> = self.roots.union(&now.roots).copied().collect();
        let scopes: BTreeSet<ScopeId> = self.scopes.keys().chain(now.scopes.keys()).copied().collect();
        let mut events: Vec<Event> =
            roots.into_iter().filter_map(|number| self.set_root(number, now.roots.contains(&number))).collect();
        for id in scopes {
            events.extend(self.set_scope(id, now.scopes.get(&id).cloned()));
        }
        events
    }
}

impl From<ScopeRecord> for ScopeState {
    fn from(record: ScopeRecord) -> Self {
        let bump = record.bumps.last().map_or(Bump(0), |last| last.bump);
        Self { bump, compromised: record.compromised }
    }
}

#[cfg(test)]
mod tests;
