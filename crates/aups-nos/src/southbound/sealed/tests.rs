use super::*;
use crate::{
    Config, Durability, NosSettings,
    config::Limits,
    fixture::{Answer, Mood, NOW, Rig, data, post, with_bearer, with_type},
};
use aups_core::{ManualClock, Session, Suite, UnixMillis};
use aups_envelope::{Secret, SourceSealer, Spelling, b64};
use aups_store::{InMemory, IngestQueue, QueueLimits};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

/// A source that has registered, with what it was told.
struct Sealing {
    told: Value,
    suite: Suite,
    session: Session,
    sealer: SourceSealer,
}

impl Sealing {
    async fn register(rig: &Rig, name: &str, suite: Suite) -> Self {
        let registration = json!({
            "NodeId": name, "NodeType": "sensor", "CommunicationMode": "discrete", "EncryptionScheme": suite.to_string()
        });
        let answer = rig.send(post("/registration", registration.to_string())).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        Self::of(answer.json, Session::new(1, 7))
    }

    fn of(told: Value, session: Session) -> Self {
        let text = |member: &str| told[member].as_str().unwrap();
        let suite = Suite::try_from(u8::try_from(told["suite"].as_u64().unwrap()).unwrap()).unwrap();
        let key = Secret::from_bytes(b64::decode_array(text("key")).unwrap());
        let node = text("NodeId").parse().unwrap();
        let sealer = SourceSealer::new(&node, suite, &key, text("credentialId").parse().unwrap(), session);
        Self { told, suite, session, sealer }
    }

    /// The same source in another session.
    fn begin(&self, session: Session) -> Self {
        Self::of(self.told.clone(), session)
    }

    fn seal(&self, text: &str) -> Vec<u8> {
        self.seal_as(text, ContentType::Json, Spelling::Binary)
    }

    fn seal_as(&self, text: &str, content: ContentType, spelling: Spelling) -> Vec<u8> {
        self.sealer.seal(content, text.as_bytes(), NOW, spelling).unwrap()
    }

    fn credential(&self) -> &str {
        self.told["credential"].as_str().unwrap()
    }
}

fn sealed(body: impl Into<Body>) -> Request<Body> {
    with_type(data(body), "application/aups")
}

