//! Answers what a condition asks about the topic, when the topic is known and the item is not.
//!
//! Cedar's partial evaluation cannot: of an entity, all attributes are known or none is.

use crate::{
    outcome::children,
    vocabulary::{TOPIC, is_named},
};
use aups_core::Topic;
use cedar_policy::pst::{BinaryOp, Expr, Literal, PatternElem, UnaryOp, Var};
use std::sync::Arc;

/// The condition for items of one topic: nothing in it asks about the topic any more, and what is certain now is folded.
///
/// The condition has passed the validator: a level is read only behind a question whether the topic has it.
pub(crate) fn settle(condition: &Expr, topic: &Topic) -> Expr {
    if let Some(answer) = answer(condition, topic) {
        return answer;
    }
    fold(with_children(condition, |child| settle(child, topic)))
}

/// Whether a condition asks anything about the topic.
pub(crate) fn asks_of_topic(condition: &Expr) -> bool {
    is_topic_text(condition) || is_topic_test(condition) || children(condition).any(asks_of_topic)
}

/// The largest parts of a condition that ask about the topic and nothing else: with their answers, the condition says the
/// same of two topics.
pub(crate) fn questions<'e>(condition: &'e Expr, found: &mut Vec<&'e Expr>) {
    if !asks_of_topic(condition) {
        return;
    }
    if is_of_topic_alone(condition) {
        found.push(condition);
    } else {
        children(condition).for_each(|child| questions(child, found));
    }
}

fn is_of_topic_alone(expr: &Expr) -> bool {
    is_topic_text(expr)
        || is_topic_test(expr)
        || (!matches!(expr, Expr::Var(_)) && children(expr).all(is_of_topic_alone))
}

/// `resource.topic`, `resource.level3`.
fn is_topic_text(expr: &Expr) -> bool {
    matches!(expr, Expr::GetAttr { expr, attr } if is_item(expr) && (attr == "topic" || level(attr).is_some()))
}

/// `resource has level3`, `resource in Topic::"a/b"`.
fn is_topic_test(expr: &Expr) -> bool {
    match expr {
        Expr::HasAttr { expr, attrs } => is_item(expr) && (attrs.head == "topic" || level(&attrs.head).is_some()),
        Expr::BinaryOp { op: BinaryOp::In, left, .. } => is_item(left),
        Expr::Is { expr, in_expr: Some(_), .. } => is_item(expr),
        _ => false,
    }
}

fn answer(question: &Expr, topic: &Topic) -> Option<Expr> {
    match question {
        // Where a topic has no such level, this is never reached: any text will do.
        Expr::GetAttr { attr, .. } if is_topic_text(question) => {
            let text = level(attr).map_or(topic.as_str(), |n| topic.levels().nth(n).unwrap_or_default());
            Some(Expr::Literal(Literal::String(text.into())))
        }
        _ if !is_topic_test(question) => None,
        Expr::HasAttr { attrs, .. } => Some(truth(level(&attrs.head).is_none_or(|n| topic.levels().nth(n).is_some()))),
        Expr::BinaryOp { right: tops, .. } | Expr::Is { in_expr: Some(tops), .. } => Some(truth(lies_in(topic, tops))),
        _ => None,
    }
}

/// The n of `level<n>`, as far as the schema goes.
fn level(attribute: &str) -> Option<usize> {
    match attribute.strip_prefix("level")?.as_bytes() {
        [digit @ b'0'..=b'7'] => Some(usize::from(digit - b'0')),
        _ => None,
    }
}

/// Whether a topic is one of these or below one of them.
fn lies_in(topic: &Topic, tops: &Expr) -> bool {
    match tops {
        Expr::Literal(Literal::EntityUID(name)) => {
            is_named(&name.ty, TOPIC) && topic.prefixes().any(|prefix| name.eid == prefix)
        }
        Expr::Set(tops) => tops.iter().any(|top| lies_in(topic, top)),
        _ => false,
    }
}

fn is_item(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}

