//! What administrators do to keys.

use crate::program::{Aups, text};
use serde_json::Value;

fn list(aups: &Aups) -> Vec<Value> {
    serde_json::from_str(&aups.ok(&["key", "list", "--json"])).unwrap()
}

fn state<'a>(keys: &'a [Value], key: &str) -> &'a str {
    let row = keys.iter().find(|row| row["keyId"] == key).unwrap_or_else(|| panic!("{key} is not listed"));
    row["state"].as_str().unwrap()
}

/// The first item that a reader who has no keys yet can open.
fn first_item(aups: &Aups) -> Value {
    let items = aups.ok(&["sub", "--as", "alice.json", "data/#", "--json", "--count", "1", "--timeout", "30"]);
    serde_json::from_str(items.lines().next().unwrap()).unwrap()
}

#[test]
fn a_key_is_shown_rotated_compromised_and_its_scope_destroyed() {
    let aups = Aups::start_with(&["--retain", "data/#"]);
    let (mut alice, credential) = aups.subscribed_alice();
    aups.send_counts(&credential, 0..3);
    alice.expect_counts(0..3);
    let active = list(&aups).into_iter().find(|row| row["state"] == "active").unwrap();
    let key = active["keyId"].as_str().unwrap();

    let shown = aups.ok(&["key", "show", key]);
    for word in ["users and apps: ", "meteorologist", "data/sensor1/count", "obligations  none", "active", key] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let shown: Value = serde_json::from_str(&aups.ok(&["key", "show", key, "--json"])).unwrap();
    let scope = shown["spec"]["id"].as_str().unwrap();
    assert_eq!((&shown["keys"][0]["keyId"], &shown["bumps"][0]["bump"]), (&active["keyId"], &0.into()));
    assert!(aups.ok(&["key", "show", scope]).contains(key));

    assert_eq!(aups.ok(&["key", "rotate", "--topic", "other/#"]), "rotated the keys of 0 scopes\n");
    assert_eq!(aups.ok(&["key", "rotate", "--topic", "data/+/count"]), "rotated the keys of 1 scope\n");
    assert_eq!(aups.ok(&["key", "rotate", key, "--json"]).trim(), format!(r#"{{"{scope}":2}}"#));
    assert_eq!(aups.ok(&["key", "rotate", "--all"]), "rotated the keys of 1 scope\n");
    aups.send_counts(&credential, 3..6);
    alice.expect_counts(3..6);
    assert_eq!(state(&list(&aups), key), "deactivated");
    assert_eq!(first_item(&aups)["status"], "retained");

    // Whoever has no keys yet gets none that is compromised, and opens what is retained: it was sealed anew.
    aups.ok(&["key", "compromise", key]);
    assert_eq!(state(&list(&aups), key), "compromised");
    let newest = list(&aups).into_iter().find(|row| row["state"] == "active").unwrap();
    aups.ok(&["key", "compromise", newest["keyId"].as_str().unwrap()]);
    assert_eq!(first_item(&aups)["status"], "retained");
    aups.ok(&["key", "compromise", scope]);
    assert!(list(&aups).iter().all(|row| row["state"] != "deactivated"));
    assert_eq!(first_item(&aups)["status"], "retained");
    aups.send_counts(&credential, 6..9);
    alice.expect_counts(6..9);

    let asked = aups.run(&["key", "destroy", scope]);
    assert_eq!(asked.status.code(), Some(4));
    let said = text(&asked.stderr);
    assert!(said.contains("--yes") && said.contains("data/sensor1/count"), "{said}");
    assert!(aups.ok(&["key", "destroy", scope, "--yes"]).contains(scope));
    // The scope may be there again, for what is retained; its keys of before are not.
    let shown = aups.run(&["key", "show", key]);
    assert_eq!(shown.status.code(), Some(1), "{}", text(&shown.stderr));
    assert!(text(&shown.stderr).contains("there is no key or scope"));
    aups.admin("POST", &format!("/v1/keys/{key}/rotate"), "").problem(404);
    aups.admin("POST", &format!("/v1/keys/{key}/compromise"), "").problem(404);
    aups.admin("DELETE", &format!("/v1/keys/{key}"), "").problem(404);
    let trail = aups.ok(&["audit", "tail", "-n", "200", "--json"]);
    for told in
        [format!(r#""compromised":"{key}""#), format!(r#""scopes":["{scope}"]"#), format!(r#""bumps":{{"{scope}":2}}"#)]
    {
        assert!(trail.contains(&told), "{told}: {trail}");
    }
    aups.send_counts(&credential, 9..12);
    alice.expect_counts(9..12);
}

#[test]
fn what_names_no_key_is_refused_before_anything_is_done() {
    let aups = Aups::start();
    for (path, body) in [
        ("/v1/keys/rotate", r#"{"topic":"data/#/x"}"#),
        ("/v1/keys/rotate", r#"{"topic":"data/#","all":true}"#),
        ("/v1/keys/rotate", "{}"),
        ("/v1/keys/destroy", r#"{"scopes":["short"]}"#),
        ("/v1/keys/destroy", r#"{"scopes":[],"more":1}"#),
    ] {
        aups.admin("POST", path, body).problem(400);
    }
    aups.admin("GET", "/v1/keys/short", "").problem(404);
    assert_eq!(aups.run(&["key", "show", "short"]).status.code(), Some(2));
    assert_eq!(aups.run(&["key", "rotate"]).status.code(), Some(2));
    assert_eq!(aups.run(&["key", "rotate", "--all", "--topic", "data/#"]).status.code(), Some(2));
}