fn keyed(key: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

async fn send(rig: &Rig, body: impl Into<Body>) -> Answer {
    rig.send(sealed(body)).await
}

#[tokio::test]
async fn what_every_scheme_seals_is_taken_in_both_spellings_and_scored_as_sealed() {
    let rig = Rig::new().await;
    let credential = rig.register("open").await;
    rig.send(with_bearer(data(r#"{"name":"t","value":1}"#), &credential)).await.accepted();
    for suite in Suite::ALL {
        let source = Sealing::register(&rig, &format!("s{}", u8::from(suite)), suite).await;
        assert_eq!((source.suite, source.told["suite"].as_u64()), (suite, Some(u8::from(suite).into())));
        assert_eq!(send(&rig, source.seal(r#"{"name":"t","value":1}"#)).await.accepted(), 1);
        let json = source.seal_as("[1,2]", ContentType::Json, Spelling::Json);
        assert_eq!(rig.send(with_type(data(json.clone()), "application/aups+json")).await.accepted(), 2);
        assert_eq!(send(&rig, json).await.problem(), (409, "replayed"), "the first byte tells the spelling");
    }
    let published = rig.sink.until_delivered(13).await;
    assert_eq!((published[0].topic.as_str(), published[1].topic.as_str()), ("data/open/t", "data/s1/t"));
    let items = rig.open_all(&published).await;
    assert!(items[1].source.registered && &*items[1].source.node_id == "s1");
    assert!(items[1].security.integrity > items[0].security.integrity, "a seal is seen in the scores");
}

#[tokio::test]
async fn what_is_not_authentic_has_one_answer() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::ChaCha20Poly1305).await;
    let other = Sealing::register(&rig, "s2", Suite::ChaCha20Poly1305).await;
    let plain = rig.register("s3").await;
    let good = source.seal("1");
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let mut other_id = source.told.clone();
    other_id["credentialId"] = other.told["credentialId"].clone();
    let mut other_key = source.told.clone();
    other_key["key"] = other.told["key"].clone();
    let mut unknown = source.told.clone();
    unknown["credentialId"] = b64::encode(&[1; 24]).into();
    let mut answers = Vec::new();
    for told in [other_id, other_key, unknown] {
        answers.push(send(&rig, Sealing::of(told, source.session).seal("1")).await);
    }
    for (at, byte) in
        [(1, 1), (1, 5), (2, 2), (3, 0), (7, 1), (31, 1), (56, !good[56]), (good.len() - 1, !good[good.len() - 1])]
    {
        answers.push(send(&rig, with(at, byte)).await);
    }
    answers.push(rig.send(with_bearer(sealed(good.clone()), &plain)).await);
    answers.push(rig.send(with_bearer(sealed(good.clone()), other.credential())).await);
    for answer in &answers {
        assert_eq!(answer.problem(), (401, "not-authenticated"));
        assert_eq!(answer.bytes, answers[0].bytes, "nothing tells them apart");
    }
    assert_eq!(rig.send(with_bearer(sealed(good.clone()), "wrong")).await.problem().0, 401);
    assert_eq!(
        rig.send(with_bearer(sealed(good), source.credential())).await.accepted(),
        1,
        "none of it took the place"
    );
    assert_eq!(rig.sink.until_delivered(1).await.len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_for_what_it_is() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::AsconAead128).await;
    let good = source.seal("1");
    let truncated = good[..71].to_vec();
    for body in [Vec::new(), b"{}".to_vec(), b"{\"keyId\":\"x\",\"data\":\"y\"}".to_vec(), vec![2; 100], truncated] {
        assert_eq!(send(&rig, body).await.problem(), (400, "malformed-sealed"));
    }
    for content in [ContentType::Octets, ContentType::Cbor] {
        assert_eq!(send(&rig, source.seal_as("1", content, Spelling::Binary)).await.problem(), (415, "media-type"));
    }
    let senml = source.seal_as(r#"[{"n":"t","v":1},{"n":"u","v":2}]"#, ContentType::SenmlJson, Spelling::Binary);
    assert_eq!(send(&rig, senml).await.accepted(), 2);
    let inner = send(&rig, source.seal("{\"value\":1,\n\"time\":\"x\"}")).await;
    assert_eq!((inner.problem().0, &inner.json["line"]), (400, &2.into()), "the place is in what was sealed");
    assert_eq!(send(&rig, source.seal("")).await.problem(), (400, "empty"));
    assert_eq!(send(&rig, vec![1; (1 << 20) + 1]).await.problem(), (413, "too-large"));
    assert_eq!(rig.send(with_type(post("/registration", good), "application/aups")).await.problem().0, 415);
}

#[tokio::test]
async fn sessions_and_seqs_rise_and_nothing_is_taken_twice() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::Aes128Gcm).await;
    let (first, second) = (source.seal("1"), source.seal("2"));
    assert_eq!(send(&rig, second).await.accepted(), 1);
    let replayed = send(&rig, first).await;
    assert_eq!(replayed.problem(), (409, "replayed"));
    assert!(replayed.json["detail"].as_str().unwrap().contains("new session"));
    let lower = source.begin(Session::new(1, 6));
    assert_eq!(send(&rig, lower.seal("3")).await.problem().0, 409);
    let higher = source.begin(Session::new(2, 0));
    assert_eq!(send(&rig, higher.seal("3")).await.accepted(), 1);
    assert_eq!(send(&rig, source.seal("4")).await.problem().0, 409, "the session before is over");
    let raced = higher.seal("5");
    let answers = futures_util::future::join_all((0..8).map(|_| send(&rig, raced.clone()))).await;
    let taken = answers.iter().filter(|answer| answer.status == 202).count();
    assert!(taken == 1 && answers.iter().filter(|answer| answer.status == 409).count() == 7);
    assert_eq!(rig.sink.until_delivered(3).await.len(), 3);
    assert_eq!(rig.nos.unacknowledged(), 0);
}

#[tokio::test]
async fn what_was_refused_for_want_of_room_may_be_sent_again_as_it_is() {
    let limits = Limits { backlog_items_max: 1, ..Limits::default() };
    let rig = Rig::with(Config { limits, ..Config::default() }, None).await;
    rig.sink.set(Mood::Away);
    let source = Sealing::register(&rig, "s1", Suite::Aes256Gcm).await;
    let refused = loop {
        let body = source.seal("[1,2]");
        let answer = send(&rig, body.clone()).await;
        if answer.status != 202 {
            assert_eq!(answer.problem(), (503, "queue-full"));
            break body;
        }
    };
    rig.sink.set(Mood::Acknowledge);
    while rig.nos.unacknowledged() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(send(&rig, refused).await.accepted(), 2);
}

#[tokio::test]
async fn a_request_that_is_sealed_anew_with_its_key_is_not_taken_again_nor_is_the_new_message_later() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::Aes256Gcm).await;
    let (first, anew) = (source.seal("[1,2]"), source.seal("[1,2]"));
    assert_eq!(rig.send(keyed("a", sealed(first.clone()))).await.accepted(), 2);
    for body in [&anew, &first] {
        let again = rig.send(keyed("a", sealed(body.clone()))).await;
        assert_eq!((again.accepted(), again.headers.contains_key("idempotency-replayed")), (2, true));
    }
    assert_eq!(send(&rig, anew).await.problem(), (409, "replayed"), "without the key");
    assert_eq!(rig.send(keyed("a", sealed(source.seal("[1]")))).await.problem().0, 422);
    assert_eq!(rig.send(keyed("a", with_bearer(data("[1,2]"), source.credential()))).await.accepted(), 2, "one source");
    assert_eq!(rig.sink.until_delivered(2).await.len(), 2);
}

#[tokio::test]
async fn secrets_that_were_replaced_seal_nothing_and_the_new_ones_begin_where_they_like() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::Aes128Gcm).await.begin(Session::new(9, 0));
    send(&rig, source.seal("1")).await.accepted();
    let rotated = rig.nos.sources().rotate(&"s1".parse().unwrap()).await.unwrap().unwrap();
    let rotated = Sealing::of(serde_json::to_value(rotated.told()).unwrap(), Session::new(1, 0));
    assert_eq!(send(&rig, source.seal("2")).await.problem().0, 401);
    assert_eq!(send(&rig, rotated.seal("2")).await.accepted(), 1);
    assert!(rig.nos.sources().remove(&"s1".parse().unwrap()).await.unwrap());
    assert_eq!(send(&rig, rotated.seal("3")).await.problem().0, 401);
}

