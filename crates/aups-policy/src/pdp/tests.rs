use super::*;
use crate::fixtures::{REALM, Sample, With, app, pdp, set, user};

mod properties;

fn allowed(pdp: &Pdp, who: &Principal, sample: &Sample) -> bool {
    pdp.decide(who, &sample.resource(), &RequestContext::default()).allow
}

fn scope(pdp: &Pdp, sample: &Sample) -> Result<Arc<ScopeSpec>, Withheld> {
    pdp.scope(&sample.resource())
}

#[test]
fn without_policies_nobody_reads() {
    let pdp = Pdp::new(REALM, PolicySet::empty());
    let sample = Sample::new("a/b");
    assert_eq!(scope(&pdp, &sample), Err(Withheld { reason: WithheldReason::NobodyMayRead }));
    assert_eq!(pdp.decide(&user("alice"), &sample.resource(), &RequestContext::default()), Decision::default());
    assert!(!pdp.filter(&user("alice"), &"a/#".parse().unwrap()).is_accepted());
    assert!(pdp.readable(&user("alice")).is_empty());
}

#[test]
fn decisions_name_the_policies_that_made_them() {
    let pdp = pdp(
        r#"@id("meteo") permit(principal, action, resource in Topic::"a") when { principal.roles.contains("meteo") };
        @id("ops") permit(principal in Group::"ops", action, resource);
        @id("never") forbid(principal, action, resource) when { principal.clearance < 0 };"#,
    );
    let sample = Sample::new("a/b");
    let decide = |who: Principal| pdp.decide(&who, &sample.resource(), &RequestContext::default());
    assert_eq!(decide(user("alice").role("meteo").group("ops")).reasons, ["meteo", "ops"]);
    assert_eq!(decide(user("alice").role("meteo")).reasons, ["meteo"]);
    let forbidden = decide(user("alice").role("meteo").clearance(-1));
    assert_eq!((forbidden.allow, forbidden.reasons.as_slice()), (false, ["never".to_owned()].as_slice()));
    assert_eq!(decide(user("alice")), Decision::default());
}

#[test]
fn scores_decide_at_their_boundary() {
    for (comparison, at) in [
        // Of 0.79, 0.80 and 0.81.
        ("greaterThanOrEqual", [false, true, true]),
        ("greaterThan", [false, false, true]),
        ("lessThan", [true, false, false]),
        ("lessThanOrEqual", [true, true, false]),
    ] {
        let pdp = pdp(&format!(
            "permit(principal, action, resource) when {{ resource.quality.accuracy.{comparison}(decimal(\"0.80\")) }};"
        ));
        // What a formula finds is rounded down to 0.01, and never up to a bound.
        for (accuracies, allow) in [[0.79, 0.7999], [0.80, 0.8099], [0.81, 0.8199]].iter().zip(at) {
            for accuracy in accuracies {
                let sample = Sample::new("a").accuracy(*accuracy);
                let decided = (scope(&pdp, &sample).is_ok(), allowed(&pdp, &user("alice"), &sample));
                assert_eq!(decided, (allow, allow), "{comparison} {accuracy}");
            }
        }
    }
}

