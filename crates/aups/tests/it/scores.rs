//! Scores by rules that an administrator changes, and why an item has the ones that it has.

use crate::program::{Aups, METEO, text};
use serde_json::{Value, json};
use std::{fs, time::Duration};

/// An item as its reader gets it, of a source that sends it until somebody reads.
fn item_read(aups: &Aups, credential: &str, body: &str) -> Value {
    let mut alice = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json", "--timeout", "50"]);
    for _ in 0..100 {
        assert_eq!(aups.send(credential, body).status, 202);
        if let Some(line) = alice.next_within(Duration::from_millis(300)) {
            return serde_json::from_str::<Value>(&line).unwrap()["item"].clone();
        }
    }
    panic!("nothing arrived; the server's log:\n{}", aups.log());
}

#[test]
fn every_score_of_an_item_is_explained_and_verified_off_line() {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let rules = json!({"scores": {
        "timeliness": {"volatility": "1h"},
        "overrides": [{"score": "quality.precision", "when": "data.name == 'temperature'", "value": "default * 0.5"}],
    }});
    fs::write(aups.file("config.json"), rules.to_string()).unwrap();
    aups.ok(&["config", "set", "config.json"]);
    let credential = aups.source("sensor1");
    let item = item_read(&aups, &credential, r#"{"name":"temperature","value":10.5,"unit":"Cel","uncertainty":8}"#);
    assert_eq!((&item["quality"]["accuracy"], &item["quality"]["precision"]), (&json!(0.92), &json!(0.5)));

    let id = item["id"].as_str().unwrap();
    let told = aups.ok(&["score", "explain", id]);
    assert!(told.contains("certainty 0.92 (8 of 100)") && told.contains("CEL 0: default * 0.5"), "{told}");
    let json = aups.ok(&["score", "explain", id, "--json"]);
    let explanation: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&explanation["item"], &explanation["configVersion"]), (&item, &json!(1)));
    fs::write(aups.file("item.json"), json!({"topic": "t", "item": item}).to_string()).unwrap();
    assert_eq!(aups.ok(&["score", "explain", "item.json"]), told);
    fs::write(aups.file("why.json"), &json).unwrap();
    assert_eq!(aups.ok(&["score", "explain", "why.json"]), told);
    assert!(aups.ok(&["score", "verify", "why.json"]).contains("8 scores"));

    let mut tampered = explanation;
    tampered["item"]["data"]["uncertainty"] = json!(1);
    fs::write(aups.file("tampered.json"), tampered.to_string()).unwrap();
    let output = aups.run(&["score", "verify", "tampered.json"]);
    let (shown, errors) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(shown.contains("0.99") && errors.contains("quality.accuracy"), "{shown}{errors}");
    fs::write(aups.file("tampered.json"), "{}").unwrap();
    assert_eq!(aups.run(&["score", "verify", "tampered.json"]).status.code(), Some(4));
}

#[test]
fn an_item_that_is_not_kept_is_told_with_how_long_they_are() {
    let aups = Aups::start();
    let unknown = aups.admin("GET", "/v1/scores/01890a5d-ac96-774b-bcce-b302099a8057", "");
    assert_eq!(unknown.problem(404), "unknown-item");
    assert!(unknown.body.contains("last 4096 items"), "{}", unknown.body);
    assert_eq!(aups.admin("GET", "/v1/scores/seven", "").problem(400), "malformed-name");
    assert_eq!(aups.request("GET", "/v1/scores/seven", b"", &[]).status, 401);
}