/// Folds an expression whose operands are folded, as far as texts and truths go.
fn fold(expr: Expr) -> Expr {
    let folded = match &expr {
        Expr::UnaryOp { op: UnaryOp::Not, expr } => known(expr).map(|holds| truth(!holds)),
        Expr::BinaryOp { op: BinaryOp::And, left, right } => match (known(left), known(right)) {
            (Some(false), _) => Some(truth(false)),
            (Some(true), _) => Some(Expr::clone(right)),
            (None, Some(true)) => Some(Expr::clone(left)),
            _ => None,
        },
        Expr::BinaryOp { op: BinaryOp::Or, left, right } => match (known(left), known(right)) {
            (Some(true), _) => Some(truth(true)),
            (Some(false), _) => Some(Expr::clone(right)),
            (None, Some(false)) => Some(Expr::clone(left)),
            _ => None,
        },
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            known(cond).map(|holds| Expr::clone(if holds { then_expr } else { else_expr }))
        }
        Expr::BinaryOp { op: BinaryOp::Eq, left, right } => {
            text(left).zip(text(right)).map(|(left, right)| truth(left == right))
        }
        Expr::BinaryOp { op: BinaryOp::NotEq, left, right } => {
            text(left).zip(text(right)).map(|(left, right)| truth(left != right))
        }
        Expr::BinaryOp { op: BinaryOp::Contains, left, right } => match (&**left, text(right)) {
            (Expr::Set(members), Some(one)) => {
                let members: Option<Vec<&str>> = members.iter().map(|member| text(member)).collect();
                members.map(|members| truth(members.contains(&one)))
            }
            _ => None,
        },
        Expr::Like { expr, pattern } => text(expr).map(|text| truth(is_like(text, pattern))),
        _ => None,
    };
    folded.unwrap_or(expr)
}

pub(crate) const fn truth(holds: bool) -> Expr {
    Expr::Literal(Literal::Bool(holds))
}

fn known(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Literal(Literal::Bool(holds)) => Some(*holds),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// Cedar's `like`.
fn is_like(text: &str, pattern: &[PatternElem]) -> bool {
    // Which beginnings of the pattern match what has been read of the text.
    let mut matched: Vec<bool> = Vec::with_capacity(pattern.len() + 1);
    matched.push(true);
    for element in pattern {
        let skips = matches!(element, PatternElem::Wildcard) && matched.last() == Some(&true);
        matched.push(skips);
    }
    for c in text.chars() {
        let mut next = vec![false];
        for (element, (before, here)) in pattern.iter().zip(matched.iter().zip(matched.iter().skip(1))) {
            let matches = match element {
                PatternElem::Wildcard => *here || next.last() == Some(&true),
                PatternElem::Char(expected) => *before && *expected == c,
            };
            next.push(matches);
        }
        matched = next;
    }
    matched.last() == Some(&true)
}

/// The same expression over other operands.
fn with_children(expr: &Expr, of: impl Fn(&Expr) -> Expr) -> Expr {
    let of = |child: &Arc<Expr>| Arc::new(of(child));
    match expr {
        Expr::UnaryOp { op, expr } => Expr::UnaryOp { op: *op, expr: of(expr) },
        Expr::BinaryOp { op, left, right } => Expr::BinaryOp { op: *op, left: of(left), right: of(right) },
        Expr::GetAttr { expr, attr } => Expr::GetAttr { expr: of(expr), attr: attr.clone() },
        Expr::HasAttr { expr, attrs } => Expr::HasAttr { expr: of(expr), attrs: attrs.clone() },
        Expr::Like { expr, pattern } => Expr::Like { expr: of(expr), pattern: pattern.clone() },
        Expr::Is { expr, entity_type, in_expr } => {
            Expr::Is { expr: of(expr), entity_type: entity_type.clone(), in_expr: in_expr.as_ref().map(of) }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            Expr::IfThenElse { cond: of(cond), then_expr: of(then_expr), else_expr: of(else_expr) }
        }
        Expr::Set(members) => Expr::Set(members.iter().map(of).collect()),
        Expr::Record(members) => {
            Expr::Record(members.iter().map(|(name, member)| (name.clone(), of(member))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
