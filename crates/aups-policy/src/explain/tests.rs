use super::*;
use crate::{
    fixtures::{Sample, With, app, pdp, user},
    generated::{contexts, grid, policy, readers, requests},
};
use proptest::prelude::*;

const POLICIES: &str = r#"
    @id("meteo") permit(principal, action, resource in Topic::"greensboro")
    when { principal.roles.contains("meteorologist") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) };
    @id("ops") permit(principal in Group::"ops", action, resource in Topic::"data");
    @id("hot") permit(principal, action, resource in Topic::"data")
    when { principal.org == "acme" && resource has value && resource.value.greaterThan(decimal("50.0")) };
    @id("no-strangers") forbid(principal, action, resource)
    unless { resource.source.registered || principal.clearance >= 3 };"#;

fn explain(who: &Principal, topic: &str, item: Option<&Sample>) -> Explanation {
    let topic = topic.parse().unwrap();
    pdp(POLICIES).explain(who, &topic, item.map(|sample| (&sample.item, &sample.marks)), &RequestContext::default())
}

fn of<'e>(explanation: &'e Explanation, name: &str) -> &'e PolicySays {
    explanation.policies.iter().find(|says| says.name == name).unwrap()
}

#[test]
fn what_does_not_hold_is_said_with_what_is_the_case() {
    let alice = user("alice").role("operator");
    let sample = Sample::new("greensboro/s1");
    let told = explain(&alice, "greensboro/s1", Some(&sample));
    assert_eq!(told.answer, Answer::Deny);
    let meteo = of(&told, "meteo");
    assert_eq!(meteo.says, Says::DoesNotApply);
    assert_eq!(meteo.why, ["roles contain \"meteorologist\" (alice has roles: operator)"]);
    assert_eq!(meteo.needed, ["roles contain \"meteorologist\""]);
    let ops = of(&told, "ops");
    assert_eq!(
        ops.why,
        [
            "the topic is data or below it (it is greensboro/s1)",
            "the reader is in group ops (alice is a user, in no group)"
        ]
    );
}

#[test]
fn a_user_of_an_app_reads_what_both_may_and_is_told_so() {
    let ops = user("carol").group("ops").clearance(3);
    let under = |app: Principal| Principal { app: Some(Arc::new(app)), ..ops.clone() };
    assert_eq!(explain(&ops, "data/s1", None).answer, Answer::Allow);
    let told = explain(&under(app("panel")), "data/s1", None);
    assert_eq!(told.answer, Answer::Deny);
    assert_eq!(
        told.summary,
        "carol may read every item of data/s1: policy `ops` permits it. carol was registered by an app, and may read what \
         both may: panel may read no item of data/s1: no policy permits it; `ops` would if the reader is in group ops"
    );
    assert_eq!(told.app.as_ref().map(|app| app.reader.as_str()), Some("panel"));
    assert!(told.to_string().contains("\nthe app panel:\n"), "{told}");
    let told = explain(&under(app("panel").group("ops")), "data/s1", None);
    assert_eq!(told.answer, Answer::Depends);
    let told = explain(&under(app("panel").group("ops").clearance(3)), "data/s1", Some(&Sample::new("data/s1")));
    assert_eq!(told.answer, Answer::Allow);
}

#[test]
fn if_nothing_of_the_request_is_known_it_may_be_any() {
    let pdp = pdp(r#"@id("inside") permit(principal, action, resource)
        when { context has address && context.address.isInRange(ip("10.0.0.0/8")) };"#);
    let topic = "a".parse().unwrap();
    let explain = |context: &RequestContext| pdp.explain(&user("alice"), &topic, None, context);
    let told = explain(&RequestContext::default());
    assert_eq!((told.answer, of(&told, "inside").says), (Answer::Depends, Says::Depends));
    assert_eq!(of(&told, "inside").needed, ["the address of the request is in 10.0.0.0/8"]);
    let from = |address: &str| RequestContext { at: None, address: Some(address.parse().unwrap()) };
    assert_eq!(explain(&from("10.1.2.3")).answer, Answer::Allow);
    let told = explain(&from("11.1.2.3"));
    assert_eq!(told.answer, Answer::Deny);
    assert_eq!(of(&told, "inside").why, ["the address of the request is in 10.0.0.0/8 (the request is from 11.1.2.3)"]);
}

#[test]
fn what_decides_comes_first_and_then_what_comes_nearest() {
    let others = (0..12).map(|n| format!("@id(\"other{n}\") permit(principal, action, resource in Topic::\"t{n}\");"));
    let policies = others.collect::<Vec<_>>().join("\n")
        + r#"@id("two") permit(principal in Group::"g", action, resource) when { principal.org == "o" };
        @id("one") permit(principal in Group::"g", action, resource);
        @id("far") forbid(principal, action, resource) when { principal.clearance > 5 };
        @id("yes") permit(principal, action, resource in Topic::"a");
        @id("no") forbid(principal, action, resource) when { principal.clearance < 5 };"#;
    let told = pdp(&policies).explain(&user("alice"), &"a".parse().unwrap(), None, &RequestContext::default());
    let names: Vec<&str> = told.policies.iter().map(|says| says.name.as_str()).collect();
    assert_eq!(names[..5], ["no", "yes", "one", "two", "other0"]);
    assert_eq!((names.len(), told.policies_left_out), (2 + EXPLAINED_MAX, 5));
}

#[test]
fn a_condition_that_is_valid_only_behind_another_is_explained() {
    let pdp = pdp(r#"@id("p") permit(principal, action, resource)
        when { principal is App && principal == App::"panel" && resource.source.registered };"#);
    let topic = "a".parse().unwrap();
    let says = |who: &Principal| {
        let told = pdp.explain(who, &topic, None, &RequestContext::default());
        (of(&told, "p").says, of(&told, "p").why.clone())
    };
    assert_eq!(says(&app("panel")), (Says::Depends, vec!["the source is registered".to_owned()]));
    let not = |text: &str| format!("{text} (alice is a user, in no group)");
    assert_eq!(
        says(&user("alice")),
        (Says::DoesNotApply, vec![not("the reader is an app"), not("the reader is app panel")])
    );
}

#[test]
fn an_explanation_comes_back_from_json() {
    let told = explain(&user("alice").role("meteorologist"), "greensboro/s1", None);
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["policies"][0]["says"], "depends");
    assert_eq!(json["policiesLeftOut"], 0);
    assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), told);
}

