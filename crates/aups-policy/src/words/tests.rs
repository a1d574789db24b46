use super::*;
use crate::fixtures::set;

fn said(condition: &str) -> [String; 2] {
    let set = set(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let condition = set.rules.first().unwrap().conditions().remove(0);
    [words(&condition), opposite(&condition)]
}

#[test]
fn tests_are_said_and_denied() {
    for (condition, holds, does_not) in [
        ("resource.source.registered", "the source is registered", "the source is not registered"),
        ("resource.source.registered == false", "the source is not registered", "the source is registered"),
        (r#"resource.name == "t""#, r#"name is "t""#, r#"name is not "t""#),
        (r#""t" != resource.name"#, r#"name is not "t""#, r#"name is "t""#),
        (r#"resource.name like "t*\*""#, r#"name is like "t*\*""#, r#"name is not like "t*\*""#),
        (
            r#"["a", "b", "c"].contains(resource.name)"#,
            r#"name is one of "a", "b" or "c""#,
            r#"name is not one of "a", "b" or "c""#,
        ),
        (r#"principal.roles.contains("x")"#, r#"roles contain "x""#, r#"roles do not contain "x""#),
        (
            r#"resource.labels.containsAny(["x", "y"])"#,
            r#"labels contain any of "x" or "y""#,
            r#"labels contain none of "x" or "y""#,
        ),
        (r#"["x"].containsAll(resource.labels)"#, r#"labels are all among "x""#, r#"labels are not all among "x""#),
        (r"principal.purposes.isEmpty()", "purposes are empty", "purposes are not empty"),
        ("principal.clearance >= 3", "clearance is at least 3", "clearance is below 3"),
        ("3 < principal.clearance", "clearance is above 3", "clearance is at most 3"),
        ("principal.org == resource.source.nodeId", "org is source.nodeId", "org is not source.nodeId"),
        (
            r#"resource.quality.accuracy.greaterThanOrEqual(decimal("0.8"))"#,
            "quality.accuracy is at least 0.80",
            "quality.accuracy is below 0.80",
        ),
        ("principal is App", "the reader is an app", "the reader is not an app"),
        (r#"principal == User::"alice""#, "the reader is user alice", "the reader is not user alice"),
        (
            r#"principal in [Group::"ops", Group::"lab"]"#,
            "the reader is in group ops or lab",
            "the reader is not in group ops or lab",
        ),
        (
            r#"principal is User in Group::"ops""#,
            "the reader is a user and the reader is in group ops",
            "the reader is not a user or the reader is not in group ops",
        ),
        (r#"resource in Topic::"a/b""#, "the topic is a/b or below it", "the topic is neither a/b nor below it"),
        (
            r#"resource in [Topic::"a", Topic::"b"]"#,
            "the topic is a or b or below one of them",
            "the topic is neither a or b nor below one of them",
        ),
        ("resource has value", "the item has a value", "the item has no value"),
        (
            r#"resource.hasTag("owner") && resource.getTag("owner") == principal.org"#,
            r#"the item's tag "owner" is org"#,
            r#"the item has no tag "owner" or the item's tag "owner" is not org"#,
        ),
        (r#"principal.hasTag("x")"#, r#"the reader has the tag "x""#, r#"the reader has no tag "x""#),
        ("context has at", "the time of the request is known", "the time of the request is not known"),
        (
            r#"context has at && context.at < datetime("2027-01-01")"#,
            "the time of the request is before 2027-01-01",
            "the time of the request is not known or the time of the request is at or after 2027-01-01",
        ),
        (
            r#"context has at && context.at.toTime() >= duration("8h")"#,
            "the time of day of the request is at or after 8h",
            "the time of the request is not known or the time of day of the request is before 8h",
        ),
        (
            r#"context has address && context.address.isInRange(ip("10.0.0.0/8"))"#,
            "the address of the request is in 10.0.0.0/8",
            "the address of the request is not known or the address of the request is not in 10.0.0.0/8",
        ),
        (
            "context has address && context.address.isLoopback()",
            "the address of the request is this machine's own",
            "the address of the request is not known or the address of the request is not this machine's own",
        ),
    ] {
        assert_eq!(said(condition), [holds, does_not], "{condition}");
    }
}

#[test]
fn what_belongs_together_stays_together() {
    for (condition, holds, does_not) in [
        (
            r#"principal.org == "a" && (principal.clearance > 1 || resource.source.registered)"#,
            r#"org is "a" and (clearance is above 1 or the source is registered)"#,
            r#"org is not "a" or (clearance is at most 1 and the source is not registered)"#,
        ),
        (
            r#"!(principal.org == "a" || principal.org == "b") && principal.clearance > 1"#,
            r#"org is not "a" and org is not "b" and clearance is above 1"#,
            r#"org is "a" or org is "b" or clearance is at most 1"#,
        ),
        (
            r#"if principal is App then resource.source.registered else principal.org == "a""#,
            r#"if the reader is an app then the source is registered, else org is "a""#,
            r#"if the reader is an app then the source is not registered, else org is not "a""#,
        ),
        (
            r#"resource has value && resource.value.greaterThan(decimal("50.0"))"#,
            "value is above 50.00",
            "the item has no value or value is at most 50.00",
        ),
        ("true", "always", "never"),
    ] {
        assert_eq!(said(condition), [holds, does_not], "{condition}");
    }
}

#[test]
fn what_has_no_words_stands_as_cedar() {
    assert_eq!(
        said("principal.clearance + 1 > 3"),
        ["(principal.clearance + 1) > 3", "not ((principal.clearance + 1) > 3)"]
    );
}

#[test]
fn values_that_partial_evaluation_has_written_are_read() {
    let read = |text: &str| words(&cedar(text));
    let at = r#"context.at < datetime("1970-01-01").offset(duration("1780272000000ms"))"#;
    assert_eq!(read(at), "the time of the request is before 2026-06-01T00:00:00.000Z");
    let below = r#"!(resource.value.lessThanOrEqual(decimal("-0.0500")))"#;
    assert_eq!(read(below), "value is above -0.05");
}

/// A condition that need not be valid.
fn cedar(text: &str) -> Expr {
    let policy = format!("permit(principal, action, resource) when {{ {text} }};");
    let policy = cedar_policy::Policy::parse(None, policy).unwrap().to_pst().unwrap();
    crate::admission::conditions(policy.body()).next().unwrap().clone()
}
