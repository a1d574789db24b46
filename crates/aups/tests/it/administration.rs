//! The administrator's API and commands.

use crate::program::{Aups, METEO, text};
use serde_json::Value;

/// Every endpoint of `/openapi.json` exists, and every one that is the administrator's refuses strangers.
#[test]
fn every_documented_endpoint_exists_and_the_administrators_need_the_token() {
    let aups = Aups::start();
    let document = aups.request("GET", "/openapi.json", b"", &[]).json();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let path = path
                .replace("{sub}", "nobody")
                .replace("{group}", "nothing")
                .replace("{node}", "nowhere")
                .replace("{scope}", "none");
            let method = method.to_uppercase();
            let administrators =
                operation["security"].as_array().unwrap().iter().any(|s| s.get("adminToken").is_some());
            for token in [None, Some("Bearer wrong"), Some("Basic x")] {
                let headers: Vec<(&str, &str)> = token.map(|t| ("Authorization", t)).into_iter().collect();
                let answer = aups.request(&method, &path, b"", &headers);
                if administrators {
                    answer.problem(401);
                } else {
                    assert!(answer.status != 404 && answer.status != 405, "{method} {path}: {}", answer.status);
                }
            }
            if administrators {
                let answer = aups.admin(&method, &path, "");
                let unknown_route = answer.body.contains("no-route") || answer.body.contains("no-method");
                assert!(!unknown_route && answer.status != 401, "{method} {path}: {}", answer.body);
                checked += 1;
            }
        }
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn readers_are_registered_changed_listed_and_removed() {
    let aups = Aups::start();
    let add = |body: &str| aups.admin("POST", "/v1/users", body);
    let added = add(r#"{"sub":"alice","attrs":{"roles":["meteorologist"],"clearance":2},"groups":[]}"#);
    assert_eq!(added.status, 201);
    assert!(added.json()["token"].as_str().unwrap().contains('.') && added.json()["tokenExpires"].is_u64());
    add(r#"{"sub":"alice"}"#).problem(409);
    add(r#"{"sub":"al ice"}"#).problem(400);
    add(r#"{"sub":"bob","attrs":{"role":["x"]}}"#).problem(400);
    add(r#"{"sub":"bob","groups":["unknown"]}"#).problem(400);
    add(r#"{"sub":"bob","sub":"eve"}"#).problem(400);
    assert_eq!(aups.admin("POST", "/v1/apps", r#"{"sub":"alice"}"#).problem(409), "exists");

    let changed = aups.admin("PATCH", "/v1/users/alice", r#"{"attrs":{"clearance":3}}"#);
    assert_eq!((changed.status, &changed.json()["attrs"]["clearance"]), (200, &3.into()));
    assert_eq!(changed.json()["attrs"]["roles"][0], "meteorologist", "what is not given stays");
    let listed = aups.admin("GET", "/v1/users", "").json();
    assert_eq!(listed["items"][0]["sub"], "alice");
    assert_eq!(listed["items"][0]["enrolled"], false);
    assert!(listed["items"][0].get("token").is_none(), "a token is shown once");
    assert_eq!(aups.admin("DELETE", "/v1/users/alice", "").status, 204);
    aups.admin("GET", "/v1/users/alice", "").problem(404);
    aups.admin("DELETE", "/v1/users/alice", "").problem(404);
}

#[test]
fn removing_a_reader_ends_its_sessions_and_its_keys() {
    let aups = Aups::start();
    aups.apply(METEO);
    let alice = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    let mut stock = crate::program::Lines::of(&mut aups.mosquitto_sub(Some(&alice), &["-t", "data/#"]));
    for _ in 0..100 {
        aups.send(&credential, "1");
        if stock.next_within(std::time::Duration::from_millis(300)).is_some() {
            break;
        }
    }
    aups.ok(&["user", "remove", "alice"]);
    let (code, _, errors) = stock.finish();
    assert!(code != Some(0), "mosquitto_sub reconnects and is refused: {errors}");
    let topics = aups.run(&["topics", "--as", "alice.json"]);
    assert_eq!(topics.status.code(), Some(3), "{}", text(&topics.stderr));
}

#[test]
fn topics_and_keys_are_listed() {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    aups.reader("bob", &[]);
    assert_eq!(aups.ok(&["topics", "--as", "alice.json"]), "data/#\n");
    assert_eq!(aups.ok(&["topics", "--as", "bob.json"]), "");
    let credential = aups.source("sensor1");
    aups.send(&credential, "1");
    let rows: Value = loop {
        let rows = aups.admin("GET", "/v1/keys/list", "").json();
        if !rows["items"].as_array().unwrap().is_empty() {
            break rows;
        }
    };
    let row = &rows["items"][0];
    assert!(row["keyId"].as_str().unwrap().len() == 32 && row["val"].is_u64() && row["state"].is_string());
    assert!(row["atb"].as_str().unwrap().contains("meteorologist"), "{row}");
    assert!(row.get("keyT").is_none());
}
