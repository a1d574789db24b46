use super::*;
use aups_core::{ManualClock, UnixMillis};
use serde_json::Value;
use std::net::Ipv4Addr;

fn open(dir: &tempfile::TempDir) -> Audit {
    let clock = Arc::new(ManualClock::at(UnixMillis(5_000)));
    Audit::open(&dir.path().join("audit"), clock).unwrap()
}

fn call(actor: Option<&str>, path: &str) -> Call {
    Call::new(actor, Ipv4Addr::LOCALHOST.into(), "GET", path)
}

async fn lines(audit: &Audit) -> Vec<Value> {
    let found = audit.lines(None, LINES_ASKED_MAX, Filter::default()).await.unwrap();
    found.lines.iter().map(|line| serde_json::from_str(line.get()).unwrap()).collect()
}

#[tokio::test]
async fn events_of_many_at_once_get_a_number_each() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    let recorded = futures_util::future::join_all((0..100).map(|_| audit.record(Event::Stopped { state: None }))).await;
    let mut numbers: Vec<u64> = recorded.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=100).collect::<Vec<_>>());
    assert_eq!(lines(&audit).await.len(), 100);
    let newest = audit.lines(None, 2, Filter::default()).await.unwrap().lines;
    assert!(newest[1].get().starts_with(r#"{"number":100,"prev":""#), "{}", newest[1]);
}

#[tokio::test]
async fn an_event_is_a_flat_line() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    let note = Note::default();
    note.add("sub", "alice");
    let call = Call::new(Some("ops"), "::ffff:10.0.0.1".parse().unwrap(), "DELETE", "/v1/users/alice");
    let begun = audit.record(Event::Begun(call.clone())).await.unwrap();
    audit.record(Event::Call { begun, call, status: 204, changed: note.changed() }).await.unwrap();
    let line = lines(&audit).await.pop().unwrap();
    assert_eq!(line["prev"].as_str().unwrap().len(), 43);
    let expected = serde_json::json!({
        "number": 2, "prev": line["prev"], "at": 5_000, "event": "call", "begun": 1, "actor": "ops", "address": "10.0.0.1",
        "method": "DELETE", "path": "/v1/users/alice", "status": 204, "changed": {"sub": "alice"},
    });
    assert_eq!(line, expected);
}

#[tokio::test]
async fn what_does_not_fit_a_line_is_named() {
    let note = Note::default();
    note.add("scopes", vec!["x"; 20_000]);
    note.add("sub", "alice");
    assert_eq!(Value::from(note.changed()), serde_json::json!({"scopes": null, "sub": "alice"}));
    let long = "x".repeat(10_000);
    let call = Call::new(None, Ipv4Addr::LOCALHOST.into(), &long, &long);
    assert_eq!((call.method.len(), call.path.len()), (16, 512));
}

#[tokio::test]
async fn reads_are_counted_by_token_address_route_and_status() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    for (actor, route, status) in [("a", "/v1/users", 200), ("a", "/v1/users", 200), ("b", "/v1/users", 200)] {
        audit.count_read(&call(Some(actor), "/v1/users"), route, status);
    }
    audit.count_read(&call(Some("a"), "/v1/users/x"), "/v1/users/{sub}", 404);
    assert!(lines(&audit).await.is_empty(), "not one by one");
    audit.stop().await.unwrap();
    let lines = lines(&audit).await;
    let mut counts: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "reads")
        .map(|line| format!("{} {} {} {}", line["actor"], line["route"], line["status"], line["count"]))
        .collect();
    counts.sort();
    assert_eq!(counts, [r#""a" "/v1/users" 200 2"#, r#""a" "/v1/users/{sub}" 404 1"#, r#""b" "/v1/users" 200 1"#]);
    assert_eq!(lines.last().unwrap()["event"], "stopped");
}

#[tokio::test]
async fn a_flood_of_refusals_is_counted_beyond_its_first_lines() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    for _ in 0..1_000 {
        audit.refused(call(None, "/v1/users"), 401);
    }
    audit.stop().await.unwrap();
    let lines = lines(&audit).await;
    assert_eq!(lines.iter().filter(|line| line["event"] == "refused").count(), 200);
    let rest: Vec<_> = lines.iter().filter(|line| line["event"] == "unrecorded").collect();
    assert_eq!((rest.len(), &rest[0]["refusals"]), (1, &800.into()));
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_says_so_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    audit.record(Event::Stopped { state: None }).await.unwrap();
    let (trail, away) = (dir.path().join("audit"), dir.path().join("away"));
    std::fs::rename(&trail, &away).unwrap();
    assert!(audit.check().is_ok(), "nobody has tried yet");
    audit.record(Event::Stopped { state: None }).await.unwrap_err();
    audit.check().unwrap_err();
    std::fs::rename(&away, &trail).unwrap();
    assert_eq!(audit.record(Event::Stopped { state: None }).await.unwrap(), 2);
    audit.check().unwrap();
}

#[tokio::test]
async fn a_checkpoint_is_over_all_that_was_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    assert_eq!(audit.checkpoint().await.unwrap(), None, "nothing signs");
    let key = aups_envelope::SigningKey::generate();
    let realm_key = key.public();
    audit.sign_with(Signer::key(key));
    assert_eq!(audit.checkpoint().await.unwrap(), None, "nothing to sign");
    audit.record_all(&[Event::Stopped { state: None }, Event::Stopped { state: None }]).await.unwrap();
    audit.record(Event::Stopped { state: None }).await.unwrap();
    let signed = audit.checkpoint().await.unwrap().unwrap();
    let checkpoint = aups_envelope::Checkpoint::verify(&signed, Some(&realm_key)).unwrap();
    assert_eq!(checkpoint.number, audit.newest() - 1);
    assert_eq!(audit.checkpoint().await.unwrap(), Some(signed), "nothing new");
    let verdict = verify::folder(&dir.path().join("audit"), verify::Trusted::default(), |_| {}).unwrap();
    assert!(verdict.ok && verdict.signed_through == checkpoint.number, "{verdict:?}");
}

#[tokio::test]
async fn lines_are_searched_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let audit = open(&dir);
    for actor in ["alice", "bob", "alice"] {
        let call = Call::new(Some(actor), Ipv4Addr::LOCALHOST.into(), "POST", "/v1/users");
        let note = Note::default();
        note.add("sub", "carol");
        audit.record(Event::Call { begun: 0, call, status: 201, changed: note.changed() }).await.unwrap();
    }
    let found = async |filter: Filter| {
        let found = audit.lines(None, 10, filter).await.unwrap();
        found
            .lines
            .iter()
            .map(|line| serde_json::from_str::<Value>(line.get()).unwrap()["number"].clone())
            .collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(found(Filter { actor: text("alice"), ..Filter::default() }).await, [1, 3]);
    assert_eq!(found(Filter { sub: text("carol"), ..Filter::default() }).await, [1, 2, 3]);
    assert_eq!(found(Filter { sub: text("alice"), ..Filter::default() }).await, [0; 0], "an actor is no reader");
    assert_eq!(found(Filter { event: text("begun, call"), ..Filter::default() }).await, [1, 2, 3]);
    assert_eq!(found(Filter { since: Some(UnixMillis(5_001)), ..Filter::default() }).await, [0; 0]);
    assert_eq!(found(Filter { until: Some(UnixMillis(5_000)), ..Filter::default() }).await, [0; 0]);
    let at = Filter { since: Some(UnixMillis(5_000)), until: Some(UnixMillis(5_001)), ..Filter::default() };
    assert_eq!(found(at).await, [1, 2, 3]);
}
