use super::*;
use crate::{
    Status,
    fixture::{Realm, identity},
    server::tests::serve,
};
use aups_broker::{Broker, BrokerSettings, Connect, Gate, Outgoing, Refusal, Verdict};
use axum::{Router, http::StatusCode, routing::post};
use std::{
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::{TcpListener, TcpStream};

/// No test waits longer for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the broker lets alice do.
#[derive(Debug, Default)]
struct Rights {
    removed: AtomicBool,
    not_now: AtomicBool,
    no_data: AtomicBool,
}

impl Gate for Rights {
    fn connect(&self, connect: &Connect<'_>) -> Result<(), Refusal> {
        match (connect.user, connect.password) {
            _ if self.not_now.load(Ordering::SeqCst) => Err(Refusal::Unavailable),
            (Some("alice"), Some(b"secret")) if !self.removed.load(Ordering::SeqCst) => Ok(()),
            _ => Err(Refusal::BadCredentials),
        }
    }

    fn subscribe(&self, _user: &str, filter: &str) -> Verdict {
        let data = filter.starts_with("data/") && !self.no_data.load(Ordering::SeqCst);
        if data || filter.starts_with("other/") { Verdict::Allow } else { Verdict::Deny }
    }

    fn publish(&self, _user: &str, _topic: &str) -> Verdict {
        Verdict::Deny
    }
}

/// A realm with its broker and key server, and a way to the broker that can be cut.
struct Place {
    realm: Arc<Mutex<Realm>>,
    rights: Arc<Rights>,
    /// None while it is away.
    broker: Option<Broker>,
    server: String,
    cut: Arc<tokio::sync::Notify>,
    mqtt: SocketAddr,
}

impl Place {
    async fn new() -> Self {
        Self::with(BrokerSettings { listen: ([127, 0, 0, 1], 0).into(), ..BrokerSettings::default() }).await
    }

    async fn with(settings: BrokerSettings) -> Self {
        let realm = Arc::new(Mutex::new(Realm::new()));
        let rights = Arc::new(Rights::default());
        let broker = Broker::start(settings, Arc::clone(&rights) as _).await.expect("a broker");
        let server = serve_keys(Arc::clone(&realm)).await;
        let (mqtt, cut) = serve_way(broker.local_addr()).await;
        Self { realm, rights, broker: Some(broker), server, cut, mqtt }
    }

    fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("a broker")
    }

    fn identity(&self) -> Identity {
        identity(&self.server, &format!("mqtt://{}", self.mqtt))
    }

    async fn reader(&self, options: ReaderOptions) -> Reader {
        Reader::connect(self.identity(), options).await.expect("a reader")
    }

    async fn publish(&self, topic: &str, scope: u8) {
        self.publish_retained(topic, scope, false).await;
    }

    async fn publish_retained(&self, topic: &str, scope: u8, retain: bool) {
        let payload = self.realm.lock().expect("the realm").publish(topic, scope, SystemClock.now());
        let content_type = "application/aups+json";
        let message =
            Outgoing { topic: topic.into(), payload: payload.into(), content_type, retain, at_most_once: false };
        self.broker().publish(vec![message]).await.await;
    }
}

/// Answers key requests as the realm does.
async fn serve_keys(realm: Arc<Mutex<Realm>>) -> String {
    let alice = identity("", "").file;
    let (verifying_key, kem) = (alice.signing_key.public(), alice.kem.public());
    let keys = move |request: String| async move {
        let realm = realm.lock().expect("the realm");
        let (status, body) = realm.answer((&verifying_key, &kem), &request, SystemClock.now());
        (StatusCode::from_u16(status).expect("a status"), body)
    };
    serve(Router::new().route("/v1/keys", post(keys))).await
}

/// A way to the broker; a notification cuts the connections that it has.
async fn serve_way(broker: SocketAddr) -> (SocketAddr, Arc<tokio::sync::Notify>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let cut = Arc::new(tokio::sync::Notify::new());
    let cut_here = Arc::clone(&cut);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let cut = Arc::clone(&cut_here);
            tokio::spawn(async move {
                let Ok(mut broker) = TcpStream::connect(broker).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut broker) => {}
                    () = cut.notified() => {}
                }
            });
        }
    });
    (address, cut)
}

async fn next(reader: &mut Reader) -> Event {
    let event = tokio::time::timeout(PATIENCE, reader.next()).await.expect("an event in time");
    event.expect("the reader goes on")
}

/// The next item's value and status; whatever else comes fails the test.
async fn next_item(reader: &mut Reader) -> (String, Status) {
    match next(reader).await {
        Event::Item { item, status, .. } => (item.data.value.get().into(), status),
        other => panic!("{other:?} in place of an item"),
    }
}

#[tokio::test]
async fn a_reader_with_the_right_reads_what_is_published() {
    let place = Place::new().await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    for _ in 0..10 {
        place.publish("data/s1/t", 1).await;
    }
    for number in 0..10 {
        assert_eq!(next_item(&mut reader).await, (number.to_string(), Status::Fresh));
    }
}

