//! Readers: which way they ask for keys, what they keep over a restart, and what they get through reconnections.

use crate::program::{Aups, METEO, Mosquitto, PATIENCE};
use serde_json::Value;
use std::{fs, time::Duration};

/// Alice, whose identity names a server that is not there.
fn without_server(aups: &Aups) {
    let mut identity = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    identity["server"] = "http://127.0.0.1:9".into();
    fs::write(aups.file("alice.json"), identity.to_string()).unwrap();
}

/// Opens an item over MQTT where the server is out of reach: alone, and when there is a choice.
fn reads_over_one_connection(aups: &Aups) {
    aups.apply(METEO);
    without_server(aups);
    let credential = aups.source("sensor1");
    for keys in ["mqtt", "either"] {
        let mut alice = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json", "--count", "1", "--keys", keys]);
        let mut item = None;
        for _ in 0..100 {
            assert_eq!(aups.send(&credential, "1").status, 202);
            item = alice.next_within(Duration::from_millis(300));
            if item.is_some() {
                break;
            }
        }
        let item: Value = serde_json::from_str(&item.unwrap_or_else(|| panic!("{}", alice.finish().2))).unwrap();
        assert_eq!(item["item"]["data"]["value"], 1, "{keys}");
    }
}

#[test]
fn keys_come_over_the_mqtt_connection_alone() {
    let aups = Aups::start();
    reads_over_one_connection(&aups);
    let sub = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json", "--timeout", "2", "--keys", "http"]);
    aups.send(&aups.source("sensor2"), "1");
    let (_, opened, _) = sub.finish();
    assert!(opened.is_empty(), "there was no server to ask: {opened:?}");
}

#[test]
fn keys_come_over_another_broker_as_well() {
    let mosquitto = Mosquitto::start();
    reads_over_one_connection(&Aups::start_with(&["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]));
}

/// More topics than a broker sends messages ahead: the answers must get past them.
#[test]
fn answers_come_past_messages_that_wait_for_them() {
    let aups = Aups::start_with(&["--retain", "data/#"]);
    aups.apply(METEO);
    without_server(&aups);
    let credential = aups.source("sensor1");
    let lines: Vec<_> = (0..1_000).map(|n| format!(r#"{{"name":"t{n}","value":{n}}}"#)).collect();
    let authorization = format!("Bearer {credential}");
    let headers = [("Content-Type", "application/x-ndjson"), ("Authorization", authorization.as_str())];
    assert_eq!(aups.post("/data", &lines.join("\n"), &headers).json()["accepted"], 1_000);
    let metric = |name: &str| aups.request("GET", "/metrics", b"", &[]).body.contains(name);
    let deadline = std::time::Instant::now() + PATIENCE;
    while !metric("aups_items_published_total 1000") {
        assert!(std::time::Instant::now() < deadline, "{}", aups.request("GET", "/metrics", b"", &[]).body);
    }
    let sub = ["sub", "--as", "alice.json", "data/#", "--json", "--count", "1000", "--keys", "mqtt"];
    let (code, items, errors) = aups.spawn(&sub).finish();
    assert_eq!(code, Some(0), "{} came: {errors}", items.len());
    let values: std::collections::BTreeSet<_> = items
        .iter()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["status"], "retained");
            line["item"]["data"]["value"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(values.len(), 1_000, "the last value of each topic, once");
}
