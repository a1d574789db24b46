use super::*;
use crate::fixtures::{Sample, set};

/// What is left of every policy of the set for an item, and how many remains are kept then.
fn ask(remainders: &Remainders, set: &crate::PolicySet, sample: &Sample) -> (Vec<Remains>, usize) {
    let found = remainders.of(set.rules.iter(), &set.claims, &sample.resource(), &set.schema).unwrap();
    (found.into_iter().map(|(_, remains)| Remains::clone(&remains)).collect(), remainders.kept.len())
}

#[test]
fn policies_that_differ_in_topic_and_terms_alone_are_evaluated_once() {
    let set = set(r#"permit(principal, action, resource in Topic::"a") when { principal.clearance > 3 };
        @id("signed") @obligation("sign") permit(principal, action, resource in Topic::"b") when { principal.clearance > 3 };
        permit(principal, action, resource) when { principal.clearance > 3 };
        permit(principal is App, action, resource in Topic::"a") when { principal.clearance > 3 };
        permit(principal, action, resource in Topic::"a") unless { principal.clearance > 3 };
        forbid(principal, action, resource in Topic::"a") when { principal.clearance > 3 };"#);
    let shapes: Vec<_> = set.rules.iter().map(|rule| rule.shape).collect();
    assert_eq!(shapes, [0, 0, 0, 1, 2, 3]);
    let remainders = Remainders::new();
    let (remains, kept) = ask(&remainders, &set, &Sample::new("a"));
    assert_eq!((remains.len(), kept), (6, 4));
    assert_eq!((&remains[0], &remains[3].user), (&remains[2], &Part::Nothing));
    assert_eq!(ask(&remainders, &set, &Sample::new("a/b").value("77")), (remains, 4), "nothing that they mention");
}

#[test]
fn what_a_policy_mentions_tells_its_remains_apart() {
    let set = set(r#"permit(principal, action, resource) when { resource.name == principal.org };
        permit(principal, action, resource) when { resource in Topic::"a/b" && principal.clearance > 3 };"#);
    let remainders = Remainders::new();
    let (first, kept) = ask(&remainders, &set, &Sample::new("a"));
    assert_eq!((kept, &first[1].user), (2, &Part::Nothing));
    let (other, kept) = ask(&remainders, &set, &Sample::new("a").name("humidity"));
    assert_eq!((kept, &other[1]), (3, &first[1]));
    assert_ne!(other[0], first[0]);
    let (below, kept) = ask(&remainders, &set, &Sample::new("a/b/c"));
    assert_eq!((kept, &below[0]), (4, &first[0]));
    assert_ne!(below[1], first[1]);
}

#[test]
fn values_on_the_same_side_of_a_bound_are_the_same() {
    let set = set(r#"permit(principal, action, resource)
           when { principal.clearance > 3 || (resource has value && resource.value.greaterThan(decimal("50.0"))) };"#);
    let remainders = Remainders::new();
    for (value, kept) in [("1", 1), ("2", 1), ("50.0", 1), ("50.0001", 2), ("99", 2), ("\"hot\"", 2)] {
        assert_eq!(ask(&remainders, &set, &Sample::new("a").value(value)).1, kept, "{value}");
    }
}

#[test]
fn long_remains_are_not_kept() {
    let set = set("permit(principal, action, resource) when { resource.name == principal.org };");
    let remainders = Remainders::new();
    let (remains, kept) = ask(&remainders, &set, &Sample::new("a").name(&"x".repeat(REMAINS_BYTES_MAX)));
    assert_eq!(kept, 0);
    assert!(remains[0].app.text_bytes() > REMAINS_BYTES_MAX);
}
