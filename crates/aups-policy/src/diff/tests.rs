use super::*;
use crate::{AttributeType, SchemaExtension};
use crate::{
    fixtures::{REALM, With, app, pdp, user},
    generated::{grid, policy, readers, requests},
};
use aups_core::AttributeValue;
use proptest::{prelude::*, sample::subsequence};

fn topics(names: &[&str]) -> Vec<Topic> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

#[test]
fn people_read_who_gains_and_who_loses_what() {
    let before = pdp(r#"
        permit(principal, action, resource in Topic::"greensboro")
        when { principal.roles.contains("meteorologist") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) };
        permit(principal in Group::"ops", action, resource);"#);
    let after = pdp(r#"
        permit(principal, action, resource in Topic::"greensboro")
        when { principal.roles.contains("meteorologist") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.70")) };
        permit(principal in Group::"ops", action, resource in Topic::"data");
        permit(principal == App::"panel", action, resource in Topic::"greensboro") when { resource.name == "humidity" };"#);
    let readers = [
        user("alice").role("meteorologist"),
        user("bob").group("ops"),
        user("eve"),
        app("panel").role("meteorologist"),
    ];
    let stations: Vec<String> = (1..=7).map(|n| format!("greensboro/s{n}")).collect();
    let known: Vec<&str> = stations.iter().map(String::as_str).chain(["data/s1", "other"]).collect();
    let found = diff(&before, &after, &readers, &topics(&known));
    let all = "greensboro/s1, greensboro/s2, greensboro/s3, greensboro/s4, greensboro/s5 and 2 more topics";
    assert_eq!(
        found.to_string(),
        format!(
            "user alice\n  + {all}: if quality.accuracy is at least 0.70 (before: if quality.accuracy is at least 0.80)\n\
             user bob\n  - greensboro/s1, greensboro/s2, greensboro/s3, greensboro/s4, greensboro/s5 and 3 more topics: nothing \
             (before: every item)\n\
             app panel\n  + {all}: if (name is \"humidity\") or (quality.accuracy is at least 0.70) (before: if quality.accuracy is \
             at least 0.80)\n\
             2 readers gain, 1 reader loses, of 4 readers and 9 topics"
        )
    );
    assert!(found.entries.iter().all(|entry| entry.certain));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["entries"][0]["change"], "gains");
    assert_eq!(json["readersLosing"], 1);
    assert_eq!(serde_json::from_value::<Diff>(json).unwrap(), found);
}

#[test]
fn what_is_only_written_otherwise_is_no_change() {
    let before = pdp(r#"permit(principal, action, resource)
        when { resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) && resource.source.registered };
        forbid(principal, action, resource) when { resource.name like "secret*" };"#);
    let after = pdp(r#"permit(principal, action, resource) when { resource.source.registered };
        forbid(principal, action, resource) when { resource.quality.accuracy.lessThan(decimal("0.80")) };
        forbid(principal, action, resource) when { resource.name like "secret" };
        forbid(principal, action, resource) when { resource.name like "secret*" && resource.name != "secret" };"#);
    assert!(diff(&before, &after, &[user("alice")], &topics(&["a"])).is_empty());
    // Scores come in steps of 0.01.
    let above =
        pdp(r#"permit(principal, action, resource) when { resource.quality.accuracy.greaterThan(decimal("0.795")) };"#);
    let least =
        pdp(r#"permit(principal, action, resource) when { resource.quality.accuracy.greaterThan(decimal("0.79")) };"#);
    assert!(diff(&above, &least, &[user("alice")], &topics(&["a"])).is_empty());
}

#[test]
fn readers_that_policies_name_are_told_apart() {
    let before = pdp("");
    let after = pdp(r#"permit(principal, action, resource) when { principal == User::"bob" };
        permit(principal == App::"bob", action, resource);"#);
    let readers = [user("alice"), user("bob"), app("alice"), app("bob")];
    let found = diff(&before, &after, &readers, &topics(&["a"]));
    let named: Vec<_> = found.entries.iter().map(|entry| (entry.kind, entry.reader.as_str())).collect();
    assert_eq!(named, [(ReaderKind::User, "bob"), (ReaderKind::App, "bob")]);
}

#[test]
fn a_set_under_another_schema_is_compared_as_a_whole() {
    let under = |site: AttributeType| {
        let extension = SchemaExtension { reader: [("site".to_owned(), site)].into(), ..SchemaExtension::default() };
        let schema = Schema::extended(&extension).unwrap();
        let source = "permit(principal, action, resource) when { principal has site };";
        Pdp::new(REALM, PolicySet::parse_in(&schema, source, "policies").unwrap())
    };
    let mut alice = user("alice");
    alice.attributes.further.insert("site".to_owned(), AttributeValue::Text("north".to_owned()));
    let found = diff(&under(AttributeType::String), &under(AttributeType::Long), &[alice], &topics(&["a"]));
    assert_eq!(found.entries.iter().map(|entry| entry.change).collect::<Vec<_>>(), [Change::Loses]);
}

#[test]
fn what_cannot_be_decided_is_said_to_be_possible() {
    let before = pdp("permit(principal, action, resource);");
    let after = pdp("permit(principal, action, resource) when { resource.source.nodeId == resource.name };");
    let found = diff(&before, &after, &[user("alice")], &topics(&["a"]));
    assert_eq!(
        found.entries.iter().map(|entry| (entry.change, entry.certain)).collect::<Vec<_>>(),
        [(Change::Loses, false)]
    );
    assert!(found.to_string().contains("may be the same, was not decided"), "{found}");
    assert!(diff(&after, &after, &[user("alice")], &topics(&["a"])).is_empty());
}

#[test]
fn long_differences_are_cut_and_say_so() {
    let (before, after) = (pdp(""), pdp("permit(principal, action, resource);"));
    let names: Vec<String> = (0..=DIFF_TOPICS_MAX).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let readers: Vec<Principal> = (0..=DIFF_ENTRIES_MAX).map(|n| user(&format!("u{n}"))).collect();
    let found = diff(&before, &after, &readers, &topics(&names[..1]));
    assert_eq!(
        (found.entries.len(), found.entries_left_out, found.readers_gaining),
        (DIFF_ENTRIES_MAX, 1, DIFF_ENTRIES_MAX + 1)
    );
    let found = diff(&before, &after, &readers[..1], &topics(&names));
    assert_eq!((found.entries[0].topics.len(), found.entries[0].topics_left_out), (DIFF_TOPICS_MAX, 1));
    assert!(found.to_string().contains("and 96 more topics"), "{found}");
}

/// Whether there is an item that only the second set lets the reader read, and one that only the first does.
fn by_brute_force(sides: [&Pdp; 2], source: &str, who: &Principal, topic: &str) -> (bool, bool) {
    let (mut gains, mut loses) = (false, false);
    for sample in grid(source, topic) {
        for context in requests(source) {
            let [before, after] = sides.map(|pdp| pdp.decide(who, &sample.resource(), &context).allow);
            gains |= after && !before;
            loses |= before && !after;
            if gains && loses {
                return (true, true);
            }
        }
    }
    (gains, loses)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, max_shrink_iters: 500, ..ProptestConfig::default() })]

    /// Forms whose points are all known are decided; what is decided is what a comparison item by item finds.
    #[test]
    fn a_difference_is_what_a_comparison_item_by_item_finds(
        before in prop::collection::vec(policy(), 0..=3),
        after in prop::collection::vec(policy(), 0..=3),
        common in prop::collection::vec(policy(), 0..=2),
        readers in subsequence(readers(), 3),
        topics in subsequence(vec!["a", "a/b", "a/b/c/d", "ab/c", "x/y"], 2),
    ) {
        let [before, after] = [before, after].map(|own| own.concat() + &common.concat());
        let source = format!("{before}{after}");
        let (before, after) = (pdp(&before), pdp(&after));
        let known: Vec<Topic> = topics.iter().map(|topic| topic.parse().unwrap()).collect();
        let found = diff(&before, &after, &readers, &known);
        for who in &readers {
            for topic in &known {
                let entries: Vec<_> = found
                    .entries
                    .iter()
                    .filter(|entry| entry.reader == who.sub && entry.kind == who.kind && entry.topics.contains(topic))
                    .collect();
                prop_assert!(entries.len() <= 1);
                let certain = entries.iter().all(|entry| entry.certain);
                let told = entries.first().map_or((false, false), |entry| (entry.change != Change::Loses, entry.change != Change::Gains));
                let by_items = by_brute_force([&before, &after], &source, who, topic.as_str());
                if certain {
                    prop_assert_eq!(told, by_items, "{:?} {} {:?}\n{}", who, topic, entries, source);
                } else {
                    prop_assert!((told.0 || !by_items.0) && (told.1 || !by_items.1), "{:?} {} {:?}\n{}", who, topic, entries, source);
                }
            }
        }
    }
}
