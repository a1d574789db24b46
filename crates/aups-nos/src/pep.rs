//! The policy enforcement point: nothing is sealed without its permission.

use crate::{
    accept::Entry,
    sources::{SourceRecord, Sources},
};
use aups_core::{Marks, NosId, ScopeId, ScopeSpec};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_policy::{Pdp, Resource, ScopeCounts, WithheldReason};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};
use tokio::sync::watch;

/// Most (first topic level, scope) pairs that are told apart, about 100 bytes each.
const PAIRS_MAX: usize = 1_000_000;

/// An entry that may be sealed, for whoever satisfies a scope that the KTM knows.
///
/// INVARIANT: only [`Pep::permit`] makes one: the fields are private, and [`crate::seal`] takes nothing else.
#[derive(Debug)]
pub(crate) struct Permitted<'a> {
    entry: &'a Entry,
    scope: Arc<ScopeSpec>,
}

impl Permitted<'_> {
    pub(crate) fn entry(&self) -> &Entry {
        self.entry
    }

    pub(crate) fn scope(&self) -> &Arc<ScopeSpec> {
        &self.scope
    }
}

/// Why an item leaves the queue without being published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Withheld {
    /// The policies let nobody read it: the ordinary case.
    #[error("no policy lets anybody read it")]
    NobodyMayRead,
    /// The decision failed.
    #[error("the policies could not be evaluated: {0}")]
    PolicyFailed(Arc<str>),
    /// The policies make more scopes than are kept.
    #[error("policies make more than {0} scopes under its first topic level; make them coarser")]
    TooManyScopes(usize),
    /// The KTM will not give keys for its scope.
    #[error("the KTM gives no keys for its scope: {0}")]
    NoKeys(String),
    /// The policies ask for labels or tags of its source, which was removed since: nobody can say who may read it.
    #[error("its source is no longer registered, and policies ask for the source's labels or tags")]
    SourceGone,
    /// It cannot be sealed.
    #[error("it cannot be sealed: {0}")]
    Unsealable(String),
    /// The queue kept something that is no item.
    #[error("what the queue kept of it cannot be read: {0}")]
    Unreadable(String),
}

impl Withheld {
    /// The label of the metric: one of a fixed set.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NobodyMayRead => "nobody-may-read",
            Self::PolicyFailed(_) => "policy-failed",
            Self::TooManyScopes(_) => "too-many-scopes",
            Self::NoKeys(_) => "no-keys",
            Self::SourceGone => "source-gone",
            Self::Unsealable(_) => "unsealable",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// Why there is no permission.
#[derive(Debug)]
pub(crate) enum NotPermitted {
    /// For good: the item is withheld.
    Withheld(Withheld),
    /// For now: the item waits.
    Ktm(KtmError),
}

/// Asks the policy decision point about each item, and the KTM for each scope that comes first.
pub(crate) struct Pep {
    nos: NosId,
    policies: watch::Receiver<Arc<Pdp>>,
    pdp: Arc<Pdp>,
    meters: Meters,
    /// What the metrics show of it.
    shown: ScopeCounts,
    ktm: Arc<dyn KeysTopicsManager>,
    sources: Arc<Sources>,
    scopes_per_level_max: usize,
    /// The scopes that the KTM has, by first topic level; those of the policies in force.
    levels: HashMap<Box<str>, HashSet<ScopeId>>,
    pairs: usize,
}

/// Metrics that every batch moves, each looked up once.
struct Meters {
    hits: metrics::Counter,
    misses: metrics::Counter,
    entries: metrics::Gauge,
}

impl Meters {
    fn new() -> Self {
        Self {
            hits: metrics::counter!("aups_scope_cache_hits_total"),
            misses: metrics::counter!("aups_scope_cache_misses_total"),
            entries: metrics::gauge!("aups_scope_cache_entries"),
        }
    }
}

/// What is said of an unregistered source: nothing.
static UNMARKED: Marks = Marks { labels: BTreeSet::new(), tags: BTreeMap::new() };

impl Pep {
    pub(crate) fn new(
        nos: NosId,
        policies: watch::Receiver<Arc<Pdp>>,
        ktm: Arc<dyn KeysTopicsManager>,
        sources: Arc<Sources>,
        scopes_per_level_max: usize,
    ) -> Self {
        let pdp = Arc::clone(&policies.borrow());
        let shown = pdp.scope_counts();
        let (meters, levels) = (Meters::new(), HashMap::new());
        Self { nos, policies, pdp, meters, shown, ktm, sources, scopes_per_level_max, levels, pairs: 0 }
    }

