//! Who is kept out of the data path, and what an administrator sees and does of it.

use crate::program::{Aups, PATIENCE, text};
use serde_json::{Value, json};
use std::time::Instant;

impl Aups {
    /// Events of the audit trail of these kinds, once there are so many.
    fn audited(&self, events: &str, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.admin("GET", &format!("/v1/audit?event={events}"), "").json();
            let items = found["items"].as_array().unwrap().clone();
            if items.len() >= count {
                return items;
            }
            assert!(Instant::now() < deadline, "{items:?}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

#[test]
fn who_guesses_credentials_is_kept_out_and_an_administrator_lets_it_in() {
    let aups = Aups::start();
    let credential = aups.source("sensor1");
    let guess = || aups.send("bm90aGluZw", "1");
    // Some are forgiven meanwhile.
    let refused = (0..400).map(|_| guess()).find(|answer| answer.status != 401).unwrap();
    assert_eq!(refused.problem(429), "quarantined");
    assert_eq!(aups.post("/data", "1", &[]).problem(429), "quarantined");
    assert_eq!(aups.send(&credential, "1").status, 202, "a registered source at that address goes on");
    assert_eq!(aups.request("GET", "/readyz", b"", &[]).status, 200);

    let listed: Value = serde_json::from_str(&aups.ok(&["quarantine", "list", "--json"])).unwrap();
    assert_eq!(
        (&listed[0]["who"], &listed[0]["reason"], &listed[0]["times"]),
        (&json!("address:127.0.0.1"), &json!("wrong-credential"), &json!(1))
    );
    let table = aups.ok(&["quarantine", "list"]);
    assert!(table.starts_with("WHO") && table.contains("address:127.0.0.1"), "{table}");
    assert_eq!(aups.ok(&["quarantine", "release", "address:127.0.0.1"]), "released address:127.0.0.1\n");
    assert_eq!(aups.post("/data", "1", &[]).status, 202);
    let again = aups.run(&["quarantine", "release", "address:127.0.0.1"]);
    assert_eq!(again.status.code(), Some(1), "{}", text(&again.stderr));

    let told = aups.audited("quarantined,quarantine-left", 2);
    assert_eq!((&told[0]["event"], &told[0]["reason"]), (&json!("quarantined"), &json!("wrong-credential")));
    assert_eq!((&told[1]["event"], &told[1]["byHand"]), (&json!("quarantine-left"), &json!(true)));
}

#[test]
fn an_administrator_keeps_a_source_out() {
    let aups = Aups::start();
    let credential = aups.source("pump7");
    let added = aups.ok(&["quarantine", "add", "source:pump7", "--for", "2h", "--reason", "sends nonsense"]);
    assert!(added.contains("by hand") && added.contains("sends nonsense"), "{added}");
    assert_eq!(aups.send(&credential, "1").problem(429), "quarantined");
    assert_eq!(aups.post("/data", "1", &[]).status, 202, "its address is not");
    assert_eq!(aups.admin("DELETE", "/v1/quarantine/source:pump7", "").status, 204);
    assert_eq!(aups.send(&credential, "1").status, 202);

    let add = |body: Value| aups.admin("POST", "/v1/quarantine", &body.to_string());
    for (body, status) in [
        (json!({"who": "source:nobody", "seconds": 1}), 404),
        (json!({"who": "pump7", "seconds": 1}), 400),
        (json!({"who": "address:1.2.3", "seconds": 1}), 400),
        (json!({"who": "source:pump7", "seconds": 0}), 400),
        (json!({"who": "source:pump7", "seconds": 10_000_000}), 400),
        (json!({"who": "source:pump7", "seconds": 1, "reason": "x".repeat(201)}), 400),
        (json!({"who": "source:pump7"}), 400),
    ] {
        add(body).problem(status);
    }
    assert_eq!(aups.admin("DELETE", "/v1/quarantine/pump7", "").problem(400), "malformed-name");
    let added = add(json!({"who": "address:2001:db8::7", "seconds": 60}));
    assert_eq!((added.status, &added.json()["who"]), (201, &json!("address:2001:db8::")), "the /64 is one");
    assert_eq!(aups.admin("DELETE", "/v1/quarantine/address:2001:db8::1", "").status, 204);
    let usage = aups.run(&["quarantine", "add", "pump7"]);
    assert_eq!(usage.status.code(), Some(2));
}
