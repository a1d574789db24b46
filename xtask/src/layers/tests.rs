use super::*;

/// A package and what it depends on, with the kind of each dependency as cargo metadata writes it.
type Sketch<'a> = (&'a str, &'a [(&'a str, Option<&'a str>)]);

/// A workspace of such packages; those that start with `aups` or are `xtask` are ours.
fn workspace(packages: &[Sketch<'_>]) -> Metadata {
    let ours = |name: &&str| name.starts_with("aups") || *name == "xtask";
    Metadata {
        packages: packages
            .iter()
            .map(|(name, dependencies)| Package {
                id: (*name).into(),
                name: (*name).into(),
                dependencies: dependencies
                    .iter()
                    .map(|(name, kind)| Declared { name: (*name).into(), kind: kind.map(String::from) })
                    .collect(),
            })
            .collect(),
        workspace_members: packages.iter().map(|(name, _)| *name).filter(ours).map(String::from).collect(),
        resolve: Resolve {
            nodes: packages
                .iter()
                .map(|(name, dependencies)| Node {
                    id: (*name).into(),
                    deps: dependencies
                        .iter()
                        .map(|(name, kind)| Edge {
                            pkg: (*name).into(),
                            dep_kinds: vec![EdgeKind { kind: kind.map(String::from) }],
                        })
                        .collect(),
                })
                .collect(),
        },
    }
}

#[test]
fn a_broker_that_names_the_envelope_is_a_breach_even_for_its_tests() {
    for kind in [None, Some("dev")] {
        let metadata =
            workspace(&[("aups-core", &[]), ("aups-envelope", &[]), ("aups-broker", &[("aups-envelope", kind)])]);
        assert_eq!(edge_breaches(&metadata), ["aups-broker depends on aups-envelope, which it must not see"]);
    }
}

#[test]
fn what_only_the_tests_may_use_is_a_breach_elsewhere() {
    let client = |kind| workspace(&[("aups-broker", &[]), ("aups-client", &[("aups-broker", kind)])]);
    assert!(edge_breaches(&client(Some("dev"))).is_empty());
    assert_eq!(edge_breaches(&client(None)), ["aups-client depends on aups-broker, which it must not see"]);
}

#[test]
fn a_crate_that_nobody_placed_is_a_breach() {
    let metadata = workspace(&[("aups-gossip", &[])]);
    assert_eq!(edge_breaches(&metadata).len(), 1);
}

#[test]
fn allowed_edges_and_third_parties_are_no_breach() {
    let metadata =
        workspace(&[("aups-core", &[("serde", None)]), ("aups-envelope", &[("aups-core", None)]), ("serde", &[])]);
    assert!(edge_breaches(&metadata).is_empty());
}

#[test]
fn a_pure_crate_that_reaches_a_runtime_through_another_is_a_breach() {
    let metadata = workspace(&[("aups-policy", &[("shiny", None)]), ("shiny", &[("tokio", None)]), ("tokio", &[])]);
    assert_eq!(runtime_breaches(&metadata), ["aups-policy reaches tokio: it must do no I/O"]);
}

#[test]
fn a_runtime_that_only_builds_or_tests_a_pure_crate_is_no_breach() {
    for kind in ["dev", "build"] {
        let metadata = workspace(&[("aups-policy", &[("tokio", Some(kind))]), ("tokio", &[])]);
        assert!(runtime_breaches(&metadata).is_empty());
    }
}

#[test]
fn impure_words_count_in_code_and_not_in_comments_or_other_words() {
    assert_eq!(impure_words("use std::{fs, mem};\nlet now = SystemTime::now();"), [(1, "fs"), (2, "SystemTime")]);
    assert!(impure_words("/// tokio would be wrong here\nlet offs = instantly; // fs").is_empty());
}

#[test]
fn no_pure_crate_may_see_a_crate_that_is_not_pure() {
    for (name, allowed) in ALLOWED.iter().filter(|(name, _)| PURE.contains(name)) {
        assert!(allowed.iter().all(|seen| PURE.contains(seen)), "{name} may see {allowed:?}");
    }
}
