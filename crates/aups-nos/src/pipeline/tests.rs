use crate::{
    Config, DeadLetterError, DeadReason, NosSettings, Outgoing, Qos, Rate,
    config::{Limits, QosRule},
    fixture::{METEOROLOGISTS, Mood, NOW, Rig, Setup, data, lines, quota, with_bearer},
};
use aups_core::{ItemId, ManualClock, Session};
use aups_envelope::SealedMessage;
use aups_store::{Embedded, InMemory, IngestQueue, QueueLimits, Store};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tower::ServiceExt as _;

fn config() -> Config {
    quota(Rate::per_second(1_000_000))
}

async fn queue(dir: &Path) -> IngestQueue {
    IngestQueue::open(dir, QueueLimits::default()).await.unwrap()
}

/// `count` readings of three names, in order, with their numbers.
fn readings(from: usize, count: usize) -> String {
    let line = |n: usize| format!("{{\"name\":\"n{}\",\"value\":{n}}}\n", n % 3);
    (from..from + count).map(line).collect()
}

fn topic_seqs(messages: &[Outgoing]) -> BTreeMap<&str, Vec<(Session, u32)>> {
    let mut seqs: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for message in messages {
        let header = *SealedMessage::parse(&message.payload).unwrap().header();
        seqs.entry(message.topic.as_str()).or_default().push((header.session, header.topic_seq));
    }
    seqs
}

/// What readers make of it: each item once, by id, in the order of first arrival on its topic.
async fn values(rig: &Rig, messages: &[Outgoing]) -> BTreeMap<String, Vec<u32>> {
    let mut seen: BTreeSet<ItemId> = BTreeSet::new();
    let mut values: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (message, item) in messages.iter().zip(rig.open_all(messages).await) {
        if seen.insert(item.id) {
            values.entry(message.topic.to_string()).or_default().push(item.data.value.get().parse().unwrap());
        }
    }
    values
}

fn assert_all_in_order(values: &BTreeMap<String, Vec<u32>>, count: usize) {
    assert_eq!(values.values().map(Vec::len).sum::<usize>(), count);
    for (topic, values) in values {
        assert!(values.is_sorted(), "{topic}: {values:?}");
    }
}

#[tokio::test]
async fn a_broker_that_fails_and_recovers_loses_nothing_and_keeps_the_order() {
    let rig = Rig::with(config(), None).await;
    assert_eq!(rig.send(lines(readings(0, 700))).await.accepted(), 700);
    rig.sink.until_delivered(700).await;
    rig.sink.set(Mood::Hold);
    assert_eq!(rig.send(lines(readings(700, 900))).await.accepted(), 900);
    rig.sink.until_held(900).await;
    rig.sink.set(Mood::Lose);
    rig.sink.until_lost(900 + 256).await;
    rig.sink.set(Mood::Away);
    assert_eq!(rig.send(lines(readings(1_600, 3_000))).await.accepted(), 3_000);
    rig.sink.set(Mood::Acknowledge);
    let published = rig.sink.until_delivered(4_600).await;
    assert_all_in_order(&values(&rig, &published).await, 4_600);
    for (topic, seqs) in topic_seqs(&published) {
        let distinct: BTreeSet<_> = seqs.iter().copied().collect();
        let numbers: Vec<u32> = distinct.iter().map(|(_, seq)| *seq).collect();
        let all: Vec<u32> = (0..u32::try_from(numbers.len()).unwrap()).collect();
        assert_eq!(numbers, all, "{topic}: what is sent again is the same message, and there is no gap");
    }
    rig.nos.drain().await;
}

#[tokio::test]
async fn withheld_items_leave_the_queue_and_do_not_hold_up_others() {
    let rig = Rig::with(config(), None).await;
    rig.put_in_force("");
    assert_eq!(rig.data("[1,2,3]").await.accepted(), 3);
    while rig.nos.unacknowledged() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(rig.sink.delivered().is_empty(), "nobody may read it: nothing goes out");
    rig.put_in_force(METEOROLOGISTS);
    assert_eq!(rig.data("4").await.accepted(), 1);
    let published = rig.sink.until_delivered(1).await;
    assert_eq!(rig.open(&published[0]).await.data.value.get(), "4");
    assert_eq!(
        SealedMessage::parse(&published[0].payload).unwrap().header().topic_seq,
        0,
        "withheld items leave no gap"
    );
}

