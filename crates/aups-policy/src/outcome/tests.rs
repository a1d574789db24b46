use super::*;
use cedar_policy::{Policy, pst::Clause};

fn outcomes(condition: &str) -> Outcomes {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    let policy = Policy::parse(None, text).unwrap().to_pst().unwrap();
    let Clause::When(condition) = &policy.body().clauses()[0] else { panic!() };
    Outcomes::of(condition)
}

/// `t` may be true, `f` may be false, `e` may fail.
fn ways(condition: &str) -> String {
    let Outcomes { truth, falsity, failure } = outcomes(condition);
    [(truth, 't'), (falsity, 'f'), (failure, 'e')].iter().filter(|(way, _)| *way).map(|(_, c)| c).collect()
}

#[test]
fn attributes_of_the_reader_neither_fail_nor_are_known() {
    for condition in [
        "principal.org == \"a\"",
        "principal.roles.contains(\"a\")",
        "principal in Group::\"a\"",
        "context has at && context.at < datetime(\"2026-01-01\")",
        "context has address && context.address.isInRange(ip(\"10.0.0.0/8\"))",
        "resource.quality.accuracy.greaterThan(decimal(\"0.5\"))",
        "principal.org like \"a*\"",
        "principal.clearance > 3",
    ] {
        assert_eq!(ways(condition), "tf", "{condition}");
    }
}

#[test]
fn sums_and_names_of_others_may_fail() {
    assert_eq!(ways("principal.clearance + 1 > 3"), "tfe");
    assert_eq!(ways("-(principal.clearance) > 3"), "tfe");
    assert_eq!(ways("User::\"bob\".clearance > 3"), "tfe");
    assert_eq!(ways("context has at && context.at.offset(duration(\"1d\")) < context.at"), "tfe");
    assert_eq!(ways("(if principal.clearance > 3 then principal else User::\"bob\").org == \"a\""), "tfe");
}

#[test]
fn constants_decide_through_and_or_not_and_if() {
    let open = "principal.org == \"a\"";
    for (condition, expected) in [
        (format!("{open} && false"), "f"),
        (format!("{open} || true"), "t"),
        (format!("!({open} || true)"), "f"),
        (format!("!({open} && false)"), "t"),
        (format!("{open} && true"), "tf"),
        (format!("if {open} then false else false"), "f"),
        (format!("if {open} then true else {open}"), "tf"),
        (format!("if true then {open} else true"), "tf"),
        (format!("({open} && false) || ({open} && false)"), "f"),
        (format!("({open} || true) && !({open} && false)"), "t"),
    ] {
        assert_eq!(ways(&condition), expected, "{condition}");
    }
}

#[test]
fn what_is_never_reached_does_not_fail() {
    let failing = "principal.clearance + 1 > 3";
    assert_eq!(ways(&format!("false && {failing}")), "f");
    assert_eq!(ways(&format!("true || {failing}")), "t");
    assert_eq!(ways(&format!("{failing} && false")), "fe");
    assert_eq!(ways(&format!("if false then {failing} else true")), "t");
}
