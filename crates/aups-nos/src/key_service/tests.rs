use super::{http::JOSE, *};
use crate::fixture::{Answer, Enrolled, METEOROLOGISTS, NOW, Rig, post, with_bearer, with_type};
use crate::{NosSettings, Rate};
use aups_core::{ReaderKind, limits::SKEW_MAX};
use aups_envelope::{
    SealedMessage,
    bearer::Bearer,
    hash,
    key_request::{OpenedResponse, open_key_response},
};
use axum::{
    body::Body,
    http::{self, StatusCode, header},
};
use std::sync::atomic::Ordering;

/// A request of a reader, not yet signed.
pub(super) fn request(rig: &Rig, reader: &Enrolled, want: &[KeyId]) -> KeyRequest {
    KeyRequest {
        aud: rig.ktm.realm().id(),
        sub: reader.sub.clone(),
        freshness: Freshness::IssuedAt(rig.now()),
        jti: hash::random(),
        want: want.iter().map(|key_id| Wanted { key_id: *key_id, topic: "data/s1/x".into() }).collect(),
    }
}

async fn ask(rig: &Rig, jws: &str) -> Answer {
    rig.send(with_type(post("/v1/keys", jws.to_owned()), JOSE)).await
}

fn open(rig: &Rig, reader: &Enrolled, jws: &str, answer: &Answer) -> OpenedResponse {
    assert_eq!(answer.header(header::CONTENT_TYPE), JOSE);
    let realm_key = rig.ktm.realm().public();
    let opened = open_key_response(jws.as_bytes(), &answer.bytes, &realm_key, &reader.kem, rig.now()).unwrap();
    assert!(opened.refused.is_empty(), "{:?}", opened.refused);
    opened
}

/// Publishes something and gives the id of its key.
async fn published_key(rig: &Rig) -> KeyId {
    let count = rig.sink.delivered().len();
    rig.data("1").await.accepted();
    let published = rig.sink.until_delivered(count + 1).await;
    SealedMessage::parse(&published[count].payload).unwrap().header().key_id
}

/// Another key id of the same scope that was never made.
fn altered(key_id: KeyId) -> KeyId {
    let mut bytes = *key_id.as_bytes();
    bytes[23] ^= 1;
    KeyId::from_bytes(bytes)
}

#[tokio::test]
async fn an_entitled_reader_gets_the_key_and_the_next_one() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let unknown = altered(key_id);
    let jws = request(&rig, &alice, &[key_id, unknown, key_id]).sign(&alice.signing_key);
    let answer = ask(&rig, &jws).await;
    assert_eq!((answer.status, answer.header(header::CACHE_CONTROL)), (StatusCode::OK, "no-store"));
    let opened = open(&rig, &alice, &jws, &answer);
    assert_eq!((opened.now, opened.nos.nos.as_str()), (NOW, "nos-1"));
    let ids = |keys: &[aups_envelope::KeyEntry]| keys.iter().map(|key| key.key_id).collect::<Vec<_>>();
    assert_eq!((ids(&opened.grants.keys), &opened.grants.denied), (vec![key_id], &vec![unknown]));
    assert_eq!(opened.grants.next[0].terms.epoch.0, key_id.epoch().0 + 1);
    assert_eq!(opened.publishers.len(), 1);

    let next = opened.grants.next[0].key_id;
    let jws = request(&rig, &alice, &[key_id, next]).sign(&alice.signing_key);
    let opened = open(&rig, &alice, &jws, &ask(&rig, &jws).await);
    assert_eq!(opened.grants.keys.len(), 2);
    assert!(opened.grants.next.is_empty(), "what was asked for is not told twice");
}

#[tokio::test]
async fn a_reader_without_rights_cannot_tell_forbidden_from_unknown() {
    let rig = Rig::new().await;
    let mallory = rig.readers.enrol("mallory", &["gardener"]);
    let forbidden = published_key(&rig).await;
    let mut bodies = Vec::new();
    for key_id in [forbidden, altered(forbidden)] {
        let jws = request(&rig, &mallory, &[key_id]).sign(&mallory.signing_key);
        let answer = ask(&rig, &jws).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        let opened = open(&rig, &mallory, &jws, &answer);
        assert_eq!(opened.grants.denied, [key_id]);
        assert!(opened.grants.keys.is_empty() && opened.grants.next.is_empty());
        bodies.push(answer.bytes.len());
    }
    assert_eq!(bodies[0], bodies[1], "nor by the length");
    let jws = request(&rig, &mallory, &[]).sign(&mallory.signing_key);
    assert_eq!(ask(&rig, &jws).await.status, StatusCode::FORBIDDEN, "nothing asked, nothing granted");
}

