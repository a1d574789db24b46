//! Policies, readers and items that know of each other, for the tests that ask whatever the policies.

use crate::{
    RequestContext,
    fixtures::{Sample, With, app, user},
};
use aups_core::{Principal, UnixMillis};
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};
use std::sync::Arc;

/// What is only about the reader.
const READER: &[&str] = &[
    r#"principal.roles.contains("meteo")"#,
    r#"principal.roles.containsAny(["meteo", "ops"])"#,
    r#"principal.org == "acme""#,
    r#"principal.org like "a*""#,
    "principal.clearance >= 3",
    "principal.clearance < 2",
    "principal has org",
    "principal.purposes.isEmpty()",
    r#"principal in Group::"lab""#,
    r#"principal in [Group::"lab", Group::"ops"]"#,
    "principal is App",
    r#"principal == User::"u1""#,
    // Overflows for some readers.
    "principal.clearance * 4611686018427387904 > 3",
    "-(principal.clearance) < 0",
];

/// What is only about the item.
const ITEM: &[&str] = &[
    r#"resource.quality.accuracy.greaterThanOrEqual(decimal("0.80"))"#,
    r#"resource.security.integrity.lessThan(decimal("0.5"))"#,
    "resource.source.registered",
    r#"resource.source.nodeId == "s1""#,
    r#"resource.source.nodeType == "sensor""#,
    r#"resource has value && resource.value.greaterThan(decimal("50.0"))"#,
    "resource has value",
    r#"resource.level0 == "a""#,
    r#"resource has level2 && resource.level2 == "c""#,
    r#"resource.topic like "a/*""#,
    r#"resource in Topic::"a/b""#,
    r#"resource in [Topic::"a/b/c", Topic::"x"]"#,
    r#"resource.labels.contains("secret")"#,
    "resource.labels.isEmpty()",
    r#"resource.name == "temperature""#,
    r"resource has source.nodeId",
];

/// What brings values of the item into the residual, and what is known only when a key is asked for.
const BOTH: &[&str] = &[
    "principal.org == resource.source.nodeId",
    "principal.purposes.contains(resource.name)",
    "principal.roles.containsAny(resource.labels)",
    "resource.source.registered == (principal.clearance > 2)",
    r#"context has at && context.at < datetime("2026-06-01")"#,
    r#"context has address && context.address.isInRange(ip("10.0.0.0/8"))"#,
    "context has at && principal.clearance > 2",
    "true",
    "false",
];

const READERS: &[&str] = &[
    "principal",
    "principal",
    "principal is User",
    "principal is App",
    r#"principal in Group::"ops""#,
    r#"principal is User in Group::"lab""#,
    r#"principal == App::"a1""#,
];

const RESOURCES: &[&str] = &[
    "resource",
    "resource",
    "resource is Item",
    r#"resource in Topic::"a""#,
    r#"resource in Topic::"a/b""#,
    r#"resource in Topic::"a/b/c""#,
    r#"resource in Topic::"x""#,
    r#"resource is Item in Topic::"a""#,
];

const ANNOTATIONS: &[&str] =
    &[r#"@keylife("10s")"#, r#"@obligation("sign")"#, r#"@suite("chacha20-poly1305")"#, r#"@title("t")"#];

fn condition() -> impl Strategy<Value = String> {
    let atom = prop_oneof![3 => select(READER), 3 => select(ITEM), 2 => select(BOTH)];
    atom.prop_map(str::to_owned).prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) && ({b}))")),
            3 => (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("(({a}) || ({b}))")),
            2 => inner.clone().prop_map(|a| format!("!({a})")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
        ]
    })
}

prop_compose! {
    pub(crate) fn policy()(
        annotations in subsequence(ANNOTATIONS, 0..=2),
        permits in prop::bool::weighted(0.75),
        reader in select(READERS),
        resource in select(RESOURCES),
        clauses in prop::collection::vec((select(&["when", "unless"][..]), condition()), 0..=2),
    ) -> String {
        let effect = if permits { "permit" } else { "forbid" };
        let clauses: Vec<String> = clauses.iter().map(|(word, condition)| format!("{word} {{ {condition} }}")).collect();
        format!("{} {effect}({reader}, action == Action::\"receive\", {resource}) {};\n", annotations.join(" "), clauses.join("\n  "))
    }
}

