use super::*;
use crate::fixture::{LIFE_MS, Realm, START, identity, topic};
use aups_core::limits::SKEW_MAX;
use std::collections::BTreeMap;

const SECOND: Duration = Duration::from_secs(1);
/// Past every wait before the next request.
const LATER: Duration = Duration::from_secs(31);

/// More than most tests need.
const ROOM: HoldLimits = HoldLimits { messages_max: 512, bytes_max: 1 << 20 };

/// A session, the realm that it reads in, and the time.
struct Bench {
    session: Session,
    realm: Realm,
    reader: Identity,
    now: Now,
    tickets: u64,
    requests: Vec<Vec<KeyId>>,
    done: Vec<u64>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Vec::new(), ROOM)
    }

    fn with(minimums: Vec<Minimum>, hold: HoldLimits) -> Self {
        let settings = SessionSettings { minimums, max_age: 60 * SECOND, hold };
        Self {
            session: Session::new(identity("http://s", "mqtt://b"), settings),
            realm: Realm::new(),
            reader: identity("http://s", "mqtt://b"),
            now: Now { wall: START, mono: SECOND },
            tickets: 0,
            requests: Vec::new(),
            done: Vec::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { wall: self.now.wall.plus(time), mono: self.now.mono + time };
    }

    /// The broker delivers with QoS 1.
    fn deliver(&mut self, on: &str, payload: &[u8]) {
        let message = Message { payload: payload.to_vec().into(), retain: false, ticket: Some(self.tickets) };
        self.tickets += 1;
        self.session.on_message(topic(on), message, self.now);
    }

    /// The NOS publishes an item, and the broker delivers it.
    fn publish(&mut self, on: &str, scope: u8) {
        let payload = self.realm.publish(on, scope, self.now.wall);
        self.deliver(on, &payload);
    }

    /// The session asks, if it wants to; what it asked for is noted.
    fn ask(&mut self) -> Option<String> {
        let request = self.session.next_request(self.now)?;
        let asked = KeyRequest::verify(request.as_bytes(), &self.reader.file.signing_key.public()).expect("good");
        self.requests.push(asked.want.iter().map(|wanted| wanted.key_id).collect());
        Some(request)
    }

    /// How long until the session wants to ask.
    fn wait(&self) -> Option<Duration> {
        self.session.wake_at(self.now)?.checked_sub(self.now.mono)
    }

    /// The realm answers a request.
    fn answer(&mut self, request: &str) {
        let reader = &self.reader.file;
        let (verifying_key, kem) = (reader.signing_key.public(), reader.kem.public());
        let (status, body) = self.realm.answer((&verifying_key, &kem), request, self.now.wall);
        self.session.on_answer(Ok(answer(status, body)), self.now);
    }

    /// Asks and answers until nothing is wanted any more at this moment.
    fn settle(&mut self) {
        for _ in 0..100 {
            let Some(request) = self.ask() else { return };
            self.answer(&request);
            self.pass(REQUEST_INTERVAL_MIN);
        }
        panic!("the session asks without end");
    }

    /// What came out, in words; what is done goes to `done`.
    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(output) = self.session.next_output() {
            told.extend(output.event.map(|event| in_words(&event)));
            self.done.extend(output.done);
        }
        told
    }
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { url: "http://s/v1/keys".into(), status, retry_after: None, body: body.into() }
}

fn in_words(event: &Event) -> String {
    match event {
        Event::Item { topic, item, json, status } => {
            assert!(json.get().contains(&item.id.to_string()));
            format!("{topic} {} {status}", item.data.value)
        }
        Event::Denied { topic, .. } => format!("{topic} denied"),
        Event::Duplicate { topic } => format!("{topic} duplicate"),
        Event::Stale { topic } => format!("{topic} stale"),
        Event::Gap { topic, missed } => format!("{topic} gap {missed}"),
        Event::Rejected { topic, reason } => format!("{topic} rejected: {reason}"),
        Event::KeysUnavailable { reason, .. } => format!("no keys: {reason}"),
        Event::ClockSkew { ahead_ms, too_far } => format!("clock {ahead_ms} {too_far}"),
        other => format!("{other:?}"),
    }
}

