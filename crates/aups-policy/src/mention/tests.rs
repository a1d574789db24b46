use super::*;
use crate::fixtures::set;

fn mentions(policy: &str) -> Mentions {
    set(policy).rules[0].mentions.clone()
}

#[test]
fn attributes_are_found_wherever_they_stand() {
    let found = mentions(
        r#"permit(principal, action, resource) when {
            resource has value && [resource.name, "x"].contains(principal.org)
            && (if resource.source.registered then {a: resource.quality.accuracy} else {a: decimal("0.1")}).a.lessThan(decimal("0.5"))
        } unless { resource.topic like "a*" || principal.roles.containsAny(resource.labels) };"#,
    );
    assert_eq!(
        found.attributes.into_iter().collect::<Vec<_>>(),
        [
            Attribute::Topic,
            Attribute::Name,
            Attribute::Labels,
            Attribute::Value,
            Attribute::Registered,
            Attribute::Accuracy
        ]
    );
}

#[test]
fn a_record_as_a_whole_is_all_that_is_in_it() {
    let found = mentions(r"permit(principal, action, resource) when { resource.security == resource.security };");
    assert_eq!(found.attributes.len(), 4);
    let found = mentions(r"permit(principal, action, resource) when { resource has source.nodeId };");
    assert_eq!(found.attributes.into_iter().collect::<Vec<_>>(), [Attribute::NodeId]);
}

#[test]
fn topics_are_found_in_conditions() {
    let found = mentions(
        r#"permit(principal, action, resource in Topic::"a") unless { resource in [Topic::"a/b", Topic::"a/c"] };"#,
    );
    assert_eq!(found.topics.iter().map(Topic::as_str).collect::<Vec<_>>(), ["a/b", "a/c"]);
    assert!(found.attributes.is_empty());
}

#[test]
fn what_only_speaks_of_the_reader_mentions_nothing() {
    assert_eq!(
        mentions("permit(principal, action, resource is Item) when { principal.clearance > 3 };"),
        Mentions::default()
    );
}

#[test]
fn tags_are_told_apart_by_name() {
    let tag = |name: &str| Attribute::Tag(name.into());
    let found = mentions(
        r#"permit(principal, action, resource) when { resource.hasTag("owner") && resource.getTag("owner") == principal.org }
           unless { resource.hasTag("hidden") };"#,
    );
    assert_eq!(found.attributes.into_iter().collect::<Vec<_>>(), [tag("hidden"), tag("owner")]);
    let found = mentions(r#"permit(principal, action, resource) when { principal.hasTag("owner") };"#);
    assert_eq!(found, Mentions::default());
}
