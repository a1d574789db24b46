//! Every key that a reader is given or denied, before the answer leaves.

use super::{Audit, Denied, Event, Granted};
use aups_core::{ScopeId, ScopeSpec};
use aups_ktm::atb;
use aups_nos::{KeyLedger, KeyOutcome, LedgerError, Origin};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// Most scopes of which it is remembered that the trail has them in words; beyond, they are told again.
const SCOPES_TOLD_MAX: usize = 100_000;

/// The key service's ledger: a line for each request of a known reader. Requests that come at once are synced as one; while
/// there is no room for more, none is answered.
#[derive(Debug)]
pub(crate) struct KeyAudit {
    audit: Arc<Audit>,
    told: Mutex<HashSet<ScopeId>>,
}

impl KeyAudit {
    pub(crate) fn new(audit: Arc<Audit>) -> Self {
        Self { audit, told: Mutex::default() }
    }

    /// Those of these scopes that this run has not told yet.
    fn untold(&self, outcome: &KeyOutcome) -> BTreeMap<ScopeId, Arc<ScopeSpec>> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let named = outcome.granted.iter().map(|granted| &granted.spec);
        let named = named.chain(outcome.denied.iter().filter_map(|denied| denied.spec.as_ref()));
        named.filter(|spec| !told.contains(&spec.id)).map(|spec| (spec.id, Arc::clone(spec))).collect()
    }

    fn remember(&self, scopes: impl Iterator<Item = ScopeId>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= SCOPES_TOLD_MAX {
            told.clear();
        }
        told.extend(scopes);
    }
}

impl KeyLedger for KeyAudit {
    fn record(&self, outcome: KeyOutcome) -> BoxFuture<'_, Result<(), LedgerError>> {
        async move {
            let untold = self.untold(&outcome);
            let mut events: Vec<Event> =
                untold.values().map(|spec| Event::Scope { scope: spec.id, atb: atb(spec) }).collect();
            events.push(line(outcome));
            self.audit.record_if_room(&events).await?;
            self.remember(untold.into_keys());
            Ok(())
        }
        .boxed()
    }
}

fn line(outcome: KeyOutcome) -> Event {
    let KeyOutcome { sub, origin, granted, denied } = outcome;
    let granted = granted.into_iter().map(|key| Granted { key_id: key.key_id, scope: key.spec.id, topic: key.topic });
    let denied = denied.into_iter().map(|key| Denied {
        key_id: key.key_id,
        scope: key.spec.map(|spec| spec.id),
        topic: key.topic,
    });
    let address = match origin {
        Origin::Http(address) => Some(address.to_canonical()),
        Origin::Mqtt(_) => None,
    };
    Event::Keys { sub, address, granted: granted.collect(), denied: denied.collect() }
}

#[cfg(test)]
mod tests;