#[test]
fn a_message_waits_for_its_key_and_opens_when_it_comes() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    assert!(bench.told().is_empty());
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 fresh"]);
    assert_eq!(bench.done, [0]);
    bench.publish("a/t", 1);
    assert_eq!(bench.told(), ["a/t 1 fresh"], "the key is here");
    assert_eq!(bench.requests.len(), 1);
}

#[test]
fn every_message_that_is_not_for_the_reader_is_told_as_denied_and_asked_for_once() {
    let mut bench = Bench::new();
    bench.realm.forbidden.insert(1);
    bench.publish("a/t", 1);
    bench.settle();
    for _ in 0..1_000 {
        bench.publish("a/t", 1);
    }
    bench.settle();
    assert_eq!(bench.told(), vec!["a/t denied"; 1_001]);
    assert_eq!(bench.done.len(), 1_001);
    assert_eq!(bench.requests.len(), 1);
}

#[test]
fn a_right_that_is_given_later_shows_after_a_while() {
    let mut bench = Bench::new();
    bench.realm.forbidden.insert(1);
    bench.publish("a/t", 1);
    bench.settle();
    assert_eq!(bench.told(), ["a/t denied"]);
    bench.realm.forbidden.clear();
    bench.pass(DENIED_FOR);
    bench.publish("a/t", 1);
    bench.settle();
    assert_eq!(bench.told(), ["a/t 1 fresh"]);
}

#[test]
fn a_publisher_that_is_not_listed_is_asked_about_once_more_and_then_dropped() {
    let mut bench = Bench::new();
    bench.realm.listed = false;
    bench.publish("a/t", 1);
    bench.settle();
    bench.publish("a/t", 1);
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|told| told.starts_with("a/t rejected")), "{told:?}");
    assert_eq!(bench.requests.len(), 2, "one for the key, one new one");
}

#[test]
fn a_new_publisher_is_found_by_asking_again() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.settle();
    bench.realm = Realm::new();
    bench.realm.publisher = PublisherSlot(8);
    bench.publish("b/t", 1);
    assert_eq!(bench.told(), ["a/t 0 fresh"]);
    bench.settle();
    assert_eq!(bench.told(), ["b/t 0 fresh"]);
    assert_eq!(bench.requests.len(), 2);
}

#[test]
fn nobody_waits_at_an_expiry() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.settle();
    for epoch in 1..5 {
        let middle_of_epoch = START.plus(Duration::from_millis(LIFE_MS * epoch));
        bench.pass(middle_of_epoch.since(bench.now.wall));
        bench.publish("a/t", 1);
        assert_eq!(bench.told().last(), Some(&format!("a/t {epoch} fresh")), "the key is here already");
        assert_eq!(bench.ask(), None, "nothing to ask for yet");
        let wait = bench.wait().expect("the next key will be asked for");
        assert!(wait < Duration::from_millis(LIFE_MS / 2), "the key ends in half a life, asked for in {wait:?}");
        bench.pass(wait);
        bench.settle();
    }
    assert_eq!(bench.requests.len(), 5, "one per epoch");
}

#[test]
fn messages_of_a_topic_keep_their_order_and_other_topics_go_on() {
    let mut bench = Bench::new();
    bench.publish("b/t", 2);
    bench.settle();
    bench.told();
    bench.publish("a/t", 1);
    bench.publish("a/t", 2);
    bench.publish("b/t", 2);
    bench.publish("a/t", 1);
    assert_eq!(bench.told(), ["b/t 3 fresh"], "only the topic with the unknown key waits");
    bench.settle();
    assert_eq!(bench.told(), ["a/t 1 fresh", "a/t 2 fresh", "a/t 4 fresh"]);
}

#[test]
fn what_an_answer_does_not_settle_waits_on_in_its_place() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    let request = bench.ask().expect("a request");
    for scope in [2, 1, 3] {
        bench.publish("a/t", scope);
    }
    bench.answer(&request);
    assert_eq!(bench.told(), ["a/t 0 fresh"]);
    bench.pass(SECOND);
    bench.settle();
    assert_eq!(bench.told(), ["a/t 1 fresh", "a/t 2 fresh", "a/t 3 fresh"]);
}

