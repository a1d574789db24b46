//! What a reader may subscribe to.
//!
//! A filter is accepted if everything that it can match lies in a permitted topic subtree and nothing of it in a forbidden
//! one. Keys decide the rest, so conditions that a subscription cannot settle count in the reader's favour: a permit
//! counts if its conditions can hold for this reader, a forbid only if its conditions hold for certain.
//!
//! Which is which comes from partial evaluation with the reader known and item and context unknown, of the policies
//! without their topic clauses.
//!
//! One subtree must cover the whole filter. No union of subtrees covers what none of them does: a wildcard matches
//! infinitely many names and policies name finitely many.

use crate::{
    admission::Rule,
    outcome::Outcomes,
    partial::Known,
    reader::Failure,
    schema::Schema,
    vocabulary::{APP, GROUP, USER, is_named},
};
use aups_core::{Filter, Principal, ReaderKind, Sub, Topic};
use cedar_policy::{
    Effect,
    pst::{EntityOrSlot, EntityType, EntityUID, PrincipalConstraint},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Most policies and topics that a refusal names.
const NAMED_MAX: usize = 3;

/// Whether a reader may subscribe to a filter, and why: for the administrator, not for the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterVerdict {
    /// It may.
    Accepted {
        /// Which policy permits it.
        reason: String,
    },
    /// It may not.
    Refused {
        /// What stands against it, and what would be accepted.
        reason: String,
    },
}

impl FilterVerdict {
    /// Whether the reader may.
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted { .. })
    }

    /// Why.
    pub fn reason(&self) -> &str {
        match self {
            Self::Accepted { reason } | Self::Refused { reason } => reason,
        }
    }
}

/// A topic and all that is below it, or every topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subtree(pub(crate) Option<Topic>);

impl Subtree {
    /// Whether a topic lies in the subtree.
    pub(crate) fn holds(&self, topic: &Topic) -> bool {
        self.0.as_ref().is_none_or(|top| topic.prefixes().any(|prefix| prefix == top.as_str()))
    }

    /// What matches all of the subtree. `None` for every topic, which no filter that is accepted matches.
    fn filter(&self) -> Option<String> {
        self.0.as_ref().map(|top| format!("`{top}/#`"))
    }

    /// Whether everything that the filter can match lies in the subtree.
    fn covers(&self, filter: &Filter) -> bool {
        let Some(top) = &self.0 else { return true };
        let mut levels = filter.levels();
        top.levels().all(|level| levels.next() == Some(level))
    }

    /// Whether something that the filter can match lies in the subtree.
    fn meets(&self, filter: &Filter) -> bool {
        let Some(top) = &self.0 else { return true };
        let mut levels = filter.levels();
        for level in top.levels() {
            match levels.next() {
                Some("#") => return true,
                Some(named) if named == "+" || named == level => {}
                _ => return false,
            }
        }
        true
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(top) => write!(f, "{top} and what is below it"),
            None => f.write_str("every topic"),
        }
    }
}

/// Judges a filter by the policies; asks only those that can matter for it.
pub(crate) fn judge(
    who: &Principal,
    filter: &Filter,
    schema: &Schema,
    rules: &[Rule],
) -> Result<FilterVerdict, Failure> {
    let matter = rules.iter().filter(|rule| match rule.effect() {
        Effect::Permit => rule.subtree.covers(filter),
        Effect::Forbid => rule.subtree.meets(filter),
    });
    let rights = Rights::of(who, schema, matter)?;
    match rights.judge(&who.sub, filter) {
        FilterVerdict::Refused { reason } if rights.forbidden.is_empty() => {
            Ok(FilterVerdict::Refused { reason: reason + &remedy(who, filter, schema, rules)? })
        }
        verdict => Ok(verdict),
    }
}

/// What an administrator, or the reader, can do about a filter of which not all is permitted.
fn remedy(who: &Principal, filter: &Filter, schema: &Schema, rules: &[Rule]) -> Result<String, Failure> {
    let sub = &who.sub;
    let permits = || rules.iter().filter(|rule| rule.effect() == Effect::Permit);
    let below = Rights::of(who, schema, permits().filter(|rule| rule.subtree.meets(filter)))?;
    let below: Vec<String> = below.permitted.keys().filter_map(Subtree::filter).take(NAMED_MAX).collect();
    let below = if below.is_empty() {
        String::new()
    } else {
        format!(". Of that, policies permit {sub} {}", below.join(" and "))
    };
    let covering = permits().filter(|rule| rule.subtree.covers(filter));
    let covering: Vec<String> = covering.map(|rule| format!("`{}`", rule.name())).take(NAMED_MAX).collect();
    if !covering.is_empty() {
        let policies = covering.join(" or ");
        return Ok(format!("{below}. To permit all, give {sub} the groups or attributes that {policies} asks for"));
    }
    let kind = if who.kind == ReaderKind::App { APP } else { USER };
    let named: Vec<&str> = filter.levels().take_while(|level| !matches!(*level, "+" | "#")).collect();
    let top = named.join("/");
    Ok(format!(
        "{below}. To permit all, add permit(principal == {kind}::\"{sub}\", action, resource in Topic::{top:?});"
    ))
}

/// What goes for every reader, whatever the policies; `None` if they decide.
pub fn judge_by_name(sub: &Sub, filter: &Filter) -> Option<FilterVerdict> {
    let refused = |reason: String| Some(FilterVerdict::Refused { reason });
    let matched = filter.matched();
    if matched.starts_with('$') {
        return refused(format!("`{filter}`: topics that start with $ belong to the broker"));
    }
    match filter.levels().next() {
        Some("+" | "#") => refused(format!("`{filter}`: the first level must be named, for instance `data/#`")),
        Some("aups") if matched.contains('/') => {
            let own = format!("aups/ks/{sub}");
            if matched == own {
                Some(FilterVerdict::Accepted { reason: format!("answers to {sub}'s own key requests") })
            } else {
                refused(format!("`{filter}`: below aups/, {sub} may subscribe to `{own}` alone"))
            }
        }
        _ => None,
    }
}