#[tokio::test]
async fn the_scope_decides_with_the_readers_attributes_of_now_and_where_it_asks_from() {
    let rig = Rig::new().await;
    rig.put_in_force(
        r#"permit(principal, action == Action::"receive", resource in Topic::"unregistered")
           when { principal.roles.contains("meteorologist") && context has address && context.address.isInRange(ip("192.0.2.0/24")) };"#,
    );
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let jws = || request(&rig, &alice, &[key_id]).sign(&alice.signing_key);
    assert_eq!(ask(&rig, &jws()).await.status, StatusCode::OK);
    let elsewhere = crate::fixture::from([198, 51, 100, 1], with_type(post("/v1/keys", jws()), JOSE));
    assert_eq!(rig.send(elsewhere).await.status, StatusCode::FORBIDDEN);
    let keys = ReaderKeys { signing_key: alice.signing_key.public(), kem: alice.kem.public() };
    rig.readers.insert("alice", &[], Some(keys));
    assert_eq!(ask(&rig, &jws()).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_residual_that_cannot_be_evaluated_for_a_reader_is_a_no() {
    let rig = Rig::new().await;
    rig.put_in_force(
        r#"permit(principal, action == Action::"receive", resource)
           when { (principal.clearance + 1) * 9223372036854775807 * 2 > 3 || principal.roles.contains("meteorologist") };"#,
    );
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let jws = request(&rig, &alice, &[key_id]).sign(&alice.signing_key);
    let answer = ask(&rig, &jws).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(open(&rig, &alice, &jws, &answer).grants.denied, [key_id]);
}

#[tokio::test]
async fn a_stale_request_is_told_the_time_and_a_challenge_that_stands_in_for_it() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let with = |freshness| KeyRequest { freshness, ..request(&rig, &alice, &[key_id]) }.sign(&alice.signing_key);
    let minute = REQUEST_AGE_MAX;
    for fresh in [NOW.plus(minute), UnixMillis(NOW.0 - 60_000)] {
        assert_eq!(ask(&rig, &with(Freshness::IssuedAt(fresh))).await.status, StatusCode::OK);
    }
    for stale in [UnixMillis(NOW.0 + 60_001), UnixMillis(NOW.0 - 60_001), UnixMillis(0), UnixMillis(u64::MAX)] {
        let answer = ask(&rig, &with(Freshness::IssuedAt(stale))).await;
        assert_eq!((answer.problem(), &answer.json["now"]), ((401, "not-authenticated"), &NOW.0.into()));
    }
    let answer = ask(&rig, &with(Freshness::IssuedAt(UnixMillis(7)))).await;
    let challenge = answer.json["challenge"].as_str().unwrap().to_owned();
    assert_eq!(ask(&rig, &with(Freshness::Challenge(challenge.clone()))).await.status, StatusCode::OK);
    let made_up = ask(&rig, &with(Freshness::Challenge("x".into()))).await;
    assert!(made_up.problem().0 == 401 && made_up.json["challenge"].is_string());
    rig.clock.advance(minute + Duration::from_millis(1));
    assert_eq!(ask(&rig, &with(Freshness::Challenge(challenge))).await.status, StatusCode::UNAUTHORIZED);
    assert!(SKEW_MAX < minute);
}

#[tokio::test]
async fn an_unknown_reader_a_bad_signature_and_another_realm_get_the_same_answer() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    rig.readers.insert("invited", &["meteorologist"], None);
    let key_id = published_key(&rig).await;
    let stranger = Enrolled { sub: "stranger".parse().unwrap(), ..rig.readers.enrol("bob", &[]) };
    let invited = Enrolled { sub: "invited".parse().unwrap(), ..rig.readers.enrol("bob", &[]) };
    let elsewhere = KeyRequest { aud: RealmId::from_bytes([1; 32]), ..request(&rig, &alice, &[key_id]) };
    let good = request(&rig, &alice, &[key_id]).sign(&alice.signing_key);
    let mut tampered = good.clone();
    let last = tampered.pop().unwrap();
    tampered.push(if last == 'A' { 'Q' } else { 'A' });
    let mut answers = Vec::new();
    for jws in [
        request(&rig, &stranger, &[key_id]).sign(&stranger.signing_key),
        request(&rig, &invited, &[key_id]).sign(&invited.signing_key),
        request(&rig, &alice, &[key_id]).sign(&stranger.signing_key),
        // Signed with the NOS's own key, which stands in for the key of an unknown reader.
        request(&rig, &stranger, &[key_id]).sign(&crate::fixture::signing_key()),
        elsewhere.sign(&alice.signing_key),
        tampered,
    ] {
        let answer = ask(&rig, &jws).await;
        assert_eq!(answer.problem(), (401, "not-authenticated"), "{jws}");
        answers.push(answer.bytes);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(ask(&rig, &good).await.status, StatusCode::OK, "and none of it used up the real request");
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let rig = Rig::new().await;
    let (alice, bob) = (rig.readers.enrol("alice", &["meteorologist"]), rig.readers.enrol("bob", &["meteorologist"]));
    let key_id = published_key(&rig).await;
    let first = request(&rig, &alice, &[key_id]);
    let jws = first.sign(&alice.signing_key);
    assert_eq!(ask(&rig, &jws).await.status, StatusCode::OK);
    assert_eq!(ask(&rig, &jws).await.problem(), (409, "request-repeated"));
    let same_jti = KeyRequest { want: Vec::new(), ..first.clone() }.sign(&alice.signing_key);
    assert_eq!(ask(&rig, &same_jti).await.problem(), (409, "request-repeated"));
    let of_another = KeyRequest { sub: bob.sub.clone(), ..first }.sign(&bob.signing_key);
    assert_eq!(ask(&rig, &of_another).await.status, StatusCode::OK, "a jti is the reader's own");
}

#[test]
fn a_jti_is_remembered_as_long_as_its_request_could_be_fresh_and_then_forgotten() {
    let start = Instant::now();
    let sub: Sub = "alice".parse().unwrap();
    let mut seen = Seen::new(3, start);
    let mut take =
        |jti: u8, seconds: u64| seen.take(sub.clone(), [jti; 16], start + Duration::from_secs(seconds)).is_ok();
    assert!(take(1, 0));
    assert!(take(2, 120));
    assert!(!take(1, 119) && !take(1, 121) && !take(2, 240));
    assert!(take(3, 241));
    assert!(take(1, 242), "two lives later");
    assert!(take(4, 1_000), "long after, there is room again");
    let mut full = Seen::new(1, start);
    assert!(full.take(sub.clone(), [1; 16], start).is_ok());
    assert!(full.take(sub, [2; 16], start).is_err(), "no room: refused, not let through unremembered");
}

#[tokio::test]
async fn what_is_granted_and_denied_is_on_record_before_it_leaves_or_does_not_leave() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let unknown = altered(key_id);
    let jws = || request(&rig, &alice, &[key_id, unknown]).sign(&alice.signing_key);
    let asked = jws();
    let answer = ask(&rig, &asked).await;
    let next = open(&rig, &alice, &asked, &answer).grants.next[0].key_id;
    let told = rig.ledger.told.lock().unwrap().clone();
    let [outcome] = &told[..] else { panic!("one request, one outcome: {told:?}") };
    assert_eq!((outcome.sub.as_str(), &outcome.origin), ("alice", &Origin::Http([192, 0, 2, 1].into())));
    let spec = rig.ktm.resolve(&key_id).await.unwrap().unwrap().spec;
    let granted = |key_id| GrantedKey { key_id, spec: Arc::clone(&spec), topic: "data/s1/x".into() };
    assert_eq!(outcome.granted, [granted(key_id), granted(next)]);
    assert_eq!(outcome.denied, [DeniedKey { key_id: unknown, spec: None, topic: "data/s1/x".into() }]);
    let mallory = rig.readers.enrol("mallory", &["gardener"]);
    ask(&rig, &request(&rig, &mallory, &[key_id]).sign(&mallory.signing_key)).await;
    let forbidden = rig.ledger.told.lock().unwrap().pop().unwrap().denied;
    assert_eq!(
        forbidden,
        [DeniedKey { key_id, spec: Some(spec), topic: "data/s1/x".into() }],
        "the reason, for the ledger"
    );

    rig.ledger.full.store(true, Ordering::Relaxed);
    assert_eq!(ask(&rig, &jws()).await.problem(), (503, "unavailable"));
}

