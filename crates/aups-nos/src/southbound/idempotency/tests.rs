use super::*;
use crate::fixture::{Mood, Rig, data, lines, post, source_record, with_bearer};
use aups_core::ManualClock;
use axum::http::{HeaderValue, Request};
use std::net::Ipv4Addr;

fn key(value: &str) -> Result<Option<RequestKey>, Refusal> {
    let mut headers = HeaderMap::new();
    headers.append("idempotency-key", HeaderValue::from_bytes(value.as_bytes()).unwrap());
    RequestKey::of(&headers)
}

#[test]
fn a_key_is_a_string_in_quotes_or_bare() {
    for (value, expected) in [
        ("\"8e03978e-40d5-43dd-bc93-6894a57f9324\"", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
        (" x ", "x"),
        (&format!("\"{}\"", "x".repeat(128)), &"x".repeat(128)),
    ] {
        assert_eq!(key(value).unwrap().unwrap().0, expected);
    }
    assert_eq!(RequestKey::of(&HeaderMap::new()).unwrap(), None);
    let long = "x".repeat(129);
    for value in
        ["", "\"\"", "\"", "\"a", "a b", "a\"", "\"a\";p=1", "\"a\\x\"", "\"é\"", "a,b", &long, &format!("\"{long}\"")]
    {
        assert_eq!(key(value).unwrap_err().code(), "malformed-idempotency-key", "{value}");
    }
    let mut twice = HeaderMap::new();
    twice.append("idempotency-key", HeaderValue::from_static("a"));
    twice.append("idempotency-key", HeaderValue::from_static("a"));
    assert!(RequestKey::of(&twice).is_err());
}

const SMALL: Limits = Limits { all: 10, of_a_source: 10, unregistered: 10, of_a_network: 10 };

fn idempotency(limits: Limits) -> (Arc<ManualClock>, Arc<Idempotency>) {
    let clock = Arc::new(ManualClock::at(UnixMillis(1_000)));
    (clock.clone(), Arc::new(Idempotency::with_limits(clock, limits)))
}

fn at(last: u8) -> Sender {
    Sender::Unregistered(Ipv4Addr::new(192, 0, 2, last).into())
}

fn first(of: &Arc<Idempotency>, sender: &Sender, name: &str) -> UnderWay {
    match of.begin(sender, &RequestKey(name.into()), Content::Json, b"body") {
        Ok(Begun::First(request)) => request,
        Ok(Begun::Taken(items)) => panic!("{items} items were taken before"),
        Err(refusal) => panic!("{refusal:?}"),
    }
}

fn refused(of: &Arc<Idempotency>, sender: &Sender, name: &str, body: &[u8]) -> (u16, Option<u64>) {
    match of.begin(sender, &RequestKey(name.into()), Content::Json, body) {
        Ok(_) => panic!("it was not refused"),
        Err(refusal) => (refusal.status(), refusal.told().1),
    }
}

fn again(of: &Arc<Idempotency>, sender: &Sender, name: &str) -> Option<u64> {
    match of.begin(sender, &RequestKey(name.into()), Content::Json, b"body") {
        Ok(Begun::Taken(items)) => Some(items),
        _ => None,
    }
}

#[test]
fn what_was_taken_is_known_for_ten_minutes_and_what_was_not_can_be_sent_again() {
    let (clock, of) = idempotency(SMALL);
    drop(first(&of, &at(1), "a"));
    let request = first(&of, &at(1), "a");
    assert_eq!(refused(&of, &at(1), "a", b"body"), (409, Some(1)));
    assert_eq!(refused(&of, &at(1), "a", b"other").0, 422);
    request.taken(3);
    assert_eq!((again(&of, &at(1), "a"), refused(&of, &at(1), "a", b"other").0), (Some(3), 422));
    drop(first(&of, &at(2), "a"));
    clock.advance(REMEMBERED_FOR.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(again(&of, &at(1), "a"), Some(3));
    clock.advance(Duration::from_millis(1));
    drop(first(&of, &at(1), "a"));
    assert_eq!(of.take_forgotten().len(), 1);
    assert!(of.take_forgotten().is_empty() && of.lock().requests.is_empty() && of.lock().senders.is_empty());
}

#[test]
fn marks_are_read_back_until_they_are_out_of_date() {
    let (clock, of) = idempotency(SMALL);
    let request = first(&of, &at(1), "a");
    let mark = request.mark(7);
    request.taken(7);
    let marks = || vec![mark.clone(), (b"idem/x".as_slice().into(), Bytes::new())];
    let restarted = Arc::new(Idempotency::with_limits(clock.clone(), SMALL));
    assert_eq!(restarted.restore(marks()), [&b"idem/x"[..]]);
    assert_eq!(again(&restarted, &at(1), "a"), Some(7));
    assert_eq!(refused(&restarted, &at(1), "a", b"other").0, 422);
    clock.advance(REMEMBERED_FOR);
    drop(first(&restarted, &at(1), "a"));
    assert_eq!(restarted.take_forgotten(), std::slice::from_ref(&mark.0));
    let late = Arc::new(Idempotency::with_limits(clock, SMALL));
    assert_eq!(late.restore(marks()).len(), 2);
}

#[test]
fn no_sender_fills_the_memory_and_no_senders_together() {
    let (_, of) = idempotency(Limits { all: 4, of_a_source: 1, unregistered: 3, of_a_network: 2 });
    first(&of, &at(1), "a").taken(1);
    let second = first(&of, &at(1), "b");
    assert_eq!(refused(&of, &at(1), "c", b"body"), (429, Some(600)));
    drop(second);
    first(&of, &at(1), "b").taken(1);
    first(&of, &at(2), "a").taken(1);
    assert_eq!(refused(&of, &at(3), "a", b"body"), (503, Some(600)), "there is room for registered ones alone");
    let [one, other] = ["s1", "s2"].map(|node| Sender::Registered { source: source_record(node).into(), sealed: None });
    first(&of, &one, "a").taken(1);
    assert_eq!(refused(&of, &one, "b", b"body"), (429, Some(600)));
    assert_eq!(refused(&of, &other, "a", b"body"), (503, Some(600)));
    assert_eq!(again(&of, &at(1), "b"), Some(1), "copies are answered all the same");
}

fn keyed(key: &str, mut request: Request<axum::body::Body>) -> Request<axum::body::Body> {
    request.headers_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_answered_again_and_taken_once() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    let request = || keyed("\"one\"", with_bearer(data("[1,2]"), &credential));
    let answer = rig.send(request()).await;
    assert_eq!((answer.accepted(), answer.headers.get("idempotency-replayed")), (2, None));
    let again = rig.send(request()).await;
    assert_eq!((again.accepted(), again.headers["idempotency-replayed"].as_bytes()), (2, &b"true"[..]));
    let other = keyed("\"one\"", with_bearer(data("[1,3]"), &credential));
    assert_eq!(rig.send(other).await.problem(), (422, "idempotency-mismatch"));
    let bad = || keyed("two", with_bearer(data("[1,"), &credential));
    assert_eq!(rig.send(bad()).await.problem().0, 400);
    let mended = keyed("two", with_bearer(data("[3]"), &credential));
    assert_eq!(rig.send(mended).await.accepted(), 1, "what was refused may be mended");
    assert_eq!(rig.send(keyed("three words", data("1"))).await.problem(), (400, "malformed-idempotency-key"));
    assert_eq!(rig.send(keyed("x", lines("1\n"))).await.problem(), (400, "idempotency-stream"));
    assert_eq!(rig.sink.until_delivered(3).await.len(), 3);
    assert_eq!(rig.send(post("/data", "4")).await.accepted(), 1);
    assert_eq!(rig.sink.until_delivered(4).await.len(), 4);
}

#[tokio::test]
async fn a_copy_that_races_is_told_to_wait_or_answered_alike() {
    let rig = Rig::new().await;
    rig.sink.set(Mood::Hold);
    let credential = rig.register("s1").await;
    let answers =
        futures_util::future::join_all((0..8).map(|_| rig.send(keyed("race", with_bearer(data("1"), &credential)))));
    for answer in answers.await {
        if answer.status == 409 {
            assert_eq!(answer.problem(), (409, "idempotency-under-way"));
        } else {
            assert_eq!(answer.accepted(), 1);
        }
    }
    assert_eq!(rig.nos.unacknowledged(), 1);
    rig.sink.set(Mood::Acknowledge);
}
