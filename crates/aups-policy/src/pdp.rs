//! The policy decision point: one admitted policy set, and what it says of items, readers and filters.

use crate::{
    admission::{PolicySet, Rule},
    cache::Cache,
    decision::Decision,
    item::{self, Attribute, Resource},
    reader::{self, Failure, RequestContext},
    remains::{Remainders, Remains},
    residual::{Part, Residual},
    rights::{self, FilterVerdict, Rights},
    terms::Terms,
};
use aups_core::{Filter, Principal, RealmId, ScopeId, ScopeSpec, Topic};
use aups_envelope::schedule::scope_id;
use cedar_policy::{Authorizer, Effect, Entities, PolicyId};
use std::{
    borrow::Borrow,
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Projections of items whose scope is kept.
pub const PROJECTIONS_KEPT_MAX: usize = 65_536;
/// Longest projection that is kept, in bytes: a source may send a very long name.
pub const PROJECTION_BYTES_MAX: usize = 4_096;
/// Scopes that are kept, so that all items of one scope share one description.
pub const SCOPES_KEPT_MAX: usize = 16_384;
/// Most members that the policies together may redact of one item, and most topics that they may notify of it.
pub const SCOPE_OBLIGATIONS_MAX: usize = 256;
/// Verdicts on filters that are kept, one for each reader and filter.
pub const VERDICTS_KEPT_MAX: usize = 16_384;
/// Readers of which is kept what they may subscribe to.
pub const READABLE_KEPT_MAX: usize = 1_024;

/// Decides by one policy set. Never changes: another set is another decision point, with caches of its own.
pub struct Pdp {
    realm: RealmId,
    set: PolicySet,
    policies: cedar_policy::PolicySet,
    authorizer: Authorizer,
    index: Index,
    /// What of an item any policy mentions, in a fixed order.
    attributes: Vec<Attribute>,
    outcomes: Cache<Box<[u8]>, Result<Arc<ScopeSpec>, Withheld>>,
    remainders: Remainders,
    specs: Cache<ScopeId, Arc<ScopeSpec>>,
    verdicts: Cache<Box<[u8]>, FilterVerdict>,
    readable: Cache<Box<[u8]>, Arc<[Filter]>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

/// Why an item has no scope. It is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Withheld {
    /// Why.
    pub reason: WithheldReason,
}

/// Why an item is withheld.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WithheldReason {
    /// The policies let no reader whatever read it.
    #[error("no policy lets anybody read it")]
    NobodyMayRead,
    /// The decision failed.
    #[error("the policies could not be evaluated: {0}")]
    Failed(Arc<str>),
}

/// How often a scope was found ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeCounts {
    /// Scopes that were kept.
    pub hits: u64,
    /// Scopes for which policies had to be evaluated.
    pub misses: u64,
}

