use super::*;
use crate::fixtures::{pdp, user};

fn difference(before: &str, after: &str) -> Difference {
    let standing = |source: &str| pdp(source).standing(&user("alice"), &"a".parse().unwrap());
    Comparer::default().difference(&standing(before), &standing(after))
}

fn permit(condition: &str) -> String {
    format!("permit(principal, action, resource) when {{ {condition} }};")
}

#[test]
fn a_condition_that_nothing_satisfies_is_as_good_as_none() {
    let never = permit(
        r#"resource.quality.accuracy.lessThan(decimal("0.5")) && resource.quality.accuracy.greaterThan(decimal("0.8"))"#,
    );
    assert_eq!(difference("", &never), Difference::NONE);
}

#[test]
fn a_forbid_that_fails_forbids_and_a_permit_that_fails_permits_nothing() {
    // Overflows for alice, behind a test on the item.
    let failing = "resource.source.registered && (principal.clearance + 9223372036854775807) + 1 > 0";
    assert_eq!(difference("", &permit(failing)), Difference::NONE);
    let forbid =
        format!("permit(principal, action, resource); forbid(principal, action, resource) when {{ {failing} }};");
    let unregistered = permit("!resource.source.registered");
    assert_eq!(difference(&forbid, &unregistered), Difference::NONE);
}

#[test]
fn more_points_than_are_looked_at_leave_it_open() {
    let tests = |from: usize| -> String {
        let tests: Vec<String> = (from..from + 18).map(|n| format!("resource.hasTag(\"t{n}\")")).collect();
        permit(&tests.join(" || "))
    };
    assert_eq!(difference(&tests(0), &tests(1)), Difference { gains: true, loses: true, certain: false });
}