#[tokio::test]
async fn what_was_taken_is_known_after_a_restart_in_both_modes() {
    for durability in [Durability::Disk, Durability::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(UnixMillis(NOW.0))));
        let start = async || {
            let queue = IngestQueue::open(dir.path(), QueueLimits::default()).await.unwrap();
            let settings = NosSettings { durability, ..NosSettings::default() };
            Rig::over(store.clone(), clock.clone(), settings, Some(queue)).await
        };
        let rig = start().await;
        let source = Sealing::register(&rig, "s1", Suite::ChaCha20Poly1305).await;
        let gone = Sealing::register(&rig, "s2", Suite::ChaCha20Poly1305).await;
        let (first, second) = (source.seal("1"), source.seal("[2,3]"));
        send(&rig, gone.seal("1")).await.accepted();
        send(&rig, first.clone()).await.accepted();
        rig.send(keyed("k", sealed(second.clone()))).await.accepted();
        rig.sink.until_delivered(4).await;
        rig.nos.sources().remove(&"s2".parse().unwrap()).await.unwrap();
        rig.nos.drain().await;

        let rig = start().await;
        for body in [first, second.clone()] {
            assert_eq!(send(&rig, body).await.problem(), (409, "replayed"), "{durability:?}");
        }
        let again = rig.send(keyed("k", sealed(second))).await;
        assert_eq!((again.accepted(), again.headers.contains_key("idempotency-replayed")), (2, true));
        assert_eq!(send(&rig, source.seal("4")).await.accepted(), 1);
        rig.nos.drain().await;
        let queue = IngestQueue::open(dir.path(), QueueLimits::default()).await.unwrap();
        assert_eq!(queue.marks(b"session/").await.unwrap().len(), 1, "of what was removed nothing is left");
        assert_eq!(queue.marks(b"idem/").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_sealed_senml_pack_is_resolved() {
    let rig = Rig::new().await;
    let source = Sealing::register(&rig, "s1", Suite::Aes256Gcm).await;
    let pack = r#"[{"bn":"room:","n":"t","u":"Cel","v":21.50},{"n":"h","v":40}]"#;
    let sealed = source.seal_as(pack, ContentType::SenmlJson, Spelling::Binary);
    assert_eq!(send(&rig, sealed).await.accepted(), 2);
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(published[0].topic.as_str(), "data/s1/room%3At");
    assert_eq!(&*rig.open(&published[1]).await.schema, "senml");
    let wrong = source.seal_as(r#"[{"n":"x"}]"#, ContentType::SenmlJson, Spelling::Binary);
    assert_eq!(send(&rig, wrong).await.problem(), (400, "malformed-senml"));
}