impl Pdp {
    /// A decision point for a set.
    pub fn new(realm: RealmId, set: PolicySet) -> Self {
        let policies = cedar_policy::PolicySet::from_policies(set.rules.iter().map(|rule| rule.policy.clone()));
        let attributes: BTreeSet<_> =
            set.rules.iter().flat_map(|rule| rule.mentions.attributes.iter().cloned()).collect();
        Self {
            realm,
            // Admission gave each policy a name of its own, which is all that this can fail for. No policies is Deny.
            policies: policies.unwrap_or_default(),
            authorizer: Authorizer::new(),
            index: Index::new(&set.rules),
            attributes: attributes.into_iter().collect(),
            set,
            outcomes: Cache::new(PROJECTIONS_KEPT_MAX),
            remainders: Remainders::new(),
            specs: Cache::new(SCOPES_KEPT_MAX),
            verdicts: Cache::new(VERDICTS_KEPT_MAX),
            readable: Cache::new(READABLE_KEPT_MAX),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The policies by which it decides.
    pub const fn set(&self) -> &PolicySet {
        &self.set
    }

    /// Who may read an item that is to be published under a topic, and on which key terms.
    ///
    /// Cost: under 1 µs and no allocation if an item that looks the same to the policies came before; else about 50 µs,
    /// 1 µs for each policy whose topic clause the topic satisfies, and 100 µs for each of which something else is left than
    /// ever before.
    pub fn scope(&self, resource: &Resource<'_>) -> Result<Arc<ScopeSpec>, Withheld> {
        thread_local! {
            static KEY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        KEY.with_borrow_mut(|key| {
            self.project(resource, key);
            if let Some(outcome) = self.outcomes.get(key.as_slice()) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return outcome;
            }
            self.misses.fetch_add(1, Ordering::Relaxed);
            let outcome = self.evaluate(resource);
            // A failure is not kept: the next item may fare better.
            let lasting = !matches!(&outcome, Err(Withheld { reason: WithheldReason::Failed(_) }));
            if lasting && key.len() <= PROJECTION_BYTES_MAX {
                return self.outcomes.keep(key.as_slice().into(), outcome);
            }
            key.shrink_to(PROJECTION_BYTES_MAX);
            outcome
        })
    }

    /// Whether any policy asks for labels or tags of items.
    pub fn asks_marks(&self) -> bool {
        self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Labels | Attribute::Tag(_)))
    }

    /// Whether a reader may read an item, and by which policies: Cedar's own full evaluation. A user that an app registered
    /// may not if the app may not.
    ///
    /// Cost: about 2 µs per policy of the set.
    pub fn decide(&self, who: &Principal, resource: &Resource<'_>, context: &RequestContext) -> Decision {
        let evaluate = || -> Result<Decision, Failure> {
            let schema = &self.set.schema;
            let item = item::entity(resource, schema)?;
            let entities = Entities::from_entities([reader::entity(who, Some(schema))?, item], Some(schema.cedar()))?;
            let request = reader::request(who, context, Some(schema))?;
            let response = self.authorizer.is_authorized(&request, &self.policies, &entities);
            let forbids =
                |name: &PolicyId| self.policies.policy(name).is_none_or(|policy| policy.effect() == Effect::Forbid);
            Ok(Decision::of(&response, forbids))
        };
        let own = evaluate().unwrap_or_else(|error| Decision::failed(&*error));
        match &who.app {
            Some(app) if own.allow => self.decide(app, resource, context),
            _ => own,
        }
    }

    /// Whether a reader may subscribe to a filter.
    ///
    /// Cost: a few µs if the same was asked before; else about 20 µs for each policy whose head names this reader and
    /// topics above the filter's, or, if it forbids, topics that the filter can match.
    pub fn filter(&self, who: &Principal, filter: &Filter) -> FilterVerdict {
        let mut key = reader::fingerprint(who);
        key.extend(filter.as_str().as_bytes());
        if let Some(verdict) = self.verdicts.get(key.as_slice()) {
            return verdict;
        }
        match self.judge(who, filter) {
            Ok(verdict) => self.verdicts.keep(key.into(), verdict),
            Err(error) => FilterVerdict::Refused { reason: format!("the policies could not be evaluated: {error}") },
        }
    }

    fn judge(&self, who: &Principal, filter: &Filter) -> Result<FilterVerdict, Failure> {
        if let Some(verdict) = rights::judge_by_name(&who.sub, filter) {
            return Ok(verdict);
        }
        let verdict = rights::judge(who, filter, &self.set.schema, &self.set.rules)?;
        let Some(app) = who.app.as_deref().filter(|_| verdict.is_accepted()) else { return Ok(verdict) };
        Ok(match self.judge(app, filter)? {
            FilterVerdict::Accepted { .. } => verdict,
            FilterVerdict::Refused { reason } => FilterVerdict::Refused {
                reason: format!("{} was registered by the app {}: {reason}", who.sub, app.sub),
            },
        })
    }

