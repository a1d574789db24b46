use super::*;
use crate::{
    fixtures::{With, pdp, user},
    generated::{grid, policy, readers, requests},
};
use proptest::prelude::*;

fn said(policies: &str, who: &Principal, topic: &str) -> String {
    pdp(policies).standing(who, &topic.parse().unwrap()).to_string()
}

#[test]
fn what_a_reader_may_read_is_said_in_words() {
    let policies = r#"
        @id("meteo") permit(principal, action, resource in Topic::"a")
        when { principal.roles.contains("meteo") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) };
        @id("ops") permit(principal in Group::"ops", action, resource);
        forbid(principal, action, resource) unless { resource.source.registered || principal.clearance >= 3 };"#;
    assert_eq!(said(policies, &user("x"), "a/b"), "nothing");
    assert_eq!(said(policies, &user("x").group("ops").clearance(3), "a/b"), "every item");
    assert_eq!(said(policies, &user("x").group("ops"), "a/b"), "every item unless the source is not registered");
    assert_eq!(said(policies, &user("x").role("meteo").clearance(3), "a/b"), "if quality.accuracy is at least 0.80");
    assert_eq!(said(policies, &user("x").role("meteo").clearance(3), "b"), "nothing");
    assert_eq!(
        said(policies, &user("x").role("meteo"), "a/b"),
        "if quality.accuracy is at least 0.80, unless the source is not registered"
    );
}

#[test]
fn the_topic_is_settled_wherever_a_condition_asks_for_it() {
    for (condition, of_a_b) in [
        (r#"resource.topic like "a/*""#, Standing::Always),
        (r#"resource.topic == "a""#, Standing::Never),
        (r#"["a", "b"].contains(resource.level0)"#, Standing::Always),
        (r#"resource has level1 && resource.level1 == "b""#, Standing::Always),
        (r#"resource has level2 && resource.level2 == "b""#, Standing::Never),
        (r#"resource in Topic::"a" && !(resource in [Topic::"a/c", Topic::"b"])"#, Standing::Always),
        (r#"resource is Item in Topic::"a/b/c""#, Standing::Never),
        ("principal.org == resource.level0", Standing::Always),
        ("if resource has level3 then resource.source.registered else true", Standing::Always),
    ] {
        let pdp = pdp(&format!("permit(principal, action, resource) when {{ {condition} }};"));
        assert_eq!(pdp.standing(&user("x").org("a"), &"a/b".parse().unwrap()), of_a_b, "{condition}");
    }
}

#[test]
fn a_forbid_that_fails_leaves_nothing() {
    let policies = "permit(principal, action, resource);
        forbid(principal, action, resource) when { principal.clearance * 4611686018427387904 == 0 };";
    assert_eq!(said(policies, &user("x").clearance(4), "a"), "nothing");
    assert_eq!(said(policies, &user("x").clearance(1), "a"), "every item");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// Never and always hold for every item; equal conditions let the same items be read.
    #[test]
    fn a_standing_holds_whatever_the_item(policies in prop::collection::vec(policy(), 1..=4)) {
        let source = policies.concat();
        let pdp = pdp(&source);
        for who in readers() {
            for topic in ["a/b", "x/y"] {
                let samples = grid(&source, topic);
                let standing = pdp.standing(&who, &topic.parse().unwrap());
                if matches!(standing, Standing::When(_)) {
                    continue;
                }
                for sample in samples.iter().take(64) {
                    for context in requests(&source) {
                        let allow = pdp.decide(&who, &sample.resource(), &context).allow;
                        prop_assert_eq!(standing == Standing::Always, allow, "{:?} {:?}", who, sample);
                    }
                }
            }
        }
    }
}
