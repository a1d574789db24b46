//! `durability = disk`: what was answered 202 is published, whatever is killed when.

use crate::program::{Aups, METEO, PATIENCE};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How often the server is killed: a sample of the campaign of 1,000.
const KILLS: usize = 5;

#[test]
fn every_accepted_value_arrives_once_by_id_through_kills() {
    let mut aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    let accepted = Mutex::new(HashSet::new());
    let next = AtomicU64::new(1);
    let stop = AtomicBool::new(false);
    let address = aups.http.clone();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let value = next.fetch_add(1, Ordering::Relaxed);
                    if post(&address, &credential, value) {
                        accepted.lock().unwrap().insert(value);
                    }
                }
            });
        }
        for kill in 0..KILLS {
            let goal = accepted.lock().unwrap().len() + 150 + 37 * kill;
            let deadline = Instant::now() + PATIENCE;
            while accepted.lock().unwrap().len() < goal {
                assert!(Instant::now() < deadline, "the server takes nothing:\n{}", aups.log());
                std::thread::sleep(Duration::from_millis(3));
            }
            aups.kill_and_restart();
        }
        stop.store(true, Ordering::Relaxed);
    });

    let accepted = accepted.into_inner().unwrap();
    let mut seen: HashMap<u64, String> = HashMap::new();
    let mut ids = HashSet::new();
    let deadline = Instant::now() + PATIENCE;
    while !accepted.iter().all(|value| seen.contains_key(value)) {
        let Some(line) = alice.next_within(Duration::from_secs(1)) else {
            let missing = accepted.iter().filter(|value| !seen.contains_key(value)).count();
            assert!(
                Instant::now() < deadline,
                "{missing} of {} accepted values are lost\n{}",
                accepted.len(),
                aups.log()
            );
            continue;
        };
        let line: Value = serde_json::from_str(&line).unwrap();
        let (item, id) = (&line["item"], line["item"]["id"].as_str().unwrap().to_owned());
        assert!(ids.insert(id.clone()), "item {id} came twice");
        if item["data"]["name"] == "count" {
            let value = item["data"]["value"].as_u64().unwrap();
            assert_eq!(seen.insert(value, id), None, "value {value} has two ids");
        }
    }
    assert!(accepted.len() >= 150 * KILLS);
}

/// Whether the value was answered with 202. A connection of its own, so that a kill costs this one only.
fn post(address: &str, credential: &str, value: u64) -> bool {
    use std::io::{Read as _, Write as _};
    let body = format!(r#"{{"name":"count","value":{value}}}"#);
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        std::thread::sleep(Duration::from_millis(5));
        return false;
    };
    let request = format!(
        "POST /data HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {credential}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_to_end(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 202")
}

#[test]
fn keys_issued_before_a_restart_still_open() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    aups.send(&credential, "1");
    let key_ids = |aups: &Aups| -> HashSet<String> {
        let rows = aups.admin("GET", "/v1/keys/list", "").json();
        rows["items"].as_array().unwrap().iter().map(|row| row["keyId"].as_str().unwrap().to_owned()).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while key_ids(&aups).is_empty() {
        assert!(Instant::now() < deadline);
    }
    let before = key_ids(&aups);
    aups.kill_and_restart();
    assert!(before.is_subset(&key_ids(&aups)), "keys are derived again, the same");
}

#[test]
fn a_graceful_stop_loses_nothing_either() {
    let mut aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    aups.send_counts(&credential, 0..500);
    assert!(aups.terminate().status.success());
    aups.start_again();
    alice.expect_counts(0..500);
}
