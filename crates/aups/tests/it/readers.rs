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

/// `aups sub` with a state file, its standard output appended to a file.
fn reading_into(aups: &Aups, out: &str) -> std::process::Child {
    let out = fs::OpenOptions::new().create(true).append(true).open(aups.file(out)).unwrap();
    std::process::Command::new(env!("CARGO_BIN_EXE_aups"))
        .args(["sub", "--as", "alice.json", "data/#", "--json", "--state", "alice.state"])
        .current_dir(aups.file("."))
        .stdout(out)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// The values of the readings named `count` that were printed.
fn counts(aups: &Aups, out: &str) -> Vec<u64> {
    let text = fs::read_to_string(aups.file(out)).unwrap();
    // The last one may be on its way.
    let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let items = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let counts = items.filter(|line| line["item"]["data"]["name"] == "count");
    counts.map(|line| line["item"]["data"]["value"].as_u64().unwrap()).collect()
}

fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_reader_that_is_killed_goes_on_where_it_was() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    let mut reader = reading_into(&aups, "items");
    wait_for("subscribed", || {
        aups.send(&credential, r#"{"name":"start","value":0}"#);
        fs::read_to_string(aups.file("items")).unwrap().contains("start")
    });
    let kills = 4;
    for round in 0..kills {
        let so_far = counts(&aups, "items").len();
        aups.send_counts(&credential, round * 200..round * 200 + 100);
        wait_for("some came", || counts(&aups, "items").len() > so_far + 20);
        reader.kill().unwrap();
        reader.wait().unwrap();
        // While it is away; and once the server is killed as well.
        aups.send_counts(&credential, round * 200 + 100..round * 200 + 200);
        if round == 1 {
            aups.kill_and_restart();
        }
        reader = reading_into(&aups, "items");
    }
    let all: std::collections::BTreeSet<_> = (0..kills * 200).collect();
    wait_for("all came", || counts(&aups, "items").into_iter().collect::<std::collections::BTreeSet<_>>() == all);
    reader.kill().unwrap();
    reader.wait().unwrap();
    let twice = counts(&aups, "items").len() - all.len();
    assert!(twice <= usize::try_from(kills).unwrap(), "the line that was being printed, each time: {twice}");

    let other = aups.reader("bob", &["--attr", "roles=meteorologist"]);
    assert_eq!(other["sub"], "bob");
    let (code, _, errors) = aups.spawn(&["sub", "--as", "bob.json", "data/#", "--state", "alice.state"]).finish();
    assert!(code == Some(1) && errors.contains("is the state of alice"), "{code:?} {errors}");
}

#[test]
fn a_thousand_topics_come_once_each_through_restarts() {
    let mut aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    let authorization = format!("Bearer {credential}");
    let headers = [("Content-Type", "application/x-ndjson"), ("Authorization", authorization.as_str())];
    let rounds = 3;
    for round in 0..rounds {
        let lines: Vec<_> = (0..1_000).map(|n| format!(r#"{{"name":"t{n}","value":{}}}"#, round * 1_000 + n)).collect();
        assert_eq!(aups.post("/data", &lines.join("\n"), &headers).json()["accepted"], 1_000);
        if round < 2 {
            aups.kill_and_restart();
        }
    }
    let mut missing: std::collections::HashSet<u64> = (0..rounds * 1_000).collect();
    while !missing.is_empty() {
        let line = alice.next_within(PATIENCE).unwrap_or_else(|| panic!("{} are missing", missing.len()));
        let item: Value = serde_json::from_str(&line).unwrap();
        if item["item"]["data"]["name"].as_str().unwrap().starts_with('t') {
            assert!(missing.remove(&item["item"]["data"]["value"].as_u64().unwrap()), "twice: {line}");
        }
    }
}
