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
fn a_refusal_says_what_would_have_to_change() {
    let pdp = pdp(r#"@id("inner") permit(principal, action, resource in Topic::"a/b");
        @id("outer") permit(principal in Group::"ops", action, resource in Topic::"a");
        @id("never") forbid(principal == User::"bob", action, resource in Topic::"a/c");"#);
    assert_eq!(
        reason(&pdp, &user("alice"), "a/#"),
        "no policy permits alice all that `a/#` can match. Of that, policies permit alice `a/b/#`. To permit all, give alice \
         the groups or attributes that `outer` asks for"
    );
    assert_eq!(
        reason(&pdp, &app("panel"), "x/y/+"),
        "no policy permits panel all that `x/y/+` can match. To permit all, add permit(principal == App::\"panel\", action, \
         resource in Topic::\"x/y\");"
    );
    assert_eq!(
        reason(&pdp, &user("bob").group("ops"), "a/+"),
        "`a/+` can match a/c and what is below it, which policy `never` forbids bob: narrow the filter, or exempt bob from \
         the policy"
    );
}

#[test]
fn what_is_readable_is_kept_for_each_reader_and_for_what_is_in_use() {
    let pdp = pdp(r#"permit(principal is App, action, resource); permit(principal, action, resource in Topic::"a");"#);
    for _ in 0..2 {
        assert_eq!(readable(&pdp, &user("x")), ["a/#"]);
        assert_eq!(readable(&pdp, &app("x")), ["a/#"]);
        assert_eq!(pdp.readable_among(&app("x"), &["b"]).len(), 2);
        assert_eq!(pdp.readable_among(&user("x"), &["b"]).len(), 1);
    }
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

/// Names that policies use, the empty one among them, and one that none uses: it stands for all the others.
const NAMES: [&str; 4] = ["a", "b", "", "z"];

/// Every topic of up to four levels.
fn topics() -> Vec<Topic> {
    let mut texts: Vec<String> = NAMES.map(str::to_owned).into();
    let mut last = texts.clone();
    for _ in 1..4 {
        last = last.iter().flat_map(|text| NAMES.map(|name| format!("{text}/{name}"))).collect();
        texts.extend(last.iter().cloned());
    }
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// What is between the brackets and behind them; whether that can hold for a reader, and whether it certainly does.
type Demand = (&'static str, &'static str, fn(&Principal) -> (bool, bool));

const DEMANDS: [Demand; 8] = [
    ("principal", "", |_| (true, true)),
    ("principal", "when { resource.source.registered }", |_| (true, false)),
    ("principal", "unless { context has at }", |_| (true, false)),
    ("principal in Group::\"ops\"", "", |who| (!who.groups.is_empty(), !who.groups.is_empty())),
    ("principal is App", "when { resource has value }", |who| (who.kind == ReaderKind::App, false)),
    ("principal == User::\"alice\"", "", |who| (who.kind == ReaderKind::User, who.kind == ReaderKind::User)),
    ("principal", "when { principal.clearance > 2 }", |who| {
        (who.attributes.clearance > 2, who.attributes.clearance > 2)
    }),
    ("principal", "when { principal.clearance > 2 || resource.source.registered }", |who| {
        (true, who.attributes.clearance > 2)
    }),
];

/// A policy for a subtree; the empty one is every topic.
#[derive(Debug, Clone)]
struct Clause {
    permits: bool,
    top: String,
    demand: usize,
}

impl Clause {
    fn text(&self) -> String {
        let (readers, conditions, _) = DEMANDS[self.demand];
        let effect = if self.permits { "permit" } else { "forbid" };
        let top = if self.top.is_empty() { String::new() } else { format!(" in Topic::\"{}\"", self.top) };
        format!("{effect}({readers}, action, resource{top}) {conditions};\n")
    }

    /// Whether it counts for a reader: a permit that can hold, a forbid that certainly does.
    fn counts(&self, who: &Principal) -> bool {
        let (can, does) = DEMANDS[self.demand].2(who);
        if self.permits { can } else { does }
    }

    fn covers(&self, topic: &Topic) -> bool {
        self.top.is_empty() || topic.prefixes().any(|prefix| prefix == self.top)
    }
}

prop_compose! {
    fn clause()(
        permits in prop::bool::weighted(0.7),
        levels in prop::collection::vec(select(&NAMES[..3]), 0..=3),
        demand in 0..DEMANDS.len(),
    ) -> Clause {
        Clause { permits, top: levels.join("/"), demand }
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let levels = prop::collection::vec(select(&["a", "b", "", "z", "+"][..]), 0..=3);
    let first = prop_oneof![8 => select(&NAMES[..]), 1 => select(&["+", "aups", "$SYS"][..])];
    let share = prop::option::weighted(0.2, Just("$share/g/"));
    (share, first, levels, any::<bool>()).prop_filter_map("no filter", |(share, first, levels, rest)| {
        // What `#` takes in has one level more than its parent, and the topics that it is tried on have four.
        let levels = levels.into_iter().take(if rest { 2 } else { 3 });
        let levels: Vec<&str> = [first].into_iter().chain(levels).chain(rest.then_some("#")).collect();
        format!("{}{}", share.unwrap_or_default(), levels.join("/")).parse().ok()
    })
}

fn readers() -> [Principal; 4] {
    [user("alice"), user("alice").group("ops"), user("alice").clearance(3), app("panel").clearance(3)]
}

proptest! {
    /// Against the definition, topic by topic.
    #[test]
    fn a_filter_is_accepted_exactly_if_all_that_it_matches_is_permitted_and_nothing_forbidden(
        clauses in prop::collection::vec(clause(), 0..=5),
        filters in prop::collection::vec(filter(), 16),
    ) {
        let policies: String = clauses.iter().map(Clause::text).collect();
        let (pdp, topics) = (pdp(&policies), topics());
        for who in readers() {
            let any = |permits: bool, topic: &Topic| {
                clauses.iter().any(|clause| clause.permits == permits && clause.counts(&who) && clause.covers(topic))
            };
            let may = |topic: &Topic| any(true, topic) && !any(false, topic);
            let all_permitted = |filter: &Filter| {
                let first = filter.levels().next().unwrap_or_default();
                !["+", "#", "$SYS"].contains(&first)
                    && (first != "aups" || filter.matched() == "aups")
                    && topics.iter().chain([&"aups".parse().unwrap()]).filter(|topic| filter.matches(topic)).all(may)
            };
            for filter in &filters {
                let verdict = pdp.filter(&who, filter);
                prop_assert_eq!(verdict.is_accepted(), all_permitted(filter), "{} {}\n{}", filter, verdict.reason(), policies);
            }
            let readable = pdp.readable_among(&who, &NAMES);
            for filter in &readable {
                prop_assert!(all_permitted(filter), "{} in {:?}\n{}", filter, readable, policies);
                prop_assert!(pdp.filter(&who, filter).is_accepted(), "{} in {:?}\n{}", filter, readable, policies);
                prop_assert!(!readable.iter().any(|wider| wider != filter && takes_in(wider, filter)), "{:?}", readable);
            }
            // Whatever is permitted is listed, but for what lies beside something forbidden: no filters name all of that.
            for topic in topics.iter().filter(|topic| may(topic)) {
                let beside = clauses.iter().any(|clause| !clause.permits && clause.counts(&who) && {
                    let top = &clause.top;
                    topic.prefixes().any(|prefix| top.starts_with(&format!("{prefix}/")))
                });
                let listed = readable.iter().any(|filter| filter.matches(topic));
                prop_assert!(listed || beside, "{} in {:?}\n{}", topic, readable, policies);
            }
        }
    }

    #[test]
    fn a_filter_takes_in_another_exactly_if_it_matches_all_that_the_other_matches(one in filter(), other in filter()) {
        // Names that start with $ are out of the reach of a wildcard in front, and of readers.
        prop_assume!(![&one, &other].iter().any(|filter| filter.matched().starts_with('$') || filter.matched().starts_with("aups")));
        // What stands before their `#` is no topic: so `+/#` and `/+/#` match all topics of theirs, and do not take them in.
        prop_assume!(!["#", "/#"].contains(&other.matched()));
        let all = topics().iter().filter(|topic| other.matches(topic)).all(|topic| one.matches(topic));
        prop_assert_eq!(takes_in(&one, &other), all, "{} {}", one, other);
    }
}