#[tokio::test]
async fn nothing_goes_out_in_clear() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    let secret = r#"{"name":"secret-name","value":"secret-value","unit":"secret-unit"}"#;
    rig.send(with_bearer(data(secret), &credential)).await.accepted();
    let published = rig.sink.until_delivered(1).await;
    let sealed: serde_json::Value = serde_json::from_slice(&published[0].payload).unwrap();
    assert_eq!(sealed.as_object().unwrap().keys().collect::<Vec<_>>(), ["keyId", "data"]);
    let text = String::from_utf8(published[0].payload.to_vec()).unwrap();
    assert!(!text.contains("secret") && !text.contains("s1\""));
}

#[tokio::test]
async fn a_new_policy_makes_a_new_scope_and_a_bump_a_new_key_from_the_next_batch_on() {
    let rig = Rig::with(config(), None).await;
    let key_id = |message: &Outgoing| SealedMessage::parse(&message.payload).unwrap().header().key_id;
    rig.data("1").await.accepted();
    rig.data("2").await.accepted();
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(key_id(&published[0]), key_id(&published[1]));
    let scope = rig.ktm.scopes()[0].id;
    rig.ktm.bump(&scope).await.unwrap();
    rig.data("3").await.accepted();
    let published = rig.sink.until_delivered(3).await;
    let bumped = key_id(&published[2]);
    assert_eq!((bumped.scope_tag(), bumped.bump().0), (key_id(&published[0]).scope_tag(), 1));
    rig.put_in_force(&METEOROLOGISTS.replace("meteorologist", "climatologist"));
    rig.data("4").await.accepted();
    let published = rig.sink.until_delivered(4).await;
    assert_ne!(key_id(&published[3]).scope_tag(), bumped.scope_tag());
    assert_all_in_order(&values(&rig, &published).await, 4);
}

#[tokio::test]
async fn a_destroyed_scope_is_made_anew() {
    let rig = Rig::with(config(), None).await;
    rig.data("1").await.accepted();
    rig.sink.until_delivered(1).await;
    rig.ktm.destroy(&rig.ktm.scopes()[0].id).await.unwrap();
    rig.data("2").await.accepted();
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(rig.open(&published[1]).await.data.value.get(), "2");
}

#[tokio::test]
async fn what_was_answered_202_survives_on_disk_and_comes_once_by_id() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock): (Arc<dyn Store>, _) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let mut delivered: Vec<Outgoing> = Vec::new();
    let mut sent = 0;
    for mood in [Mood::Hold, Mood::Away, Mood::Lose, Mood::Acknowledge] {
        let rig = Rig::over(store.clone(), clock.clone(), config(), Some(queue(dir.path()).await)).await;
        rig.sink.set(mood);
        assert_eq!(rig.send(lines(readings(sent, 500))).await.accepted(), 500);
        sent += 500;
        assert_eq!(rig.data(format!("[{}]", readings(sent, 100).trim_end().replace('\n', ","))).await.accepted(), 100);
        sent += 100;
        if mood == Mood::Acknowledge {
            let published = rig.sink.until_delivered(sent).await;
            assert_all_in_order(&values(&rig, &published).await, sent);
            delivered.extend(published);
            rig.nos.drain().await;
        } else {
            // No drain: as if killed.
            drop(rig);
        }
    }
    let ids: BTreeSet<_> = delivered.iter().map(|message| message.payload.clone()).collect();
    assert_eq!(ids.len(), sent);
    let left = queue(dir.path()).await;
    assert!(left.unacknowledged().is_empty(), "what was acknowledged is gone: {:?}", left.unacknowledged());
}

#[tokio::test]
async fn more_than_fits_memory_waits_on_disk_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::from(config());
    setup.config.limits.backlog_items_max = 50;
    let rig = Rig::with(setup, Some(queue(dir.path()).await)).await;
    rig.sink.set(Mood::Away);
    for batch in 0..50 {
        assert_eq!(rig.send(lines(readings(batch * 100, 100))).await.accepted(), 100);
    }
    rig.sink.set(Mood::Acknowledge);
    rig.sink.until_delivered(2_500).await;
    assert_eq!(rig.send(lines(readings(5_000, 300))).await.accepted(), 300);
    let published = rig.sink.until_delivered(5_300).await;
    assert_all_in_order(&values(&rig, &published).await, 5_300);
    rig.nos.drain().await;
}