#[test]
fn a_denied_message_lets_those_behind_it_through_in_order() {
    let mut bench = Bench::new();
    bench.realm.forbidden.insert(1);
    for scope in [1, 2, 1, 2] {
        bench.publish("a/t", scope);
    }
    bench.settle();
    assert_eq!(bench.told(), ["a/t denied", "a/t 1 fresh", "a/t denied", "a/t 3 fresh"]);
    assert_eq!(bench.done, [0, 1, 2, 3]);
    assert_eq!(bench.requests.len(), 1, "both keys in one request");
}

#[test]
fn what_waits_is_bounded() {
    let mut bench = Bench::with(Vec::new(), HoldLimits { messages_max: 3, ..ROOM });
    for _ in 0..3 {
        assert!(bench.session.has_room());
        bench.publish("a/t", 1);
    }
    assert!(!bench.session.has_room(), "the broker has to wait");
    bench.settle();
    assert!(bench.session.has_room());
    assert_eq!(bench.told(), ["a/t 0 fresh", "a/t 1 fresh", "a/t 2 fresh"]);
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let bytes_max = 100_000;
    let mut bench = Bench::with(Vec::new(), HoldLimits { bytes_max, ..ROOM });
    let large = format!("\"{}\"", "x".repeat(5_000));
    for _ in 0..2 {
        let mut bytes = 0;
        while bench.session.has_room() {
            assert!(bytes < bytes_max);
            let payload = bench.realm.seal("a/t", 1, bench.now.wall, large.as_bytes());
            bytes += payload.len();
            bench.deliver("a/t", &payload);
        }
        assert!(bytes >= bytes_max);
        bench.settle();
        bench.told();
        // Another key, so that they wait again.
        bench.pass(Duration::from_millis(2 * LIFE_MS));
    }
}

#[test]
fn messages_that_may_be_lost_leave_half_of_the_room_to_the_others() {
    let mut bench = Bench::with(Vec::new(), HoldLimits { messages_max: 4, ..ROOM });
    for number in 0..3 {
        let payload = bench.realm.publish("a/t", 1, START);
        let message = Message { payload: payload.into(), retain: false, ticket: None };
        bench.session.on_message(topic("a/t"), message, bench.now);
        let full = ["a/t rejected: too many messages wait for keys"];
        assert_eq!(bench.told(), if number < 2 { &full[..0] } else { &full[..] });
    }
    bench.publish("b/t", 1);
    assert!(bench.session.has_room());
    bench.publish("b/t", 1);
    assert!(bench.told().is_empty());
}

#[test]
fn a_broker_waits_for_an_application_that_does_not_take_its_events() {
    let mut bench = Bench::with(Vec::new(), HoldLimits { messages_max: 8, ..ROOM });
    bench.publish("a/t", 1);
    bench.settle();
    for _ in 0..OUTPUTS_MAX + 7 {
        assert!(bench.session.has_room());
        bench.publish("a/t", 1);
    }
    assert!(!bench.session.has_room());
    bench.told();
    assert!(bench.session.has_room());
}

#[test]
fn a_message_that_is_sent_again_while_it_waits_comes_once() {
    let mut bench = Bench::new();
    let payload = bench.realm.publish("a/t", 1, START);
    bench.deliver("a/t", &payload);
    bench.deliver("a/t", &payload);
    assert!(bench.told().is_empty());
    assert_eq!(bench.done, [0], "the first delivery's connection is gone");
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 fresh"]);
    assert_eq!(bench.done, [0, 1]);
}

#[test]
fn an_item_under_a_new_seal_is_a_duplicate() {
    let mut bench = Bench::new();
    let item = bench.realm.item(0.9);
    let payload = bench.realm.seal("a/t", 1, START, item.as_bytes());
    bench.deliver("a/t", &payload);
    bench.deliver("a/t", &payload);
    let again = bench.realm.seal("a/t", 2, START, item.as_bytes());
    bench.deliver("a/t", &again);
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 fresh", "a/t duplicate"]);
    bench.deliver("a/t", &payload);
    assert_eq!(bench.told(), ["a/t duplicate"], "the same message");
    assert_eq!(bench.done.len(), 4);
}

#[test]
fn a_clock_that_is_far_off_opens_nothing_until_it_is_set() {
    for ahead_ms in [-31_000, 31_000] {
        let mut bench = Bench::new();
        bench.realm.ahead_ms = ahead_ms;
        bench.publish("a/t", 1);
        let request = bench.ask().expect("a request");
        bench.answer(&request);
        bench.publish("b/t", 1);
        assert_eq!(bench.told(), [format!("clock {} true", -ahead_ms)]);
        bench.realm.ahead_ms = 0;
        bench.pass(LATER);
        bench.settle();
        assert_eq!(bench.told(), ["clock 0 false", "a/t 0 fresh", "b/t 1 fresh"]);
    }
}