#[tokio::test]
async fn a_reader_without_the_right_is_told_so_for_each_message() {
    let place = Place::new().await;
    place.realm.lock().expect("the realm").forbidden.insert(1);
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    place.publish("data/s1/t", 1).await;
    place.publish("data/s1/t", 1).await;
    for _ in 0..2 {
        let event = next(&mut reader).await;
        assert!(matches!(event, Event::Denied { .. }), "{event:?}");
    }
}

#[tokio::test]
async fn what_the_broker_kept_is_told_as_retained() {
    let place = Place::new().await;
    place.publish_retained("data/s1/t", 1, true).await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    assert_eq!(next_item(&mut reader).await, ("0".into(), Status::Retained));
    place.publish("data/s1/t", 1).await;
    assert_eq!(next_item(&mut reader).await, ("1".into(), Status::Fresh));
}

#[tokio::test]
async fn a_refused_filter_is_named_and_the_others_are_subscribed() {
    let place = Place::new().await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    match reader.subscribe(&["secret/#", "data/#"]).await {
        Err(SubscribeError::Refused(refused)) => {
            let filters: Vec<_> = refused.iter().map(|refused| (refused.filter.as_str(), refused.reason)).collect();
            assert_eq!(filters, [("secret/#", RefusalReason::NotAuthorised)]);
        }
        other => panic!("{other:?}"),
    }
    place.publish("data/s1/t", 1).await;
    next_item(&mut reader).await;
    assert!(matches!(reader.subscribe(&["data/#/x"]).await, Err(SubscribeError::Filter { .. })));
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_comes_twice_when_the_connection_breaks() {
    let place = Place::new().await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    place.publish("data/s1/t", 1).await;
    assert_eq!(next_item(&mut reader).await.0, "0");
    place.cut.notify_waiters();
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    for _ in 0..5 {
        place.publish("data/s1/t", 1).await;
    }
    let mut came = Vec::new();
    while came.len() < 5 {
        match next(&mut reader).await {
            Event::Item { item, .. } => came.push(item.data.value.get().to_owned()),
            Event::Reconnected { session_present } => assert!(session_present),
            // The broker may send again what it did not see acknowledged.
            Event::Duplicate { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn nothing_is_lost_when_the_broker_restarts() {
    let data_dir = tempfile::tempdir().expect("a directory");
    let settings = BrokerSettings {
        listen: ([127, 0, 0, 1], 0).into(),
        data_dir: Some(data_dir.path().into()),
        ..BrokerSettings::default()
    };
    let mut place = Place::with(settings.clone()).await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    place.publish("data/s1/t", 1).await;
    assert_eq!(next_item(&mut reader).await.0, "0");
    let broker = place.broker.take().expect("a broker");
    let settings = BrokerSettings { listen: broker.local_addr(), ..settings };
    broker.shutdown().await;
    drop(broker);
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    place.broker = Some(Broker::start(settings, Arc::clone(&place.rights) as _).await.expect("the broker again"));
    place.publish("data/s1/t", 1).await;
    loop {
        match next(&mut reader).await {
            Event::Item { item, .. } => break assert_eq!(item.data.value.get(), "1"),
            Event::Reconnected { session_present } => assert!(session_present),
            Event::Duplicate { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn filters_are_subscribed_again_where_the_broker_has_forgotten_the_session() {
    let place = Place::new().await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#", "other/#"]).await.expect("subscribed");
    place.rights.no_data.store(true, Ordering::SeqCst);
    assert_eq!(place.broker().kick("alice").await, 1);
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    assert!(matches!(next(&mut reader).await, Event::Reconnected { session_present: false }));
    match next(&mut reader).await {
        Event::Unsubscribed(refused) => assert_eq!(refused.filter.as_str(), "data/#"),
        other => panic!("{other:?}"),
    }
    place.publish("other/s1/t", 1).await;
    next_item(&mut reader).await;
    place.broker().kick("alice").await;
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    assert!(matches!(next(&mut reader).await, Event::Reconnected { session_present: false }));
    reader.subscribe(&["other/s2/#"]).await.expect("subscribed, and so is what was before");
    place.publish("other/s1/t", 1).await;
    next_item(&mut reader).await;
}

#[tokio::test]
async fn after_a_forgotten_session_the_last_values_come_once_more_if_they_are_new() {
    let place = Place::new().await;
    place.publish_retained("data/s1/t", 1, true).await;
    place.publish_retained("data/s2/t", 1, true).await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    for _ in 0..2 {
        assert_eq!(next_item(&mut reader).await.1, Status::Retained);
    }
    place.rights.not_now.store(true, Ordering::SeqCst);
    place.broker().kick("alice").await;
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    place.publish_retained("data/s2/t", 1, true).await;
    place.rights.not_now.store(false, Ordering::SeqCst);
    assert!(matches!(next(&mut reader).await, Event::Reconnected { session_present: false }));
    let mut came = Vec::new();
    for _ in 0..2 {
        came.push(match next(&mut reader).await {
            Event::Item { topic, status, .. } => format!("{topic} {status}"),
            Event::Duplicate { topic } => format!("{topic} duplicate"),
            other => panic!("{other:?}"),
        });
    }
    came.sort();
    assert_eq!(came, ["data/s1/t duplicate", "data/s2/t retained"]);
}

#[tokio::test]
async fn a_reader_that_was_removed_ends() {
    let place = Place::new().await;
    let mut reader = place.reader(ReaderOptions::default()).await;
    place.rights.removed.store(true, Ordering::SeqCst);
    place.broker().kick("alice").await;
    assert!(matches!(next(&mut reader).await, Event::Disconnected { .. }));
    let event = next(&mut reader).await;
    assert!(matches!(event, Event::Ended(ConnectError::Refused { .. })), "{event:?}");
    assert!(reader.next().await.is_none());
    assert!(matches!(reader.subscribe(&["data/#"]).await, Err(SubscribeError::Disconnected)));
    let error = Reader::connect(place.identity(), ReaderOptions::default()).await.expect_err("removed");
    assert!(matches!(error, ReaderError::Broker(ConnectError::Refused { .. })), "{error}");
}

#[tokio::test]
async fn an_application_that_is_slow_holds_the_broker_back_and_loses_nothing() {
    let place = Place::new().await;
    let mut reader = place
        .reader(ReaderOptions { receive_max: NonZeroU16::MIN.saturating_add(3), ..ReaderOptions::default() })
        .await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    let messages = 4 * EVENTS_QUEUED_MAX;
    for _ in 0..messages {
        place.publish("data/s1/t", 1).await;
    }
    for number in 0..messages {
        assert_eq!(next_item(&mut reader).await, (number.to_string(), Status::Fresh));
    }
}

#[tokio::test]
async fn messages_wait_for_a_key_server_that_is_away() {
    let place = Place::new().await;
    let address = place.server.strip_prefix("http://").expect("an address").to_owned();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let later = closed.local_addr().expect("an address");
    drop(closed);
    let mut elsewhere = place.identity();
    elsewhere.file.server = format!("http://{later}");
    let mut reader = Reader::connect(elsewhere, ReaderOptions::default()).await.expect("a reader");
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    place.publish("data/s1/t", 1).await;
    let event = next(&mut reader).await;
    assert!(matches!(event, Event::KeysUnavailable { .. }), "{event:?}");
    let listener = TcpListener::bind(later).await.expect("the port again");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(&address).await.expect("the server");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    loop {
        match next(&mut reader).await {
            Event::KeysUnavailable { .. } => {}
            Event::Item { .. } => return,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_reader_that_is_closed_leaves_no_session_behind() {
    let place = Place::new().await;
    let reader = place.reader(ReaderOptions::default()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    assert_eq!(place.broker().stats().await.sessions, 1);
    reader.close().await;
    tokio::time::timeout(PATIENCE, async {
        while place.broker().stats().await.sessions > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("no session");
}

#[tokio::test]
async fn with_a_state_file_the_next_reader_goes_on_where_the_last_one_was() {
    let place = Place::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    let state = Some(dir.path().join("alice.state"));
    let options = || ReaderOptions { state: state.clone(), ..ReaderOptions::default() };
    let mut reader = place.reader(options()).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    for _ in 0..10 {
        place.publish("data/s1/t", 1).await;
    }
    for number in 0..5 {
        assert_eq!(next_item(&mut reader).await, (number.to_string(), Status::Fresh));
    }
    // Killed with the fifth in hand: it was not dealt with.
    drop(reader);
    place.publish("data/s1/t", 1).await;
    let mut reader = loop {
        match Reader::connect(place.identity(), options()).await {
            Ok(reader) => break reader,
            // The last one is still saying farewell.
            Err(ReaderError::State(StateError::InUse(_))) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    // What was written down and not yet acknowledged is sent again, and known.
    let mut values = Vec::new();
    while values.len() < 7 {
        match next(&mut reader).await {
            Event::Item { item, .. } => values.push(item.data.value.get().to_owned()),
            Event::Duplicate { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(values, ["4", "5", "6", "7", "8", "9", "10"]);
    reader.close().await;
}

#[tokio::test]
async fn what_the_application_dealt_with_is_written_down_before_it_gets_more() {
    let place = Place::new().await;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.state");
    let mut reader = place.reader(ReaderOptions { state: Some(path.clone()), ..ReaderOptions::default() }).await;
    reader.subscribe(&["data/#"]).await.expect("subscribed");
    let messages = 4 * EVENTS_QUEUED_MAX;
    for _ in 0..messages {
        place.publish("data/s1/t", 1).await;
    }
    for number in 0..messages {
        next_item(&mut reader).await;
        let state = std::fs::read_to_string(&path).expect("the state");
        assert_eq!(state.matches("\"taken\"").count(), number, "each message before this one");
    }
}
