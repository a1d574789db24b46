//! What of the item a policy speaks about: which attributes, which topics. And what it must not say of the item.

use crate::{
    item::Attribute,
    outcome::children,
    schema::{Schema, nearest},
    vocabulary::{ITEM, TOPIC, is_named},
};
use aups_core::Topic;
use cedar_policy::pst::{BinaryOp, EntityUID, Expr, Literal, SmolStr, Var};
use std::{borrow::Cow, collections::BTreeSet};
use thiserror::Error;

/// What a request may have.
const CONTEXT: [&str; 2] = ["at", "address"];

/// All that a partial evaluation can learn from an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mentions {
    pub(crate) attributes: BTreeSet<Attribute>,
    pub(crate) topics: BTreeSet<Topic>,
}

/// What a policy must not say of the item.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Misuse {
    #[error("the item itself stands where only its attributes or its topic may")]
    BareItem,
    #[error("a policy cannot name the item `{0}`")]
    NamedItem(String),
    #[error("`Topic::\"{0}\"` stands where no topic may")]
    TopicElsewhere(String),
    #[error("`{0}` is not a topic name")]
    NoTopicName(String),
    #[error("`{of}` never has an attribute `{name}`: the condition could not mean anything")]
    UnknownAttribute { of: &'static str, name: String, near: Option<String> },
    #[error("the name of an item's tag is computed")]
    ComputedTag,
    #[error("a form of expression that this version does not know")]
    UnknownForm,
}

impl Misuse {
    pub(crate) fn help(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::UnknownAttribute { near: Some(near), .. } => return Cow::Owned(format!("did you mean `{near}`?")),
            Self::UnknownAttribute { .. } => {
                "the schema lists what there is; an administrator can add optional attributes, and tags need no schema"
            }
            Self::BareItem | Self::NamedItem(_) => {
                "items have no identity that a policy may use: write `resource.<attribute>`, `resource has <attribute>` \
                 or `resource in Topic::\"…\"`"
            }
            Self::TopicElsewhere(_) => {
                "write `resource in Topic::\"…\"`, or compare `resource.topic` or `resource.level0` with a text"
            }
            Self::NoTopicName(_) => {
                "name the top of a subtree, without wildcards: `Topic::\"data/s1\"` is data/s1 and all that is below it"
            }
            // A name that depends on the reader would leave the item in the residual, where nobody has it any more.
            Self::ComputedTag => "write the name out, as in `resource.hasTag(\"owner\")`",
            Self::UnknownForm => "this is a defect of aups: please report the policy",
        })
    }
}

impl Mentions {
    /// Adds what a condition mentions.
    pub(crate) fn add(&mut self, expr: &Expr, schema: &Schema, misuses: &mut Vec<Misuse>) {
        if let Some(path) = path_into_item(expr) {
            let read = Attribute::read_by(&path, schema);
            if read.is_empty() && matches!(expr, Expr::HasAttr { .. }) {
                misuses.push(unknown("resource", &path.join("."), Attribute::names(schema)));
            }
            self.attributes.extend(read);
            return;
        }
        match expr {
            Expr::HasAttr { expr, attrs } if is(expr, &Var::Principal) && !schema.has_of_reader(attrs.first()) => {
                misuses.push(unknown("principal", attrs.first(), schema.names_of_reader()));
            }
            Expr::HasAttr { expr, attrs } if is(expr, &Var::Context) && !CONTEXT.contains(&attrs.first().as_str()) => {
                misuses.push(unknown("context", attrs.first(), CONTEXT.into_iter()));
            }
            Expr::BinaryOp { op: BinaryOp::HasTag | BinaryOp::GetTag, left, right } if is_item(left) => {
                if let Expr::Literal(Literal::String(name)) = &**right {
                    self.attributes.insert(Attribute::Tag(name.as_str().into()));
                } else {
                    misuses.push(Misuse::ComputedTag);
                }
            }
            Expr::BinaryOp { op: BinaryOp::In, left, right } if is_item(left) => self.add_topics(right, misuses),
            Expr::Is { expr, in_expr, .. } if is_item(expr) => {
                if let Some(right) = in_expr {
                    self.add_topics(right, misuses);
                }
            }
            Expr::Var(Var::Resource) => misuses.push(Misuse::BareItem),
            Expr::Literal(Literal::EntityUID(name)) if is_named(&name.ty, ITEM) => {
                misuses.push(Misuse::NamedItem(name.eid.to_string()));
            }
            Expr::Literal(Literal::EntityUID(name)) if is_named(&name.ty, TOPIC) => {
                misuses.push(Misuse::TopicElsewhere(name.eid.to_string()));
            }
            Expr::Literal(_)
            | Expr::Var(_)
            | Expr::UnaryOp { .. }
            | Expr::BinaryOp { .. }
            | Expr::GetAttr { .. }
            | Expr::HasAttr { .. }
            | Expr::Like { .. }
            | Expr::Is { .. }
            | Expr::IfThenElse { .. }
            | Expr::Set(_)
            | Expr::Record(_) => children(expr).for_each(|child| self.add(child, schema, misuses)),
            _ => misuses.push(Misuse::UnknownForm),
        }
    }

    /// Adds a topic that stands right of `resource in`.
    pub(crate) fn add_topic(&mut self, name: &EntityUID, misuses: &mut Vec<Misuse>) {
        if !is_named(&name.ty, TOPIC) {
            misuses.push(Misuse::BareItem);
        } else if let Ok(topic) = name.eid.parse() {
            self.topics.insert(topic);
        } else {
            misuses.push(Misuse::NoTopicName(name.eid.to_string()));
        }
    }

    fn add_topics(&mut self, right: &Expr, misuses: &mut Vec<Misuse>) {
        match right {
            Expr::Literal(Literal::EntityUID(name)) => self.add_topic(name, misuses),
            Expr::Set(members) => members.iter().for_each(|member| self.add_topics(member, misuses)),
            _ => misuses.push(Misuse::BareItem),
        }
    }
}

/// `has` with a name that the schema lacks is always false. Cedar takes it; whoever wrote a forbid so was mistaken.
fn unknown<'n>(of: &'static str, name: &str, known: impl Iterator<Item = &'n str>) -> Misuse {
    Misuse::UnknownAttribute { of, name: name.to_owned(), near: nearest(name, known).map(ToOwned::to_owned) }
}

fn is(expr: &Expr, var: &Var) -> bool {
    matches!(expr, Expr::Var(of) if of == var)
}

fn is_item(expr: &Expr) -> bool {
    is(expr, &Var::Resource)
}

/// `["source", "nodeId"]` of `resource.source.nodeId` and of `resource has source.nodeId`.
pub(crate) fn path_into_item(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::GetAttr { expr, attr } => {
            let mut path = if is_item(expr) { Vec::new() } else { path_into_item(expr)? };
            path.push(attr);
            Some(path)
        }
        Expr::HasAttr { expr, attrs } => {
            let mut path = if is_item(expr) { Vec::new() } else { path_into_item(expr)? };
            path.extend(attrs.iter().map(SmolStr::as_str));
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