#[test]
fn a_clock_that_goes_wrong_stops_keys_that_are_here() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.settle();
    bench.realm.ahead_ms = 60_000;
    bench.publish("b/t", 2);
    bench.settle();
    bench.publish("a/t", 1);
    assert_eq!(bench.told(), ["a/t 0 fresh", "clock -60000 true"], "the key of a/t is here, and b/t has none");
    bench.realm.ahead_ms = 0;
    bench.pass(LATER);
    bench.settle();
    assert_eq!(bench.told(), ["clock 0 false", "b/t 1 fresh", "a/t 2 fresh"]);
}

#[test]
fn while_the_clock_is_off_keys_that_are_here_are_asked_for_because_the_answer_tells_the_time() {
    let mut bench = Bench::new();
    bench.realm.forbidden.insert(2);
    bench.publish("a/t", 1);
    bench.settle();
    bench.realm.ahead_ms = 60_000;
    bench.publish("b/t", 2);
    bench.settle();
    bench.realm.ahead_ms = 0;
    bench.pass(LATER);
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 fresh", "clock -60000 true", "clock 0 false", "b/t denied"]);
    bench.session.skew.measure(bench.now.wall.plus(SKEW_MAX * 2), Duration::ZERO, bench.now.wall);
    bench.publish("a/t", 1);
    bench.settle();
    assert_eq!(bench.told(), ["clock 0 false", "a/t 2 fresh"]);
}

#[test]
fn a_clock_that_is_a_little_off_is_told_and_works() {
    let mut bench = Bench::new();
    bench.realm.ahead_ms = 10_000;
    bench.publish("a/t", 1);
    bench.settle();
    assert_eq!(bench.told(), ["clock -10000 false", "a/t 0 fresh"]);
}

#[test]
fn without_an_answer_messages_wait_and_the_reader_asks_again_ever_later() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    let mut last = Duration::ZERO;
    for _ in 0..12 {
        bench.ask().expect("a request");
        bench.pass(SECOND);
        assert_eq!((bench.wait(), bench.ask()), (None, None), "one request at a time");
        bench.session.on_answer(Err(ServerError::TooLarge { url: "u".into() }), bench.now);
        last = bench.wait().expect("again");
        assert_eq!(bench.session.next_request(bench.now), None, "not at once");
        bench.pass(last);
    }
    assert!((RETRY_WAITS.1 / 2..=RETRY_WAITS.1).contains(&last), "{last:?}");
    assert_eq!(bench.told().len(), 12);
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 late"], "it is older than a minute by now");
    bench.publish("b/t", 2);
    bench.ask().expect("a request");
    bench.session.on_answer(Err(ServerError::TooLarge { url: "u".into() }), bench.now);
    assert!(bench.wait().expect("again") <= RETRY_WAITS.0, "one failure is the first again");
}

#[test]
fn a_server_that_says_when_is_obeyed() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.ask().expect("a request");
    let too_many = r#"{"type":"urn:aups:error:rate","title":"t","status":429,"detail":"20 a second"}"#;
    let answer = Answer { retry_after: Some(7 * SECOND), ..answer(429, too_many) };
    bench.session.on_answer(Ok(answer), bench.now);
    assert_eq!(bench.told(), ["no keys: http://s/v1/keys answers 429: 20 a second"]);
    assert_eq!(bench.session.wake_at(bench.now), Some(bench.now.mono + 7 * SECOND));
}

#[test]
fn a_refusal_for_a_stale_request_tells_how_far_the_clock_is_off() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.ask().expect("a request");
    let now = START.0 + 120_000;
    let stale = format!(
        r#"{{"type":"urn:aups:error:stale","title":"t","status":401,"detail":"set the clock","now":{now},"challenge":"c"}}"#
    );
    bench.session.on_answer(Ok(answer(401, stale)), bench.now);
    assert_eq!(bench.told(), ["clock -120000 true", "no keys: http://s/v1/keys answers 401: set the clock"]);
}

