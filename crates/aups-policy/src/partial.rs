//! Partial evaluation with the reader known, and the item and the request known or not.

use crate::{
    admission::Rule,
    item::{self, Resource},
    reader::{self, Failure, RequestContext},
    rights::lets_in,
    schema::Schema,
    vocabulary::Vocabulary,
};
use aups_core::Principal;
use cedar_policy::{
    PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicyId, PolicySet,
    pst::{self, ActionConstraint, Clause, Expr, PrincipalConstraint, ResourceConstraint, Template},
};
use std::{collections::BTreeMap, sync::Arc};

/// What is known of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'k> {
    pub(crate) schema: &'k Schema,
    pub(crate) who: &'k Principal,
    pub(crate) item: Option<Resource<'k>>,
    pub(crate) context: Option<&'k RequestContext>,
}

impl<'k> Known<'k> {
    /// The reader and nothing else.
    pub(crate) const fn reader(who: &'k Principal, schema: &'k Schema) -> Self {
        Self { schema, who, item: None, context: None }
    }

    /// What is left of the policies whose head lets the reader in, without their topic clauses, in the order of the set.
    ///
    /// Cost: some 20 µs for each of them.
    pub(crate) fn conditions<'r>(
        &self,
        rules: impl IntoIterator<Item = &'r Rule>,
    ) -> Result<Vec<(&'r Rule, Arc<Expr>)>, Failure> {
        let rules: Vec<&Rule> = rules.into_iter().filter(|rule| lets_in(&rule.readers, self.who)).collect();
        let mut left = self.evaluate(rules.iter().map(|rule| rule.anywhere.clone()))?;
        let condition = |rule: &'r Rule| -> Result<_, Failure> {
            let condition = left.remove(rule.anywhere.id()).ok_or("a policy without a residual")?;
            Ok((rule, condition))
        };
        rules.into_iter().map(condition).collect()
    }

    /// What is left of the conditions of policies.
    pub(crate) fn evaluate(
        &self,
        policies: impl IntoIterator<Item = Policy>,
    ) -> Result<BTreeMap<PolicyId, Arc<Expr>>, Failure> {
        let vocabulary = Vocabulary::get();
        let schema = self.schema.cedar();
        let policies = PolicySet::from_policies(policies)?;
        let mut entities = reader::entities(self.who, Some(self.schema))?;
        if let Some(item) = &self.item {
            entities = entities.add_entities([item::entity(item, self.schema)?], Some(schema))?;
        }
        let entities = PartialEntities::from_concrete(entities, schema)?;
        let reader = PartialEntityUid::from_concrete(vocabulary.reader(self.who.kind, self.who.sub.as_str()));
        let item = match self.item {
            Some(_) => PartialEntityUid::from_concrete(vocabulary.item.clone()),
            None => PartialEntityUid::new(vocabulary.item_type.clone(), None),
        };
        let context = self.context.map(reader::context).transpose()?;
        let request = PartialRequest::new(reader, vocabulary.receive.clone(), item, context, schema)?;
        let response = policies.tpe(&request, &entities, schema)?;
        let mut left = BTreeMap::new();
        for policy in response.policies() {
            let parsed = policy.to_pst()?;
            let [Clause::When(condition)] = parsed.body().clauses().as_slice() else {
                return Err("a residual that is not one condition".into());
            };
            left.insert(policy.id().clone(), condition.clone());
        }
        Ok(left)
    }
}

/// A permit that asks nothing but a condition, under a number.
pub(crate) fn permit_if(number: usize, condition: Arc<Expr>) -> Result<Policy, Failure> {
    let id = pst::PolicyID(number.to_string().into());
    let (anybody, any_action, any_item) = (PrincipalConstraint::Any, ActionConstraint::Any, ResourceConstraint::Any);
    let policy = Template::new(id, pst::Effect::Permit, anybody, any_action, any_item);
    let policy = policy.try_with_clauses([Clause::When(condition)])?;
    Ok(Policy::from_pst(pst::Policy::Static(policy.try_into()?))?)
}
