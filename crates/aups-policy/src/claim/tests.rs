use super::*;
use crate::{
    fixtures::{Sample, extended_schema, set},
    item::Attribute,
};

/// The distinctions of a policy with this condition, and its claims as texts.
fn distinctions(condition: &str) -> (Vec<String>, Mentions) {
    let set = set(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let told = &set.rules[0].distinctions;
    let text = |number: &u32| {
        let found = set.claims.numbers.iter().find(|(_, known)| **known == Some(*number));
        found.unwrap().0.clone()
    };
    (told.claims.iter().map(text).collect(), told.values.clone())
}

#[test]
fn what_asks_for_the_item_alone_is_a_claim_as_a_whole() {
    let (claims, values) = distinctions(
        r#"principal.clearance > 3 && (resource has value && resource.value.greaterThan(decimal("3.0")))
        || !(resource in Topic::"a") || principal.org == "acme""#,
    );
    assert_eq!(
        claims,
        [r#"(resource has value) && resource.value.greaterThan(decimal("3.0"))"#, r#"!(resource in Topic::"a")"#]
    );
    assert_eq!(values, Mentions::default());
}

#[test]
fn values_that_meet_the_reader_stand_outside_of_claims() {
    let (claims, values) = distinctions(
        r#"principal.org == resource.name && resource.hasTag("owner") && resource.getTag("owner") == principal.org
        && resource.source.registered && resource.source.registered == (principal.clearance > 2)"#,
    );
    assert_eq!(claims, [r#"resource.hasTag("owner")"#]);
    let expected = [Attribute::Name, Attribute::Registered, Attribute::Tag("owner".into())];
    assert_eq!(values.attributes, expected.into());
}

#[test]
fn one_claim_of_many_policies_is_one() {
    let set = set(r#"permit(principal, action, resource) when { resource.name == "t" && principal.clearance > 1 };
        forbid(principal, action, resource) unless { principal.clearance > 2 || resource.name == "t" };
        permit(principal, action, resource) when { resource.name == "h" };"#);
    assert_eq!(set.claims.expressions.len(), 2);
    assert_eq!(set.rules[0].distinctions, set.rules[1].distinctions);
}

#[test]
fn claims_hold_or_not_or_fail() {
    let set = set(r#"permit(principal, action, resource) when { principal has org && resource has value };
        permit(principal, action, resource) when { principal has org && resource.labels.contains("a") };"#);
    let fails: Expression = "resource.value.lessThan(decimal(\"1.0\"))".parse().unwrap();
    let mut claims = set.claims.clone();
    claims.expressions.push(fails);
    let sample = Sample::new("a").value("null").label("a");
    let mut asked = claims.of_item(&sample.resource(), &extended_schema()).unwrap();
    let answers = [0, 1, 2, 3, 0].map(|number| asked.answer(number));
    assert_eq!(answers, [Answer::HoldsNot, Answer::Holds, Answer::Fails, Answer::Fails, Answer::HoldsNot]);
}
