//! Whatever the policies, items and readers: the scope says exactly what Cedar says.

use super::*;
use crate::Residuals;
use aups_core::UnixMillis;
use proptest::{
    prelude::*,
    sample::{select, subsequence},
};

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
    fn policy()(
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
fn samples() -> Vec<Sample> {
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

fn readers() -> Vec<Principal> {
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
    ]
}

fn contexts() -> [RequestContext; 3] {
    let at = |text| Some(UnixMillis::parse_rfc3339(text).unwrap());
    [
        RequestContext::default(),
        RequestContext { at: at("2026-01-01T00:00:00Z"), address: Some("10.0.0.1".parse().unwrap()) },
        RequestContext { at: at("2026-12-01T00:00:00Z"), address: Some("fd00::1".parse().unwrap()) },
    ]
}

/// The scope with every policy asked and nothing kept.
fn plain_scope(pdp: &Pdp, sample: &Sample) -> Result<Arc<ScopeSpec>, Withheld> {
    pdp.evaluate(&sample.resource(), pdp.set.rules.iter())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    /// Full evaluation, with and without context, against the residual. So equal scopes have equal audiences.
    #[test]
    fn a_reader_satisfies_the_scope_exactly_if_cedar_authorises_it(policies in prop::collection::vec(policy(), 1..=6)) {
        let pdp = pdp(&policies.concat());
        let residuals = Residuals::new(64);
        let mut audiences: HashMap<Option<ScopeId>, Vec<bool>> = HashMap::new();
        for sample in samples() {
            let spec = scope(&pdp, &sample);
            prop_assert!(!matches!(&spec, Err(Withheld { reason: WithheldReason::Failed(_) })), "{:?}", spec);
            let mut audience = Vec::new();
            for who in readers() {
                for context in contexts() {
                    let by_cedar = pdp.decide(&who, &sample.resource(), &context);
                    let by_scope = spec.as_ref().map(|spec| residuals.satisfies(spec, &who, &context)).unwrap_or_default();
                    prop_assert_eq!(by_cedar.allow, by_scope.allow, "{:?}\n{:?}\n{:?}\n{:?} {:?}", who, sample, spec, by_cedar, by_scope);
                    audience.push(by_cedar.allow);
                }
            }
            let id = spec.ok().map(|spec| spec.id);
            prop_assert_eq!(audiences.entry(id).or_insert_with(|| audience.clone()), &audience);
        }
    }

    /// Neither the order of the policies, nor the index, nor what was kept from other items changes a scope.
    #[test]
    fn a_scope_depends_on_the_policies_and_the_item_alone(mut policies in prop::collection::vec(policy(), 1..=6)) {
        let forwards = pdp(&policies.concat());
        policies.reverse();
        let backwards = pdp(&policies.concat());
        for sample in samples() {
            let id = |scope: Result<Arc<ScopeSpec>, Withheld>| scope.map(|spec| spec.id);
            let kept = id(scope(&forwards, &sample));
            prop_assert_eq!(&kept, &id(scope(&forwards, &sample)), "found ready");
            prop_assert_eq!(&kept, &id(plain_scope(&forwards, &sample)), "every policy asked");
            prop_assert_eq!(&kept, &id(scope(&backwards, &sample)), "in another order");
        }
    }

    /// A filter that is refused although the reader may read would be a nuisance; one that is accepted although nothing
    /// permits the topic to anybody like the reader would be a leak of ciphertext. Neither may be.
    #[test]
    fn who_may_read_an_item_may_subscribe_to_its_topic_unless_forbidden(policies in prop::collection::vec(policy(), 1..=6)) {
        let pdp = pdp(&policies.concat());
        for who in readers() {
            let filters = pdp.readable(&who);
            for filter in &filters {
                prop_assert!(pdp.filter(&who, filter).is_accepted(), "{filter}");
            }
            for sample in samples() {
                let verdict = pdp.filter(&who, &sample.topic.as_str().parse().unwrap());
                for context in contexts() {
                    let decision = pdp.decide(&who, &sample.resource(), &context);
                    prop_assert!(!decision.allow || verdict.is_accepted(), "{:?} {} {:?}", who, sample.topic, verdict);
                }
            }
        }
    }
}