    /// From now on a first topic level has at most so many scopes; those that there are stay.
    pub(crate) const fn set_scopes_per_level_max(&mut self, scopes_max: usize) {
        self.scopes_per_level_max = scopes_max;
    }

    /// Whether the policies by which it decided last are still in force.
    pub(crate) fn is_up_to_date(&self) -> bool {
        Arc::ptr_eq(&self.pdp, &self.policies.borrow())
    }

    /// Takes up the policies that are in force now.
    fn take_up_policies(&mut self) {
        if self.is_up_to_date() {
            return;
        }
        self.show_scopes();
        self.pdp = Arc::clone(&self.policies.borrow());
        self.shown = self.pdp.scope_counts();
        self.levels.clear();
        self.pairs = 0;
    }

    /// Shows in the metrics how often scopes were found ready. Cost: under 1 µs.
    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    pub(crate) fn show_scopes(&mut self) {
        let counts = self.pdp.scope_counts();
        self.meters.hits.increment(counts.hits - self.shown.hits);
        self.meters.misses.increment(counts.misses - self.shown.misses);
        // Only a scope that is found out is kept, and to count those that are means a look at every shard.
        if counts.misses != self.shown.misses {
            self.meters.entries.set(self.pdp.scopes_kept() as f64);
        }
        self.shown = counts;
    }

    /// Decides, by the policies in force now. Waits only for a scope that comes first; whoever waits afterwards looks whether
    /// they [still are](Self::is_up_to_date).
    pub(crate) async fn permit<'a>(&mut self, entry: &'a Entry) -> Result<Permitted<'a>, NotPermitted> {
        // What is not known to be in force is not decided by: the item waits, and is not withheld for good.
        self.ktm.current().map_err(NotPermitted::Ktm)?;
        self.take_up_policies();
        let marked = self.marked(entry).map_err(NotPermitted::Withheld)?;
        let marks = marked.as_ref().map_or(&UNMARKED, |source| &source.marks);
        let resource = Resource { item: &entry.item, topic: &entry.topic, marks };
        let scope = self.pdp.scope(&resource).map_err(|withheld| {
            NotPermitted::Withheld(match withheld.reason {
                WithheldReason::NobodyMayRead => Withheld::NobodyMayRead,
                WithheldReason::Failed(why) => Withheld::PolicyFailed(why),
            })
        })?;
        let level = entry.topic.levels().next().unwrap_or_default();
        if !self.levels.get(level).is_some_and(|scopes| scopes.contains(&scope.id)) {
            self.ensure(level, &scope).await?;
        }
        Ok(Permitted { entry, scope })
    }

    /// Forgets that the KTM has a scope: it said that it has not.
    pub(crate) fn forget(&mut self, scope: &ScopeId) {
        for scopes in self.levels.values_mut() {
            self.pairs -= usize::from(scopes.remove(scope));
        }
    }

    /// The source of an item, if the policies in force ask what an administrator says of it.
    fn marked(&self, entry: &Entry) -> Result<Option<Arc<SourceRecord>>, Withheld> {
        let source = &entry.item.source;
        // What this NOS says itself comes from no source; none can register under its name.
        if !source.registered || *source.node_id == *self.nos.as_str() || !self.pdp.asks_marks() {
            return Ok(None);
        }
        let known = source.node_id.parse().ok().and_then(|node_id| self.sources.get(&node_id));
        known.map(Some).ok_or(Withheld::SourceGone)
    }

    async fn ensure(&mut self, level: &str, scope: &ScopeSpec) -> Result<(), NotPermitted> {
        let known = self.levels.get(level).map_or(0, HashSet::len);
        if known >= self.scopes_per_level_max || self.pairs >= PAIRS_MAX {
            return Err(NotPermitted::Withheld(Withheld::TooManyScopes(self.scopes_per_level_max)));
        }
        self.ktm.ensure_scope(scope).await.map_err(not_permitted)?;
        self.pairs += usize::from(self.levels.entry(level.into()).or_default().insert(scope.id));
        Ok(())
    }
}

/// What the KTM refuses for good is withheld; for the rest the item waits.
pub(crate) fn not_permitted(error: KtmError) -> NotPermitted {
    match error {
        KtmError::Life { .. } | KtmError::ForeignScope(_) | KtmError::ScopesFull { .. } => {
            NotPermitted::Withheld(Withheld::NoKeys(error.to_string()))
        }
        error => NotPermitted::Ktm(error),
    }
}

#[cfg(test)]
mod tests;
