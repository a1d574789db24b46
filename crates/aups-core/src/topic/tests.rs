use super::*;
use proptest::prelude::*;

fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}
fn filter(text: &str) -> Filter {
    text.parse().unwrap()
}

#[test]
fn names_hold_no_wildcard_and_filters_hold_them_in_their_place() {
    for bad in ["", "a/+", "#", "a\0b", &"a".repeat(TOPIC_BYTES_MAX + 1), &"a/".repeat(TOPIC_LEVELS_MAX)] {
        assert!(bad.parse::<Topic>().is_err(), "{bad:?}");
    }
    for bad in ["", "a#", "#/a", "a/b+", "+a/b", "$share", "$share/g", "$share//a", "$share/g/", "$share/+/a", "a/#/b"]
    {
        assert!(bad.parse::<Filter>().is_err(), "{bad:?}");
    }
    for good in ["a", "/", "a//b", "+", "+/+", "a/#", "#", "$share/g/a/+", "$SYS/#", "$sharex"] {
        assert!(good.parse::<Filter>().is_ok(), "{good:?}");
    }
}

/// The examples of MQTT 5.0 section 4.7.1.
#[test]
fn matching_follows_mqtt() {
    for (pattern, yes, no) in [
        (
            "sport/tennis/player1/#",
            vec!["sport/tennis/player1", "sport/tennis/player1/ranking"],
            vec!["sport/tennis/player2"],
        ),
        ("sport/tennis/+", vec!["sport/tennis/player1"], vec!["sport/tennis/player1/ranking", "sport/tennis"]),
        ("sport/+", vec!["sport/"], vec!["sport"]),
        ("+/+", vec!["/finance"], vec!["finance"]),
        ("#", vec!["a", "a/b"], vec!["$SYS/x"]),
        ("+/monitor", vec!["a/monitor"], vec!["$SYS/monitor"]),
        ("$SYS/#", vec!["$SYS/x"], vec!["a"]),
        ("$share/g/a/#", vec!["a/b"], vec!["b"]),
    ] {
        for name in yes {
            assert!(filter(pattern).matches(&topic(name)), "{pattern} should match {name}");
        }
        for name in no {
            assert!(!filter(pattern).matches(&topic(name)), "{pattern} should not match {name}");
        }
    }
}

#[test]
fn prefixes_end_at_levels() {
    assert_eq!(topic("a/b/c").prefixes().collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
    assert_eq!(topic("a").prefixes().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_template_value_fills_exactly_one_level() {
    let template: TopicTemplate = "data/{nodeId}/{name}".parse().unwrap();
    assert_eq!(template.fill("s1", "temperature").unwrap().as_str(), "data/s1/temperature");
    assert_eq!(template.fill("a/b", "").unwrap().as_str(), "data/a%2Fb/_");
    assert_eq!(template.fill("+", "#é%").unwrap().as_str(), "data/%2B/%23%C3%A9%25");
    for bad in ["", "a/{node}", "a/{nodeId", "a/#", "+/{name}"] {
        assert!(bad.parse::<TopicTemplate>().is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn a_topic_matches_itself_and_its_tree(levels in prop::collection::vec("[a-z]{0,3}", 1..6)) {
        let name = levels.join("/");
        prop_assume!(!name.is_empty());
        prop_assert!(filter(&name).matches(&topic(&name)));
        let tree = format!("{name}/#");
        prop_assert!(filter(&tree).matches(&topic(&name)));
        prop_assert!(filter("#").matches(&topic(&name)));
    }
}
