use crate::client::{As, Client, Realm, broker, outgoing, settings, soon};
use aups_broker::Broker;
use rumqttc_v5::{ConnectReturnCode, PubAckReason, QoS, SubscribeReasonCode};
use std::sync::Arc;

async fn refusal(broker: &Broker, who: &As) -> ConnectReturnCode {
    Client::connect(broker.local_addr(), who).await.expect_err("refused")
}

#[tokio::test]
async fn only_those_with_the_right_password_connect() {
    let broker = broker().await;
    let alice = As::user("alice");
    assert_eq!(refusal(&broker, &As { user: None, ..alice.clone() }).await, ConnectReturnCode::NotAuthorized);
    assert_eq!(refusal(&broker, &As { user: Some(""), ..alice.clone() }).await, ConnectReturnCode::NotAuthorized);
    let wrong = refusal(&broker, &As { password: "wrong", ..alice.clone() }).await;
    assert_eq!(wrong, ConnectReturnCode::BadUserNamePassword);
    Client::connect(broker.local_addr(), &alice).await.unwrap();
}

#[tokio::test]
async fn a_client_without_an_id_gets_one() {
    let broker = broker().await;
    let (_client, answer) = Client::connect(broker.local_addr(), &As::user("alice").id("")).await.unwrap();
    assert!(answer.properties.unwrap().assigned_client_identifier.is_some());
}

