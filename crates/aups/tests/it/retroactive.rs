//! Policies that close what was sealed before them.

use crate::program::{Aups, METEO, text};
use serde_json::Value;

const GARDENERS: &str = r#"
@id("garden") permit(principal, action == Action::"receive", resource in Topic::"data")
when { principal.roles.contains("gardener") };
"#;

fn scopes(aups: &Aups) -> Vec<Value> {
    aups.admin("GET", "/v1/scopes", "").json()["items"].as_array().unwrap().clone()
}

#[test]
fn what_was_sealed_before_is_closed_after_it_was_listed_and_confirmed() {
    let aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    aups.send(&credential, r#"{"name":"humidity","value":1}"#);
    while !alice.next().contains("humidity") {}
    let before = scopes(&aups);
    assert_eq!((before.len(), &before[0]["topicCount"]), (1, &2.into()));
    assert!(before[0]["atb"].as_str().unwrap().contains("meteorologist"));

    std::fs::write(aups.file("garden.cedar"), GARDENERS).unwrap();
    let asked = aups.run(&["policy", "apply", "garden.cedar", "--retroactive"]);
    assert_eq!(asked.status.code(), Some(4), "{}", text(&asked.stderr));
    assert!(text(&asked.stderr).contains("--yes"), "{}", text(&asked.stderr));
    let listed = text(&asked.stdout);
    assert!(listed.contains("data/sensor1/humidity") && listed.contains("meteorologist"), "{listed}");
    assert_eq!(aups.ok(&["policy", "show"]), METEO, "nothing was changed");
    assert_eq!(scopes(&aups), before);

    let done = aups.ok(&["policy", "apply", "garden.cedar", "--retroactive", "--yes"]);
    assert!(done.contains("version 2: 1 policies\n") && done.ends_with("destroyed the keys of 1 scope\n"), "{done}");
    assert!(scopes(&aups).iter().all(|scope| scope["scope"] != before[0]["scope"]));
    let keys = aups.admin("GET", "/v1/keys/list", "").json();
    let of_meteo =
        keys["items"].as_array().unwrap().iter().filter(|key| key["atb"].as_str().unwrap().contains("meteo"));
    assert!(of_meteo.map(|key| &key["state"]).all(|state| state == "destroyed"), "{keys}");

    // A set by which nobody loses anything destroys nothing.
    let again = aups.ok(&["policy", "apply", "garden.cedar", "--retroactive", "--yes"]);
    assert!(again.ends_with("destroyed the keys of 0 scopes\n"), "{again}");
    let gone = before[0]["scope"].as_str().unwrap();
    aups.admin("DELETE", &format!("/v1/scopes/{gone}"), "").problem(404);
}