#[test]
fn an_answer_that_is_not_right_gives_nothing() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    let old = bench.ask().expect("a request");
    bench.session.on_answer(Err(ServerError::TooLarge { url: "u".into() }), bench.now);
    bench.told();
    bench.pass(bench.wait().expect("again"));
    bench.ask().expect("another request");
    bench.answer(&old);
    let told = bench.told();
    assert_eq!(told, ["no keys: the answer to a key request is not right: an answer to another request"]);
    bench.pass(bench.wait().expect("again"));
    bench.settle();
    assert_eq!(bench.told(), ["a/t 0 fresh"]);
}

#[test]
fn many_keys_go_into_few_requests_each_key_into_one() {
    let mut bench = Bench::new();
    for scope in 0..150 {
        bench.publish(&format!("a/{scope}"), scope);
    }
    bench.settle();
    assert_eq!(bench.told().len(), 150);
    assert_eq!(bench.requests.iter().map(Vec::len).collect::<Vec<_>>(), [64, 64, 22]);
    let mut times: BTreeMap<KeyId, u32> = BTreeMap::new();
    bench.requests.iter().flatten().for_each(|key_id| *times.entry(*key_id).or_default() += 1);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}

#[test]
fn the_longest_waiting_is_asked_for_first() {
    let mut bench = Bench::new();
    for scope in 0..150 {
        bench.publish(&format!("a/{scope}"), scope);
    }
    bench.ask().expect("a request");
    let scopes: Vec<_> = bench.requests[0].iter().map(|key_id| key_id.scope_tag().as_bytes()[0]).collect();
    assert_eq!(scopes, (0..64).collect::<Vec<_>>());
}

#[test]
fn a_request_is_never_larger_than_a_server_takes() {
    let mut bench = Bench::new();
    for scope in 0..64 {
        bench.publish(&format!("{}{scope:02}", "\"".repeat(1_022)), scope);
    }
    let mut asked = 0;
    while let Some(request) = bench.ask() {
        assert!(request.len() <= aups_core::limits::KEY_REQUEST_BYTES_MAX, "{} bytes", request.len());
        asked += bench.requests.last().map_or(0, Vec::len);
        bench.answer(&request);
        bench.pass(REQUEST_INTERVAL_MIN);
    }
    assert_eq!(asked, 64);
    assert_eq!(bench.told().len(), 64);
}

#[test]
fn requests_keep_their_distance() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    let request = bench.ask().expect("a request");
    bench.answer(&request);
    bench.publish("b/t", 2);
    assert_eq!(bench.ask(), None);
    bench.now.mono += REQUEST_INTERVAL_MIN;
    assert!(bench.ask().is_some());
}

#[test]
fn items_below_a_minimum_are_done_and_not_told() {
    let mut bench = Bench::with(vec!["quality.accuracy=0.8".parse().expect("a minimum")], ROOM);
    for accuracy in [0.79, 0.8, 0.5, 0.95] {
        let item = bench.realm.item(accuracy);
        let payload = bench.realm.seal("a/t", 1, START, item.as_bytes());
        bench.deliver("a/t", &payload);
    }
    bench.settle();
    assert_eq!(bench.told(), ["a/t 1 fresh", "a/t 3 fresh"]);
    assert_eq!(bench.done, [0, 1, 2, 3]);
}

#[test]
fn what_is_no_message_or_no_item_is_rejected() {
    let mut bench = Bench::new();
    let changed = bench.realm.publish("b/t", 1, START);
    let not_an_item = bench.realm.seal("a/t", 1, START, br#"{"temperature":10}"#);
    bench.deliver("a/t", b"21.5");
    bench.deliver("a/t", &not_an_item);
    bench.deliver("a/t", &changed);
    bench.deliver("a/t", b"{}");
    bench.settle();
    let told = bench.told();
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.iter().all(|told| told.starts_with("a/t rejected")), "{told:?}");
    assert_eq!(bench.done, [0, 1, 2, 3]);
}

