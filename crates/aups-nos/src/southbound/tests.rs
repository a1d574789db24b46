use crate::{
    Allowance, Config, NosSettings, Rate, Registration,
    config::Limits,
    config::Quotas,
    fixture::{Answer, Mood, Rig, Setup, data, from, lines, post, quota, with_bearer, with_type},
    json::tests::rfc8259::{ALLOWED, FORBIDDEN, REFUSED_BY_US},
    normalise::NAMELESS,
    quarantine::QuarantineRules,
};
use aups_envelope::b64;
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use bytes::Bytes;
use futures_util::stream;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const MIB: usize = 1 << 20;

/// A body that comes in parts and does not say how long it is.
fn parts(parts: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>) -> Body {
    Body::from_stream(stream::iter(parts.into_iter().map(Ok::<_, Infallible>)))
}

#[tokio::test]
async fn a_registered_source_sends_and_its_items_say_so() {
    let rig = Rig::new().await;
    let answer = rig
        .send(post(
            "/registration",
            r#"{"CommunicationMode":"discrete","NodeType":"Fühler","NodeId":"s1","EncryptionScheme":"none"}"#,
        ))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let members = answer.json.as_object().unwrap();
    assert_eq!(members.keys().collect::<Vec<_>>(), ["NodeId", "credentialId", "credential"]);
    assert_eq!(members["NodeId"], "s1");
    assert_eq!(b64::decode(members["credentialId"].as_str().unwrap()).unwrap().len(), 24);
    let credential = members["credential"].as_str().unwrap();
    assert_eq!(b64::decode(credential).unwrap().len(), 32);

    let body = r#"{"name":"temperature","value":10.00,"unit":"Cel","time":"2026-05-28T20:26:40Z","NodeId":"mine"}"#;
    assert_eq!(rig.send(with_bearer(data(body), credential)).await.accepted(), 1);
    let published = rig.sink.until_delivered(1).await;
    assert_eq!(
        (published[0].topic.as_str(), published[0].content_type),
        ("data/s1/temperature", "application/aups+json")
    );
    let item = rig.open(&published[0]).await;
    let json = serde_json::to_value(&item).unwrap();
    assert_eq!(
        json["source"],
        serde_json::json!({"nodeId":"s1","nodeType":"Fühler","communicationMode":"discrete","registered":true})
    );
    assert_eq!((&json["schema"], &json["receivedAt"]), (&"default".into(), &rig.now().to_string().into()));
    assert_eq!(serde_json::to_string(&item.data).unwrap(), body, "as it was written");
    assert_eq!(json["security"]["authentication"], 0.9);
    assert_eq!(json["quality"]["timeliness"], 1.0);
    assert_eq!(item.id.0.get_version_num(), 7);
}

#[tokio::test]
async fn an_unregistered_source_never_appears_under_a_registered_ones_topics() {
    let rig = Rig::new().await;
    rig.register("s1").await;
    for body in [r#"{"NodeId":"s1","value":1}"#, r#"{"NodeId":"../data/s1","value":1,"name":"+/#"}"#, "7"] {
        assert_eq!(rig.data(body).await.accepted(), 1);
    }
    let published = rig.sink.until_delivered(3).await;
    let topics: Vec<_> = published.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(&topics[..2], ["unregistered/s1/value", "unregistered/..%2Fdata%2Fs1/%2B%2F%23"]);
    let name = topics[2].strip_prefix("unregistered/addr-").unwrap().strip_suffix("/value").unwrap();
    assert!(name.len() == 16 && name.bytes().all(|digit| digit.is_ascii_hexdigit()), "{name}");
    let item = rig.open(&published[0]).await;
    assert!(!item.source.registered && item.data.further.is_empty());
    assert_eq!(item.security.authentication.hundredths(), 10);
    assert_eq!(&*rig.open(&published[2]).await.data.name, NAMELESS);
}

