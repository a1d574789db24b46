use super::*;
use crate::fixtures::set;

fn condition(text: &str) -> Expr {
    let set = set(&format!("permit(principal, action, resource) when {{ {text} }};"));
    set.rules[0].conditions().remove(0)
}

fn settled(text: &str, topic: &str) -> String {
    settle(&condition(text), &topic.parse().unwrap()).to_string()
}

#[test]
fn what_the_topic_decides_falls_away() {
    for (text, of_a_b, of_x) in [
        (r#"resource in Topic::"a""#, "true", "false"),
        (r#"resource is Item in Topic::"a/b""#, "true", "false"),
        (r#"resource.level0 == "a" && resource.source.registered"#, "resource.source.registered", "false"),
        (r#"resource.level0 != "x" || resource.source.registered"#, "true", "resource.source.registered"),
        (r#"resource has level1 && resource.level1 like "b*""#, "true", "false"),
        (
            r#"if resource.topic like "a*" then resource.source.registered else principal.org == "o""#,
            "resource.source.registered",
            "principal.org == \"o\"",
        ),
        ("principal.org == resource.level0", "principal.org == \"a\"", "principal.org == \"x\""),
    ] {
        assert_eq!([settled(text, "a/b"), settled(text, "x")], [of_a_b, of_x], "{text}");
    }
}

#[test]
fn what_may_fail_stays_in_front_of_what_is_false() {
    let text = "principal.clearance + 1 > 2 && resource in Topic::\"a\"";
    assert_eq!(settled(text, "x"), "((principal.clearance + 1) > 2) && false");
    assert_eq!(settled(text, "a"), "(principal.clearance + 1) > 2");
}

#[test]
fn patterns_match_as_in_cedar() {
    for (text, pattern, matches) in [
        ("a/b", "a/*", true),
        ("a", "a/*", false),
        ("a/x/b", "a/*/b", true),
        ("a/b", "a/*/b", false),
        ("a*b", r"a\*b", true),
        ("axb", r"a\*b", false),
        ("ab", "**a*b**", true),
    ] {
        let found = settled(&format!("resource.topic like \"{pattern}\""), text);
        assert_eq!(found, matches.to_string(), "{text} like {pattern}");
    }
}

#[test]
fn questions_are_the_largest_parts_about_the_topic_alone() {
    let condition = condition(
        r#"principal.org == resource.level0 && (resource.topic like "a*" || resource in Topic::"x") && resource is Item"#,
    );
    let mut found = Vec::new();
    questions(&condition, &mut found);
    let found: Vec<String> = found.into_iter().map(ToString::to_string).collect();
    assert_eq!(found, ["resource.level0", "(resource.topic like \"a*\") || (resource in Topic::\"x\")"]);
}
