//! What is left of single policies when the item is known, kept so that an item that is new as a whole seldom costs more
//! than looking up what each policy says of it.
//!
//! What is left of a policy depends on which of its claims hold of the item, on the values of the item that it compares with
//! the reader's, and on nothing else. Policies of one shape
//! share it: a thousand rooms with the same rule each cost one partial evaluation and not a thousand.

use crate::{
    admission::Rule,
    cache::Cache,
    claim::{Claims, ClaimsOfItem},
    item::{self, Resource},
    mention::Mentions,
    reader::Failure,
    residual::Part,
    schema::Schema,
    vocabulary::Vocabulary,
};
use aups_core::ReaderKind;
use cedar_policy::{
    PartialEntities, PartialEntity, PartialEntityUid, PartialRequest, Policy, PolicyId, PolicySet, pst::Clause,
};
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// Remains of policies that are kept, for both kinds of readers together.
pub const REMAINS_KEPT_MAX: usize = 32_768;
/// Longest remains that are kept, with what the policy mentions of the item, in bytes.
pub const REMAINS_BYTES_MAX: usize = 4_096;

/// What is left of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remains {
    pub(crate) app: Part,
    pub(crate) user: Part,
}

/// Finds out what is left of policies, and keeps it.
#[derive(Debug)]
pub(crate) struct Remainders {
    kept: Cache<Box<[u8]>, Arc<Remains>>,
}

impl Remainders {
    pub(crate) fn new() -> Self {
        Self { kept: Cache::new(REMAINS_KEPT_MAX) }
    }

    /// What is left of each of these policies, whose topic clauses the item satisfies.
    pub(crate) fn of<'r>(
        &self,
        rules: impl Iterator<Item = &'r Rule>,
        claims: &Claims,
        resource: &Resource<'_>,
        schema: &Schema,
    ) -> Result<Vec<(&'r Rule, Arc<Remains>)>, Failure> {
        let mut claims = claims.of_item(resource, schema)?;
        let mut known: HashMap<u32, Option<Arc<Remains>>> = HashMap::new();
        let mut unknown: Vec<(&Rule, Box<[u8]>)> = Vec::new();
        let (mut found, mut key) = (Vec::new(), Vec::new());
        for rule in rules {
            found.push(rule);
            if let Entry::Vacant(shape) = known.entry(rule.shape) {
                write_key(rule, &mut claims, resource, &mut key);
                if shape.insert(self.kept.get(key.as_slice())).is_none() {
                    unknown.push((rule, key.as_slice().into()));
                }
            }
        }
        if !unknown.is_empty() {
            let remains = partially_evaluate(unknown.iter().map(|(rule, _)| &rule.anywhere), resource, schema)?;
            for ((rule, key), remains) in unknown.into_iter().zip(remains) {
                let bytes = key.len() + remains.app.text_bytes() + remains.user.text_bytes();
                let remains = Arc::new(remains);
                let remains = if bytes <= REMAINS_BYTES_MAX { self.kept.keep(key, remains) } else { remains };
                known.insert(rule.shape, Some(remains));
            }
        }
        let remains = |rule: &Rule| known.get(&rule.shape).cloned().flatten().ok_or("a policy that was not asked");
        found.into_iter().map(|rule| Ok((rule, remains(rule)?))).collect()
    }
}

/// The shape, and all that its conditions can tell an item by.
fn write_key(rule: &Rule, claims: &mut ClaimsOfItem<'_>, resource: &Resource<'_>, key: &mut Vec<u8>) {
    key.clear();
    key.extend(rule.shape.to_be_bytes());
    key.extend(rule.distinctions.claims.iter().map(|claim| claims.answer(*claim) as u8));
    let Mentions { attributes, topics } = &rule.distinctions.values;
    for topic in topics {
        key.push(resource.topic.prefixes().any(|prefix| prefix == topic.as_str()).into());
    }
    for attribute in attributes {
        attribute.write(resource, key);
    }
}

/// What is left of policies with distinct names, in their order: by Cedar's partial evaluation with the item known and the
/// reader and the request unknown.
///
/// Cost: about 50 µs, and about 80 µs for each policy.
pub(crate) fn partially_evaluate<'p>(
    policies: impl Iterator<Item = &'p Policy>,
    resource: &Resource<'_>,
    schema: &Schema,
) -> Result<Vec<Remains>, Failure> {
    let policies: Vec<&Policy> = policies.collect();
    let set = PolicySet::from_policies(policies.iter().map(|policy| (*policy).clone()))?;
    let attributes = item::attributes(resource, schema).into_iter().map(|(name, value)| (name.into(), value));
    let (ancestors, tags) = (item::ancestors(resource.topic), item::tags(resource.marks).collect());
    let (name, schema) = (Vocabulary::get().item.clone(), schema.cedar());
    let item = PartialEntity::new(name, Some(attributes.collect()), Some(ancestors), Some(tags), schema)?;
    let entities = PartialEntities::from_partial_entities([item], schema)?;
    let mut apps = parts(ReaderKind::App, &set, &entities, schema)?;
    let mut users = parts(ReaderKind::User, &set, &entities, schema)?;
    let mut remains =
        |policy: &Policy| Some(Remains { app: apps.remove(policy.id())?, user: users.remove(policy.id())? });
    let all = policies.into_iter().map(|policy| remains(policy).ok_or("a policy of which nothing is said"));
    Ok(all.collect::<Result<_, _>>()?)
}

fn parts(
    kind: ReaderKind,
    policies: &PolicySet,
    entities: &PartialEntities,
    schema: &cedar_policy::Schema,
) -> Result<HashMap<PolicyId, Part>, Failure> {
    let vocabulary = Vocabulary::get();
    let reader = PartialEntityUid::new(vocabulary.reader_type(kind).clone(), None);
    let item = PartialEntityUid::from_concrete(vocabulary.item.clone());
    let request = PartialRequest::new(reader, vocabulary.receive.clone(), item, None, schema)?;
    let response = policies.tpe(&request, entities, schema)?;
    let mut parts = HashMap::new();
    for policy in response.policies() {
        let residual = policy.to_pst()?;
        let [Clause::When(condition)] = residual.body().clauses().as_slice() else {
            return Err("a residual that is not one condition".into());
        };
        parts.insert(policy.id().clone(), Part::of(policy.effect(), condition)?);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
