use super::*;
use crate::{
    fixtures::set,
    statement::{POLICY_BYTES_MAX, POLICY_NESTING_MAX, POLICY_OPERATORS_MAX},
};

fn errors(source: &str) -> Vec<PolicyError> {
    PolicySet::parse(source, "policies").expect_err(source)
}

/// The only error: its place, and what it says.
fn error(source: &str) -> (usize, usize, String) {
    match errors(source).as_slice() {
        [error] => (error.line, error.column, format!("{} | {}", error.message, error.help)),
        several => panic!("{source}\n{several:#?}"),
    }
}

fn when(condition: &str) -> String {
    format!("permit(principal, action == Action::\"receive\", resource)\nwhen {{ {condition} }};")
}

#[test]
fn the_policies_of_the_design_are_admitted() {
    let source = r#"
        @id("meteo") @keylife("5m") @obligation("sign")
        permit(principal, action == Action::"receive", resource in Topic::"greensboro")
        when { principal.roles.contains("meteorologist") && resource.quality.accuracy.greaterThanOrEqual(decimal("0.80")) };
        permit(principal, action == Action::"receive", resource in Topic::"data/s1") when { principal.roles.contains("meteo") };
        permit(principal, action, resource) when { context has address && context.address.isInRange(ip("10.0.0.0/8")) };
        @title("Hot") @description("…") @author("me") @reason("law") @suite("chacha20-poly1305")
        forbid(principal, action == Action::"receive", resource)
        when { resource has value && resource.value.greaterThan(decimal("50.0")) && principal.clearance < 3 };
        permit(principal in Group::"ops", action == Action::"receive", resource is Item in Topic::"x");
    "#;
    let set = set(source);
    assert_eq!(set.names().collect::<Vec<_>>(), ["meteo", "policies-2", "policies-3", "policies-4", "policies-5"]);
    assert_eq!((set.len(), set.source()), (5, source));
}

#[test]
fn nothing_and_comments_are_an_empty_set() {
    assert!(set("").is_empty());
    assert!(set("// nobody reads\n").is_empty());
    assert!(PolicySet::empty().is_empty());
}

#[test]
fn a_wrong_attribute_is_named_with_its_place_and_the_right_one() {
    let source = when("principal.org == \"é\" && resource.qualty.accuracy.greaterThan(decimal(\"0.8\"))");
    let (line, column, text) = error(&format!("permit(principal, action, resource);\n{source}"));
    assert_eq!((line, column), (3, 32), "in characters: é is one");
    assert!(text.contains("`qualty`") && text.contains("did you mean `quality`?"), "{text}");
    assert!(text.contains("`policies-2`"), "{text}");
}

#[test]
fn a_syntax_error_is_named_with_its_place_and_what_was_expected() {
    let (line, column, text) = error(&when("resource.quality.accuracy => 3"));
    assert_eq!((line, column), (2, 35));
    assert!(text.contains("unexpected token `>`") && text.contains("expected"), "{text}");
}

#[test]
fn every_statement_is_judged_whatever_came_before() {
    let source = "permit(principal);\npermit(principal, action, resource) when { principal.nope };\n@x(\"\") permit(principal, action, resource);";
    let mut lines: Vec<_> = errors(source).iter().map(|error| error.line).collect();
    lines.dedup();
    assert_eq!(lines, [1, 2, 3]);
}

#[test]
fn a_missing_or_second_semicolon_is_refused() {
    assert!(errors("permit(principal, action, resource)")[0].message.contains("unexpected end"));
    assert_eq!(error("permit(principal, action, resource);;").1, 37);
}

#[test]
fn any_action_but_receive_is_refused() {
    let (line, column, text) = error("permit(principal, action == Action::\"recieve\", resource);");
    assert_eq!((line, column), (1, 29));
    assert!(text.contains("did you mean `Action::\"receive\"`?"), "{text}");
    assert!(error("permit(principal, action == Action::\"publish\", resource);").2.contains("Action::\"receive\""));
}

#[test]
fn decimals_compared_by_signs_are_refused_with_the_way_to_do_it() {
    for error in errors(&when("resource.quality.accuracy >= decimal(\"0.8\")")) {
        assert!(error.help.contains("greaterThanOrEqual"), "{error}");
    }
}

