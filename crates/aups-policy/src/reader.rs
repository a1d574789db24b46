//! The reader and its request as a policy sees them.

use crate::{schema::Schema, vocabulary::Vocabulary};
use aups_core::{AttributeValue, Attributes, Principal, UnixMillis};
use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression};
use std::{
    collections::{BTreeSet, HashMap},
    error::Error,
    net::IpAddr,
};

/// What is known of a key request besides who makes it. A rule about context binds whenever a key is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// When it was made: `context.at`.
    pub at: Option<UnixMillis>,
    /// Where it came from: `context.address`.
    pub address: Option<IpAddr>,
}

/// Cedar's own errors are kept as text: what matters is that there was one, and what it said.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The reader with its attributes, in every group that it is in. Under a schema, without the attributes that it lacks: no
/// policy under it can ask for them.
pub(crate) fn entity(who: &Principal, schema: Option<&Schema>) -> Result<Entity, Failure> {
    let vocabulary = Vocabulary::get();
    let Attributes { roles, org, clearance, purposes, tags, further } = &who.attributes;
    let declared = |name: &str| schema.is_none_or(|schema| schema.extension().reader.contains_key(name));
    let shipped = [
        ("roles".to_owned(), texts(roles)),
        ("org".to_owned(), text(org)),
        ("clearance".to_owned(), RestrictedExpression::new_long(*clearance)),
        ("purposes".to_owned(), texts(purposes)),
    ];
    let further = further.iter().filter(|(name, _)| declared(name)).map(|(name, value)| {
        let value = match value {
            AttributeValue::Truth(truth) => RestrictedExpression::new_bool(*truth),
            AttributeValue::Number(number) => RestrictedExpression::new_long(*number),
            AttributeValue::Text(of) => text(of),
            AttributeValue::Texts(of) => texts(of),
        };
        (name.clone(), value)
    });
    let groups = who.groups.iter().map(|group| vocabulary.group(group.as_str()));
    let tags = tags.iter().map(|(name, of)| (name.clone(), text(of)));
    let name = vocabulary.reader(who.kind, who.sub.as_str());
    // What ships comes last: nothing that a record says under the same name stands in its place.
    Ok(Entity::new_with_tags(name, further.chain(shipped).collect::<HashMap<_, _>>(), groups, tags)?)
}

fn text(of: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(of.to_owned())
}

fn texts(of: &BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(of.iter().map(|member| text(member)))
}

/// The reader alone: for questions in which the item is unknown or has been evaluated away. Without a schema for residuals,
/// which may have been made under another one: what the reader lacks fails where it is asked for.
pub(crate) fn entities(who: &Principal, schema: Option<&Schema>) -> Result<Entities, Failure> {
    Ok(Entities::from_entities([entity(who, schema)?], schema.map(Schema::cedar))?)
}

/// What is known of a request, in Cedar's terms.
pub(crate) fn context(context: &RequestContext) -> Result<Context, Failure> {
    let at = context.at.map(|at| ("at".to_owned(), RestrictedExpression::new_datetime(at.to_string())));
    // An IPv4 address that came over an IPv6 socket is still the IPv4 address that policies name.
    let address = context.address.map(|address| address.to_canonical().to_string());
    let address = address.map(|address| ("address".to_owned(), RestrictedExpression::new_ip(address)));
    Ok(Context::from_pairs(at.into_iter().chain(address))?)
}

/// The question whether the reader may receive the item.
pub(crate) fn request(who: &Principal, context: &RequestContext, schema: Option<&Schema>) -> Result<Request, Failure> {
    let vocabulary = Vocabulary::get();
    let context = self::context(context)?;
    let reader = vocabulary.reader(who.kind, who.sub.as_str());
    let (action, item) = (vocabulary.receive.clone(), vocabulary.item.clone());
    Ok(Request::new(reader, action, item, context, schema.map(Schema::cedar))?)
}

/// Whatever decides an answer, byte for byte: a key for caches.
pub(crate) fn fingerprint(who: &Principal) -> Vec<u8> {
    let mut key = fingerprint_but_name(who);
    key.extend(who.sub.as_str().len().to_be_bytes());
    key.extend(who.sub.as_str().as_bytes());
    key
}

/// Whatever decides an answer of policies that do not name this reader.
pub(crate) fn fingerprint_but_name(who: &Principal) -> Vec<u8> {
    let mut key = who.app.as_deref().map_or_else(|| Vec::with_capacity(256), fingerprint);
    // No kind has this number: it ends the app's part.
    key.push(u8::MAX);
    key.push(who.kind as u8);
    let mut text = |text: &str| {
        key.extend(text.len().to_be_bytes());
        key.extend(text.as_bytes());
    };
    text(&who.attributes.org);
    for set in [&who.attributes.roles, &who.attributes.purposes] {
        text(&set.len().to_string());
        for member in set {
            text(member);
        }
    }
    text(&who.groups.len().to_string());
    for group in &who.groups {
        text(group.as_str());
    }
    text(&who.attributes.tags.len().to_string());
    for (name, of) in &who.attributes.tags {
        text(name);
        text(of);
    }
    text(&who.attributes.further.len().to_string());
    for (name, value) in &who.attributes.further {
        text(name);
        match value {
            AttributeValue::Truth(truth) => text(if *truth { "true" } else { "false" }),
            AttributeValue::Number(number) => text(&number.to_string()),
            AttributeValue::Text(of) => text(&format!("\"{of}")),
            AttributeValue::Texts(members) => {
                text(&format!("[{}", members.len()));
                for member in members {
                    text(member);
                }
            }
        }
    }
    key.extend(who.attributes.clearance.to_be_bytes());
    key
}