    /// What a reader may subscribe to: the fewest filters that [`Pdp::filter`] accepts for its permitted subtrees, sorted.
    ///
    /// A permit without a topic clause covers every topic, but no filter covers every topic and is accepted. It counts
    /// for the first levels that the policies name; [`Pdp::readable_among`] takes those that are in use.
    ///
    /// Cost: some µs if the same was asked before; else about 20 µs for each policy whose head names this reader. Not for
    /// the runtime's threads if there are many.
    pub fn readable(&self, who: &Principal) -> Vec<Filter> {
        self.readable_among(who, &[])
    }

    /// As [`Pdp::readable`], where these first levels of topics are in use besides those that the policies name.
    pub fn readable_among(&self, who: &Principal, first_levels: &[&str]) -> Vec<Filter> {
        let named = self.index.branches.keys().filter_map(|topic| topic.split('/').next());
        let first_levels: BTreeSet<&str> = named.chain(first_levels.iter().copied()).collect();
        let mut key = reader::fingerprint(who);
        for level in &first_levels {
            key.extend(level.len().to_be_bytes());
            key.extend(level.as_bytes());
        }
        if let Some(filters) = self.readable.get(key.as_slice()) {
            return filters.to_vec();
        }
        let Ok(rights) = Rights::of(who, &self.set.schema, &self.set.rules) else { return Vec::new() };
        let own = rights.readable(&who.sub, &first_levels);
        let both = match who.app.as_deref() {
            Some(app) => self.readable_by_both(who, own, app, first_levels),
            None => own,
        };
        self.readable.keep(key.into(), both.into()).to_vec()
    }

    /// What a reader may subscribe to that an app registered.
    fn readable_by_both(
        &self,
        who: &Principal,
        own: Vec<Filter>,
        app: &Principal,
        first_levels: BTreeSet<&str>,
    ) -> Vec<Filter> {
        // Of two subtrees that meet, one holds the other: what both may read is what one lists and the other accepts.
        let first_levels: Vec<&str> = first_levels.into_iter().collect();
        let both = self.readable_among(app, &first_levels).into_iter().chain(own);
        let both: BTreeSet<Filter> = both.filter(|filter| self.filter(who, filter).is_accepted()).collect();
        let redundant = |filter: &Filter| both.iter().any(|wider| wider != filter && rights::takes_in(wider, filter));
        both.iter().filter(|filter| !redundant(filter)).cloned().collect()
    }

    /// For how many projections of items the scope is kept at present.
    pub fn scopes_kept(&self) -> usize {
        self.outcomes.len()
    }

    /// How often a scope was found ready, since this decision point was made.
    pub fn scope_counts(&self) -> ScopeCounts {
        ScopeCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }

    /// Writes whatever the policies can tell this item by.
    fn project(&self, resource: &Resource<'_>, key: &mut Vec<u8>) {
        key.clear();
        for branch in self.index.branches_of(resource.topic) {
            key.extend(branch.number.to_be_bytes());
        }
        // No branch has this number: it ends the list.
        key.extend(u32::MAX.to_be_bytes());
        for attribute in &self.attributes {
            attribute.write(resource, key);
        }
    }

    fn evaluate(&self, resource: &Resource<'_>) -> Result<Arc<ScopeSpec>, Withheld> {
        let remains = self.remainders.of(self.rules_for(resource.topic), &self.set.claims, resource, &self.set.schema);
        self.assemble(&remains.map_err(|error| failed(&*error))?)
    }

