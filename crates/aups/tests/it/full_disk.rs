//! A disk that fills up under a running server: refused cleanly, seen from outside, over when there is space again.

use crate::{
    disk::Disk,
    program::{Aups, PATIENCE},
    sources::{register, seal, sealer, send},
};
use aups_core::Session;
use serde_json::json;
use std::time::{Duration, Instant};

/// Asks again until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_disk_is_refused_cleanly_and_over_when_there_is_space() {
    let mut aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    let sealer = sealer(&register(&aups, "sealing", "aes-256-gcm"), Session::new(1, 1));
    aups.terminate();
    let disk = Disk::below(&aups.data_dir());
    aups.set_environment(disk.environment());
    aups.start_again();
    aups.send_counts(&credential, 0..100);
    let metric = |aups: &Aups, line: &str| aups.request("GET", "/metrics", b"", &[]).body.lines().any(|l| l == line);
    let readyz = |aups: &Aups| aups.request("GET", "/readyz", b"", &[]).status;
    eventually("ready", || readyz(&aups) == 200);

    disk.set_full(true);
    let bearer = format!("Bearer {credential}");
    let lines: Vec<_> = (0..50).map(|n| format!(r#"{{"name":"refused","value":{n}}}"#)).collect();
    for (media_type, body) in [
        ("application/json", r#"{"name":"refused","value":1}"#.to_owned()),
        ("application/json", r#"[{"name":"refused","value":1},{"name":"refused","value":2}]"#.to_owned()),
        ("application/x-ndjson", lines.join("\n")),
    ] {
        let answer = aups.post("/data", &body, &[("Content-Type", media_type), ("Authorization", &bearer)]);
        assert_eq!(answer.problem(503), "disk");
    }
    let keyed = |aups: &Aups| {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "\"again\"")];
        aups.post("/data", r#"{"name":"count","value":200}"#, &headers)
    };
    assert_eq!(keyed(&aups).problem(503), "disk");
    let sealed = seal(&sealer, r#"{"name":"count","value":201}"#);
    assert_eq!(send(&aups, &sealed).problem(503), "disk");
    assert_eq!(send(&aups, &sealed).problem(503), "disk", "not for a copy of what was taken");
    assert_eq!(readyz(&aups), 503);
    assert!(metric(&aups, "aups_queue_failing 1"));
    let user = json!({"sub": "bob", "attrs": {}, "groups": []}).to_string();
    let refused = aups.admin("POST", "/v1/users", &user);
    assert_eq!(refused.status, 503, "{}", refused.body);

    disk.set_full(false);
    eventually("ready again, though nobody sends", || readyz(&aups) == 200);
    assert!(metric(&aups, "aups_queue_failing 0"));
    aups.send_counts(&credential, 100..200);
    eventually("the same request is taken", || keyed(&aups).status == 202);
    eventually("the same message is taken", || send(&aups, &sealed).status == 202);
    assert_eq!(send(&aups, &sealed).problem(409), "replayed");
    let added = aups.admin("POST", "/v1/users", &user);
    assert_eq!(added.status, 201, "{}", added.body);
    alice.expect_counts(0..202);
}
