//! `aups ktm` and `aups nos`: the roles of a realm in processes of their own, and a real Mosquitto between them and readers.

use crate::program::{Aups, Lines, METEO, Mosquitto, PATIENCE, run};
use serde_json::{Value, json};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// How long after the last word from the KTM a NOS may seal, and some.
const LEASE_OVER: Duration = Duration::from_secs(40);

/// A realm whose NOSs run apart.
pub(crate) struct Realm {
    mosquitto: Mosquitto,
    pub(crate) ktm: Aups,
}

impl Realm {
    pub(crate) fn start() -> Self {
        Self { mosquitto: Mosquitto::start(), ktm: Aups::start_role("ktm", &[]) }
    }

    fn link(&self) -> String {
        format!("https://127.0.0.1:{}", self.ktm.mqtt_port)
    }

    fn admit(&self, name: &str) -> String {
        self.ktm.ok(&["ktm", "admit-nos", name]).trim().to_owned()
    }

    /// A NOS that was admitted and publishes.
    pub(crate) fn nos(&self, name: &str) -> Aups {
        let broker = format!("mqtt://127.0.0.1:{}", self.mosquitto.port);
        let token = self.admit(name);
        let nos = Aups::start_role("nos", &["--ktm", &self.link(), "--admission", &token, "--broker", &broker]);
        wait_ready(&nos, 200);
        nos
    }

    /// Registers a user at the KTM and enrols it at a NOS.
    fn reader(&self, nos: &Aups, name: &str, args: &[&str]) {
        let token = self.ktm.ok(&[&["user", "add", name][..], args].concat());
        nos.enrol(token.trim(), &format!("{name}.json"), &[]);
    }

    fn nodes(&self) -> Vec<Value> {
        let listed: Value = serde_json::from_str(&self.ktm.ok(&["ktm", "list-nos", "--json"])).unwrap();
        listed.as_array().unwrap().clone()
    }
}

