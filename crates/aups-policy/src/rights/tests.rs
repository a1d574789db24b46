use super::*;
use crate::{
    Pdp,
    fixtures::{With, app, pdp, user},
};
use proptest::{prelude::*, sample::select};

fn accepts(pdp: &Pdp, who: &Principal, filter: &str) -> bool {
    pdp.filter(who, &filter.parse().unwrap()).is_accepted()
}

fn reason(pdp: &Pdp, who: &Principal, filter: &str) -> String {
    pdp.filter(who, &filter.parse().unwrap()).reason().to_owned()
}

fn readable(pdp: &Pdp, who: &Principal) -> Vec<String> {
    pdp.readable(who).iter().map(ToString::to_string).collect()
}

#[test]
fn a_filter_must_stay_within_one_permitted_subtree() {
    let pdp = pdp(r#"@id("p") permit(principal, action, resource in Topic::"a/b");"#);
    for filter in ["a/b", "a/b/#", "a/b/+", "a/b/+/x/#", "a/b/c/d", "$share/g/a/b/#"] {
        assert!(accepts(&pdp, &user("alice"), filter), "{filter}");
    }
    for filter in ["a", "a/#", "a/+", "a/+/c", "a/bc", "a/bc/#", "b", "/a/b", "$share/g/a/#"] {
        assert!(!accepts(&pdp, &user("alice"), filter), "{filter}");
    }
    assert_eq!(reason(&pdp, &user("alice"), "a/b/#"), "policy `p` permits alice a/b and what is below it");
    assert!(reason(&pdp, &user("alice"), "a/#").starts_with("no policy permits alice all that `a/#` can match"));
}

#[test]
fn the_first_level_is_never_a_wildcard_and_never_the_brokers() {
    let pdp = pdp("permit(principal, action, resource);");
    for filter in
        ["#", "+", "+/b", "$share/g/#", "$share/g/+/b", "$SYS/#", "$SYS/broker/version", "$share/g/$SYS/#", "$queue/a"]
    {
        assert!(!accepts(&pdp, &user("alice"), filter), "{filter}");
    }
    for filter in ["a/#", "/#", "/a", "a/+/+", "$share/g/a/#"] {
        assert!(accepts(&pdp, &user("alice"), filter), "{filter}");
    }
}

#[test]
fn below_aups_a_reader_has_its_own_answers_and_no_more() {
    let everything = pdp("permit(principal, action, resource);");
    let nothing = pdp("");
    for pdp in [&everything, &nothing] {
        assert!(accepts(pdp, &user("alice"), "aups/ks/alice"));
        for filter in [
            "aups/#",
            "aups/+",
            "aups/ks/+",
            "aups/ks/#",
            "aups/ks/bob",
            "aups/ks/alice/#",
            "aups/kr/alice",
            "aups/",
            "$share/g/aups/ks/bob",
        ] {
            assert!(!accepts(pdp, &user("alice"), filter), "{filter}");
        }
    }
    assert!(!accepts(&nothing, &user("alice"), "aups"));
}

#[test]
fn conditions_on_the_reader_are_decided() {
    let pdp = pdp(r#"permit(principal in Group::"ops", action, resource in Topic::"ops");
        permit(principal is App, action, resource in Topic::"apps");
        permit(principal == User::"alice", action, resource in Topic::"alice");
        permit(principal is User in Group::"ops", action, resource in Topic::"people");
        permit(principal, action, resource in Topic::"role") when { principal.roles.contains("meteo") };
        permit(principal, action, resource in Topic::"late") when { resource.source.registered && principal.org == "acme" };"#);
    for (who, expected) in [
        (user("alice"), vec!["alice/#"]),
        (user("bob"), vec![]),
        (app("alice"), vec!["apps/#"]),
        (user("bob").group("ops"), vec!["ops/#", "people/#"]),
        (app("x").group("ops"), vec!["apps/#", "ops/#"]),
        (user("bob").role("meteo").org("acme"), vec!["late/#", "role/#"]),
    ] {
        assert_eq!(readable(&pdp, &who), expected, "{who:?}");
    }
}

#[test]
fn conditions_on_item_and_context_count_for_permits_and_not_for_forbids() {
    let pdp = pdp(
        r#"permit(principal, action, resource in Topic::"a") when { resource.quality.accuracy.greaterThan(decimal("0.8")) };
        permit(principal, action, resource in Topic::"b") when { context has at };
        permit(principal, action, resource in Topic::"c") unless { resource.source.registered };
        permit(principal, action, resource in Topic::"d") when { resource in Topic::"d/e" };
        forbid(principal, action, resource in Topic::"a") when { resource.source.registered };
        forbid(principal, action, resource in Topic::"b") when { context has address };
        forbid(principal, action, resource in Topic::"c") unless { resource.source.registered };
        forbid(principal, action, resource) when { resource in Topic::"a" };"#,
    );
    assert_eq!(readable(&pdp, &user("alice")), ["a/#", "b/#", "c/#", "d/#"]);
}

#[test]
fn a_forbid_that_holds_closes_every_filter_that_can_match_below_it() {
    let pdp = pdp(r#"permit(principal, action, resource in Topic::"a");
        @id("no-secret") forbid(principal, action, resource in Topic::"a/b/secret") unless { principal.clearance >= 3 };"#);
    for filter in ["a/#", "a/b/#", "a/+/secret", "a/b/+", "a/b/secret", "a/b/secret/x", "a/+/+/x", "a/+/#"] {
        assert!(!accepts(&pdp, &user("alice"), filter), "{filter}");
        assert!(accepts(&pdp, &user("alice").clearance(3), filter), "{filter}");
    }
    for filter in ["a", "a/+", "a/b", "a/c/#", "a/b/public", "a/+/public", "a/b/secrets/#"] {
        assert!(accepts(&pdp, &user("alice"), filter), "{filter}");
    }
    let reason = reason(&pdp, &user("alice"), "a/b/#");
    assert!(reason.contains("`no-secret`") && reason.contains("a/b/secret"), "{reason}");
    assert_eq!(readable(&pdp, &user("alice")), ["a", "a/+"]);
    assert_eq!(readable(&pdp, &user("alice").clearance(3)), ["a/#"]);
}

#[test]
fn a_forbid_that_is_certain_only_together_with_the_reader_counts() {
    let pdp = pdp(r#"permit(principal, action, resource in Topic::"a");
        forbid(principal, action, resource) when { resource.source.registered || principal.org == "evil" };
        forbid(principal, action, resource) when { principal.clearance * 4611686018427387904 > 0 };"#);
    assert!(accepts(&pdp, &user("alice"), "a/#"));
    assert!(!accepts(&pdp, &user("alice").org("evil"), "a/#"));
    assert!(!accepts(&pdp, &user("alice").clearance(2), "a/#"), "a forbid that fails forbids");
}

#[test]
fn readable_filters_are_few_and_sorted() {
    let pdp = pdp(r#"permit(principal, action, resource in Topic::"b/c");
        permit(principal, action, resource in Topic::"b");
        permit(principal, action, resource in Topic::"a/b/c");
        permit(principal, action, resource in Topic::"aups/ks");
        permit(principal, action, resource in Topic::"$SYS");
        permit(principal, action, resource in Topic::"z");
        forbid(principal, action, resource in Topic::"z");"#);
    assert_eq!(readable(&pdp, &user("alice")), ["a/b/c/#", "b/#"]);
}

#[test]
fn permits_for_every_topic_need_to_know_the_first_levels() {
    let pdp = pdp(r#"permit(principal, action, resource);
        forbid(principal, action, resource in Topic::"secret/x") when { principal.clearance < 3 };"#);
    assert_eq!(readable(&pdp, &user("alice")), ["secret"]);
    let among: Vec<_> = pdp.readable_among(&user("alice"), &["data", "aups"]).iter().map(ToString::to_string).collect();
    assert_eq!(among, ["aups", "data/#", "secret"]);
    assert_eq!(readable(&pdp, &user("alice").clearance(3)), ["secret/#"]);
}

/// Names that policies use, and one that none uses: it stands for all the others.
const NAMES: [&str; 3] = ["a", "b", "z"];

/// Every topic of up to four levels.
fn topics() -> Vec<Topic> {
    let mut texts: Vec<String> = NAMES.map(str::to_owned).into();
    let mut last = texts.clone();
    for _ in 1..4 {
        last = last.iter().flat_map(|text| NAMES.map(|name| format!("{text}/{name}"))).collect();
        texts.extend(last.iter().cloned());
    }
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn subtree() -> impl Strategy<Value = String> {
    prop::collection::vec(select(&NAMES[..2]), 0..=3).prop_map(|levels| levels.join("/"))
}

fn filter() -> impl Strategy<Value = Filter> {
    let levels = prop::collection::vec(select(&["a", "b", "z", "+"][..]), 0..=2);
    (select(&NAMES[..]), levels, any::<bool>()).prop_map(|(first, levels, rest)| {
        let mut all = vec![first];
        all.extend(levels);
        all.extend(rest.then_some("#"));
        all.join("/").parse().unwrap()
    })
}

fn lies_in(topic: &Topic, subtree: &str) -> bool {
    subtree.is_empty() || topic.prefixes().any(|prefix| prefix == subtree)
}

proptest! {
    /// Against the definition, topic by topic.
    #[test]
    fn a_filter_is_accepted_exactly_if_all_that_it_matches_is_permitted_and_nothing_forbidden(
        permitted in prop::collection::vec(subtree(), 0..=3),
        forbidden in prop::collection::vec(subtree(), 0..=2),
        filters in prop::collection::vec(filter(), 16),
    ) {
        let policy = |effect: &str, subtree: &String| match subtree.as_str() {
            "" => format!("{effect}(principal, action, resource);"),
            top => format!("{effect}(principal, action, resource in Topic::\"{top}\");"),
        };
        let permits = permitted.iter().map(|subtree| policy("permit", subtree));
        let policies: String = permits.chain(forbidden.iter().map(|subtree| policy("forbid", subtree))).collect();
        let pdp = pdp(&policies);
        let may = |topic: &Topic| {
            permitted.iter().any(|subtree| lies_in(topic, subtree)) && !forbidden.iter().any(|subtree| lies_in(topic, subtree))
        };
        let topics = topics();
        let all_permitted = |filter: &Filter| topics.iter().filter(|topic| filter.matches(topic)).all(may);
        for filter in &filters {
            prop_assert_eq!(pdp.filter(&user("alice"), filter).is_accepted(), all_permitted(filter), "{}\n{}", filter, policies);
        }
        let readable = pdp.readable_among(&user("alice"), &NAMES);
        for filter in &readable {
            prop_assert!(all_permitted(filter), "{} in {:?}\n{}", filter, readable, policies);
            prop_assert!(!readable.iter().any(|wider| wider != filter && takes_in(wider, filter)), "{:?}", readable);
        }
        for topic in &topics {
            let whole: Filter = format!("{topic}/#").parse().unwrap();
            let listed = readable.iter().any(|filter| takes_in(filter, &whole));
            prop_assert!(listed || !permitted.iter().any(|top| top == topic.as_str()) || !all_permitted(&whole), "{} in {:?}", topic, readable);
        }
    }

    #[test]
    fn a_filter_takes_in_another_exactly_if_it_matches_all_that_the_other_matches(one in filter(), other in filter()) {
        let all = topics().iter().filter(|topic| other.matches(topic)).all(|topic| one.matches(topic));
        prop_assert_eq!(takes_in(&one, &other), all, "{} {}", one, other);
    }
}
