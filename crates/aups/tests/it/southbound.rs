//! What sources are told, over real HTTP (DESIGN section 8).

use crate::program::Aups;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn registration_answers_by_the_book() {
    let aups = Aups::start();
    let register = |body: &str| aups.post("/registration", body, &[JSON]);
    let good = r#"{"NodeId":"sensor1","NodeType":"sensor","CommunicationMode":"discrete","EncryptionScheme":"none"}"#;
    let answer = register(good);
    assert_eq!(answer.status, 201);
    let registered = answer.json();
    assert_eq!(registered["NodeId"], "sensor1");
    assert_eq!(registered["credentialId"].as_str().unwrap().len(), 32, "24 bytes");
    assert!(registered["credential"].as_str().unwrap().len() >= 32);

    register(good).problem(409);
    for (body, member) in [
        (r#"{"NodeId":"x","NodeType":"sensor"}"#, "CommunicationMode"),
        (r#"{"NodeId":"x","NodeType":"sensor","CommunicationMode":"d","Colour":"red"}"#, "Colour"),
        (r#"{"NodeId":"a b","NodeType":"sensor","CommunicationMode":"d"}"#, "NodeId"),
        (r#"{"NodeId":"x","NodeType":"","CommunicationMode":"d"}"#, "NodeType"),
        (r#"{"NodeId":7,"NodeType":"s","CommunicationMode":"d"}"#, "NodeId"),
        (r#"{"NodeId":"x","NodeType":"s","CommunicationMode":"d","EncryptionScheme":"rot13"}"#, "EncryptionScheme"),
    ] {
        let answer = register(body);
        answer.problem(400);
        assert_eq!(answer.json()["member"], member, "{}", answer.body);
    }
    register("{").problem(400);
    register("").problem(400);
}

#[test]
fn malformed_data_is_refused_with_its_place_and_the_server_goes_on() {
    let aups = Aups::start();
    let credential = aups.source("sensor1");
    let authorization = format!("Bearer {credential}");
    let post = |body: &[u8], headers: &[(&str, &str)]| {
        aups.request("POST", "/data", body, &[&[("Authorization", authorization.as_str())], headers].concat())
    };
    for body in [
        "",
        " ",
        "{",
        "{\"value\":}",
        "[1,]",
        "nul",
        "{\"value\":1}x",
        "{\"value\":1,\"value\":2}",
        "{\"value\":{\"a\":1,\"a\":1}}",
        "{\"value\":1e999}",
        "01",
        "{'value':1}",
        "\"\\ud800\"",
        "{\"value\":NaN}",
        "{\"value\":1,\"time\":\"yesterday\"}",
    ] {
        let answer = post(body.as_bytes(), &[JSON]);
        answer.problem(400);
        if !body.trim().is_empty() && !body.contains("yesterday") {
            assert!(answer.json()["line"].is_u64() && answer.json()["column"].is_u64(), "{body}: {}", answer.body);
        }
    }
    post(b"\"\xff\"", &[JSON]).problem(400);
    post(format!("{}1{}", "[".repeat(65), "]".repeat(65)).as_bytes(), &[JSON]).problem(400);
    assert_eq!(post(format!("{}1{}", "[".repeat(64), "]".repeat(64)).as_bytes(), &[JSON]).status, 202);
    post(b"1", &[("Content-Type", "text/plain")]).problem(415);
    post(&vec![b' '; 11 << 20], &[JSON]).problem(413);
    aups.request("POST", "/data", b"1", &[("Authorization", "Bearer wrong")]).problem(401);
    aups.request("POST", "/data", b"1", &[("Authorization", "Basic eA==")]).problem(401);
    aups.request("GET", "/data", b"", &[]).problem(405);
    aups.request("GET", "/nowhere", b"", &[]).problem(404);
    for good in ["1", "null", "\"x\"", "{}", "{\"value\":{\"a\":[1,2]}}", "[1,2,3]"] {
        assert_eq!(post(good.as_bytes(), &[]).status, 202, "{good}");
    }
    assert_eq!(aups.request("GET", "/healthz", b"", &[]).status, 200);
    assert_eq!(aups.request("GET", "/readyz", b"", &[]).status, 200);
}

#[test]
fn a_stream_of_lines_is_taken_until_the_first_bad_one() {
    let aups = Aups::start();
    let credential = aups.source("sensor1");
    let authorization = format!("Bearer {credential}");
    let post = |body: &str| {
        aups.post("/data", body, &[("Content-Type", "application/x-ndjson"), ("Authorization", authorization.as_str())])
    };
    assert_eq!(post("1\n2\n3\n").json()["accepted"], 3);
    let answer = post("1\n2\n{\n4\n");
    answer.problem(400);
    assert_eq!((&answer.json()["accepted"], &answer.json()["line"]), (&2.into(), &3.into()));
    post(&format!("1\n\"{}\"\n", "x".repeat(64 << 10))).problem(413);
    let long = "{\"value\":1}\n".repeat(200_000);
    assert!(long.len() > 1 << 20);
    assert_eq!(post(&long).json()["accepted"], 200_000, "an NDJSON body has no total limit");
}

#[test]
fn a_batch_is_all_or_nothing() {
    let aups = Aups::start();
    let credential = aups.source("sensor1");
    aups.send(&credential, r#"[{"value":1},{"value":2,"time":"never"}]"#).problem(400);
    let metrics = aups.request("GET", "/metrics", b"", &[]).body;
    assert!(!metrics.lines().any(|l| l.starts_with("aups_items_accepted_total") && !l.ends_with(" 0")), "{metrics}");
}

#[test]
fn unregistered_sources_stay_below_their_own_topic_and_within_their_quota() {
    let aups = Aups::start();
    aups.apply("permit(principal, action, resource in Topic::\"unregistered\");");
    aups.reader("alice", &[]);
    let mut alice = aups.spawn(&["sub", "--as", "alice.json", "unregistered/#", "--json"]);
    let mut seen = None;
    for _ in 0..100 {
        assert_eq!(aups.post("/data", r#"{"NodeId":"../sensor1","value":1}"#, &[]).status, 202);
        seen = alice.next_within(std::time::Duration::from_millis(300));
        if seen.is_some() {
            break;
        }
    }
    let seen: serde_json::Value = serde_json::from_str(&seen.unwrap()).unwrap();
    assert_eq!(seen["topic"], "unregistered/..%2Fsensor1/value");
    assert_eq!(seen["item"]["source"]["registered"], false);
    assert!(seen["item"]["data"].get("NodeId").is_none());

    let flood = "1\n".repeat(1_000);
    let answer = aups.post("/data", &flood, &[("Content-Type", "application/x-ndjson")]);
    assert_eq!(answer.problem(429), "quota", "{}", answer.body);
}

#[test]
fn with_registration_by_token_a_claim_token_works_once() {
    let aups = Aups::start_with(&["--registration", "token"]);
    let body = |node: &str| format!(r#"{{"NodeId":"{node}","NodeType":"sensor","CommunicationMode":"discrete"}}"#);
    aups.post("/registration", &body("a"), &[JSON]).problem(401);
    let token = aups.ok(&["source", "invite"]);
    let claim = format!("Bearer {}", token.trim());
    assert_eq!(aups.post("/registration", &body("a"), &[JSON, ("Authorization", &claim)]).status, 201);
    aups.post("/registration", &body("b"), &[JSON, ("Authorization", &claim)]).problem(401);
    assert!(aups.ok(&["source", "list"]).contains('a'));
    aups.ok(&["source", "remove", "a"]);
    assert!(!aups.run(&["source", "remove", "a"]).status.success());
}