fn wait_ready(nos: &Aups, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    while nos.request("GET", "/readyz", b"", &[]).status != status {
        assert!(Instant::now() < deadline, "/readyz does not become {status}:\n{}", nos.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sub(nos: &Aups, name: &str) -> Lines {
    nos.spawn(&["sub", "--as", &format!("{name}.json"), "data/#", "--json"])
}

/// Sends until something of the source comes: then its reader is subscribed and has its key.
fn until_heard(nos: &Aups, credential: &str, node: &str, reader: &mut Lines) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "nothing of {node} is opened:\n{}", nos.log());
        assert_eq!(nos.send(credential, r#"{"name":"start","value":0}"#).status, 202);
        while let Some(line) = reader.next_within(Duration::from_millis(300)) {
            if serde_json::from_str::<Value>(&line).unwrap()["item"]["source"]["nodeId"] == node {
                return;
            }
        }
    }
}

/// Reads until this value came; gives all values that came before.
fn values_until(reader: &mut Lines, last: &str) -> Vec<String> {
    let mut values = Vec::new();
    loop {
        let line: Value = serde_json::from_str(&reader.next()).unwrap();
        let Some(value) = line["item"]["data"]["value"].as_str() else { continue };
        if value == last {
            return values;
        }
        values.push(value.to_owned());
    }
}

#[test]
fn policies_and_revocations_reach_every_nos_before_their_commands_return() {
    let realm = Realm::start();
    let (roof, cellar) = (realm.nos("roof"), realm.nos("cellar"));
    realm.ktm.apply(METEO);
    for (nos, name) in [(&roof, "alice"), (&cellar, "bob")] {
        realm.reader(nos, name, &["--attr", "roles=meteorologist"]);
    }
    let (on_roof, in_cellar) = (roof.source("wind"), cellar.source("damp"));
    // Each enrolled at one NOS and reads what both publish.
    let (mut alice, mut bob) = (sub(&roof, "alice"), sub(&cellar, "bob"));
    for reader in [&mut alice, &mut bob] {
        until_heard(&roof, &on_roof, "wind", reader);
        until_heard(&cellar, &in_cellar, "damp", reader);
    }
    let nodes = realm.nodes();
    let shown: Vec<_> =
        nodes.iter().map(|node| (node["nos"].as_str().unwrap(), node["connected"] == json!(true))).collect();
    assert_eq!(shown, [("cellar", true), ("roof", true)]);
    let slots: std::collections::BTreeSet<u64> = nodes.iter().map(|node| node["publisher"].as_u64().unwrap()).collect();
    assert_eq!(slots.len(), 2, "{nodes:?}");
    // What the KTM's administrator sees of topics comes from both.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let scopes = realm.ktm.admin("GET", "/v1/scopes", "").body;
        if scopes.contains("data/wind/start") && scopes.contains("data/damp/start") {
            break;
        }
        assert!(Instant::now() < deadline, "{scopes}");
        std::thread::sleep(Duration::from_millis(100));
    }

    let before = Instant::now();
    realm.ktm.ok(&["user", "set", "alice", "--attr", "roles="]);
    let took = before.elapsed();
    assert!(took < Duration::from_secs(10), "a revocation took {took:?} with every NOS connected");
    // From the moment it returned, neither NOS seals anything that alice opens.
    roof.send(&on_roof, r#"{"name":"after","value":"roof"}"#);
    cellar.send(&in_cellar, r#"{"name":"after","value":"cellar"}"#);
    // In whatever order they come.
    if !values_until(&mut bob, "roof").contains(&"cellar".to_owned()) {
        values_until(&mut bob, "cellar");
    }
    while let Some(line) = alice.next_within(Duration::from_secs(2)) {
        assert!(!line.contains(r#""after""#), "the ex-reader opened {line}");
    }

    realm.ktm.apply("");
    roof.send(&on_roof, r#"{"name":"after","value":"nobody"}"#);
    // By the policies that were taken away it would have been published.
    let deadline = Instant::now() + PATIENCE;
    while !roof.request("GET", "/metrics", b"", &[]).body.contains(r#"withheld_total{reason="nobody-may-read"}"#) {
        assert!(Instant::now() < deadline, "the item was not withheld");
        std::thread::sleep(Duration::from_millis(20));
    }
    realm.ktm.apply(METEO);
    roof.send(&on_roof, r#"{"name":"after","value":"again"}"#);
    assert_eq!(values_until(&mut bob, "again"), Vec::<String>::new());
}

#[test]
fn without_its_ktm_a_nos_keeps_what_it_takes_and_publishes_it_when_the_ktm_is_back() {
    let realm = Realm::start();
    let roof = realm.nos("roof");
    realm.ktm.apply(METEO);
    realm.reader(&roof, "alice", &["--attr", "roles=meteorologist"]);
    let credential = roof.source("wind");
    let mut alice = sub(&roof, "alice");
    until_heard(&roof, &credential, "wind", &mut alice);

    realm.ktm.signal("-STOP");
    let cut = Instant::now();
    // With the keys that it has, it goes on.
    roof.send_counts(&credential, 0..100);
    alice.expect_counts(0..100);
    assert!(cut.elapsed() < Duration::from_secs(25), "the machine is too slow to tell");
    wait_ready(&roof, 503);
    assert!(cut.elapsed() > Duration::from_secs(20), "the lease ended after {:?}", cut.elapsed());
    std::thread::sleep(LEASE_OVER.saturating_sub(cut.elapsed()));
    let mut stock = realm.mosquitto.sub(&["-t", "data/#", "-q", "1"]);
    roof.send_counts(&credential, 100..300);
    assert_eq!(stock.next_within(Duration::from_secs(3)), None, "something was published without a lease");
    let key_request = roof.request("POST", "/v1/keys", b"x", &[("Content-Type", "application/jose")]);
    assert!(key_request.status >= 400);

    realm.ktm.signal("-CONT");
    alice.expect_counts(100..300);
    assert!(stock.next().starts_with('{'));
    wait_ready(&roof, 200);
}

#[test]
fn a_ktm_and_a_nos_that_are_killed_go_on_where_they_were() {
    let mut realm = Realm::start();
    let mut roof = realm.nos("roof");
    realm.ktm.apply(METEO);
    realm.reader(&roof, "alice", &["--attr", "roles=meteorologist"]);
    let credential = roof.source("wind");
    let mut alice = sub(&roof, "alice");
    until_heard(&roof, &credential, "wind", &mut alice);
    realm.ktm.kill_and_restart();
    roof.send_counts(&credential, 0..50);
    alice.expect_counts(0..50);
    roof.kill();
    realm.ktm.kill();
    // Without the KTM it takes data in, and knows nobody whom it could refuse.
    roof.start_again();
    roof.send_counts(&credential, 50..100);
    assert_eq!(roof.request("GET", "/v1/topics", b"", &[]).status, 401);
    realm.ktm.start_again();
    alice.expect_counts(50..100);
}

#[test]
fn a_removed_nos_is_heard_no_more_and_its_keys_are_replaced() {
    let realm = Realm::start();
    let (roof, cellar) = (realm.nos("roof"), realm.nos("cellar"));
    realm.ktm.apply(METEO);
    realm.reader(&cellar, "alice", &["--attr", "roles=meteorologist"]);
    let (on_roof, in_cellar) = (roof.source("wind"), cellar.source("damp"));
    let mut alice = sub(&cellar, "alice");
    until_heard(&roof, &on_roof, "wind", &mut alice);
    until_heard(&cellar, &in_cellar, "damp", &mut alice);
    assert_eq!(realm.ktm.ok(&["ktm", "remove-nos", "roof"]), "removed NOS roof\n");
    wait_ready(&roof, 503);
    roof.send(&on_roof, r#"{"name":"after","value":"roof"}"#);
    cellar.send(&in_cellar, r#"{"name":"after","value":"cellar"}"#);
    assert_eq!(values_until(&mut alice, "cellar"), Vec::<String>::new());
    while let Some(line) = alice.next_within(Duration::from_secs(2)) {
        assert!(!line.contains(r#""value":"roof""#), "{line}");
    }
    assert_eq!(realm.nodes().len(), 1);
    let audit = realm.ktm.admin("GET", "/v1/audit?limit=100", "").body;
    assert!(audit.contains(r#""bumps":{"#) && audit.contains("/v1/nos/roof"), "{audit}");
    let again = realm.ktm.run(&["ktm", "remove-nos", "roof"]);
    assert_eq!(again.status.code(), Some(1));
}

#[test]
fn what_a_nos_is_started_with_is_checked() {
    let realm = Realm::start();
    let dir = tempfile::tempdir().unwrap();
    let nos = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
        command.args(["nos", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--log", "error", "--data-dir"]);
        run(command.arg(dir.path().join("nos")).args(args))
    };
    let (code, _, error) = nos(&[]);
    assert!(code == Some(1) && error.contains("--ktm"), "{code:?} {error}");
    let (code, _, error) = nos(&["--ktm", &realm.link()]);
    assert!(code == Some(1) && error.contains("aups ktm admit-nos"), "{code:?} {error}");
    let (code, _, error) = nos(&["--ktm", &realm.link(), "--admission", "sesame"]);
    assert!(code == Some(2) && error.contains("admission token"), "{code:?} {error}");
    let (code, _, error) = nos(&["--ktm", "http://127.0.0.1:1", "--admission", &realm.admit("roof")]);
    assert!(code == Some(1) && error.contains("https://"), "{code:?} {error}");
    let token = realm.admit("roof");
    let other = Realm::start();
    let (code, _, error) = nos(&["--ktm", &other.link(), "--admission", &token]);
    assert!(code == Some(1) && !error.contains("panicked"), "{code:?} {error}");
    // A second token replaces the first.
    realm.admit("roof");
    let (code, _, error) = nos(&["--ktm", &realm.link(), "--admission", &token]);
    assert!(code == Some(1) && error.contains("admission token"), "{code:?} {error}");
    assert!(!fs::exists(dir.path().join("nos/link/link.json")).unwrap());
}