#[test]
fn optional_attributes_need_a_has() {
    assert!(error(&when("resource.value.greaterThan(decimal(\"1.0\"))")).2.contains("resource has value"));
}

#[test]
fn templates_are_refused() {
    let (line, column, text) = error("permit(principal in ?principal, action, resource);");
    assert_eq!((line, column), (1, 21));
    assert!(text.contains("templates"), "{text}");
    error("permit(principal, action, resource in ?resource);");
}

#[test]
fn a_name_may_be_given_once() {
    let named = "@id(\"a\")\npermit(principal, action, resource);\n";
    let (line, column, text) = error(&format!("{named} {named}"));
    assert_eq!((line, column), (3, 2));
    assert!(text.contains("`a`"), "{text}");
    let taken = "permit(principal, action, resource); @id(\"policies-1\") permit(principal, action, resource);";
    assert!(error(taken).2.contains("`policies-1`"));
}

#[test]
fn annotations_are_refused_where_they_stand() {
    let (line, column, text) = error("@id(\"a\")\n  @obligation(\"sing\")\npermit(principal, action, resource);");
    assert_eq!((line, column), (2, 3));
    assert!(text.contains("`sing`") && text.contains("`sign`"), "{text}");
    assert!(error("@priority(\"1\") permit(principal, action, resource);").2.contains("@keylife"));
}

#[test]
fn the_item_itself_has_no_name_that_a_policy_may_use() {
    for (condition, column) in [
        ("resource == resource", 8),
        ("principal in resource", 21),
        ("[resource].contains(resource)", 9),
        ("{r: resource}.r.topic == \"a\"", 12),
        ("(if principal.clearance > 1 then resource else resource).topic == \"a\"", 41),
    ] {
        let error = &errors(&when(condition))[0];
        assert_eq!((error.line, error.column), (2, column), "{error}");
        assert!(error.help.contains("identity"), "{error}");
    }
    for condition in ["resource == Item::\"item\"", "resource in Item::\"item\"", "resource in principal"] {
        assert!(errors(&when(condition)).iter().any(|error| error.help.contains("identity")), "{condition}");
    }
    for head in ["resource == Item::\"x\"", "resource in Item::\"x\"", "resource in Group::\"x\""] {
        assert!(!errors(&format!("permit(principal, action, {head});")).is_empty(), "{head}");
    }
}

#[test]
fn topics_stand_right_of_in_and_are_topic_names() {
    let subtree = |topic: &str| format!("permit(principal, action, resource in Topic::\"{topic}\");");
    for topic in ["data/#", "data/+/x", "", "#"] {
        let (line, column, text) = error(&subtree(topic));
        assert_eq!((line, column), (1, 46), "{topic}");
        assert!(text.contains("without wildcards"), "{text}");
    }
    assert!(errors(&when("Topic::\"a/b\" in Topic::\"a\""))[0].message.contains("Topic::\"a/b\""));
    assert_eq!(set(&when("resource in [Topic::\"a\", Topic::\"b\"] || resource is Item in Topic::\"c\"")).len(), 1);
}

#[test]
fn conditions_with_a_part_that_always_fails_are_refused() {
    for condition in [
        "9223372036854775807 + 1 > 3 && principal.clearance > 3",
        "principal.clearance > 3 && -(-9223372036854775807 - 1) > 3",
        "if principal.clearance > 3 then 3 * 9223372036854775807 > 1 else true",
    ] {
        assert!(error(&when(condition)).2.contains("always fails"), "{condition}");
    }
    assert_eq!(set(&when("principal.clearance * 9223372036854775807 > 3")).len(), 1, "this depends on the reader");
    assert!(!errors(&when("decimal(\"0.12345\").lessThan(resource.quality.accuracy)")).is_empty());
    assert!(!errors(&when("ip(principal.org).isLoopback()")).is_empty());
}

