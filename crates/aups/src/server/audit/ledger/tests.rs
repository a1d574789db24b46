use super::*;
use crate::server::audit::{Filter, Signer, verify};
use aups_core::{KeyId, ManualClock, UnixMillis};
use aups_nos::{DeniedKey, GrantedKey};
use serde_json::{Value, json};

fn scope(byte: u8) -> Arc<ScopeSpec> {
    Arc::new(ScopeSpec {
        id: ScopeId::from_bytes([byte; 32]),
        app: "".into(),
        user: "permit(principal, action, resource);".into(),
        obligations: aups_core::Obligations::default(),
        suite: aups_core::Suite::default(),
        life_ms: 300_000,
    })
}

fn outcome(sub: &str, granted: &[u8], denied: &[Option<u8>]) -> KeyOutcome {
    let (key_id, topic) = (KeyId::from_bytes([9; 24]), "data/s1/t".to_owned());
    KeyOutcome {
        sub: sub.parse().unwrap(),
        origin: Origin::Http([192, 0, 2, 1].into()),
        granted: granted.iter().map(|byte| GrantedKey { key_id, spec: scope(*byte), topic: topic.clone() }).collect(),
        denied: denied.iter().map(|byte| DeniedKey { key_id, spec: byte.map(scope), topic: topic.clone() }).collect(),
    }
}

async fn lines(audit: &Audit) -> Vec<Value> {
    let found = audit.lines(None, 1_000, Filter::default()).await.unwrap();
    found.lines.iter().map(|line| serde_json::from_str(line.get()).unwrap()).collect()
}

#[tokio::test]
async fn each_request_has_a_line_and_each_scope_is_told_in_words_once() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Arc::new(Audit::open(&dir.path().join("audit"), Arc::new(ManualClock::at(UnixMillis(5_000)))).unwrap());
    let ledger = KeyAudit::new(Arc::clone(&audit));
    ledger.record(outcome("alice", &[1], &[None])).await.unwrap();
    ledger.record(outcome("mallory", &[], &[Some(1), Some(2)])).await.unwrap();
    let lines = lines(&audit).await;
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["scope", "keys", "scope", "keys"]);
    assert_eq!(lines[0]["atb"], atb(&scope(1)));
    let key = KeyId::from_bytes([9; 24]);
    assert_eq!(lines[1]["granted"], json!([{"keyId": key, "scope": scope(1).id, "topic": "data/s1/t"}]));
    assert_eq!(lines[1]["denied"], json!([{"keyId": key, "topic": "data/s1/t"}]), "there is no such key");
    assert_eq!((&lines[1]["sub"], &lines[1]["address"]), (&json!("alice"), &json!("192.0.2.1")));
    assert_eq!(lines[3]["denied"][1]["scope"], json!(scope(2).id), "it is another's");
}

#[tokio::test]
async fn requests_at_once_are_written_as_one_and_none_is_answered_that_is_not_on_record() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit");
    let audit = Arc::new(Audit::open(&path, Arc::new(ManualClock::at(UnixMillis(5_000)))).unwrap());
    audit.sign_with(Signer::key(aups_envelope::SigningKey::generate()));
    let ledger = KeyAudit::new(Arc::clone(&audit));
    let asked = futures_util::future::join_all((0..3_000).map(|_| ledger.record(outcome("alice", &[1], &[])))).await;
    assert!(asked.iter().all(Result::is_ok));
    let verdict = verify::folder(&path, verify::Trusted::default(), |_| {}).unwrap();
    assert!(verdict.ok && verdict.lines > 3_000, "{verdict:?}");
    std::fs::rename(&path, dir.path().join("away")).unwrap();
    assert!(ledger.record(outcome("alice", &[1], &[])).await.is_err(), "the disk takes nothing: no key");
    let flood = futures_util::future::join_all((0..10_000).map(|_| ledger.record(outcome("alice", &[1], &[])))).await;
    assert!(flood.iter().all(Result::is_err), "nor where there is no room");
}