#[test]
fn what_an_item_has_instead_is_told() {
    let meteorologist = user("alice").role("meteorologist");
    let sample = Sample::new("greensboro/s1").accuracy(0.79).registered(false);
    let told = explain(&meteorologist, "greensboro/s1", Some(&sample));
    assert_eq!(of(&told, "meteo").why, ["quality.accuracy is at least 0.80 (quality.accuracy is 0.79)"]);
    let forbid = of(&told, "no-strangers");
    assert_eq!(forbid.says, Says::Applies);
    assert_eq!(forbid.why, ["the source is not registered", "clearance is below 3"]);
    assert_eq!(forbid.needed, ["the source is registered", "clearance is at least 3"]);
    assert_eq!(told.summary, "alice may not read this item of greensboro/s1: policy `no-strangers` forbids it");
    let told = explain(&user("bob").org("acme"), "data/s1", Some(&Sample::new("data/s1").value("\"text\"")));
    assert_eq!(of(&told, "hot").why, ["value is above 50.00 (the item has no value)"]);
    let allowed = explain(&user("bob").group("ops"), "data/s1", Some(&Sample::new("data/s1")));
    assert_eq!(allowed.summary, "bob may read this item of data/s1: policy `ops` permits it");
}

#[test]
fn what_it_depends_on_is_said_when_the_item_is_not_known() {
    let alice = user("alice").role("meteorologist").clearance(3);
    let told = explain(&alice, "greensboro/s1", None);
    assert_eq!(told.answer, Answer::Depends);
    assert_eq!(told.summary, "alice may read items of greensboro/s1: if quality.accuracy is at least 0.80");
    assert_eq!(of(&told, "meteo").needed, ["quality.accuracy is at least 0.80"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_answer_is_what_is_decided(policies in prop::collection::vec(policy(), 1..=5)) {
        let source = policies.concat();
        let pdp = pdp(&source);
        for who in readers().iter().take(4) {
            for sample in crate::generated::samples().iter().take(6) {
                for context in contexts() {
                    let told = pdp.explain(who, &sample.topic, Some((&sample.item, &sample.marks)), &context);
                    let allow = pdp.decide(who, &sample.resource(), &context).allow;
                    prop_assert_eq!(told.answer == Answer::Allow, allow);
                    prop_assert_ne!(told.answer, Answer::Depends);
                    if told.app.is_some() {
                        continue;
                    }
                    let applies = |effect: &str| told.policies.iter().any(|says| says.effect == effect && says.says == Says::Applies);
                    prop_assert!(told.policies.iter().all(|says| says.says != Says::Depends), "{}", told);
                    prop_assert_eq!(applies("permit") && !applies("forbid"), allow, "{}\n{}", told, source);
                }
            }
        }
    }

    #[test]
    fn the_answer_for_all_items_agrees_with_a_decision_item_by_item(policies in prop::collection::vec(policy(), 1..=4)) {
        let source = policies.concat();
        let pdp = pdp(&source);
        for who in readers().iter().step_by(3) {
            for topic in ["a/b", "x/y"] {
                let samples = grid(&source, topic);
                for context in requests(&source).into_iter().take(3) {
                    let told = pdp.explain(who, &topic.parse().unwrap(), None, &context);
                    // If nothing of the request is known, it may be any.
                    let known = context != RequestContext::default();
                    let contexts = if known { vec![context] } else { requests(&source) };
                    let cases = samples.iter().flat_map(|sample| contexts.iter().map(move |context| (sample, context)));
                    let mut decisions = cases.map(|(sample, context)| pdp.decide(who, &sample.resource(), context).allow);
                    let (any, all) = (decisions.clone().any(|allow| allow), decisions.all(|allow| allow));
                    let expected = if all { Answer::Allow } else if any { Answer::Depends } else { Answer::Deny };
                    prop_assert_eq!(told.answer, expected, "{}\n{}", told, source);
                }
            }
        }
    }
}