#[test]
fn limits_are_kept() {
    let policy = "permit(principal, action, resource);\n";
    assert!(error(&policy.repeat(POLICIES_MAX + 1)).2.contains("at most 10000 policies"));
    assert!(error(&"/".repeat(SOURCE_BYTES_MAX + 1)).2.contains("bytes"));
    assert!(error(&when(&format!("principal.org == \"{}\"", "x".repeat(POLICY_BYTES_MAX)))).2.contains("bytes"));
    let nested = |depth: usize| when(&format!("{}true{}", "(".repeat(depth), ")".repeat(depth)));
    assert_eq!(set(&nested(POLICY_NESTING_MAX - 1)).len(), 1);
    assert!(error(&nested(POLICY_NESTING_MAX)).2.contains("nest"));
    assert_eq!(errors(&"permit(principal);".repeat(ERRORS_MAX + 1)).len(), ERRORS_MAX);
}

/// Threads of the runtime have 2 MiB: what is admitted must be evaluated on them too.
#[test]
fn the_deepest_policies_that_are_admitted_can_be_evaluated_on_a_small_stack() {
    let sums = when(&format!("principal.clearance{} > 3", " + 1".repeat(POLICY_OPERATORS_MAX - 3)));
    let choices =
        when(&format!("{}true", "if principal.clearance > 3 then true else ".repeat((POLICY_OPERATORS_MAX - 1) / 3)));
    let ands = when(&vec!["principal has org"; POLICY_OPERATORS_MAX / 2].join(" && "));
    let records = when(&format!("{}1{} >= principal.clearance", "{a:".repeat(30), "}.a".repeat(30)));
    for source in [sums, choices, ands, records] {
        let evaluate = move || {
            let pdp = crate::fixtures::pdp(&source);
            let sample = crate::fixtures::Sample::new("a");
            let spec = pdp.scope(&sample.resource()).unwrap();
            let who = crate::fixtures::user("alice");
            let decision = pdp.decide(&who, &sample.resource(), &crate::RequestContext::default());
            let residuals = crate::Residuals::new(1);
            assert_eq!(residuals.satisfies(&spec, &who, &crate::RequestContext::default()).allow, decision.allow);
            assert_eq!(decision.errors, Vec::<String>::new());
            assert!(pdp.filter(&who, &"a/#".parse().unwrap()).is_accepted());
        };
        std::thread::Builder::new().stack_size(2 << 20).spawn(evaluate).unwrap().join().unwrap();
    }
}

#[test]
fn errors_are_readable() {
    let shown = errors("permit(principal, action, resource) when { principal.nope };")[0].to_string();
    assert!(shown.starts_with("1:44: "), "{shown}");
}

#[test]
fn the_examples_of_the_guide_are_admitted() {
    let guide = include_str!("../../../../docs/guide/policies.md");
    let examples: Vec<&str> = guide.split("```cedar\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        assert!(!set(example).is_empty());
    }
}

#[test]
fn asking_for_what_the_schema_lacks_is_refused_and_not_taken_for_false() {
    for (condition, column, told) in [
        ("principal has siet", "siet", "the schema lists"),
        ("principal has rolse", "rolse", "did you mean `roles`?"),
        ("principal has tags", "tags", "the schema lists"),
        ("resource has vlaue && resource.vlaue.lessThan(decimal(\"1.0\"))", "vlaue", "did you mean `value`?"),
        ("resource has source.nodeIdd", "source", "source.nodeIdd"),
        ("context has att", "att", "did you mean `at`?"),
        ("!(context has tls)", "tls", "the schema lists"),
    ] {
        let source = when(condition);
        let refused = &errors(&source)[0];
        let line = source.lines().nth(1).unwrap();
        assert_eq!((refused.line, refused.column), (2, line.find(&format!("has {column}")).unwrap() + 1), "{refused}");
        assert!(refused.to_string().contains(told), "{refused}");
    }
    for condition in ["principal has org", "resource has value", "resource has quality.accuracy", "context has address"]
    {
        assert_eq!(set(&when(condition)).len(), 1, "{condition}");
    }
}

#[test]
fn names_of_an_items_tags_are_written_out() {
    for name in ["principal.org", "resource.name", "if resource.source.registered then \"a\" else \"b\""] {
        let source = when(&format!("resource.hasTag(\"a\") && resource.hasTag({name})"));
        let refused = error(&source);
        assert_eq!((refused.0, refused.1), (2, 48), "{name}");
        assert!(refused.2.contains("write the name out"), "{}", refused.2);
    }
    assert_eq!(set(&when("principal.hasTag(principal.org) && principal.hasTag(resource.name)")).len(), 1);
}