#[tokio::test]
async fn what_is_no_key_request_is_malformed() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let many = |count| request(&rig, &alice, &vec![key_id; count]).sign(&alice.signing_key);
    assert_eq!(ask(&rig, &many(64)).await.status, StatusCode::OK);
    assert_eq!(ask(&rig, &many(65)).await.problem(), (400, "key-request"));
    let good = many(1);
    for bad in ["", "x", "a.b.c", good.strip_suffix(|_| true).unwrap(), &format!("{good}."), &format!(" {good}")] {
        assert_eq!(ask(&rig, bad).await.problem(), (400, "key-request"), "{bad}");
    }
    assert_eq!(ask(&rig, &"x".repeat(16 << 10)).await.problem(), (400, "key-request"));
    assert_eq!(ask(&rig, &"x".repeat((16 << 10) + 1)).await.problem(), (413, "too-large"));
    assert_eq!(
        rig.send(with_type(post("/v1/keys", good.clone()), "application/json")).await.problem(),
        (415, "media-type")
    );
    assert_eq!(rig.send(with_type(post("/v1/keys", good), "Application/JOSE; x=y")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn rates_hold_by_address_and_by_reader_and_a_stranger_cannot_use_up_a_readers() {
    let limits = KeyServiceLimits {
        address_rate: Rate { per_second: 1, burst: 30 },
        reader_rate: Rate { per_second: 1, burst: 20 },
        ..KeyServiceLimits::default()
    };
    let rig = Rig::with(NosSettings { key_service: limits, ..NosSettings::default() }, None).await;
    let alice = rig.readers.enrol("alice", &[]);
    let jws = || request(&rig, &alice, &[]).sign(&alice.signing_key);
    let ask_from = async |address: u8, jws: String| {
        rig.send(crate::fixture::from([192, 0, 2, address], with_type(post("/v1/keys", jws), JOSE))).await
    };
    let forged = request(&rig, &alice, &[]).sign(&crate::fixture::signing_key());
    // A token or two may come back while this runs.
    let mut refused = 0;
    let answer = loop {
        let answer = ask_from(9, forged.clone()).await;
        if answer.status != StatusCode::UNAUTHORIZED {
            break answer;
        }
        refused += 1;
    };
    assert_eq!((answer.problem(), answer.header(header::RETRY_AFTER)), ((429, "too-many-requests"), "1"));
    assert!((30..60).contains(&refused), "{refused}");
    let mut answered = 0;
    let answer = loop {
        let answer = ask_from(answered % 4, jws()).await;
        if answer.status != StatusCode::FORBIDDEN {
            break answer;
        }
        answered += 1;
    };
    assert_eq!(answer.problem(), (429, "too-many-requests"));
    assert!(
        (20..40).contains(&answered),
        "wherever she asks from, and the forged requests cost her nothing: {answered}"
    );
}

#[tokio::test]
async fn a_reader_is_told_what_it_may_subscribe_to() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let (mallory, realm) = (rig.readers.enrol("mallory", &[]), rig.ktm.realm().id());
    let token = |sub: &str, aud, iat| Bearer { aud, sub: sub.parse().unwrap(), iat, jti: hash::random() };
    let get = |token: &str| with_bearer(http::Request::get("/v1/topics").body(Body::empty()).unwrap(), token);
    let answer = rig.send(get(&token("alice", realm, NOW).sign(&alice.signing_key))).await;
    assert_eq!(
        (answer.status, answer.json),
        (StatusCode::OK, serde_json::json!({"items":["data/#","unregistered/#"]}))
    );
    let answer = rig.send(get(&token("mallory", realm, NOW).sign(&mallory.signing_key))).await;
    assert_eq!(answer.json, serde_json::json!({"items":[]}));
    for wrong in [
        token("alice", realm, NOW).sign(&mallory.signing_key),
        token("nobody", realm, NOW).sign(&mallory.signing_key),
        token("alice", RealmId::from_bytes([1; 32]), NOW).sign(&alice.signing_key),
        token("alice", realm, UnixMillis(NOW.0 - 60_001)).sign(&alice.signing_key),
        "x".into(),
    ] {
        assert_eq!(rig.send(get(&wrong)).await.problem(), (401, "not-authenticated"));
    }
    let without = http::Request::get("/v1/topics").body(Body::empty()).unwrap();
    assert_eq!(rig.send(without).await.problem(), (401, "not-authenticated"));
    rig.put_in_force(&METEOROLOGISTS.replace("\"unregistered\"", "\"data/s1\""));
    let answer = rig.send(get(&token("alice", realm, NOW).sign(&alice.signing_key))).await;
    assert_eq!(answer.json, serde_json::json!({"items":["data/#"]}));
    assert_eq!(ReaderKind::User.to_string(), "user");
}

#[tokio::test]
async fn a_reader_whose_rights_are_being_changed_gets_no_key_until_they_are() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let asked = async || ask(&rig, &request(&rig, &alice, &[key_id]).sign(&alice.signing_key)).await;
    rig.readers.replace("alice", true);
    let refused = asked().await;
    assert_eq!(refused.problem(), (503, "unavailable"));
    assert_eq!(refused.header(header::RETRY_AFTER), "1");
    rig.readers.replace("alice", false);
    assert_eq!(asked().await.status, StatusCode::OK);
    // What was decided about the reader of a moment ago is not handed out.
    rig.readers.unsteady.store(true, Ordering::Relaxed);
    assert_eq!(asked().await.problem(), (503, "unavailable"));
}

