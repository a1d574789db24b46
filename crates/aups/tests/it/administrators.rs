//! Who administers: admin tokens, and the audit trail of what is done with them.

use crate::program::{Aups, METEO, text};
use serde_json::{Value, json};
use std::fs;

impl Aups {
    /// Every line of the trail that is on disk.
    fn trail(&self) -> Vec<Value> {
        let mut files: Vec<_> =
            fs::read_dir(self.data_dir().join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The administrator's endpoints in `/openapi.json`, with names for what is in braces.
fn documented(aups: &Aups) -> Vec<(String, String, String)> {
    let document = aups.request("GET", "/openapi.json", b"", &[]).json();
    let mut found = Vec::new();
    for (route, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["security"].as_array().unwrap().iter().any(|security| security.get("adminToken").is_some()) {
                let path = route.replace('{', "no-").replace('}', "");
                found.push((method.to_uppercase(), route.clone(), path));
            }
        }
    }
    found
}

#[test]
fn every_call_of_the_admin_api_is_in_the_trail_with_its_actor_and_its_status() {
    let mut aups = Aups::start();
    let calls: Vec<_> = documented(&aups)
        .into_iter()
        .map(|(method, route, path)| {
            let status = aups.admin(&method, &path, "").status;
            (method, route, path, status)
        })
        .collect();
    assert!(calls.len() >= 20, "{}", calls.len());
    for (method, _, path, status) in calls.iter().filter(|(method, ..)| method != "GET") {
        let is_it = |line: &&Value| line["event"] == "call" && line["method"] == **method && line["path"] == **path;
        let trail = aups.trail();
        let lines: Vec<_> = trail.iter().filter(is_it).collect();
        assert_eq!(lines.len(), 1, "{method} {path}");
        assert_eq!((&lines[0]["actor"], &lines[0]["status"]), (&json!("admin"), &json!(status)), "{method} {path}");
        assert_eq!(lines[0]["address"], "127.0.0.1");
        let begun = trail.iter().find(|line| line["number"] == lines[0]["begun"]).unwrap();
        assert_eq!((&begun["event"], &begun["path"]), (&json!("begun"), &lines[0]["path"]));
    }
    assert!(aups.terminate().status.success());
    let trail = aups.trail();
    for (_, route, _, status) in calls.iter().filter(|(method, ..)| method == "GET") {
        let counted = |line: &&Value| line["event"] == "reads" && line["route"] == **route && line["status"] == *status;
        let line = trail.iter().find(counted).unwrap_or_else(|| panic!("{route} {status}"));
        assert_eq!((&line["actor"], &line["count"]), (&json!("admin"), &json!(1)), "{route}");
    }
    assert_eq!(trail.last().unwrap()["event"], "stopped");
}

#[test]
fn the_trail_says_what_was_changed_who_enrolled_and_what_the_server_did() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    aups.ok(&["user", "remove", "alice"]);
    aups.kill_and_restart();
    let trail = aups.trail();
    let events: Vec<_> = trail.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let start = ["started", "policies-loaded"];
    let calls = ["begun", "call", "begun", "call", "enrolled", "begun", "call"];
    assert_eq!(events, [&start[..], &calls[..], &start[..]].concat(), "no `stopped`: it was killed");
    assert_eq!((&trail[1]["version"], &trail[10]["version"]), (&json!(0), &json!(1)));
    assert_eq!(trail[3]["changed"]["version"], 1);
    assert_eq!(trail[5]["changed"]["sub"], "alice");
    assert_eq!(trail[5]["changed"]["attrs"]["roles"], json!(["meteorologist"]));
    assert_eq!(
        (&trail[6]["sub"], &trail[6]["kind"], &trail[6]["address"]),
        (&json!("alice"), &json!("user"), &json!("127.0.0.1"))
    );
    assert_eq!(trail[8]["changed"], json!({"sub": "alice"}));

    let after = aups.admin("GET", "/v1/audit?after=9&limit=1", "").json();
    assert_eq!(after["items"], json!([trail[9]]));
    let newest = aups.admin("GET", "/v1/audit?limit=2", "").json();
    assert_eq!(newest["items"], json!(trail[9..]));
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=-1", "before=1", "limit=1&limit=2"] {
        assert_eq!(aups.admin("GET", &format!("/v1/audit?{wrong}"), "").problem(400), "malformed-query", "{wrong}");
    }
}

#[test]
fn nothing_is_changed_that_cannot_be_recorded() {
    let aups = Aups::start();
    let pending = aups.ok(&["user", "add", "bob"]);
    let (trail, away) = (aups.data_dir().join("audit"), aups.file("away"));
    fs::rename(&trail, &away).unwrap();
    let add = || aups.admin("POST", "/v1/users", r#"{"sub":"alice"}"#);
    assert_eq!(add().problem(503), "audit");
    let refused = aups.run(&["enrol", "--token", pending.trim(), "--out", "bob.json"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(aups.log().contains("put it back"), "{}", aups.log());
    assert_eq!(aups.admin("GET", "/v1/users/alice", "").status, 404, "reads go on, and nothing was changed");
    assert_eq!(aups.send(&aups.source("sensor1"), "1").status, 202, "so does the data path");
    fs::rename(&away, &trail).unwrap();
    assert_eq!(add().status, 201);
    aups.enrol(pending.trim(), "bob.json", &[]);
}
