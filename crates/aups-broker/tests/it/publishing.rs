use crate::client::{As, Client, Realm, broker, outgoing, settings};
use aups_broker::{Broker, Outgoing};
use std::sync::Arc;

#[tokio::test]
async fn messages_arrive_in_order_with_their_content_type_and_no_property_of_the_brokers() {
    let broker = broker().await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/+").await;
    let batch: Vec<_> = (0..500).map(|n| outgoing("data/1", &n.to_string())).collect();
    broker.publish(batch).await.await;
    for n in 0..500 {
        let message = alice.message().await;
        assert_eq!(message.payload, n.to_string());
        let properties = message.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("application/aups+json"));
        assert!(properties.user_properties.is_empty());
    }
}

#[tokio::test]
async fn what_was_published_before_the_broker_stops_reaches_those_who_are_connected() {
    let broker = broker().await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/+").await;
    let all = (0..50).map(|n| Outgoing { at_most_once: true, ..outgoing("data/1", &n.to_string()) });
    broker.publish(all.collect()).await.await;
    broker.shutdown().await;
    for n in 0..50 {
        assert_eq!(alice.text().await, n.to_string());
    }
}

#[tokio::test]
async fn a_retained_message_waits_for_those_who_come_later() {
    let broker = broker().await;
    broker.publish(vec![Outgoing { retain: true, ..outgoing("data/1", "kept") }]).await.await;
    broker.publish(vec![Outgoing { retain: true, ..outgoing("data/2", "cleared") }]).await.await;
    broker.publish(vec![Outgoing { retain: true, ..outgoing("data/2", "") }]).await.await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/#").await;
    let message = alice.message().await;
    assert!(message.retain);
    assert_eq!(message.payload, "kept");
    broker.publish(vec![outgoing("data/3", "next")]).await.await;
    assert_eq!(alice.text().await, "next");
}

#[tokio::test]
async fn what_a_session_is_away_for_waits_until_the_oldest_must_go() {
    let mut settings = settings(None);
    settings.limits.queued_messages_max = 3;
    let broker = Broker::start(settings, Arc::new(Realm::default())).await.unwrap();
    let who = As::user("alice").persistent();
    let (mut alice, _) = Client::connect(broker.local_addr(), &who).await.unwrap();
    alice.subscribe("data/#").await;
    alice.vanish().await;
    while broker.stats().await.clients > 0 {
        tokio::task::yield_now().await;
    }
    broker.publish(["1", "2", "3", "4", "5"].map(|text| outgoing("data/1", text)).into()).await.await;
    assert_eq!(broker.stats().await.full_queues, 1);
    let (mut alice, _) = Client::connect(broker.local_addr(), &who).await.unwrap();
    assert_eq!(alice.texts_until("5").await, ["3", "4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_larger_than_any_queue_reaches_a_reader_that_reads() {
    let mut settings = settings(None);
    settings.limits.queued_messages_max = 200;
    settings.limits.reader_rate_min = 1;
    let broker = Broker::start(settings, Arc::new(Realm::default())).await.unwrap();
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/#").await;
    let text = |n: u32| format!("{n:04000}");
    let publishing = tokio::spawn(async move {
        for batch in 0..200 {
            broker.publish((0..50).map(|n| outgoing("data/1", &text(50 * batch + n))).collect()).await.await;
        }
        broker
    });
    for n in 0..10_000 {
        assert_eq!(alice.text().await, text(n));
    }
    publishing.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_up_nobody() {
    let broker = broker().await;
    let (mut sleeper, _) = Client::connect(broker.local_addr(), &As::user("sleeper")).await.unwrap();
    sleeper.subscribe("data/#").await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/#").await;
    sleeper.stop_reading();
    let large = "x".repeat(10_000);
    for _ in 0..30 {
        broker.publish((0..100).map(|_| outgoing("data/1", &large)).collect()).await.await;
        for _ in 0..100 {
            alice.message().await;
        }
    }
}
