use super::*;
use serde_json::{Value, json};

fn identity(kem: Kem) -> IdentityFile {
    let realm = SigningKey::from_seed(Secret::from_bytes([1; 32])).public();
    let enrolled = Enrolled {
        rh: [0; 32],
        kind: ReaderKind::App,
        sub: "alice".parse().unwrap(),
        realm: realm_id(&realm),
        realm_key: realm,
        server: "http://127.0.0.1:8080".into(),
        mqtt: MqttAccess { url: "mqtt://127.0.0.1:1883".into(), username: "alice".into(), password: "secret".into() },
        ca: None,
    };
    let signing_key = SigningKey::from_seed(Secret::from_bytes([2; 32]));
    IdentityFile::new(enrolled, signing_key, KemSecretKey::from_bytes(kem, Secret::from_bytes([3; 32])))
}

fn value() -> Value {
    serde_json::from_slice(identity(Kem::XWing).to_json().expose()).unwrap()
}

fn fault(value: &Value) -> IdentityError {
    IdentityFile::from_json(value.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_file_has_the_members_of_the_contract() {
    let realm = SigningKey::from_seed(Secret::from_bytes([1; 32])).public();
    assert_eq!(
        value(),
        json!({"version": 1, "kind": "app", "sub": "alice", "realm": realm_id(&realm), "realmKey": realm,
            "server": "http://127.0.0.1:8080",
            "mqtt": {"url": "mqtt://127.0.0.1:1883", "username": "alice", "password": "secret"},
            "signingKey": crate::b64::encode(&[2; 32]), "kem": "x-wing", "kemKey": crate::b64::encode(&[3; 32])})
    );
}

#[test]
fn what_was_written_is_read() {
    for kem in [Kem::XWing, Kem::X25519] {
        let written = identity(kem);
        let read = IdentityFile::from_json(written.to_json().expose()).unwrap();
        assert_eq!(read.signing_key.public(), written.signing_key.public());
        assert_eq!(read.kem.public(), written.kem.public());
        assert_eq!((read.kind, &read.sub, read.realm), (written.kind, &written.sub, written.realm));
        assert_eq!((&read.server, &read.mqtt), (&written.server, &written.mqtt));
    }
}

#[test]
fn a_file_that_does_not_hold_together_is_refused() {
    let with = |member: &str, new: Value| {
        let mut value = value();
        value[member] = new;
        value
    };
    assert!(matches!(fault(&with("version", json!(2))), IdentityError::Version(2)));
    assert!(matches!(fault(&with("realm", json!(crate::b64::encode(&[9; 32])))), IdentityError::Realm));
    for (member, new) in [
        ("kind", json!("robot")),
        ("sub", json!("a/b")),
        ("signingKey", json!("AAAA")),
        ("kemKey", json!(1)),
        ("kem", json!("rsa")),
        ("extra", json!(1)),
        ("mqtt", json!({"url": "", "username": "", "password": "", "more": 1})),
        ("mqtt", json!(["", "", ""])),
    ] {
        assert!(matches!(fault(&with(member, new)), IdentityError::Json(_)), "{member}");
    }
}

#[test]
fn an_error_does_not_repeat_the_secret_that_was_wrong() {
    let mut value = value();
    value["signingKey"] = json!("not-a-key-but-nearly-secret");
    let error = format!("{:?}", fault(&value));
    assert!(!error.contains("nearly"), "{error}");
}
