//! Claims: the parts of a condition that ask for the item alone and are true or not, such as
//! `resource has value && resource.value.greaterThan(decimal("50.0"))`.
//!
//! What partial evaluation leaves of a condition depends on the item only by which claims hold and by the values that
//! stand outside of claims. A temperature is another one in each item; whether it is above fifty seldom changes.

use crate::{
    item::{self, Resource},
    mention::{Mentions, path_into_item},
    outcome::{children, is_test},
    reader::Failure,
    residual::reads_as,
    schema::Schema,
    vocabulary::Vocabulary,
};
use aups_core::ReaderKind;
use cedar_policy::{
    Context, Entities, EvalResult, Expression, Request, eval_expression,
    pst::{BinaryOp, Expr, UnaryOp, Var},
};
use std::collections::HashMap;

/// The claims that the policies of a set make, each once, by number.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    expressions: Vec<Expression>,
    numbers: HashMap<String, Option<u32>>,
}

/// By what a condition can tell one item from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Distinctions {
    /// Numbers of claims.
    pub(crate) claims: Vec<u32>,
    /// What is mentioned outside of claims.
    pub(crate) values: Mentions,
}

impl Claims {
    /// Adds the claims of a condition, and says by what it tells items apart.
    pub(crate) fn add(&mut self, condition: &Expr, schema: &Schema, distinctions: &mut Distinctions) {
        if is_claim(condition)
            && let Some(number) = self.number(condition)
        {
            if !distinctions.claims.contains(&number) {
                distinctions.claims.push(number);
            }
        } else if path_into_item(condition).is_some() || asks_only_for_item(condition) {
            // What may not be said of the item was found when all that is mentioned was collected.
            distinctions.values.add(condition, schema, &mut Vec::new());
        } else {
            children(condition).for_each(|child| self.add(child, schema, distinctions));
        }
    }

    /// `None` if Cedar would read the claim as something else than it was written from.
    fn number(&mut self, claim: &Expr) -> Option<u32> {
        let text = claim.to_string();
        if let Some(known) = self.numbers.get(&text) {
            return *known;
        }
        let line = format!("permit(principal, action, resource) when {{ {text} }};");
        let expression = text.parse::<Expression>().ok().filter(|_| reads_as(&line, claim));
        let number = expression.and_then(|expression| {
            self.expressions.push(expression);
            u32::try_from(self.expressions.len() - 1).ok()
        });
        self.numbers.insert(text, number);
        number
    }

    /// To ask them of an item. Cost: about 30 µs, and about 2 µs for each claim that is asked.
    pub(crate) fn of_item(&self, resource: &Resource<'_>, schema: &Schema) -> Result<ClaimsOfItem<'_>, Failure> {
        let vocabulary = Vocabulary::get();
        // No claim speaks of the reader.
        let anybody = vocabulary.reader(ReaderKind::User, "anybody");
        let (action, name) = (vocabulary.receive.clone(), vocabulary.item.clone());
        let request = Request::new(anybody, action, name, Context::empty(), None)?;
        let entities = Entities::from_entities([item::entity(resource, schema)?], None)?;
        Ok(ClaimsOfItem { expressions: &self.expressions, request, entities, answers: HashMap::new() })
    }
}

/// Which claims hold of one item, each asked once.
pub(crate) struct ClaimsOfItem<'c> {
    expressions: &'c [Expression],
    request: Request,
    entities: Entities,
    answers: HashMap<u32, Answer>,
}

/// What became of a claim. The numbers are part of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Answer {
    Fails = 0,
    Holds = 1,
    HoldsNot = 2,
}

impl ClaimsOfItem<'_> {
    pub(crate) fn answer(&mut self, claim: u32) -> Answer {
        let (expressions, request, entities) = (self.expressions, &self.request, &self.entities);
        *self.answers.entry(claim).or_insert_with(|| {
            let expression = usize::try_from(claim).ok().and_then(|claim| expressions.get(claim));
            match expression.and_then(|expression| eval_expression(request, entities, expression).ok()) {
                Some(EvalResult::Bool(true)) => Answer::Holds,
                Some(EvalResult::Bool(false)) => Answer::HoldsNot,
                _ => Answer::Fails,
            }
        })
    }
}

/// Of a form that is true or false, and about the item alone.
fn is_claim(expr: &Expr) -> bool {
    let form = match expr {
        Expr::HasAttr { .. } | Expr::Like { .. } | Expr::Is { .. } => true,
        Expr::UnaryOp { op, .. } => matches!(op, UnaryOp::Not | UnaryOp::IsEmpty),
        Expr::BinaryOp { op, .. } => matches!(op, BinaryOp::And | BinaryOp::Or) || is_test(*op),
        _ => false,
    };
    form && asks_only_for_item(expr)
}

fn asks_only_for_item(expr: &Expr) -> bool {
    asks_for(expr, &|var| *var == Var::Resource) && !asks_for(expr, &|var| *var != Var::Resource)
}

fn asks_for(expr: &Expr, which: &dyn Fn(&Var) -> bool) -> bool {
    match expr {
        Expr::Var(var) => which(var),
        _ => children(expr).any(|child| asks_for(child, which)),
    }
}

#[cfg(test)]
mod tests;
