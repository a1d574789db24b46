//! The reader and its request as a policy sees them.

use crate::vocabulary::Vocabulary;
use aups_core::{Principal, UnixMillis};
use cedar_policy::{Context, Entities, Entity, Request, RestrictedExpression};
use std::{error::Error, net::IpAddr};

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

/// The reader with its attributes, in every group that it is in.
pub(crate) fn entity(who: &Principal) -> Result<Entity, Failure> {
    let vocabulary = Vocabulary::get();
    let texts = |set: &std::collections::BTreeSet<String>| {
        RestrictedExpression::new_set(set.iter().map(|text| RestrictedExpression::new_string(text.clone())))
    };
    let attributes = [
        ("roles".to_owned(), texts(&who.attributes.roles)),
        ("org".to_owned(), RestrictedExpression::new_string(who.attributes.org.clone())),
        ("clearance".to_owned(), RestrictedExpression::new_long(who.attributes.clearance)),
        ("purposes".to_owned(), texts(&who.attributes.purposes)),
    ];
    let groups = who.groups.iter().map(|group| vocabulary.group(group.as_str())).collect();
    let name = vocabulary.reader(who.kind, who.sub.as_str());
    Ok(Entity::new(name, attributes.into_iter().collect(), groups)?)
}

/// The reader alone: for questions in which the item is unknown or has been evaluated away.
pub(crate) fn entities(who: &Principal) -> Result<Entities, Failure> {
    Ok(Entities::from_entities([entity(who)?], Some(&Vocabulary::get().schema))?)
}

/// The question whether the reader may receive the item.
pub(crate) fn request(who: &Principal, context: &RequestContext) -> Result<Request, Failure> {
    let vocabulary = Vocabulary::get();
    let at = context.at.map(|at| ("at".to_owned(), RestrictedExpression::new_datetime(at.to_string())));
    // An IPv4 address that came over an IPv6 socket is still the IPv4 address that policies name.
    let address = context.address.map(|address| address.to_canonical().to_string());
    let address = address.map(|address| ("address".to_owned(), RestrictedExpression::new_ip(address)));
    let context = Context::from_pairs(at.into_iter().chain(address))?;
    let reader = vocabulary.reader(who.kind, who.sub.as_str());
    let (action, item) = (vocabulary.receive.clone(), vocabulary.item.clone());
    Ok(Request::new(reader, action, item, context, Some(&vocabulary.schema))?)
}

/// Whatever decides an answer, byte for byte: a key for caches.
pub(crate) fn fingerprint(who: &Principal) -> Vec<u8> {
    let mut key = Vec::with_capacity(256);
    key.push(who.kind as u8);
    let mut text = |text: &str| {
        key.extend(text.len().to_be_bytes());
        key.extend(text.as_bytes());
    };
    text(who.sub.as_str());
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
    key.extend(who.attributes.clearance.to_be_bytes());
    key
}
