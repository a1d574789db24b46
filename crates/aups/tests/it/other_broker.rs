//! `--broker mqtt://…`: a real Mosquitto instead of the embedded broker.

use crate::program::{Aups, METEO, Mosquitto, PATIENCE};
use serde_json::Value;
use std::time::{Duration, Instant};

fn start(mosquitto: &Mosquitto) -> Aups {
    let aups = Aups::start_with(&["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]);
    let deadline = Instant::now() + PATIENCE;
    while aups.request("GET", "/readyz", b"", &[]).status != 200 {
        assert!(Instant::now() < deadline, "{}", aups.log());
    }
    aups
}

#[test]
fn a_real_mosquitto_carries_ciphertext_and_the_entitled_open_it() {
    let mosquitto = Mosquitto::start();
    let aups = start(&mosquitto);
    aups.apply(METEO);
    let identity = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    assert_eq!(identity["mqtt"]["url"], format!("mqtt://127.0.0.1:{}", mosquitto.port));
    aups.reader("bob", &[]);
    let credential = aups.source("sensor1");
    let mut stock = mosquitto.sub(&["-t", "data/#", "-q", "1"]);
    let mut alice = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json", "--count", "1"]);
    // Mosquitto lets bob subscribe; the keys are what he does not get.
    let bob = aups.spawn(&["sub", "--as", "bob.json", "data/#", "--json", "--timeout", "10"]);
    let mut item = None;
    for _ in 0..100 {
        assert_eq!(aups.send(&credential, r#"{"name":"t","value":"plain as day"}"#).status, 202);
        item = alice.next_within(Duration::from_millis(300));
        if item.is_some() {
            break;
        }
    }
    let item: Value = serde_json::from_str(&item.unwrap()).unwrap();
    assert_eq!(item["item"]["data"]["value"], "plain as day");
    let sealed = stock.next();
    assert!(!sealed.contains("plain as day") && sealed.starts_with('{'), "{sealed}");
    for _ in 0..10 {
        aups.send(&credential, "1");
        std::thread::sleep(Duration::from_millis(300));
    }
    let (code, opened, errors) = bob.finish();
    assert_eq!((code, opened.len()), (Some(3), 0), "{errors}");
}

#[test]
fn a_broker_that_was_away_gets_everything_when_it_is_back() {
    let mut mosquitto = Mosquitto::start();
    let aups = start(&mosquitto);
    let (mut alice, credential) = aups.subscribed_alice();
    aups.send_counts(&credential, 0..200);
    mosquitto.stop();
    aups.send_counts(&credential, 200..400);
    let deadline = Instant::now() + PATIENCE;
    while aups.request("GET", "/readyz", b"", &[]).status != 503 {
        assert!(Instant::now() < deadline, "/readyz does not see that the broker is gone");
    }
    mosquitto.start_again();
    aups.send_counts(&credential, 400..600);
    alice.expect_counts(0..600);
}