#[tokio::test]
async fn what_is_not_taken_is_refused_with_its_place() {
    let rig = Rig::new().await;
    for (body, status, code, place, member) in [
        ("", 400, "empty", (1, 1), None),
        (" \n ", 400, "empty", (2, 1), None),
        ("{\"value\":1", 400, "malformed-json", (1, 10), None),
        ("{\n \"value\": 01}", 400, "malformed-json", (2, 12), None),
        ("{\"value\":1}x", 400, "malformed-json", (1, 12), None),
        ("NaN", 400, "malformed-json", (1, 1), None),
        ("[1e400]", 400, "malformed-json", (1, 6), None),
        ("{\"a\":{\"b\":1,\"b\":2}}", 400, "malformed-json", (1, 16), Some("b")),
        (&*"[".repeat(65), 400, "malformed-json", (1, 65), None),
        ("{\"value\":1,\n\"time\":\"yesterday\"}", 400, "malformed-reading", (2, 8), Some("time")),
        ("{\"value\":1,\"name\":7}", 400, "malformed-reading", (1, 19), Some("name")),
        ("{\"value\":1,\"NodeId\":7}", 400, "malformed-reading", (1, 21), Some("NodeId")),
    ] {
        let answer = rig.data(body.to_owned()).await;
        assert_eq!(answer.problem(), (status, code), "{body}: {answer:?}");
        let (line, column) = (answer.json["line"].as_u64().unwrap(), answer.json["column"].as_u64().unwrap());
        assert!(line == place.0 && column.abs_diff(place.1) <= 1, "{body}: {line}:{column}");
        assert_eq!(answer.json["member"].as_str(), member, "{body}");
    }
    assert_eq!(rig.data(&b"{\"a\":\"\xff\"}"[..]).await.problem(), (400, "malformed-json"));
    let long = format!(r#"{{"value":1,"name":"{}"}}"#, "x".repeat(2_000));
    assert_eq!(rig.data(long).await.json["member"], "name");
    assert!(rig.sink.delivered().is_empty());
}

#[tokio::test]
async fn a_batch_is_taken_whole_or_not_at_all() {
    let rig = Rig::new().await;
    assert_eq!(rig.data("[]").await.accepted(), 0);
    let answer = rig.data("[1,{\"value\":2},\n{\"value\":3,\"time\":\"x\"}]").await;
    assert_eq!((answer.problem(), &answer.json["line"]), ((400, "malformed-reading"), &2.into()));
    assert_eq!(rig.data(r#"[1,{"value":2},[3],{"NodeId":"x","value":4}]"#).await.accepted(), 4);
    let published = rig.sink.until_delivered(4).await;
    let values: Vec<_> = rig.open_all(&published).await.iter().map(|item| item.data.value.get().to_owned()).collect();
    assert_eq!(values, ["1", "2", "[3]", "4"]);
    assert_eq!(rig.data(format!("[{}]", vec!["0"; 10_001].join(","))).await.problem(), (413, "too-large"));
}

#[tokio::test]
async fn a_stream_is_taken_until_the_first_bad_line() {
    let rig = Rig::with(quota(Rate::per_second(1_000)), None).await;
    let good = "1\n\r\n {\"value\":2} \n[3,4]\n";
    let bad = format!("{good}{{\"value\":}}\n6\n");
    for size in [1, 2, 3, 7, 1_000] {
        let chunks = |text: &str| {
            let chunks: Vec<_> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
            parts(chunks)
        };
        assert_eq!(rig.send(lines(chunks(good))).await.accepted(), 4);
        assert_eq!(rig.send(lines(chunks(good.trim_end()))).await.accepted(), 4, "the last line needs no end");
        let answer = rig.send(lines(chunks(&bad))).await;
        assert_eq!(answer.problem(), (400, "malformed-json"));
        let told = ["accepted", "line", "column"].map(|member| answer.json[member].as_u64().unwrap());
        assert_eq!(told, [4, 5, 10], "{size}");
    }
    assert_eq!(rig.sink.until_delivered(60).await.len(), 60);
    for empty in ["", "\n", " \r\n\n"] {
        let answer = rig.send(lines(empty)).await;
        assert_eq!((answer.problem(), &answer.json["accepted"]), ((400, "empty"), &0.into()));
    }
}

#[tokio::test]
async fn a_stream_may_be_long_but_its_lines_may_not() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    let line = Bytes::from(format!("{{\"value\":\"{}\"}}\n", "x".repeat(60_000)));
    let long = parts(std::iter::repeat_n(line, 40));
    assert_eq!(rig.send(with_bearer(lines(long), &credential)).await.accepted(), 40, "2.4 MB");
    let longest = format!("1\n\"{}\"\n2", "x".repeat((64 << 10) - 2));
    assert_eq!(rig.send(with_bearer(lines(longest), &credential)).await.accepted(), 3);
    let longer = format!("1\n\"{}\"\n2", "x".repeat((64 << 10) - 1));
    for body in [
        Body::from(longer.clone()),
        parts(longer.into_bytes().chunks(999).map(Bytes::copy_from_slice).collect::<Vec<_>>()),
    ] {
        let answer = rig.send(with_bearer(lines(body), &credential)).await;
        assert_eq!(answer.problem(), (413, "too-large"));
        assert_eq!((&answer.json["accepted"], &answer.json["line"]), (&1.into(), &2.into()));
    }
}

#[tokio::test]
async fn a_body_beyond_one_mebibyte_is_refused_and_not_kept() {
    let rig = Rig::new().await;
    let full = format!("\"{}\"", "x".repeat(MIB - 2));
    assert_eq!(rig.data(full).await.accepted(), 1);
    assert_eq!(rig.data(format!("\"{}\"", "x".repeat(MIB - 1))).await.problem(), (413, "too-large"));

    let read = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&read);
    let part = Bytes::from(vec![b'x'; 64 << 10]);
    let endless = std::iter::repeat_with(move || {
        counted.fetch_add(part.len(), Ordering::Relaxed);
        part.clone()
    });
    assert_eq!(rig.data(parts(endless)).await.problem(), (413, "too-large"));
    let read = read.load(Ordering::Relaxed);
    assert!(read <= 18 * MIB, "read {read} bytes, most of them to throw them away");

    let mut request = data(vec![b'x'; 11_000_000]);
    request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
    assert_eq!(rig.send(request).await.problem(), (413, "too-large"));
}

#[tokio::test]
async fn only_json_is_taken() {
    let rig = Rig::new().await;
    for taken in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\""] {
        assert_eq!(rig.send(with_type(data("1"), taken)).await.accepted(), 1, "{taken}");
    }
    let mut untyped = data("1");
    untyped.headers_mut().remove(header::CONTENT_TYPE);
    assert_eq!(rig.send(untyped).await.accepted(), 1);
    for other in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "application/senml+cbor",
        "application/aups2",
        "json",
        "",
    ] {
        let answer = rig.send(with_type(data("1"), other)).await;
        assert_eq!(answer.problem(), (415, "media-type"), "{other}");
        assert!(answer.json["detail"].as_str().unwrap().contains("application/x-ndjson"), "says what is taken");
    }
    let registration = with_type(post("/registration", "{}"), "application/x-ndjson");
    assert_eq!(rig.send(registration).await.problem(), (415, "media-type"));
}

