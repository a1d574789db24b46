//! Items that could be taken no further, and the way of one item through the log.

use crate::program::{Aups, METEO, Mosquitto, PATIENCE};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

#[test]
fn what_the_broker_refuses_is_listed_shown_replayed_and_discarded() {
    let mosquitto = Mosquitto::start_with_acl("pattern readwrite #\ntopic deny data/sensor1/bad\n");
    let aups = Aups::start_with(&["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]);
    let (mut alice, credential) = aups.subscribed_alice();
    for _ in 0..2 {
        assert_eq!(aups.send(&credential, r#"{"name":"bad","value":7}"#).status, 202);
    }
    aups.send_counts(&credential, 0..10);
    alice.expect_counts(0..10);
    let listed = || -> Vec<Value> { serde_json::from_str(&aups.ok(&["dead-letter", "list", "--json"])).unwrap() };
    let deadline = Instant::now() + PATIENCE;
    while listed().len() < 2 {
        assert!(Instant::now() < deadline, "{}", aups.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let first = listed()[0].clone();
    assert_eq!((&first["reason"], &first["topic"]), (&json!("refused"), &json!("data/sensor1/bad")));
    let table = aups.ok(&["dead-letter", "list"]);
    assert!(table.contains("data/sensor1/bad") && table.contains(first["itemId"].as_str().unwrap()), "{table}");
    let (id, other) = (first["id"].to_string(), listed()[1]["id"].to_string());
    let shown: Value = serde_json::from_str(&aups.ok(&["dead-letter", "show", &id])).unwrap();
    assert_eq!((&shown["item"]["id"], &shown["item"]["data"]["value"]), (&first["itemId"], &json!(7)));
    let trail = aups.ok(&["audit", "tail", "--json"]);
    assert!(trail.contains(&format!("/v1/dead-letters/{id}\"")), "who looked at it is recorded: {trail}");

    mosquitto.set_acl("pattern readwrite #\n");
    aups.ok(&["dead-letter", "replay", &id]);
    let line: Value = serde_json::from_str(&alice.next()).unwrap();
    assert_eq!((&line["item"]["id"], &line["topic"]), (&first["itemId"], &json!("data/sensor1/bad")));
    assert_eq!(aups.ok(&["dead-letter", "discard", &other]).trim(), "discarded 1 dead letter");
    assert!(listed().is_empty());
    assert_eq!(aups.run(&["dead-letter", "show", &id]).status.code(), Some(1));
    assert_eq!(aups.run(&["dead-letter", "discard"]).status.code(), Some(2));
}

#[test]
fn one_item_is_followed_by_its_id_from_the_post_to_the_acknowledgement() {
    let aups = Aups::start_with(&["--log", "info,aups::item=debug", "--log-format", "json"]);
    let credential = aups.source("sensor1");
    // What is said of an item, as far as the log has it.
    let said = |id: &str| -> Vec<Value> {
        let lines = aups.log();
        // The last line may not be whole yet.
        let lines = lines.lines().map_while(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "aups::item" && line["id"] == id).collect()
    };
    let words_of = |id: &str, last: &str| {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = said(id);
            if said.last().is_some_and(|line| line["message"] == last) {
                return said;
            }
            assert!(Instant::now() < deadline, "{id}: {said:?}");
        }
    };
    let withheld = aups.send(&credential, "1").item_id;
    let lines = words_of(&withheld, "withheld");
    assert_eq!(lines.iter().map(|line| line["message"].as_str().unwrap()).collect::<Vec<_>>(), ["taken", "withheld"]);
    assert_eq!(lines[1]["reason"], "nobody-may-read");

    aups.apply(METEO);
    let answer = aups.send(&credential, r#"{"name":"t","value":1}"#);
    let lines = words_of(&answer.item_id, "acknowledged");
    let words: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(words, ["taken", "permitted", "sealed", "published", "acknowledged"]);
    assert_eq!((&lines[0]["node"], &lines[0]["topic"]), (&json!("sensor1"), &json!("data/sensor1/t")));
    assert!(lines[2]["key_id"].is_string() && lines[2]["seq"].is_u64() && lines[3]["attempt"] == 1, "{lines:?}");
    assert_eq!(aups.send(&credential, "[1,2]").item_id, "", "of several none is named");
}
