use super::*;
use crate::{
    KeyServiceLimits, NosSettings, Rate,
    fixture::{Enrolled, METEOROLOGISTS, NOW, Rig},
    key_service::tests::request,
};
use aups_core::{KeyId, UnixMillis};
use aups_envelope::{
    SealedMessage,
    key_request::{Freshness, KeyRequest, OpenedResponse, open_key_response},
};
use serde_json::Value;

/// Publishes on a reader's topic and waits for what the NOS sends.
async fn ask(rig: &Rig, sub: &str, jws: &str) -> Outgoing {
    assert!(rig.key_requests.offer(&format!("aups/kr/{sub}"), jws.to_owned().into()));
    let mut sent = rig.sink.until_sent().await;
    assert_eq!(sent.len(), 1);
    sent.remove(0)
}

fn open(rig: &Rig, reader: &Enrolled, jws: &str, answer: &Outgoing) -> OpenedResponse {
    assert_eq!(answer.content_type, JOSE);
    open_key_response(jws.as_bytes(), &answer.payload, &rig.ktm.realm().public(), &reader.kem, rig.now()).unwrap()
}

/// A refusal of this request.
fn refused(jws: &str, answer: &Outgoing) -> Value {
    assert_eq!(answer.content_type, PROBLEM_JSON);
    let problem: Value = serde_json::from_slice(&answer.payload).unwrap();
    assert_eq!(problem["rh"], b64::encode(&sha256(&[jws.as_bytes()])));
    problem
}

async fn published_key(rig: &Rig) -> KeyId {
    rig.data("1").await.accepted();
    let published = rig.sink.until_delivered(1).await;
    SealedMessage::parse(&published[0].payload).unwrap().header().key_id
}

#[tokio::test]
async fn a_request_on_the_readers_topic_is_answered_on_the_readers_topic() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let jws = request(&rig, &alice, &[key_id]).sign(&alice.signing_key);
    let answer = ask(&rig, "alice", &jws).await;
    assert_eq!((answer.topic.as_str(), answer.retain), ("aups/ks/alice", false));
    assert_eq!(open(&rig, &alice, &jws, &answer).grants.keys[0].key_id, key_id);
    assert_eq!(rig.ledger.told.lock().unwrap()[0].origin, Origin::Mqtt(alice.sub.clone()));
    assert!(!rig.key_requests.offer("data/s1/x", jws.into()), "what is no key request is not taken");
}

#[tokio::test]
async fn there_is_no_address_over_mqtt() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    rig.put_in_force(&METEOROLOGISTS.replace("principal.roles", "context has address && principal.roles"));
    rig.clock.advance(std::time::Duration::from_millis(1));
    rig.data("1").await.accepted();
    let published = rig.sink.until_delivered(2).await;
    let by_address = SealedMessage::parse(&published[1].payload).unwrap().header().key_id;
    assert_ne!(by_address.scope_tag(), key_id.scope_tag());
    let jws = request(&rig, &alice, &[by_address]).sign(&alice.signing_key);
    assert_eq!(open(&rig, &alice, &jws, &ask(&rig, "alice", &jws).await).grants.denied, [by_address]);
}

#[tokio::test]
async fn a_refusal_names_the_request_and_a_repetition_is_met_with_silence() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let bob = rig.readers.enrol("bob", &["meteorologist"]);
    let good = request(&rig, &alice, &[]).sign(&alice.signing_key);
    // On the topic of somebody else, also if it is signed well.
    let answer = ask(&rig, "bob", &good).await;
    assert_eq!((answer.topic.as_str(), &refused(&good, &answer)["status"]), ("aups/ks/bob", &401.into()));
    let forged = request(&rig, &alice, &[]).sign(&bob.signing_key);
    assert_eq!(refused(&forged, &ask(&rig, "alice", &forged).await)["status"], 401);
    assert_eq!(refused("junk", &ask(&rig, "alice", "junk").await)["status"], 400);
    let long = "x".repeat(16 << 10 | 1);
    assert_eq!(refused(&long, &ask(&rig, "alice", &long).await)["status"], 400);
    let stale = KeyRequest { freshness: Freshness::IssuedAt(UnixMillis(7)), ..request(&rig, &alice, &[]) };
    let stale_jws = stale.sign(&alice.signing_key);
    let told = refused(&stale_jws, &ask(&rig, "alice", &stale_jws).await);
    assert_eq!((&told["status"], &told["now"]), (&401.into(), &NOW.0.into()));
    let challenge = Freshness::Challenge(told["challenge"].as_str().unwrap().into());
    let jws = KeyRequest { freshness: challenge, ..stale }.sign(&alice.signing_key);
    open(&rig, &alice, &jws, &ask(&rig, "alice", &jws).await);

    open(&rig, &alice, &good, &ask(&rig, "alice", &good).await);
    rig.key_requests.offer("aups/kr/alice", good.into());
    rig.readers.replace("alice", true);
    // The next thing that is sent is the answer to the next request.
    let next = request(&rig, &alice, &[]).sign(&alice.signing_key);
    let told = refused(&next, &ask(&rig, "alice", &next).await);
    assert_eq!((&told["status"], &told["retryAfter"]), (&503.into(), &1.into()));
}

#[tokio::test]
async fn whoever_floods_a_readers_topic_takes_nothing_from_its_other_way_nor_from_others() {
    let limits = KeyServiceLimits { topic_rate: Rate { per_second: 1, burst: 3 }, ..KeyServiceLimits::default() };
    let rig = Rig::with(NosSettings { key_service: limits, ..NosSettings::default() }, None).await;
    let (alice, bob) = (rig.readers.enrol("alice", &[]), rig.readers.enrol("bob", &[]));
    for _ in 0..50 {
        rig.key_requests.offer("aups/kr/alice", "junk".into());
    }
    rig.key_requests.offer("aups/kr/no one", "junk".into());
    let jws = request(&rig, &bob, &[]).sign(&bob.signing_key);
    rig.key_requests.offer("aups/kr/bob", jws.clone().into());
    let mut sent = Vec::new();
    while !sent.iter().any(|answer: &Outgoing| answer.topic.as_str() == "aups/ks/bob") {
        sent.extend(rig.sink.until_sent().await);
    }
    assert!((4..8).contains(&sent.len()), "a few refusals, and bob's answer: {}", sent.len());
    open(&rig, &bob, &jws, sent.last().unwrap());
    let jws = request(&rig, &alice, &[]).sign(&alice.signing_key);
    let over_http = crate::fixture::with_type(crate::fixture::post("/v1/keys", jws), JOSE);
    assert_eq!(rig.send(over_http).await.status, 403, "answered: nothing asked, nothing granted");
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let (requests, waiting) = key_request_queue();
    for _ in 0..=WAITING_MAX {
        assert!(requests.offer("aups/kr/alice", Bytes::new()));
    }
    assert_eq!(waiting.0.len(), WAITING_MAX);
}