/// One of each topic, and in one topic those that differ in one respect.
pub(crate) fn samples() -> Vec<Sample> {
    let topics = ["a", "a/b", "a/b/c/d", "ab/c", "x/y"].map(Sample::new);
    let good = || Sample::new("a/b");
    let alike = [
        good().accuracy(0.79),
        good().accuracy(0.80),
        good().integrity(0.49),
        good().value("50.0001"),
        good().value("\"text\""),
        good().node("acme"),
        good().kind("gauge"),
        good().name("humidity"),
        good().registered(false),
        Sample::new("x/y").registered(false).accuracy(0.5).node("s2").value("1e3"),
    ];
    topics.into_iter().chain(alike).collect()
}

pub(crate) fn readers() -> Vec<Principal> {
    vec![
        user("u1"),
        user("u2").role("meteo").clearance(3),
        user("u3").role("ops").group("ops").org("acme").clearance(2),
        user("u4").group("lab").purpose("temperature").clearance(-1),
        user("u5").group("lab").group("ops").org("s1").purpose("humidity").clearance(5),
        app("a1"),
        app("a2").role("meteo").org("acme").clearance(3),
        app("a3").group("lab").org("s1").clearance(-3),
        app("u1").group("ops").purpose("temperature").clearance(4),
        Principal { app: Some(Arc::new(app("a2").role("ops").org("acme"))), ..user("u6").role("meteo").clearance(5) },
    ]
}

pub(crate) fn contexts() -> [RequestContext; 3] {
    let at = |text| Some(UnixMillis::parse_rfc3339(text).unwrap());
    [
        RequestContext::default(),
        RequestContext { at: at("2026-01-01T00:00:00Z"), address: Some("10.0.0.1".parse().unwrap()) },
        RequestContext { at: at("2026-12-01T00:00:00Z"), address: Some("fd00::1".parse().unwrap()) },
    ]
}

/// An item for every combination of what these policies can tell apart.
pub(crate) fn grid(policies: &str, topic: &str) -> Vec<Sample> {
    let mut samples = vec![Sample::new(topic)];
    let mut vary = |attribute: &str, ways: &[&dyn Fn(Sample) -> Sample]| {
        if policies.contains(attribute) {
            samples = samples.iter().flat_map(|sample| ways.iter().map(|way| way(sample.clone()))).collect();
        }
    };
    vary("accuracy", &[&|it| it.accuracy(0.79), &|it| it.accuracy(0.8)]);
    vary("integrity", &[&|it| it.integrity(0.49), &|it| it.integrity(0.5)]);
    vary("registered", &[&|it| it.registered(false), &|it| it.registered(true)]);
    vary("nodeId", &[&|it| it.node("s1"), &|it| it.node("acme"), &|it| it.node("s2"), &|it| it.node("")]);
    vary("nodeType", &[&|it| it.kind("sensor"), &|it| it.kind("gauge")]);
    vary("value", &[&|it| it.value("null"), &|it| it.value("50"), &|it| it.value("50.0001")]);
    vary("name", &[&|it| it.name("temperature"), &|it| it.name("humidity"), &|it| it.name("x")]);
    let labels: [&[&str]; 6] = [&[], &["secret"], &["x"], &["meteo"], &["ops", "x"], &["meteo", "ops", "secret"]];
    let label = |labels: &'static [&str]| move |it: Sample| labels.iter().fold(it, |it, label| it.label(label));
    let labelled = labels.map(label);
    let ways: Vec<&dyn Fn(Sample) -> Sample> = labelled.iter().map(|way| way as &dyn Fn(Sample) -> Sample).collect();
    vary("labels", &ways);
    samples
}

/// A request for every combination of what these policies can tell apart.
pub(crate) fn requests(policies: &str) -> Vec<RequestContext> {
    let at = |text| Some(UnixMillis::parse_rfc3339(text).unwrap());
    let address = |text: &str| Some(text.parse().unwrap());
    let mut times = vec![None];
    if policies.contains("context has at") {
        times.extend([at("2026-05-31T23:59:59.999Z"), at("2026-06-01T00:00:00Z")]);
    }
    let mut addresses = vec![None];
    if policies.contains("context has address") {
        addresses.extend([address("10.0.0.1"), address("11.0.0.1"), address("fd00::1")]);
    }
    let with = |at| addresses.iter().map(move |address| RequestContext { at, address: *address });
    times.iter().flat_map(|at| with(*at)).collect()
}
