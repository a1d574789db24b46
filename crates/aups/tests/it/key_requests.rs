//! Key requests as another implementation of the reader would send them (DESIGN section 7).

use crate::program::{Answer, Aups, Lines, METEO, Mosquitto, PATIENCE, run};
use aups_core::{KeyId, UnixMillis};
use aups_envelope::{
    enrol::EnrolmentToken,
    hash::random,
    identity::IdentityFile,
    key_request::{Freshness, KeyRequest, Wanted, open_key_response},
};
use std::{
    collections::BTreeSet,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

const JOSE: (&str, &str) = ("Content-Type", "application/jose");

#[expect(clippy::disallowed_methods, reason = "a client's own clock")]
fn now() -> UnixMillis {
    UnixMillis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

struct Realm {
    aups: Aups,
    alice: IdentityFile,
    key_id: KeyId,
}

/// A realm with a published message, and alice, who may read it.
fn realm(roles: &str) -> Realm {
    realm_with(roles, &[])
}

/// The same, started with further arguments.
fn realm_with(roles: &str, extra: &[&str]) -> Realm {
    let aups = Aups::start_with(extra);
    aups.apply(METEO);
    aups.reader("alice", &["--attr", &format!("roles={roles}")]);
    let alice = IdentityFile::from_json(&std::fs::read(aups.file("alice.json")).unwrap()).unwrap();
    aups.send(&aups.source("sensor1"), "1");
    let deadline = Instant::now() + PATIENCE;
    let key_id = loop {
        assert!(Instant::now() < deadline, "nothing was sealed");
        let rows = aups.admin("GET", "/v1/keys/list", "").json();
        let active = rows["items"].as_array().unwrap().iter().find(|row| row["state"] == "active").cloned();
        if let Some(row) = active {
            break row["keyId"].as_str().unwrap().parse().unwrap();
        }
    };
    Realm { aups, alice, key_id }
}

impl Realm {
    fn request(&self) -> KeyRequest {
        KeyRequest {
            aud: self.alice.realm,
            sub: self.alice.sub.clone(),
            freshness: Freshness::IssuedAt(now()),
            jti: random(),
            want: vec![Wanted { key_id: self.key_id, topic: "data/sensor1/value".into() }],
        }
    }

    fn ask(&self, request: &KeyRequest) -> (String, Answer) {
        let signed = request.sign(&self.alice.signing_key);
        let answer = self.aups.post("/v1/keys", &signed, &[JOSE]);
        (signed, answer)
    }
}

#[test]
fn an_entitled_reader_gets_the_key_the_next_one_and_the_publishers() {
    let realm = realm("meteorologist");
    let (request, answer) = realm.ask(&realm.request());
    assert_eq!((answer.status, answer.content_type.as_str()), (200, "application/jose"), "{}", answer.body);
    let opened =
        open_key_response(request.as_bytes(), answer.body.as_bytes(), &realm.alice.realm_key, &realm.alice.kem, now())
            .unwrap();
    assert_eq!(opened.grants.keys.len(), 1);
    assert_eq!(opened.grants.keys[0].key_id, realm.key_id);
    assert_eq!(opened.grants.next.len(), 1);
    assert_eq!(opened.publishers.len(), 1);
    assert!(opened.refused.is_empty() && opened.grants.denied.is_empty());
    assert!(opened.now.0.abs_diff(now().0) < 30_000);
}

#[test]
fn one_without_rights_gets_403_and_cannot_tell_forbidden_from_unknown() {
    let realm = realm("gardener");
    let unknown = KeyId::from_bytes([7; 24]);
    let mut request = realm.request();
    request.want.push(Wanted { key_id: unknown, topic: "x".into() });
    let (request, answer) = realm.ask(&request);
    assert_eq!((answer.status, answer.content_type.as_str()), (403, "application/jose"), "{}", answer.body);
    let opened =
        open_key_response(request.as_bytes(), answer.body.as_bytes(), &realm.alice.realm_key, &realm.alice.kem, now())
            .unwrap();
    assert!(opened.grants.keys.is_empty() && opened.grants.next.is_empty());
    assert_eq!(BTreeSet::from_iter(opened.grants.denied), BTreeSet::from([realm.key_id, unknown]));
}

#[test]
fn stale_altered_repeated_and_foreign_requests_get_their_status() {
    let realm = realm("meteorologist");
    let (signed, first) = realm.ask(&realm.request());
    assert_eq!(first.status, 200);
    realm.aups.post("/v1/keys", &signed, &[JOSE]).problem(409);

    let mut stale = realm.request();
    stale.freshness = Freshness::IssuedAt(UnixMillis(now().0 - 61_000));
    let (_, answer) = realm.ask(&stale);
    answer.problem(401);
    let challenge = answer.json()["challenge"].as_str().unwrap().to_owned();
    assert!(answer.json()["now"].is_u64());
    let mut clockless = realm.request();
    clockless.freshness = Freshness::Challenge(challenge);
    assert_eq!(realm.ask(&clockless).1.status, 200);

    let mut altered = realm.request().sign(&realm.alice.signing_key).into_bytes();
    let last = altered.len() - 2;
    altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
    let bad_signature = realm.aups.post("/v1/keys", &String::from_utf8(altered).unwrap(), &[JOSE]);
    bad_signature.problem(401);
    let mut unknown = realm.request();
    unknown.sub = "nobody".parse().unwrap();
    let (_, unknown) = realm.ask(&unknown);
    assert_eq!((unknown.status, unknown.body), (401, bad_signature.body), "one body for both");

    let mut foreign = realm.request();
    foreign.aud = aups_core::RealmId::from_bytes([1; 32]);
    let status = realm.ask(&foreign).1.status;
    assert!((400..500).contains(&status), "{status}");
    let mut greedy = realm.request();
    greedy.want = vec![greedy.want[0].clone(); 65];
    realm.ask(&greedy).1.problem(400);
    realm.aups.post("/v1/keys", "not.a.jws", &[JOSE]).problem(400);
    realm.aups.post("/v1/keys", &"x".repeat(17 << 10), &[JOSE]).problem(413);
    assert_eq!(realm.ask(&realm.request()).1.status, 200, "the server is unharmed");
}

/// Asks with stock clients until an answer comes: until they are subscribed, and the NOS is, it is lost.
fn ask_over_mqtt(realm: &Realm, port: u16, version: &str, request: impl Fn() -> KeyRequest) -> (String, String) {
    let mqtt = &realm.alice.mqtt;
    let port = port.to_string();
    let to = ["-h", "127.0.0.1", "-p", &port, "-u", &mqtt.username, "-P", &mqtt.password, "-V", version, "-q", "1"];
    let program = |name: &str| std::process::Command::new(name);
    let mut answers = Lines::of(program("mosquitto_sub").args(to).args(["-t", "aups/ks/alice"]));
    let deadline = Instant::now() + PATIENCE;
    let mut asked = Vec::new();
    while Instant::now() < deadline {
        let jws = request().sign(&realm.alice.signing_key);
        let (code, _, errors) = run(program("mosquitto_pub").args(to).args(["-t", "aups/kr/alice", "-m", &jws]));
        assert_eq!(code, Some(0), "{errors}");
        asked.push(jws);
        if let Some(answer) = answers.next_within(std::time::Duration::from_millis(500)) {
            let rh_of = |jws: &String| aups_envelope::b64::encode(&aups_envelope::sha256(&[jws.as_bytes()]));
            let is_asked = |jws: &&String| {
                let opened = open_key_response(
                    jws.as_bytes(),
                    answer.as_bytes(),
                    &realm.alice.realm_key,
                    &realm.alice.kem,
                    now(),
                );
                opened.is_ok() || answer.contains(&rh_of(jws))
            };
            return (asked.iter().find(is_asked).unwrap().clone(), answer);
        }
    }
    panic!("no answer over {version}: {}", realm.aups.log());
}

fn gets_its_key_over_mqtt(realm: &Realm, port: u16) {
    for version in ["mqttv5", "mqttv311"] {
        let (request, answer) = ask_over_mqtt(realm, port, version, || realm.request());
        let (realm_key, kem) = (&realm.alice.realm_key, &realm.alice.kem);
        let opened = open_key_response(request.as_bytes(), answer.as_bytes(), realm_key, kem, now()).unwrap();
        assert_eq!(opened.grants.keys[0].key_id, realm.key_id, "{version}");

        let stale = || KeyRequest { freshness: Freshness::IssuedAt(UnixMillis(1)), ..realm.request() };
        let (_, answer) = ask_over_mqtt(realm, port, version, stale);
        let problem: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(problem["status"], 401, "{problem}");
        assert!(problem["challenge"].is_string() && problem["now"].is_u64(), "{problem}");
    }
}

#[test]
fn the_same_requests_are_answered_over_mqtt_alone() {
    let realm = realm("meteorologist");
    gets_its_key_over_mqtt(&realm, realm.aups.mqtt_port);
    let metrics = realm.aups.request("GET", "/metrics", b"", &[]).body;
    assert!(metrics.contains("aups_keys_granted_total"), "{metrics}");
}

#[test]
fn the_same_requests_are_answered_over_another_broker() {
    let mosquitto = Mosquitto::start();
    let realm = realm_with("meteorologist", &["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]);
    gets_its_key_over_mqtt(&realm, mosquitto.port);
}

#[test]
fn an_enrolment_token_is_good_once_and_for_its_realm_only() {
    let aups = Aups::start();
    for kem in ["x-wing", "x25519"] {
        let token = aups.ok(&["user", "add", kem]);
        let token = token.trim();
        token.parse::<EnrolmentToken>().unwrap();
        let out = format!("{kem}.json");
        aups.enrol(token, &out, &["--kem", kem]);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(aups.file(&out)).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let again = aups.run(&["enrol", "--token", token, "--out", "again.json"]);
        assert!(!again.status.success() && !aups.file("again.json").exists());
    }
    let token = aups.ok(&["user", "token", "x-wing"]);
    let (secret, _) = token.trim().split_once('.').unwrap();
    let elsewhere = format!("{secret}.{}", aups_core::RealmId::from_bytes([9; 32]));
    let refused = aups.run(&["enrol", "--token", &elsewhere, "--out", "elsewhere.json"]);
    assert!(!refused.status.success() && !aups.file("elsewhere.json").exists());
}