#[test]
fn names_types_of_sources_and_labels_decide() {
    for (condition, allowed_one, refused) in [
        (r#"resource.name == "temperature""#, Sample::new("a"), Sample::new("a").name("Temperature")),
        (r#"resource.name like "temp*""#, Sample::new("a"), Sample::new("a").name("a temperature")),
        (r#"resource.source.nodeType == "sensor""#, Sample::new("a"), Sample::new("a").kind("sensor2")),
        ("resource.source.registered", Sample::new("a"), Sample::new("a").registered(false)),
        (
            r#"resource.labels.containsAll(["indoor", "calibrated"])"#,
            Sample::new("a").label("calibrated").label("indoor").label("new"),
            Sample::new("a").label("indoor"),
        ),
        (r#"!resource.labels.contains("secret")"#, Sample::new("a"), Sample::new("a").label("secret")),
    ] {
        let pdp = pdp(&format!("permit(principal, action, resource) when {{ {condition} }};"));
        for (sample, allow) in [(&allowed_one, true), (&refused, false), (&allowed_one, true)] {
            let decided = (scope(&pdp, sample).is_ok(), allowed(&pdp, &user("alice"), sample));
            assert_eq!(decided, (allow, allow), "{condition} {sample:?}");
        }
    }
}

#[test]
fn values_decide_by_their_digits() {
    let pdp = pdp(
        r#"permit(principal, action, resource) when { resource has value && resource.value.greaterThan(decimal("50.0")) };"#,
    );
    for (json, allow) in
        [("50.0001", true), ("50.00009", false), ("5.1e1", true), ("\"51\"", false), ("1e20", false), ("null", false)]
    {
        assert_eq!(scope(&pdp, &Sample::new("a").value(json)).is_ok(), allow, "{json}");
    }
}

#[test]
fn items_that_look_the_same_to_the_policies_share_a_scope_without_evaluation() {
    let pdp = pdp(
        r#"permit(principal, action, resource in Topic::"a") when { resource.quality.accuracy.greaterThan(decimal("0.5")) };
        permit(principal in Group::"ops", action, resource in Topic::"a/secret");"#,
    );
    let first = scope(&pdp, &Sample::new("a/s1/t")).unwrap();
    for other in [
        Sample::new("a/s2/t"),
        Sample::new("a/s1/t/deeper"),
        Sample::new("a/secretly").value("11").name("humidity").node("s2").registered(false).integrity(0.1),
    ] {
        assert!(Arc::ptr_eq(&scope(&pdp, &other).unwrap(), &first), "{other:?}");
    }
    assert_eq!(pdp.scope_counts(), ScopeCounts { hits: 3, misses: 1 });
    let other = scope(&pdp, &Sample::new("a/s1/t").accuracy(0.6)).unwrap();
    assert!(Arc::ptr_eq(&other, &first), "evaluated, with the same outcome");
    assert_eq!(scope(&pdp, &Sample::new("a/secret/t")).unwrap().id, first.id, "the true permit absorbs the other");
    assert!(scope(&pdp, &Sample::new("a/secret/t").accuracy(0.1)).unwrap().id != first.id);
    assert!(scope(&pdp, &Sample::new("b")).is_err());
    assert!(scope(&pdp, &Sample::new("c/secret")).is_err());
    assert_eq!(pdp.scope_counts(), ScopeCounts { hits: 4, misses: 5 });
}

#[test]
fn a_policy_that_speaks_of_the_topic_sees_each_topic() {
    for condition in ["resource.topic like \"a/*/t\"", "resource has level1 && resource.level1 == \"s1\""] {
        let pdp = pdp(&format!("permit(principal, action, resource) when {{ {condition} }};"));
        assert!(scope(&pdp, &Sample::new("a/s1/t")).is_ok());
        assert!(scope(&pdp, &Sample::new("a/s2/h")).is_err());
        assert!(scope(&pdp, &Sample::new("a")).is_err());
    }
}

#[test]
fn very_long_names_are_decided_but_not_kept() {
    let pdp = pdp(r#"permit(principal, action, resource) unless { resource.name == "x" };"#);
    let sample = Sample::new("a").name(&"n".repeat(PROJECTION_BYTES_MAX));
    assert!(scope(&pdp, &sample).is_ok() && scope(&pdp, &sample).is_ok());
    assert_eq!(pdp.scope_counts(), ScopeCounts { hits: 0, misses: 2 });
}

#[test]
fn values_compared_with_the_readers_are_in_the_scope_and_nothing_else_of_the_item() {
    let pdp = pdp(r"permit(principal, action, resource) when { principal.org == resource.source.nodeId };");
    let spec = scope(&pdp, &Sample::new("secret/topic").node("acme")).unwrap();
    assert_eq!(&*spec.user, "permit(principal, action, resource) when { principal.org == \"acme\" };");
    assert_ne!(scope(&pdp, &Sample::new("secret/topic").node("other")).unwrap().id, spec.id);
}

#[test]
fn a_scope_belongs_to_its_realm() {
    let source = "permit(principal, action, resource);";
    let sample = Sample::new("a");
    let here = scope(&pdp(source), &sample).unwrap();
    let there = scope(&Pdp::new(RealmId::from_bytes([8; 32]), set(source)), &sample).unwrap();
    assert_ne!(here.id, there.id);
}

#[test]
fn kinds_are_kept_apart() {
    let pdp = pdp(r#"permit(principal == User::"x", action, resource);"#);
    let sample = Sample::new("a");
    assert!(allowed(&pdp, &user("x"), &sample) && !allowed(&pdp, &app("x"), &sample));
}

#[test]
fn levels_beyond_the_eighth_are_out_of_sight() {
    let pdp = pdp(r#"permit(principal, action, resource) when { resource has level7 && resource.level7 == "h" };"#);
    assert!(scope(&pdp, &Sample::new("a/b/c/d/e/f/g/h/i/j")).is_ok());
}