#[test]
fn an_application_that_sleeps_costs_bounded_memory() {
    let mut bench = Bench::new();
    bench.publish("a/t", 1);
    bench.settle();
    for _ in 0..OUTPUTS_MAX {
        let payload = bench.realm.publish("a/t", 1, START);
        let message = Message { payload: payload.into(), retain: false, ticket: None };
        bench.session.on_message(topic("a/t"), message, bench.now);
        bench.session.tell(Event::Disconnected { reason: "r".into() });
    }
    assert_eq!(bench.session.outputs.len(), OUTPUTS_MAX);
    bench.told();
    bench.publish("a/t", 1);
    assert!(bench.told()[0].starts_with("a/t gap "), "what was dropped shows");
}

/// Over MQTT, where others may be able to publish as well.
mod answers_over_mqtt {
    use super::*;
    use aups_envelope::{b64, sha256};

    const ON: &str = "aups/ks/alice";

    fn realm_answers(bench: &Bench, request: &str) -> Vec<u8> {
        let reader = &bench.reader.file;
        let (verifying_key, kem) = (reader.signing_key.public(), reader.kem.public());
        bench.realm.answer((&verifying_key, &kem), request, bench.now.wall).1.into_bytes()
    }

    fn problem(request: &str, status: u16, more: &str) -> Vec<u8> {
        let rh = b64::encode(&sha256(&[request.as_bytes()]));
        format!(r#"{{"type":"t","title":"t","status":{status},"detail":"not now","rh":"{rh}"{more}}}"#).into_bytes()
    }

    /// A message waits, and a request is under way.
    fn waiting() -> (Bench, String) {
        let mut bench = Bench::new();
        bench.publish("data/a", 1);
        let request = bench.ask().expect("a request");
        (bench, request)
    }

    #[test]
    fn the_answer_is_taken_once() {
        let (mut bench, request) = waiting();
        let body = realm_answers(&bench, &request);
        assert!(bench.session.on_answer_message(ON, &body, bench.now));
        assert_eq!(bench.told(), ["data/a 0 fresh"]);
        assert!(!bench.session.on_answer_message(ON, &body, bench.now), "nobody waits for it any more");
        assert!(bench.told().is_empty());
    }

    #[test]
    fn what_poses_as_the_answer_is_told_once_and_the_right_one_is_waited_for() {
        let (mut bench, request) = waiting();
        let right = realm_answers(&bench, &request);
        let mut altered = right.clone();
        let last = altered.len() - 2;
        altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
        // Another realm that knows alice's public keys and saw her request.
        let mut foreign = Realm::new();
        foreign.forge();
        let reader = &bench.reader.file;
        let keys = (reader.signing_key.public(), reader.kem.public());
        let forged = foreign.answer((&keys.0, &keys.1), &request, bench.now.wall).1.into_bytes();
        for wrong in [altered, forged, b"junk".to_vec(), right[..right.len() / 2].to_vec(), Vec::new()] {
            assert!(!bench.session.on_answer_message(ON, &wrong, bench.now));
        }
        let told = bench.told();
        assert!(matches!(&told[..], [one] if one.starts_with("AnswerRejected")), "{told:?}");
        assert!(bench.session.on_answer_message(ON, &right, bench.now));
        assert_eq!(bench.told(), ["data/a 0 fresh"]);
    }

    #[test]
    fn answers_and_refusals_of_other_requests_are_ignored() {
        let (mut bench, old) = waiting();
        let old_answer = realm_answers(&bench, &old);
        bench.session.on_answer(Ok(answer(503, "")), bench.now);
        bench.told();
        bench.pass(LATER);
        let request = bench.ask().expect("asks again");
        for of_another in [old_answer, problem(&old, 503, ""), br#"{"status":401}"#.to_vec(), b"{".to_vec()] {
            assert!(!bench.session.on_answer_message(ON, &of_another, bench.now));
        }
        assert!(bench.told().is_empty());
        bench.answer(&request);
        assert_eq!(bench.told(), ["data/a 0 fresh"]);
    }

    #[test]
    fn a_refusal_is_obeyed_with_its_pause() {
        let (mut bench, request) = waiting();
        assert!(bench.session.on_answer_message(ON, &problem(&request, 503, r#","retryAfter":20"#), bench.now));
        assert!(bench.told()[0].starts_with("no keys: aups/ks/alice answers 503: not now"));
        assert!(bench.wait() >= Some(20 * SECOND), "{:?}", bench.wait());
        assert_eq!(bench.ask(), None);
    }
}

/// A broker that does what it likes with what it carries, and what the reader makes of it.
mod hostile_broker;