#[tokio::test]
async fn a_reader_is_told_why_it_may_not_subscribe_without_the_policies_names() {
    let rig = Rig::new().await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let policies = (1..=7).map(|n| {
        format!(r#"@id("secret-{n}") permit(principal, action, resource in Topic::"data/s{n}") when {{ principal.roles.contains("meteorologist") }};"#)
    });
    rig.put_in_force(&policies.collect::<String>());
    let ask = async |query: &str| {
        let token = Bearer { aud: rig.ktm.realm().id(), sub: alice.sub.clone(), iat: NOW, jti: hash::random() };
        let request = http::Request::get(format!("/v1/topics{query}")).body(Body::empty()).unwrap();
        rig.send(with_bearer(request, &token.sign(&alice.signing_key))).await
    };
    let told = async |query: &str| {
        let json = ask(query).await.json;
        (json["accepted"].as_bool().unwrap(), json["reason"].as_str().unwrap().to_owned())
    };
    let accepted = ask("?filter=data/s1/%23").await.json;
    assert_eq!((&accepted["filter"], &accepted["accepted"]), (&"data/s1/#".into(), &true.into()), "{accepted}");
    let (accepted, reason) = told("?filter=data/%23").await;
    assert!(!accepted && reason.contains("`data/s1/#`, `data/s2/#`") && reason.contains("and 2 more"), "{reason}");
    assert!(reason.ends_with("aups policy explain --reader alice --filter 'data/#'"), "{reason}");
    assert!(!reason.contains("secret"), "{reason}");
    let (accepted, reason) = told("?filter=it's").await;
    assert!(!accepted && reason.ends_with(r"--filter 'it'\''s'"), "{reason}");
    let (accepted, reason) = told("?filter=%23").await;
    assert!(!accepted && reason.contains("the first level must be named"), "{reason}");
    assert!(told("?filter=aups/ks/alice").await.0 && !told("?filter=aups/ks/bob").await.0);
    rig.put_in_force("");
    let (accepted, reason) = told("?filter=data/s1").await;
    assert!(!accepted && reason.contains("nothing else either"), "{reason}");
    for wrong in ["?filter=data/%23/x", "?filter=", "?filer=data", "?filter=a&filter=b"] {
        assert_eq!(ask(wrong).await.problem(), (400, "malformed-query"), "{wrong}");
    }
    let stranger = http::Request::get("/v1/topics?filter=data/s1").body(Body::empty()).unwrap();
    assert_eq!(rig.send(stranger).await.problem(), (401, "not-authenticated"));
}

/// How many guesses are tried; a long run says so in `AUPS_GUESSES`.
fn guesses() -> usize {
    std::env::var("AUPS_GUESSES").map_or(1_000, |count| count.parse().unwrap())
}

#[tokio::test]
async fn guesses_are_never_granted() {
    let all = Rate { per_second: 1_000_000, burst: u32::MAX };
    let limits = KeyServiceLimits { address_rate: all, reader_rate: all, topic_rate: all, jtis_max: usize::MAX };
    let rig = Rig::with(NosSettings { key_service: limits, ..NosSettings::default() }, None).await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let mallory = rig.readers.enrol("mallory", &["gardener"]);
    let key_id = published_key(&rig).await;
    let near = |random: [u8; 24]| {
        let at = usize::from(random[0]) % 24;
        let mut bytes = *key_id.as_bytes();
        bytes[at] ^= 1 << (random[1] % 8);
        KeyId::from_bytes(bytes)
    };
    let forger = crate::fixture::signing_key();
    for guess in 0..guesses() {
        let random: [u8; 24] = hash::random();
        let jws = match guess % 6 {
            // Keys that nobody made, and neighbours of one that is; asked by somebody who may read, and by somebody who may not.
            0 => request(&rig, &alice, &[KeyId::from_bytes(random)]).sign(&alice.signing_key),
            1 => request(&rig, &alice, &[near(random)]).sign(&alice.signing_key),
            2 => request(&rig, &mallory, &[key_id]).sign(&mallory.signing_key),
            // In another's name: signed by somebody else, and under another's kid.
            3 => request(&rig, &alice, &[key_id]).sign(&mallory.signing_key),
            4 => request(&rig, &alice, &[key_id]).sign(&forger),
            // A true request of which one bit is not as it was signed.
            _ => {
                let mut jws = request(&rig, &alice, &[key_id]).sign(&alice.signing_key).into_bytes();
                let at = usize::from(u16::from_be_bytes([random[2], random[3]])) % jws.len();
                jws[at] ^= 1 << (random[4] % 7);
                String::from_utf8(jws).unwrap()
            }
        };
        let answer = ask(&rig, &jws).await;
        assert!(answer.status.is_client_error() && answer.status != StatusCode::TOO_MANY_REQUESTS, "{guess}: {jws}");
    }
    let told = rig.ledger.told.lock().unwrap();
    assert!(told.iter().all(|outcome| outcome.granted.is_empty()) && !told.is_empty());
}

#[tokio::test]
async fn checks_come_in_their_order() {
    let once = Rate { per_second: 1, burst: 1 };
    let limits = KeyServiceLimits {
        address_rate: Rate { per_second: 1, burst: 5 },
        reader_rate: once,
        ..KeyServiceLimits::default()
    };
    let rig = Rig::with(NosSettings { key_service: limits, ..NosSettings::default() }, None).await;
    let alice = rig.readers.enrol("alice", &["meteorologist"]);
    let key_id = published_key(&rig).await;
    let good = request(&rig, &alice, &[key_id]);
    let forger = crate::fixture::signing_key();
    // Each of these is wrong in what comes later as well: what is told is what comes first.
    let stale = KeyRequest { freshness: Freshness::IssuedAt(UnixMillis(0)), ..good.clone() };
    let large = "x".repeat((16 << 10) + 1);
    assert_eq!(ask(&rig, &large).await.problem(), (413, "too-large"), "size, before the form");
    assert_eq!(ask(&rig, "x").await.problem(), (400, "key-request"), "form, before the time");
    let answer = ask(&rig, &stale.sign(&forger)).await;
    assert!(
        answer.problem().0 == 401 && answer.json["now"].is_u64(),
        "the time, before the signature: and none of these cost"
    );
    for _ in 0..4 {
        let answer = ask(&rig, &good.sign(&forger)).await;
        assert!(answer.problem().0 == 401 && answer.json["now"].is_null(), "the signature, before the reader's rate");
    }
    assert_eq!(ask(&rig, &good.sign(&alice.signing_key)).await.status, StatusCode::OK);
    assert!(rig.ledger.told.lock().unwrap().len() == 1, "nothing else came as far as the policies");
    assert_eq!(ask(&rig, &good.sign(&forger)).await.problem().0, 429, "the address, before the signature");
    let elsewhere =
        |jws: String| rig.send(crate::fixture::from([198, 51, 100, 1], with_type(post("/v1/keys", jws), JOSE)));
    assert_eq!(elsewhere(good.sign(&alice.signing_key)).await.problem().0, 429, "the reader's rate, before the jti");
}
