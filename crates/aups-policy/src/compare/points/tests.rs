use super::*;
use crate::fixtures::pdp;

/// Of how many points the tests of a condition on the item or the request have need. `None` if they are not decided.
fn points(condition: &str) -> Option<usize> {
    let pdp = pdp(&format!("permit(principal, action, resource) when {{ {condition} }};"));
    let standing = pdp.standing(&crate::fixtures::user("alice"), &"a".parse().unwrap());
    let crate::Standing::When(conditions) = standing else { panic!("{standing:?}") };
    let mut tests = Vec::new();
    tests_of(&conditions.all[0].permits[0], &mut tests);
    let variable = Variable::of(tests[0])?;
    truths_of(&variable, &tests).map(|truths| truths.len())
}

fn tests_of<'e>(condition: &'e Expr, tests: &mut Vec<&'e Expr>) {
    match condition {
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            tests_of(left, tests);
            tests_of(right, tests);
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => tests_of(expr, tests),
        test => tests.push(test),
    }
}

#[test]
fn tests_have_as_many_points_as_they_can_tell_apart() {
    for (condition, expected) in [
        (r#"resource.quality.accuracy.lessThan(decimal("0.5"))"#, 2),
        (
            r#"resource.quality.accuracy.lessThan(decimal("0.5")) && resource.quality.accuracy.greaterThan(decimal("0.2"))"#,
            3,
        ),
        // Scores come in steps of 0.01 and lie between 0 and 1.
        (
            r#"resource.quality.accuracy.lessThan(decimal("0.505")) && resource.quality.accuracy.greaterThan(decimal("0.5"))"#,
            2,
        ),
        (r#"resource.quality.accuracy.lessThan(decimal("1.5"))"#, 1),
        // Present or absent besides.
        (r#"resource has value && resource.value.greaterThan(decimal("50.0"))"#, 3),
        (
            r#"resource has value && resource.value == decimal("-0.5") && resource.value.lessThan(decimal("-0.4999"))"#,
            4,
        ),
        ("resource.source.registered", 2),
        (r#"resource.name == "a" || resource.name like "a*""#, 3),
        (r#"["a", "b"].contains(resource.name)"#, 2),
        (r#"resource.labels.contains("a") && resource.labels.containsAny(["a", "b"])"#, 3),
        (r#"resource.labels.containsAll(["a", "b"]) || resource.labels.containsAny(["a", "b"])"#, 3),
        (r#"resource.labels.isEmpty() || resource.labels == ["a"]"#, 3),
        (r#"resource.hasTag("owner") && resource.getTag("owner") == "acme""#, 3),
        (r#"context has address && context.address.isInRange(ip("10.0.0.0/8"))"#, 3),
        (
            r#"context has address && context.address.isInRange(ip("10.0.0.0/8")) && context.address.isInRange(ip("10.1.0.0/16"))"#,
            4,
        ),
        ("context has address && context.address.isLoopback() && context.address.isIpv4()", 5),
        (r#"context has at && context.at < datetime("2026-06-01")"#, 3),
        (
            r#"context has at && context.at.toTime() >= duration("8h") && context.at.toTime() < duration("18h") && context.at < datetime("2026-06-01T12:00:00Z")"#,
            7,
        ),
        (r#"context has at && context.at.toDate() == datetime("2026-06-01")"#, 3),
    ] {
        assert_eq!(points(condition), Some(expected), "{condition}");
    }
}

#[test]
fn tests_on_several_things_and_sums_are_not_decided() {
    for condition in [
        "resource.source.nodeId == resource.name",
        "resource.quality.accuracy.lessThan(resource.quality.precision)",
        r#"context has at && context.at.offset(duration("1h")) < datetime("2026-06-01")"#,
        "resource.labels.contains(resource.name)",
    ] {
        assert_eq!(points(condition), None, "{condition}");
    }
}