/// A configuration of mappings.
fn mappings(mappings: serde_json::Value) -> Config {
    Config { mappings: serde_json::from_value(mappings).unwrap(), ..Config::default() }
}

fn climate() -> Config {
    mappings(serde_json::json!([{ "name": "climate", "items": [
        { "name": "temperature", "value": { "pointer": "/t" }, "unit": "Cel" },
        { "name": "humidity", "value": { "pointer": "/h" }, "unit": "%RH" } ] }]))
}

#[tokio::test]
async fn one_payload_becomes_as_many_items_as_its_mapping_says() {
    let rig = Rig::with(climate(), None).await;
    let credential = rig.register("s1").await;
    let send = async |body: &str| rig.send(with_bearer(data(body.to_owned()), &credential)).await;
    assert_eq!(send(r#"{"t":21.50,"h":40}"#).await.accepted(), 2);
    assert_eq!(send(r#"[{"t":1,"h":2},{"value":3},{"t":4}]"#).await.accepted(), 4, "items are counted, not values");
    let stream = with_bearer(lines("{\"t\":1,\"h\":2}\n{\"t\":3,\"h\":4}\n{\n"), &credential);
    let answer = rig.send(stream).await;
    assert_eq!((answer.problem(), &answer.json["accepted"]), ((400, "malformed-json"), &4.into()));
    let published = rig.sink.until_delivered(10).await;
    let topics: Vec<_> = published.iter().take(2).map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["data/s1/temperature", "data/s1/humidity"]);
    let items = rig.open_all(&published).await;
    let schemas: Vec<_> = items.iter().take(6).map(|item| &*item.schema).collect();
    assert_eq!(schemas, ["climate", "climate", "climate", "climate", "default", "raw"]);
    assert_eq!(serde_json::to_string(&items[0].data).unwrap(), r#"{"name":"temperature","value":21.50,"unit":"Cel"}"#);
    assert_ne!(items[0].id, items[1].id);
}

#[tokio::test]
async fn a_mapping_gives_an_unregistered_source_no_registered_topics() {
    let item = serde_json::json!({ "name": "{/n}", "value": { "pointer": "/v" }, "nodeId": "{/id}" });
    let rig = Rig::with(mappings(serde_json::json!([{ "name": "m", "items": [item] }])), None).await;
    rig.register("s1").await;
    assert_eq!(rig.data(r#"{"n":"../x","v":1,"id":"s1"}"#).await.accepted(), 1);
    assert_eq!(rig.data(r#"{"n":"x","v":1,"id":"/data/s1"}"#).await.accepted(), 1);
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(published[0].topic.as_str(), "unregistered/s1/..%2Fx");
    assert_eq!(published[1].topic.as_str(), "unregistered/%2Fdata%2Fs1/x");
    assert!(!rig.open(&published[0]).await.source.registered);
}

#[tokio::test]
async fn the_quota_and_the_limits_count_the_items_that_are_made() {
    let each = serde_json::json!([{ "name": "m", "each": "/c", "items": [
        { "name": "{key}", "value": { "pointer": "." }, "keep": ["/big"] } ] }]);
    let config = Config { quotas: quota(Rate { per_second: 1, burst: 10 }).quotas, ..mappings(each) };
    let rig = Rig::with(config, None).await;
    let credential = rig.register("s1").await;
    let payload =
        |count: usize, big: usize| format!(r#"{{"big":"{}","c":[{}]}}"#, "x".repeat(big), vec!["0"; count].join(","));
    assert_eq!(rig.data(payload(100, 0)).await.accepted(), 100);
    let answer = rig.data("1").await;
    assert_eq!(answer.problem(), (429, "quota"));
    assert!((80..=92).contains(&answer.header(header::RETRY_AFTER).parse().unwrap()), "{answer:?}");

    let send = async |body: String| rig.send(with_bearer(data(body), &credential)).await;
    assert_eq!(send(payload(10_001, 0)).await.problem(), (413, "too-large"));
    assert_eq!(send(format!("[{0},{0}]", payload(5_001, 0))).await.problem(), (413, "too-large"), "of a batch, too");
    let copies = payload(900, 4_000);
    assert_eq!(send(copies.clone()).await.accepted(), 900);
    assert_eq!(send(format!("[{}]", vec![copies; 5].join(","))).await.problem(), (413, "too-large"), "18 MB of items");
}

#[tokio::test]
async fn a_senml_pack_is_taken_whole_or_not_at_all() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    let send = async |body: &str| {
        let request = with_type(data(body.to_owned()), "application/senml+json");
        rig.send(with_bearer(request, &credential)).await
    };
    let pack = "[{\"bn\":\"room:\",\"n\":\"t\",\"u\":\"Cel\",\"v\":21.50},\n {\"n\":\"h\",\"s\":3}]";
    assert_eq!(send(pack).await.accepted(), 2);
    let published = rig.sink.until_delivered(2).await;
    assert_eq!(published[0].topic.as_str(), "data/s1/room%3At");
    let item = rig.open(&published[1]).await;
    assert_eq!(&*item.schema, "senml");
    assert_eq!(
        serde_json::to_string(&item.data).unwrap(),
        format!(r#"{{"name":"room:h","value":null,"time":"{}","sum":3}}"#, rig.now())
    );
    let answer = send("[{\"n\":\"a\",\"v\":1},\n {\"n\":\"b\",\"v\":true}]").await;
    assert_eq!(answer.problem(), (400, "malformed-senml"));
    assert_eq!((&answer.json["member"], &answer.json["line"]), (&"v".into(), &2.into()));
    assert_eq!(send("{").await.problem(), (400, "malformed-json"));
    assert_eq!(rig.sink.delivered().len(), 2);
}

#[tokio::test]
async fn a_stream_that_breaks_off_within_a_line_leaves_what_was_whole() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    let parts = ["1\n{\"value\":2}\n{\"value\":", "3"].map(|part| Ok(Bytes::from(part)));
    let broken = parts.into_iter().chain([Err(std::io::Error::other("gone"))]);
    let answer = rig.send(with_bearer(lines(Body::from_stream(stream::iter(broken))), &credential)).await;
    assert_eq!((answer.problem(), &answer.json["accepted"]), ((400, "incomplete"), &2.into()));
    assert_eq!(rig.sink.until_delivered(2).await.len(), 2);
}

#[tokio::test]
async fn a_credential_is_right_or_refused() {
    let rig = Rig::new().await;
    let credential = rig.register("s1").await;
    for wrong in ["x", &credential.to_lowercase(), &format!("{credential}="), &b64::encode(&[0; 32])] {
        let answer = rig.send(with_bearer(data("1"), wrong)).await;
        assert_eq!(answer.problem(), (401, "not-authenticated"), "{wrong}");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
    }
    for header_value in ["", "Bearer", "Bearer ", "Basic czE6", &credential] {
        let mut request = data("1");
        request.headers_mut().insert(header::AUTHORIZATION, header_value.parse().unwrap());
        assert_eq!(rig.send(request).await.status, StatusCode::UNAUTHORIZED, "{header_value}");
    }
    let mut twice = with_bearer(data("1"), &credential);
    twice.headers_mut().append(header::AUTHORIZATION, "Bearer x".parse().unwrap());
    assert_eq!(rig.send(twice).await.status, StatusCode::UNAUTHORIZED);
    rig.nos.sources().remove(&"s1".parse().unwrap()).await.unwrap();
    assert_eq!(rig.send(with_bearer(data("1"), &credential)).await.status, StatusCode::UNAUTHORIZED);
    assert!(rig.sink.delivered().is_empty());
}

#[tokio::test]
async fn unregistered_senders_have_a_quota_per_address() {
    let config = quota(Rate { per_second: 1, burst: 100 });
    let rig = Rig::with(config, None).await;
    let credential = rig.register("s1").await;
    // A token or two may come back while this runs.
    let mut accepted = 0;
    let answer = loop {
        let answer = rig.data("1").await;
        if answer.status != StatusCode::ACCEPTED {
            break answer;
        }
        accepted += 1;
    };
    assert_eq!((answer.problem(), answer.header(header::RETRY_AFTER)), ((429, "quota"), "1"));
    assert!((99..130).contains(&accepted), "the registration was paid for, too: {accepted}");
    assert_eq!(rig.send(from([192, 0, 2, 2], data("[1,2,3]"))).await.accepted(), 3);
    for _ in 0..200 {
        assert_eq!(rig.send(with_bearer(data("1"), &credential)).await.accepted(), 1);
    }
}

#[tokio::test]
async fn a_batch_beyond_the_quota_is_taken_once_and_paid_off() {
    let allowance = Allowance { items: Some(Rate { per_second: 100, burst: 100 }), bytes: None };
    assert_eq!(Quotas::default().unregistered, Some(allowance));
    let config = quota(Rate { per_second: 1, burst: 100 });
    let rig = Rig::with(config, None).await;
    assert_eq!(rig.data(format!("[{}]", vec!["1"; 1_000].join(","))).await.accepted(), 1_000);
    let answer = rig.data("1").await;
    assert_eq!(answer.problem(), (429, "quota"));
    assert!((800..=901).contains(&answer.header(header::RETRY_AFTER).parse().unwrap()), "{answer:?}");
    let stream = format!("{}\n", vec!["1"; 1_000].join("\n"));
    let answer = rig.send(from([192, 0, 2, 3], lines(stream))).await;
    assert_eq!(answer.problem(), (429, "quota"));
    let accepted = answer.json["accepted"].as_u64().unwrap();
    assert!((100..200).contains(&accepted), "{accepted}");
    assert_eq!(answer.json["line"], accepted + 1);
}

#[tokio::test]
async fn a_registered_source_may_have_a_quota() {
    let quotas = Quotas { registered: Some(Allowance::items(Rate { per_second: 1, burst: 2 })), ..Quotas::default() };
    let config = Config { quotas, ..Config::default() };
    let rig = Rig::with(config, None).await;
    let (one, other) = (rig.register("s1").await, rig.register("s2").await);
    let batch = format!("[{}]", vec!["1"; 200].join(","));
    assert_eq!(rig.send(with_bearer(data(batch), &one)).await.accepted(), 200);
    assert_eq!(rig.send(with_bearer(data("1"), &one)).await.problem(), (429, "quota"));
    assert_eq!(rig.send(with_bearer(data("1"), &other)).await.accepted(), 1);
}

fn small_backlog(wait_max: Duration) -> Setup {
    let wait_ms = wait_max.as_millis().try_into().unwrap();
    let limits = Limits { backlog_items_max: 10, backlog_wait_max_ms: wait_ms, ..Limits::default() };
    Config { limits, ..quota(Rate::per_second(100_000)) }.into()
}

/// Sends until there is no room, and gives what was taken and the refusal.
async fn fill(rig: &Rig) -> (usize, Answer) {
    rig.sink.set(Mood::Hold);
    let mut accepted = 0;
    loop {
        let answer = rig.data("[1,2,3,4]").await;
        if answer.status != StatusCode::ACCEPTED {
            return (accepted, answer);
        }
        accepted += 4;
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let rig = Rig::with(small_backlog(Duration::from_millis(20)), None).await;
    let (_, answer) = fill(&rig).await;
    assert_eq!(answer.problem(), (503, "queue-full"));
    assert_eq!(answer.header(header::RETRY_AFTER), "1");
    let answer = rig.send(lines("1\n2\n3\n4\n5\n")).await;
    assert_eq!((answer.problem(), &answer.json["accepted"]), ((503, "queue-full"), &0.into()));
}

#[tokio::test]
async fn a_stream_waits_for_room() {
    let rig = Rig::with(small_backlog(Duration::from_mins(1)), None).await;
    let (accepted, _) = fill(&rig).await;
    let stream = format!("{}\n", vec!["1"; 2_000].join("\n"));
    let release = async {
        tokio::task::yield_now().await;
        rig.sink.set(Mood::Acknowledge);
    };
    let (answer, ()) = tokio::join!(rig.send(lines(stream)), release);
    assert_eq!(answer.accepted(), 2_000);
    rig.sink.until_delivered(accepted + 2_000).await;
}

#[tokio::test]
async fn a_registration_that_is_not_right_names_the_member() {
    let rig = Rig::new().await;
    let with =
        |members: &str| format!(r#"{{"NodeId":"s1","NodeType":"sensor","CommunicationMode":"discrete"{members}}}"#);
    for (body, member) in [
        (with(r#","colour":"red""#), "colour"),
        (with(r#","EncryptionScheme":"aes-256-gcm-siv""#), "EncryptionScheme"),
        (with(r#","EncryptionScheme":"rot13""#), "EncryptionScheme"),
        (with(r#","EncryptionScheme":null"#), "EncryptionScheme"),
        (r#"{"NodeType":"sensor","CommunicationMode":"discrete"}"#.into(), "NodeId"),
        (r#"{"NodeId":"s1","CommunicationMode":"discrete"}"#.into(), "NodeType"),
        (r#"{"NodeId":"s1","NodeType":"sensor"}"#.into(), "CommunicationMode"),
        (r#"{"NodeId":"a/b","NodeType":"sensor","CommunicationMode":"discrete"}"#.into(), "NodeId"),
        (r#"{"NodeId":7,"NodeType":"sensor","CommunicationMode":"discrete"}"#.into(), "NodeId"),
        (r#"{"NodeId":"s1","NodeType":"","CommunicationMode":"discrete"}"#.into(), "NodeType"),
        (
            format!(r#"{{"NodeId":"s1","NodeType":"sensor","CommunicationMode":"{}"}}"#, "é".repeat(65)),
            "CommunicationMode",
        ),
    ] {
        let answer = rig.send(post("/registration", body.clone())).await;
        assert_eq!(answer.problem(), (400, "registration"), "{body}");
        assert_eq!(answer.json["member"], member, "{body}");
    }
    for body in ["", "[]", "7", "{\"NodeId\":\"a\",\"NodeId\":\"a\"}"] {
        assert_eq!(rig.send(post("/registration", body)).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(rig.send(post("/registration", with(&" ".repeat(9_000)))).await.problem(), (413, "too-large"));
    assert!(rig.nos.sources().list().is_empty());
    rig.register("s1").await;
    assert_eq!(rig.send(post("/registration", with(""))).await.problem(), (409, "node-exists"));
}

#[tokio::test]
async fn a_claim_token_is_asked_for_where_registration_is_not_open() {
    let rig = Rig::with(NosSettings { registration: Registration::Token, ..NosSettings::default() }, None).await;
    let registration =
        || post("/registration", r#"{"NodeId":"s1","NodeType":"sensor","CommunicationMode":"discrete"}"#);
    let token = rig.nos.sources().invite().await.unwrap();
    assert_eq!(rig.send(registration()).await.problem(), (401, "claim-token"));
    assert_eq!(rig.send(with_bearer(registration(), "x")).await.problem(), (401, "claim-token"));
    assert_eq!(rig.send(with_bearer(post("/registration", "{}"), &token)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(rig.send(with_bearer(registration(), &token)).await.status, StatusCode::CREATED);
    assert_eq!(rig.send(with_bearer(registration(), &token)).await.problem(), (401, "claim-token"), "used up");
}

#[tokio::test]
async fn another_method_is_told_which_one_is_taken() {
    let rig = Rig::new().await;
    for (method, path, allow) in [
        ("GET", "/data", "POST"),
        ("PUT", "/registration", "POST"),
        ("GET", "/v1/keys", "POST"),
        ("POST", "/v1/topics", "GET, HEAD"),
    ] {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let answer = rig.send(request).await;
        assert_eq!((answer.problem(), answer.header(header::ALLOW)), ((405, "method-not-allowed"), allow), "{path}");
    }
}

/// As by default, but nobody is kept out for what is malformed.
fn lenient() -> Config {
    let quarantine = QuarantineRules { enabled: false, ..QuarantineRules::default() };
    Config { quarantine, ..quota(Rate::per_second(1_000_000)) }
}

#[tokio::test]
async fn json_is_taken_and_refused_by_the_book() {
    let rig = Rig::with(lenient(), None).await;
    for text in ALLOWED {
        let shown = text.escape_ascii();
        assert_eq!(rig.data(*text).await.status, StatusCode::ACCEPTED, "{shown}");
        // A line has no line feed within it.
        if !text.contains(&b'\n') {
            assert_eq!(rig.send(lines(*text)).await.status, StatusCode::ACCEPTED, "{shown}");
        }
    }
    for text in FORBIDDEN.iter().chain(REFUSED_BY_US) {
        let shown = text.escape_ascii();
        assert_eq!(rig.data(*text).await.problem(), (400, "malformed-json"), "{shown}");
        let good_then_bad = [b"1\n", *text].concat();
        let answer = rig.send(lines(good_then_bad)).await;
        assert_eq!((answer.status.as_u16(), &answer.json["accepted"]), (400, &1.into()), "{shown}: {answer:?}");
        let registration = [b"{\"NodeId\":", *text, b",\"NodeType\":\"s\",\"CommunicationMode\":\"d\"}"].concat();
        assert_eq!(rig.send(post("/registration", registration)).await.status, StatusCode::BAD_REQUEST, "{shown}");
    }
    assert!(rig.nos.sources().list().is_empty());
}

/// Bodies of the size that is taken, of shapes that cost much where a reader is careless: each of these would take minutes if
/// its cost grew with the square of its length.
#[tokio::test]
async fn nothing_costs_the_square_of_its_length() {
    let rig = Rig::with(lenient(), None).await;
    let joined = |count: usize, part: &dyn Fn(usize) -> String| (0..count).map(part).collect::<Vec<_>>().join(",");
    let deep = format!("{}{}", "[".repeat(60), "]".repeat(60));
    for (what, value) in [
        ("members", format!("{{{}}}", joined(80_000, &|number| format!("\"{number}\":0")))),
        (
            "names with a common beginning",
            format!("{{{}}}", joined(9_000, &|number| format!("\"{}{number}\":0", "a".repeat(100)))),
        ),
        ("escaped names", format!("{{{}}}", joined(80_000, &|number| format!("\"\\n{number:x}\":0")))),
        ("elements", format!("[{}]", joined(500_000, &|_| "1".into()))),
        ("deep ones", format!("[{}]", joined(8_000, &|_| deep.clone()))),
        ("a text", format!("\"{}\"", "x".repeat(1_000_000))),
        ("an escaped text", format!("\"{}\"", "\\u0041".repeat(160_000))),
        ("a number", "1".repeat(300)),
        ("digits", format!("0.{}", "1".repeat(1_000_000))),
        ("white space", " ".repeat(1_000_000)),
    ] {
        let value = if value.trim().is_empty() { format!("{value}1") } else { value };
        assert_eq!(rig.data(format!("{{\"value\":{value}}}")).await.accepted(), 1, "{what}");
        let cut_off = format!("{{\"value\":{value}");
        assert_eq!(rig.data(cut_off).await.problem(), (400, "malformed-json"), "{what}");
    }
    let batch = format!("[{}]", joined(10_000, &|number| format!("{{\"value\":{number},\"time\":\"x\"}}")));
    assert_eq!(rig.data(batch).await.problem(), (400, "malformed-reading"));
    let bytes = format!("\"{}\"\n", "x".repeat(60_000)).repeat(3).into_bytes();
    let one_by_one = parts(bytes.into_iter().map(|byte| Bytes::copy_from_slice(&[byte])));
    assert_eq!(rig.send(lines(one_by_one)).await.accepted(), 3);
}

#[tokio::test]
async fn a_compressed_body_is_refused_and_not_decoded() {
    let rig = Rig::new().await;
    for coding in ["gzip", "deflate", "br", "zstd", "identity, gzip", "", "x"] {
        for path in ["/data", "/registration", "/v1/keys"] {
            let mut request = post(path, "1");
            request.headers_mut().insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            let answer = rig.send(request).await;
            assert_eq!(answer.problem(), (415, "content-coding"), "{path} {coding}");
            assert_eq!(answer.header(header::ACCEPT_ENCODING), "identity");
        }
    }
    let mut request = data("1");
    request.headers_mut().insert(header::CONTENT_ENCODING, "Identity".parse().unwrap());
    assert_eq!(rig.send(request).await.accepted(), 1);
    assert_eq!(rig.send(with_type(data("1"), "text/plain")).await.header(header::ACCEPT_ENCODING), "");
}
