use crate::client::{As, Client, Realm, outgoing, settings};
use aups_broker::Broker;
use rumqttc_v5::ConnectReturnCode;
use std::{path::Path, sync::Arc};

async fn kicking_ends_sessions(data_dir: Option<&Path>) {
    let realm = Arc::new(Realm::default());
    let broker = Broker::start(settings(data_dir), Arc::clone(&realm) as _).await.unwrap();
    let address = broker.local_addr();
    let (mut there, _) = Client::connect(address, &As::user("alice").persistent().id("there")).await.unwrap();
    there.subscribe("data/#").await;
    let (mut away, _) = Client::connect(address, &As::user("alice").persistent().id("away")).await.unwrap();
    away.subscribe("data/#").await;
    away.vanish().await;
    let (mut bob, _) = Client::connect(address, &As::user("bob")).await.unwrap();
    bob.subscribe("data/#").await;
    while broker.stats().await.clients > 2 {
        tokio::task::yield_now().await;
    }
    broker.publish(vec![outgoing("data/1", "before")]).await.await;
    assert_eq!(there.text().await, "before");

    assert_eq!(broker.kick("alice").await, 2);
    there.closed().await;
    broker.publish(vec![outgoing("data/1", "after")]).await.await;
    for id in ["there", "away"] {
        let (mut alice, answer) = Client::connect(address, &As::user("alice").persistent().id(id)).await.unwrap();
        assert!(!answer.session_present, "{id} begins anew");
        alice.subscribe("data/#").await;
        broker.publish(vec![outgoing("data/1", "anew")]).await.await;
        assert!(alice.texts_until("anew").await.is_empty(), "nothing that waited for {id} is left");
    }
    assert_eq!(bob.texts_until("after").await, ["before"]);

    realm.ban("alice");
    assert_eq!(broker.kick("alice").await, 2);
    let refused = Client::connect(address, &As::user("alice")).await.expect_err("banned");
    assert_eq!(refused, ConnectReturnCode::BadUserNamePassword);
    assert_eq!(broker.kick("alice").await, 0);
}

#[tokio::test]
async fn kicking_ends_sessions_there_and_away() {
    kicking_ends_sessions(None).await;
}

#[tokio::test]
async fn kicking_ends_sessions_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    kicking_ends_sessions(Some(dir.path())).await;
    let waiting = |name: &str| match std::fs::read_dir(dir.path().join(name)) {
        Ok(clients) => clients.map(|client| std::fs::read_dir(client.unwrap().path()).unwrap().count()).sum(),
        Err(_) => 0,
    };
    assert_eq!((waiting("queues"), waiting("kept"), waiting("inflight")), (0, 0, 0));
}

#[tokio::test]
async fn a_resumed_session_loses_the_filters_that_are_no_longer_allowed() {
    let realm = Arc::new(Realm::default());
    let broker = Broker::start(settings(None), Arc::clone(&realm) as _).await.unwrap();
    let who = As::user("alice").persistent();
    let (mut alice, _) = Client::connect(broker.local_addr(), &who).await.unwrap();
    alice.subscribe("data/#").await;
    alice.vanish().await;
    realm.close_data();
    assert_eq!(broker.stats().await.filters, 1);
    let (_alice, answer) = Client::connect(broker.local_addr(), &who).await.unwrap();
    assert!(answer.session_present);
    assert_eq!(broker.stats().await.filters, 0);
}