    /// The scope that what is left of the policies comes to.
    fn assemble<R: Borrow<Remains>>(&self, remains: &[(&Rule, R)]) -> Result<Arc<ScopeSpec>, Withheld> {
        let (mut apps, mut users) = (Remainder::default(), Remainder::default());
        for (rule, remains) in remains {
            apps.add(&remains.borrow().app, &rule.terms);
            users.add(&remains.borrow().user, &rule.terms);
        }
        let app = apps.residual.finish().map_err(|error| failed(&error))?;
        let user = users.residual.finish().map_err(|error| failed(&error))?;
        let mut terms = Terms::default();
        // A kind of reader that may not read at all demands nothing of what the other kind reads.
        for (text, of) in [(&app, &apps.terms), (&user, &users.terms)] {
            if !text.is_empty() {
                terms.add(of);
            }
        }
        if app.is_empty() && user.is_empty() {
            return Err(Withheld { reason: WithheldReason::NobodyMayRead });
        }
        let (suite, life_ms, obligations) = (terms.suite(), terms.life_ms(), terms.obligations);
        if obligations.redact.len().max(obligations.notify.len()) > SCOPE_OBLIGATIONS_MAX {
            let message = format!("the policies redact or notify more than {SCOPE_OBLIGATIONS_MAX} places of one item");
            return Err(failed(&message));
        }
        let id = scope_id(&self.realm, &app, &user, &obligations, suite, life_ms);
        if let Some(spec) = self.specs.get(&id) {
            return Ok(spec);
        }
        Ok(self.specs.keep(id, Arc::new(ScopeSpec { id, app, user, obligations, suite, life_ms })))
    }

    /// The subtrees that policies mention and a topic is in, by number.
    pub(crate) fn branches<'p>(&'p self, topic: &'p Topic) -> impl Iterator<Item = u32> {
        self.index.branches_of(topic).map(|branch| branch.number)
    }

    /// The policies whose topic clause, if there is one, a topic satisfies. The others are false for it, whoever reads.
    pub(crate) fn rules_for<'r>(&'r self, topic: &'r Topic) -> impl Iterator<Item = &'r Rule> {
        let below = self.index.branches_of(topic).flat_map(|branch| &branch.rules);
        self.index.everywhere.iter().chain(below).filter_map(|number| self.set.rules.get(*number))
    }
}

impl fmt::Debug for Pdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdp").field("realm", &self.realm).field("policies", &self.set.len()).finish_non_exhaustive()
    }
}

/// What is left of the policies for one kind of reader, and what those that are left demand.
#[derive(Default)]
struct Remainder {
    residual: Residual,
    terms: Terms,
}

impl Remainder {
    fn add(&mut self, part: &Part, terms: &Terms) {
        if self.residual.add(part) {
            self.terms.add(terms);
        }
    }
}

fn failed(error: &dyn fmt::Display) -> Withheld {
    Withheld { reason: WithheldReason::Failed(error.to_string().into()) }
}

/// Finds the policies that can have a say about a topic, by the topic clause in their heads.
struct Index {
    /// Every topic that a policy mentions, in its head or elsewhere.
    branches: HashMap<Box<str>, Branch>,
    /// Policies for every topic, by their place in the set.
    everywhere: Vec<usize>,
}

/// The top of a subtree that policies mention.
struct Branch {
    number: u32,
    /// Policies whose head names it, by their place in the set.
    rules: Vec<usize>,
}

impl Index {
    fn new(rules: &[Rule]) -> Self {
        let heads = rules.iter().filter_map(|rule| rule.subtree.0.as_ref());
        let mentioned: BTreeSet<&Topic> = rules.iter().flat_map(|rule| &rule.mentions.topics).chain(heads).collect();
        let branches = mentioned.into_iter().zip(0..);
        let branch = |(topic, number): (&Topic, u32)| (topic.as_str().into(), Branch { number, rules: Vec::new() });
        let mut index = Self { branches: branches.map(branch).collect(), everywhere: Vec::new() };
        for (place, rule) in rules.iter().enumerate() {
            let named = rule.subtree.0.as_ref().and_then(|topic| index.branches.get_mut(topic.as_str()));
            named.map_or(&mut index.everywhere, |branch| &mut branch.rules).push(place);
        }
        index
    }

    /// The mentioned subtrees that a topic is in, from the root.
    fn branches_of<'i>(&'i self, topic: &'i Topic) -> impl Iterator<Item = &'i Branch> {
        topic.prefixes().filter_map(|prefix| self.branches.get(prefix))
    }
}

#[cfg(test)]
mod tests;