#[tokio::test]
async fn a_record_that_is_no_item_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let spoilt = queue(dir.path()).await;
    spoilt.append(vec![Bytes::from_static(b"{}"), Bytes::from_static(b"no JSON")], vec![]).await.unwrap();
    drop(spoilt);
    let rig = Rig::with(config(), Some(queue(dir.path()).await)).await;
    rig.data("1").await.accepted();
    let published = rig.sink.until_delivered(1).await;
    assert_eq!(rig.open(&published[0]).await.data.value.get(), "1");
    while rig.nos.unacknowledged() > 0 {
        tokio::task::yield_now().await;
    }
    let letters = rig.nos.dead_letters();
    let dead = letters.list(None).await.unwrap();
    let reasons: Vec<_> = dead.iter().map(|dead| (dead.id, dead.bytes, dead.about.as_ref().unwrap().reason)).collect();
    assert_eq!(reasons, [(0, 2, DeadReason::Unreadable), (1, 7, DeadReason::Unreadable)]);
    assert_eq!(letters.get(1).await.unwrap().unwrap().1, "no JSON");
    assert!(matches!(letters.replay(1).await, Err(DeadLetterError::NoItem(_))));
    assert!(letters.discard(0).await.unwrap());
    assert!(!letters.replay(0).await.unwrap());
    assert_eq!(letters.list(None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_the_broker_refuses_for_good_holds_up_nothing_and_is_published_when_it_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::with(config(), Some(queue(dir.path()).await)).await;
    rig.sink.set(Mood::Refuse("/bad"));
    let readings = [r#"{"name":"good","value":0}"#, r#"{"name":"bad","value":1}"#, r#"{"name":"good","value":2}"#];
    assert_eq!(rig.send(lines(readings.join("\n"))).await.accepted(), 3);
    rig.data(r#"{"name":"good","value":3}"#).await.accepted();
    while rig.nos.unacknowledged() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let letters = rig.nos.dead_letters();
    let dead = letters.list(None).await.unwrap();
    assert_eq!(dead.len(), 1);
    let about = dead[0].about.clone().unwrap();
    assert_eq!(about.reason, DeadReason::Refused);
    assert!(about.topic.unwrap().ends_with("/bad") && about.detail.contains("NotAuthorized"));

    rig.sink.set(Mood::Acknowledge);
    let before = rig.sink.delivered().len();
    assert!(letters.replay(dead[0].id).await.unwrap());
    let published = rig.sink.until_delivered(before + 1).await;
    let replayed = rig.open(&published[before]).await;
    assert_eq!((replayed.data.value.get(), Some(replayed.id.to_string())), ("1", about.item_id));
    assert!(letters.list(None).await.unwrap().is_empty());
    let good: Vec<_> =
        values(&rig, &published).await.into_iter().filter(|(topic, _)| topic.ends_with("/good")).collect();
    assert_eq!(good[0].1, [0, 2, 3], "each in its order");
}

#[tokio::test]
async fn a_broker_that_refuses_now_and_then_is_given_time() {
    let dir = tempfile::tempdir().unwrap();
    let rig = Rig::with(config(), Some(queue(dir.path()).await)).await;
    rig.sink.set(Mood::Refuse("/value"));
    rig.data("1").await.accepted();
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.sink.set(Mood::Acknowledge);
    assert_eq!(rig.sink.until_delivered(1).await.len(), 1);
    assert!(rig.nos.dead_letters().list(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_broker_that_is_away_for_long_costs_disk_and_not_memory() {
    const ITEMS: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let mut setup = Setup::from(config());
    setup.config.limits.backlog_items_max = 500;
    let rig = Rig::with(setup, Some(queue(dir.path()).await)).await;
    rig.sink.set(Mood::Away);
    for from in (0..ITEMS).step_by(5_000) {
        assert_eq!(rig.send(lines(readings(from, 5_000))).await.accepted(), 5_000);
        assert!(rig.nos.in_memory() <= 500, "{} items in memory", rig.nos.in_memory());
    }
    assert_eq!(rig.nos.unacknowledged(), ITEMS as u64);
    rig.sink.set(Mood::Acknowledge);
    let published = rig.sink.until_delivered(ITEMS).await;
    assert_all_in_order(&values(&rig, &published).await, ITEMS);
}

#[tokio::test]
async fn a_full_disk_queue_refuses_and_takes_again_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let small = IngestQueue::open(dir.path(), QueueLimits { bytes_max: 40_000 }).await.unwrap();
    let rig = Rig::with(config(), Some(small)).await;
    rig.sink.set(Mood::Away);
    let mut accepted = 0;
    let refused = loop {
        let answer = rig.data("[1,2,3,4,5,6,7,8,9,10]").await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 10;
    };
    assert_eq!(refused.problem(), (503, "queue-full"));
    rig.sink.set(Mood::Acknowledge);
    rig.sink.until_delivered(accepted).await;
    while rig.data("[1,2,3,4,5,6,7,8,9,10]").await.status != 202 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn draining_publishes_what_was_taken_and_takes_nothing_more() {
    let rig = Rig::with(config(), None).await;
    let router = rig.nos.router();
    rig.sink.set(Mood::Hold);
    assert_eq!(rig.send(lines(readings(0, 300))).await.accepted(), 300);
    let Rig { nos, sink, .. } = rig;
    let release = async {
        sink.until_held(300).await;
        let answer = router.oneshot(data("1")).await.unwrap();
        assert_eq!(answer.status(), 503);
        sink.set(Mood::Acknowledge);
    };
    tokio::join!(nos.drain(), release);
    assert_eq!(sink.delivered().len(), 300);
}

#[tokio::test]
async fn draining_gives_up_in_time_when_the_broker_is_away() {
    let settings = NosSettings { drain_max: Duration::from_millis(20), ..NosSettings::default() };
    let rig = Rig::with(settings, None).await;
    rig.sink.set(Mood::Away);
    rig.data("1").await.accepted();
    rig.nos.drain().await;
}

#[tokio::test]
async fn each_start_is_a_new_session_and_the_names_of_addresses_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let mut sessions = Vec::new();
    let mut topics = BTreeSet::new();
    for _ in 0..2 {
        let store: Arc<dyn Store> = Arc::new(Embedded::open(dir.path()).await.unwrap());
        let rig = Rig::over(store, clock.clone(), config(), None).await;
        rig.data("1").await.accepted();
        let published = rig.sink.until_delivered(1).await;
        sessions.push(SealedMessage::parse(&published[0].payload).unwrap().header().session.incarnation());
        topics.insert(published[0].topic.clone());
        rig.nos.drain().await;
    }
    assert!(sessions[0] < sessions[1], "{sessions:?}");
    assert_eq!(topics.len(), 1);
}

fn retaining() -> Config {
    Config { retain: vec!["unregistered/#".parse().unwrap()], ..config() }
}

const GARDENERS: &str = r#"permit(principal, action == Action::"receive", resource in Topic::"unregistered")
    when { principal.roles.contains("gardener") };"#;

fn key_id(message: &Outgoing) -> aups_core::KeyId {
    SealedMessage::parse(&message.payload).unwrap().header().key_id
}

#[tokio::test]
async fn a_bump_shows_with_the_next_message_and_what_is_retained_is_sealed_anew() {
    let rig = Rig::with(retaining(), None).await;
    rig.data(r#"{"NodeId":"s1","name":"a","value":1}"#).await.accepted();
    rig.data(r#"{"NodeId":"s1","name":"b","value":2}"#).await.accepted();
    let before = rig.sink.until_delivered(2).await;
    assert!(before.iter().all(|message| message.retain));
    let scope = rig.ktm.scopes()[0].id;
    rig.ktm.bump(&scope).await.unwrap();
    let resealed = rig.sink.until_delivered(4).await.split_off(2);
    for message in &resealed {
        assert!(message.retain && key_id(message).bump() == aups_core::Bump(1));
        let first = before.iter().find(|first| first.topic == message.topic).unwrap();
        assert_eq!(rig.open(message).await.id, rig.open(first).await.id, "the item keeps its id");
    }
    rig.data(r#"{"NodeId":"s1","name":"a","value":3}"#).await.accepted();
    let after = rig.sink.until_delivered(5).await;
    assert_eq!(key_id(&after[4]).bump(), aups_core::Bump(1));

    // Nothing changes for a scope that lost nobody.
    let other = rig.ktm.bump(&aups_core::ScopeId::from_bytes([1; 32])).await;
    assert!(other.is_err());
    rig.put_in_force(GARDENERS);
    let rescoped = rig.sink.until_delivered(7).await.split_off(5);
    for message in &rescoped {
        assert_ne!(key_id(message).scope_tag(), key_id(&after[4]).scope_tag(), "{}", message.topic);
    }
    let values: BTreeSet<_> =
        rig.open_all(&rescoped).await.iter().map(|item| item.data.value.get().to_owned()).collect();
    assert_eq!(values, ["2".to_owned(), "3".to_owned()].into(), "the last of each topic");
}

#[tokio::test]
async fn what_nobody_may_read_any_more_is_cleared_and_comes_back_when_somebody_may() {
    let rig = Rig::with(retaining(), None).await;
    rig.data(r#"{"NodeId":"s1","name":"a","value":1}"#).await.accepted();
    rig.sink.until_delivered(1).await;
    rig.put_in_force("");
    let cleared = rig.sink.until_delivered(2).await;
    assert!(cleared[1].retain && cleared[1].payload.is_empty() && cleared[1].topic == cleared[0].topic);
    rig.put_in_force(GARDENERS);
    let again = rig.sink.until_delivered(3).await;
    assert_eq!(rig.open(&again[2]).await.id, rig.open(&again[0]).await.id);
}

#[tokio::test]
async fn what_is_not_retained_is_not_sealed_again() {
    let rig = Rig::with(config(), None).await;
    rig.data("1").await.accepted();
    assert!(!rig.sink.until_delivered(1).await[0].retain);
    rig.ktm.bump(&rig.ktm.scopes()[0].id).await.unwrap();
    rig.data("2").await.accepted();
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(rig.open(&published[1]).await.data.value.get(), "2");
}

#[tokio::test]
async fn what_a_broker_retained_before_the_start_is_sealed_anew() {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let first = Rig::over(store.clone(), clock.clone(), retaining(), None).await;
    first.data(r#"{"NodeId":"s1","name":"a","value":1}"#).await.accepted();
    let published = first.sink.until_delivered(1).await;
    first.ktm.bump(&first.ktm.scopes()[0].id).await.unwrap();
    let resealed = first.sink.until_delivered(2).await;
    drop(first);

    // The broker kept the older one: the process died in between.
    for (kept, expected) in [(&published[0], 1), (&resealed[1], 0)] {
        let sink = Arc::new(crate::fixture::FakeSink::default());
        sink.retain(kept.clone());
        sink.retain(Outgoing {
            payload: Bytes::from_static(b"{}"),
            topic: "unregistered/x".parse().unwrap(),
            ..kept.clone()
        });
        let rig = Rig::over_sink(store.clone(), clock.clone(), retaining(), None, sink).await;
        rig.data(r#"{"NodeId":"s2","name":"b","value":2}"#).await.accepted();
        let sent = rig.sink.until_delivered(1 + expected).await;
        let topics: Vec<_> = sent.iter().map(|message| message.topic.as_str()).filter(|t| t.contains("s1")).collect();
        assert_eq!(topics.len(), expected);
    }
}

#[tokio::test]
async fn a_policy_has_members_left_out_and_others_told() {
    let rig = Rig::with(config(), None).await;
    rig.put_in_force(
        r#"@obligation("redact:/data/gps, redact:/data/unit")
           permit(principal, action == Action::"receive", resource in Topic::"unregistered");
           @obligation("notify:alerts/hot")
           permit(principal in Group::"safety", action == Action::"receive", resource in Topic::"unregistered")
           when { resource has value && resource.value.greaterThan(decimal("50.0")) };
           @obligation("notify:alerts/again")
           permit(principal in Group::"safety", action == Action::"receive", resource in Topic::"alerts");
           forbid(principal, action == Action::"receive", resource) when { resource.labels.contains("secret") };"#,
    );
    rig.data(r#"{"NodeId":"s1","name":"t","value":50,"unit":"Cel","gps":[46.1,11.1],"room":"a"}"#).await.accepted();
    rig.data(r#"{"NodeId":"s1","name":"t","value":50.5}"#).await.accepted();
    let published = rig.sink.until_delivered(3).await;
    let items = rig.open_all(&published).await;
    assert!(items[0].data.further("gps").is_none() && items[0].data.unit.is_none());
    assert_eq!(items[0].data.further("room").unwrap().get(), "\"a\"");
    let topics: Vec<_> = published.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["unregistered/s1/t", "unregistered/s1/t", "alerts/hot"], "and nothing is said of an alert");
    assert_eq!(items[2].data.further("item").unwrap().get(), format!("\"{}\"", items[1].id));
    assert_eq!(&*items[2].schema, "notification");
    let (node_id, text) = ("nos-1".parse().unwrap(), || "x".into());
    let encryption_scheme = crate::sources::EncryptionScheme::None;
    let impostor =
        crate::sources::NewSource { node_id, node_type: text(), communication_mode: text(), encryption_scheme };
    assert!(rig.nos.sources().register(impostor, None).await.is_err(), "nobody speaks in its name");
    let scope = |n: usize| key_id(&published[n]).scope_tag();
    assert!(scope(2) != scope(0) && scope(2) != scope(1), "it is for whom the policies of its own topic name");
}

#[tokio::test]
async fn labels_and_tags_of_a_source_decide_until_they_change_and_nobody_can_say_without_it() {
    let config = Config { retain: vec!["data/#".parse().unwrap()], ..config() };
    let rig = Rig::with(config, None).await;
    rig.put_in_force(
        r#"permit(principal, action == Action::"receive", resource in Topic::"data")
           when { resource.labels.contains("open") || (resource.hasTag("owner") && resource.getTag("owner") == principal.org) };"#,
    );
    let credential = rig.register("s1").await;
    let node = "s1".parse().unwrap();
    let send = async |value: &str| rig.send(with_bearer(data(value.to_owned()), &credential)).await.accepted();
    let mark = async |json: &str| {
        let aups_core::Marks { labels, tags } = serde_json::from_str(json).unwrap();
        rig.nos.sources().mark(&node, Some(labels), Some(tags)).await.unwrap().unwrap()
    };
    mark(r#"{"labels":["open"]}"#).await;
    send("1").await;
    let open = rig.sink.until_delivered(1).await;
    mark(r#"{"tags":{"owner":"acme"}}"#).await;
    let resealed = rig.sink.until_delivered(2).await;
    assert_eq!(rig.open(&resealed[1]).await.id, rig.open(&open[0]).await.id, "what is retained follows");
    assert_ne!(key_id(&resealed[1]).scope_tag(), key_id(&open[0]).scope_tag());
    mark("{}").await;
    assert!(rig.sink.until_delivered(3).await[2].payload.is_empty(), "no label, no reader");

    mark(r#"{"labels":["open"]}"#).await;
    rig.sink.until_delivered(4).await;
    rig.sink.set(Mood::Hold);
    // Withheld, for nobody can say of whom it was.
    assert!(rig.nos.sources().remove(&node).await.unwrap());
    let entry = crate::accept::Entry { topic: "data/s1/value".parse().unwrap(), ..crate::fixture::entry("1") };
    let mut item = entry.item.clone();
    (item.source.registered, item.source.node_id) = (true, "s1".into());
    let (_, in_force) = tokio::sync::watch::channel(crate::fixture::pdp(
        rig.ktm.realm().id(),
        r#"permit(principal, action, resource) unless { resource.labels.contains("secret") };"#,
    ));
    let mut pep = crate::pep::Pep::new(crate::fixture::nos_id(), in_force, rig.ktm.clone(), rig.nos.sources(), 10);
    let refused = pep.permit(&crate::accept::Entry { item, ..entry }).await.map(drop).unwrap_err();
    assert!(matches!(refused, crate::pep::NotPermitted::Withheld(crate::pep::Withheld::SourceGone)), "{refused:?}");
}

#[tokio::test]
async fn of_what_was_redacted_nobody_decides_without_it() {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let first = Rig::over(store.clone(), clock.clone(), retaining(), None).await;
    first.put_in_force(r#"@obligation("redact:/data/unit") permit(principal, action == Action::"receive", resource);"#);
    first.data(r#"{"NodeId":"s1","name":"a","value":1,"unit":"Cel"}"#).await.accepted();
    let published = first.sink.until_delivered(1).await;
    drop(first);
    let sink = Arc::new(crate::fixture::FakeSink::default());
    sink.retain(published[0].clone());
    let rig = Rig::over_sink(store, clock, retaining(), None, sink).await;
    let cleared = rig.sink.until_delivered(1).await;
    assert!(cleared[0].payload.is_empty(), "other policies are in force, and the unit is not known any more");
}

#[tokio::test]
async fn what_is_retained_changes_with_the_configuration() {
    let rig = Rig::with(config(), None).await;
    let send = async |value: u32| rig.data(format!(r#"{{"NodeId":"s1","name":"a","value":{value}}}"#)).await.accepted();
    send(1).await;
    rig.sink.until_delivered(1).await;
    rig.configure(retaining());
    send(2).await;
    rig.sink.until_delivered(2).await;
    rig.configure(config());
    rig.sink.until_delivered(3).await;
    send(3).await;
    let published = rig.sink.until_delivered(4).await;
    let shown: Vec<_> = published.iter().map(|message| (message.retain, message.payload.is_empty())).collect();
    let cleared = (true, true);
    assert_eq!(shown, [(false, false), (true, false), cleared, (false, false)]);
}

#[tokio::test]
async fn what_is_no_longer_retained_after_a_restart_is_cleared() {
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let first = Rig::over(store.clone(), clock.clone(), retaining(), None).await;
    first.data(r#"{"NodeId":"s1","name":"a","value":1}"#).await.accepted();
    let published = first.sink.until_delivered(1).await;
    drop(first);
    let sink = Arc::new(crate::fixture::FakeSink::default());
    sink.retain(published[0].clone());
    sink.retain(Outgoing { payload: "online".into(), topic: "status/nos-1".parse().unwrap(), ..published[0].clone() });
    let rig = Rig::over_sink(store, clock, config(), None, sink).await;
    let cleared = rig.sink.until_delivered(1).await;
    assert_eq!((&cleared[0].topic, cleared[0].payload.is_empty()), (&published[0].topic, true));
    rig.data("1").await.accepted();
    assert_eq!(rig.sink.until_delivered(2).await.len(), 2, "what is not ours stays");
}

#[tokio::test]
async fn at_qos_0_an_item_is_done_when_the_broker_took_it() {
    let qos = vec![QosRule { filter: "unregistered/+/fast".parse().unwrap(), qos: Qos::AtMostOnce }];
    let rig = Rig::with(Config { qos, ..config() }, None).await;
    rig.sink.set(Mood::Hold);
    for name in ["fast", "sure"] {
        rig.data(format!(r#"{{"NodeId":"s1","name":"{name}","value":1}}"#)).await.accepted();
    }
    rig.sink.until_held(2).await;
    rig.sink.set(Mood::Lose);
    rig.sink.until_lost(3).await;
    rig.sink.set(Mood::Acknowledge);
    let delivered = rig.sink.until_delivered(1).await;
    let topics: Vec<_> = delivered.iter().map(|message| (message.topic.as_str(), message.qos)).collect();
    assert_eq!(topics, [("unregistered/s1/sure", Qos::AtLeastOnce)], "what was taken at QoS 0 is not sent again");
    while rig.nos.unacknowledged() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn limits_change_while_it_runs() {
    let rig = Rig::with(config(), None).await;
    rig.register("s1").await;
    let limits = |sources_max| Config { limits: Limits { sources_max, ..Limits::default() }, ..config() };
    rig.configure(limits(1));
    rig.data("1").await.accepted();
    rig.sink.until_delivered(1).await;
    let answer = rig.send(crate::fixture::post("/registration", REGISTRATION)).await;
    assert_eq!(answer.problem().0, 503);
    rig.configure(limits(2));
    rig.data("2").await.accepted();
    rig.sink.until_delivered(2).await;
    rig.register("s2").await;
}

const REGISTRATION: &str = r#"{"NodeId":"s2","NodeType":"sensor","CommunicationMode":"discrete"}"#;
