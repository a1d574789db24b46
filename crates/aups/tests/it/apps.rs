//! Apps with users of their own.

use crate::program::{Aups, text};

const PANEL: &str = r#"
@id("panel") permit(principal is App, action == Action::"receive", resource in Topic::"data/hall")
when { principal.org == "acme" };
@id("users") permit(principal is User, action == Action::"receive", resource in Topic::"data");
"#;

/// A realm with an app of an organisation, and a stranger.
fn realm() -> Aups {
    let aups = Aups::start();
    aups.apply(PANEL);
    let token = aups.ok(&["app", "add", "panel", "--attr", "org=acme"]);
    aups.enrol(token.trim(), "panel.json", &[]);
    aups.reader("mallory", &[]);
    aups
}

#[test]
fn an_app_registers_enrols_and_removes_users_beneath_itself() {
    let aups = realm();
    let token = aups.ok(&["user", "add", "carol", "--attr", "clearance=9", "--as", "panel.json"]);
    aups.enrol(token.trim(), "carol.json", &[]);
    assert_eq!(aups.ok(&["topics", "--as", "carol.json"]), "data/hall/#\n", "what the app may read, and no more");
    assert_eq!(aups.ok(&["topics", "--as", "mallory.json"]), "data/#\n");
    let listed = aups.ok(&["user", "list", "--json", "--as", "panel.json"]);
    assert!(listed.contains("carol") && !listed.contains("mallory"), "{listed}");
    let all = aups.admin("GET", "/v1/users/carol", "").json();
    assert_eq!((&all["app"], &all["attrs"]["clearance"]), (&"panel".into(), &9.into()));

    let mut carol = aups.spawn(&["sub", "--as", "carol.json", "data/hall/#", "--json"]);
    let (hall, yard) = (aups.source("hall"), aups.source("yard"));
    while carol.next_within(std::time::Duration::from_millis(300)).is_none() {
        aups.send(&yard, "1");
        aups.send(&hall, "1");
    }
    let refused = aups.run(&["sub", "--as", "carol.json", "data/#", "--timeout", "30"]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));

    // Where the app's rights end, so do its users'.
    aups.ok(&["app", "set", "panel", "--attr", "org="]);
    assert_eq!(aups.ok(&["topics", "--as", "carol.json"]), "");
    aups.ok(&["app", "set", "panel", "--attr", "org=acme"]);
    aups.ok(&["user", "remove", "carol", "--as", "panel.json"]);
    assert_eq!(aups.run(&["topics", "--as", "carol.json"]).status.code(), Some(3));
    let again = aups.ok(&["user", "add", "dave", "--as", "panel.json"]);
    aups.enrol(again.trim(), "dave.json", &[]);
    aups.ok(&["app", "remove", "panel"]);
    assert_eq!(aups.run(&["topics", "--as", "dave.json"]).status.code(), Some(3), "they go with their app");
    assert!(!aups.ok(&["user", "list"]).contains("dave"));
}

#[test]
fn an_app_cannot_reach_beyond_its_own_users() {
    let aups = realm();
    for args in [
        &["user", "remove", "mallory"][..],
        &["user", "set", "mallory", "--attr", "clearance=9"],
        &["user", "token", "mallory"],
        &["user", "remove", "nobody"],
    ] {
        let refused = aups.run(&[args, &["--as", "panel.json"]].concat());
        assert!(text(&refused.stderr).contains("`panel` has no user called"), "{args:?}: {}", text(&refused.stderr));
        assert_eq!(refused.status.code(), Some(1));
    }
    let user = aups.run(&["user", "list", "--as", "mallory.json"]);
    assert_eq!(user.status.code(), Some(3), "{}", text(&user.stderr));
    let taken = aups.run(&["user", "add", "mallory", "--as", "panel.json"]);
    assert_eq!(taken.status.code(), Some(4), "{}", text(&taken.stderr));
    let group = aups.run(&["user", "add", "eve", "--group", "nothing", "--as", "panel.json"]);
    assert_eq!(group.status.code(), Some(4), "{}", text(&group.stderr));
    assert!(!aups.ok(&["user", "list"]).contains("eve"));
}