/// The topic subtrees that policies open or close to one reader, each with the policy that does.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    permitted: BTreeMap<Subtree, String>,
    forbidden: BTreeMap<Subtree, String>,
}

impl Rights {
    /// By these policies. Cost: some 20 µs for each whose head lets the reader in.
    pub(crate) fn of<'r>(
        who: &Principal,
        schema: &Schema,
        rules: impl IntoIterator<Item = &'r Rule>,
    ) -> Result<Self, Failure> {
        let known = Known::reader(who, schema);
        let mut rights = Self::default();
        for (rule, condition) in known.conditions(rules)? {
            let outcomes = Outcomes::of(&condition);
            let claims = match rule.effect() {
                Effect::Permit if !outcomes.is_never_true() => &mut rights.permitted,
                // True or failing, whatever the item: a failing forbid forbids.
                Effect::Forbid if !outcomes.falsity => &mut rights.forbidden,
                _ => continue,
            };
            // Of several policies the one that is told is always the same.
            let told = claims.entry(rule.subtree.clone()).or_insert_with(|| rule.name().to_owned());
            if rule.name() < told.as_str() {
                rule.name().clone_into(told);
            }
        }
        Ok(rights)
    }

    /// Judges a filter for the reader whose rights these are.
    fn judge(&self, sub: &Sub, filter: &Filter) -> FilterVerdict {
        if let Some(verdict) = judge_by_name(sub, filter) {
            return verdict;
        }
        if let Some((subtree, policy)) = self.forbidden.iter().find(|(subtree, _)| subtree.meets(filter)) {
            let reason = format!(
                "`{filter}` can match {subtree}, which policy `{policy}` forbids {sub}: narrow the filter, or exempt {sub} \
                 from the policy"
            );
            return FilterVerdict::Refused { reason };
        }
        if let Some((subtree, policy)) = self.permitted.iter().find(|(subtree, _)| subtree.covers(filter)) {
            return FilterVerdict::Accepted { reason: format!("policy `{policy}` permits {sub} {subtree}") };
        }
        FilterVerdict::Refused { reason: format!("no policy permits {sub} all that `{filter}` can match") }
    }

    /// The fewest filters that are accepted for the permitted subtrees, sorted.
    pub(crate) fn readable(&self, sub: &Sub, first_levels: &BTreeSet<&str>) -> Vec<Filter> {
        let everything = self.permitted.contains_key(&Subtree(None));
        let tops = self.permitted.keys().filter_map(|subtree| subtree.0.as_ref().map(Topic::as_str));
        let tops: BTreeSet<&str> = tops.chain(first_levels.iter().copied().filter(|_| everything)).collect();
        let filters: BTreeSet<Filter> = tops.into_iter().flat_map(|top| self.filters_below(sub, top)).collect();
        let redundant = |filter: &Filter| filters.iter().any(|wider| wider != filter && takes_in(wider, filter));
        filters.iter().filter(|filter| !redundant(filter)).cloned().collect()
    }

    /// The whole subtree; where something below is forbidden, the levels above it.
    fn filters_below(&self, sub: &Sub, top: &str) -> Vec<Filter> {
        let accepted = |text: String| text.parse().ok().filter(|filter| self.judge(sub, filter).is_accepted());
        if let Some(whole) = accepted(format!("{top}/#")) {
            return vec![whole];
        }
        let levels = std::iter::successors(Some(top.to_owned()), |text| Some(format!("{text}/+")));
        levels.map_while(accepted).take(aups_core::topic::TOPIC_LEVELS_MAX).collect()
    }
}

/// Whether a filter matches whatever another one matches.
pub(crate) fn takes_in(wider: &Filter, narrower: &Filter) -> bool {
    let mut narrow = narrower.levels();
    for level in wider.levels() {
        match (level, narrow.next()) {
            ("#", _) => return true,
            ("+", Some(named)) if named != "#" => {}
            (level, Some(named)) if level == named => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

/// Whether the head of a policy can let a reader in. What Cedar would find too, for each policy and at a higher price.
pub(crate) fn lets_in(readers: &PrincipalConstraint, who: &Principal) -> bool {
    match readers {
        PrincipalConstraint::Is(kind) => is_kind(kind, who),
        PrincipalConstraint::Eq(EntityOrSlot::Entity(name)) => is_reader(name, who),
        PrincipalConstraint::In(EntityOrSlot::Entity(name)) => is_reader(name, who) || is_group_of(name, who),
        PrincipalConstraint::IsIn(kind, EntityOrSlot::Entity(name)) => {
            is_kind(kind, who) && (is_reader(name, who) || is_group_of(name, who))
        }
        // Anybody. Slots are of templates, which admission refuses.
        _ => true,
    }
}

fn is_kind(entity_type: &EntityType, who: &Principal) -> bool {
    let kind = match who.kind {
        ReaderKind::User => USER,
        ReaderKind::App => APP,
    };
    is_named(entity_type, kind)
}

fn is_reader(name: &EntityUID, who: &Principal) -> bool {
    is_kind(&name.ty, who) && name.eid == who.sub.as_str()
}

fn is_group_of(name: &EntityUID, who: &Principal) -> bool {
    is_named(&name.ty, GROUP) && who.groups.iter().any(|group| name.eid == group.as_str())
}

#[cfg(test)]
mod tests;