#[tokio::test]
async fn a_filter_outside_the_rights_is_refused_and_gets_nothing() {
    let broker = broker().await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    for filter in ["secret/1", "#", "+/1", "$SYS/#", "$share/group/secret/1"] {
        assert_eq!(alice.subscribe(filter).await, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    assert_eq!(alice.subscribe("data/#").await, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    broker.publish(vec![outgoing("secret/1", "secret"), outgoing("data/1", "last")]).await.await;
    assert!(alice.texts_until("last").await.is_empty());
}

#[tokio::test]
async fn a_topic_outside_the_rights_is_refused_and_reaches_nobody() {
    let broker = broker().await;
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    let (mut bob, _) = Client::connect(broker.local_addr(), &As::user("bob")).await.unwrap();
    bob.subscribe("data/#").await;
    assert_eq!(alice.publish("data/1").await, PubAckReason::NotAuthorized);
    assert_eq!(alice.publish("up/bob").await, PubAckReason::NotAuthorized);
    assert_eq!(alice.publish("$SYS/broker").await, PubAckReason::NotAuthorized);
    assert_ne!(alice.publish("up/alice").await, PubAckReason::NotAuthorized);
    broker.publish(vec![outgoing("data/1", "last")]).await.await;
    assert!(bob.texts_until("last").await.is_empty());
}

#[tokio::test]
async fn a_will_outside_the_rights_reaches_nobody() {
    let broker = broker().await;
    let (mut bob, _) = Client::connect(broker.local_addr(), &As::user("bob")).await.unwrap();
    bob.subscribe("data/#").await;
    let alice = As { will: Some("data/1"), ..As::user("alice") };
    let (client, _) = Client::connect(broker.local_addr(), &alice).await.unwrap();
    client.vanish().await;
    // The will is published before the broker counts the client as gone.
    while broker.stats().await.sessions > 1 {
        tokio::task::yield_now().await;
    }
    broker.publish(vec![outgoing("data/1", "last")]).await.await;
    assert!(bob.texts_until("last").await.is_empty());
}

#[tokio::test]
async fn the_client_id_of_a_session_belongs_to_its_user() {
    let broker = broker().await;
    let address = broker.local_addr();
    let (mut alice, _) = Client::connect(address, &As::user("alice").persistent().id("shared")).await.unwrap();
    alice.subscribe("data/#").await;
    assert_eq!(refusal(&broker, &As::user("bob").id("shared")).await, ConnectReturnCode::NotAuthorized);
    broker.publish(vec![outgoing("data/1", "while there")]).await.await;
    assert_eq!(alice.text().await, "while there", "nobody threw her out");

    alice.vanish().await;
    assert_eq!(refusal(&broker, &As::user("bob").id("shared")).await, ConnectReturnCode::NotAuthorized);
    let resumed = As::user("bob").id("shared").persistent();
    assert_eq!(refusal(&broker, &resumed).await, ConnectReturnCode::NotAuthorized);
    broker.publish(vec![outgoing("data/1", "while away")]).await.await;
    let (mut alice, answer) = Client::connect(address, &As::user("alice").persistent().id("shared")).await.unwrap();
    assert!(answer.session_present);
    assert_eq!(alice.text().await, "while away");
}

#[tokio::test]
async fn there_is_a_limit_of_filters_per_session() {
    let mut settings = settings(None);
    settings.limits.subscriptions_per_client_max = 2;
    let broker = Broker::start(settings, Arc::new(Realm::default())).await.unwrap();
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice")).await.unwrap();
    alice.subscribe("data/1").await;
    alice.subscribe("data/2").await;
    assert_eq!(alice.subscribe("data/3").await, SubscribeReasonCode::QuotaExceeded);
}

#[tokio::test]
async fn a_review_ends_the_sessions_that_hold_what_they_may_no_longer_have() {
    let realm = Arc::new(Realm::default());
    let broker = Broker::start(settings(None), realm.clone()).await.unwrap();
    let (mut alice, _) = Client::connect(broker.local_addr(), &As::user("alice").id("a")).await.unwrap();
    let (mut bob, _) = Client::connect(broker.local_addr(), &As::user("bob").persistent().id("b")).await.unwrap();
    let (mut carol, _) = Client::connect(broker.local_addr(), &As::user("carol").id("c")).await.unwrap();
    alice.subscribe("data/#").await;
    bob.subscribe("$share/group/data/1").await;
    assert_eq!(broker.review().await, 0);
    realm.close_data();
    assert_eq!(broker.review().await, 2);
    alice.closed().await;
    bob.closed().await;
    assert_ne!(carol.publish("up/carol").await, PubAckReason::NotAuthorized, "she holds nothing, and stays");
    assert_eq!(broker.review().await, 0);
}

#[tokio::test]
async fn what_is_retained_can_be_listed_and_cleared() {
    let broker = broker().await;
    let retained = |topic, payload| aups_broker::Outgoing { retain: true, ..outgoing(topic, payload) };
    broker.publish(vec![retained("data/1", "one"), outgoing("data/2", "two"), retained("data/3", "three")]).await.await;
    broker.publish(vec![retained("data/3", "")]).await.await;
    assert_eq!(broker.retained().await, [("data/1".to_owned(), "one".into())]);
}

/// MQTT 3.1.1: the same rights, in the words of that version.
mod v4 {
    use super::{As, Client, broker, outgoing, soon};
    use rumqttc_v4::{
        AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS,
        SubscribeReasonCode,
    };
    use std::net::SocketAddr;

    fn connecting(address: SocketAddr, user: Option<&str>, password: &str) -> (AsyncClient, EventLoop) {
        let mut options = MqttOptions::new("old", (address.ip().to_string(), address.port()));
        if let Some(user) = user {
            options.set_credentials(user, password.to_owned());
        }
        AsyncClient::builder(options).capacity(10).build()
    }

    async fn packet<T>(events: &mut EventLoop, wanted: impl Fn(Packet) -> Option<T>) -> T {
        loop {
            if let Event::Incoming(packet) = soon(events.poll()).await.unwrap()
                && let Some(packet) = wanted(packet)
            {
                return packet;
            }
        }
    }

    async fn refusal(address: SocketAddr, user: Option<&str>, password: &str) -> ConnectReturnCode {
        match soon(connecting(address, user, password).1.poll()).await {
            Err(ConnectionError::ConnectionRefused(code)) => code,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn strangers_are_refused() {
        let broker = broker().await;
        assert_eq!(refusal(broker.local_addr(), None, "").await, ConnectReturnCode::NotAuthorized);
        let wrong = refusal(broker.local_addr(), Some("alice"), "wrong").await;
        assert_eq!(wrong, ConnectReturnCode::BadUserNamePassword);
    }

    #[tokio::test]
    async fn a_refused_filter_fails_and_a_refused_message_is_dropped() {
        let broker = broker().await;
        let (client, mut events) = connecting(broker.local_addr(), Some("alice"), "pw");
        let suback = |packet| if let Packet::SubAck(answer) = packet { Some(answer) } else { None };
        client.subscribe("secret/1", QoS::AtLeastOnce).await.unwrap();
        assert_eq!(packet(&mut events, suback).await.return_codes, [SubscribeReasonCode::Failure]);
        client.subscribe("data/#", QoS::AtLeastOnce).await.unwrap();
        assert_eq!(packet(&mut events, suback).await.return_codes, [SubscribeReasonCode::Success(QoS::AtLeastOnce)]);

        let (mut bob, _) = Client::connect(broker.local_addr(), &As::user("bob")).await.unwrap();
        bob.subscribe("data/#").await;
        client.publish("data/1", "forged", PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
        // The broker has dealt with it when it answers, in the words of MQTT 5: some clients take that, this one goes.
        while !matches!(soon(events.poll()).await, Ok(Event::Incoming(Packet::PubAck(_))) | Err(_)) {}
        broker.publish(vec![outgoing("data/1", "last")]).await.await;
        assert!(bob.texts_until("last").await.is_empty());
    }
}
