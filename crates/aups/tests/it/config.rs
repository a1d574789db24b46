//! The configuration as an administrator meets it, over HTTP and by `aups config`, and what it does to what is sent.

use crate::{
    apart::Realm,
    program::{Answer, Aups, Lines, METEO, Mosquitto, PATIENCE, text},
};
use serde_json::{Value, json};
use std::{fs, process::Output, time::Instant};

fn put(aups: &Aups, document: &str, headers: &[(&str, &str)]) -> Answer {
    aups.admin_with("PUT", "/v1/config", document, headers)
}

fn in_force(aups: &Aups) -> Value {
    aups.admin("GET", "/v1/config", "").json()
}

/// What a command that must end with this code said on standard error.
fn said(output: &Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}{said}", text(&output.stdout));
    said
}

fn topics(first: &str) -> String {
    format!(r#"{{"topics":{{"registered":"{first}/{{nodeId}}/{{name}}"}}}}"#)
}

/// Everything is for meteorologists.
const EVERYTHING: &str =
    r#"@id("all") permit(principal, action, resource) when { principal.roles.contains("meteorologist") };"#;

/// The topic on which something comes next.
fn next_topic(reader: &mut Lines) -> String {
    let line: Value = serde_json::from_str(&reader.next()).unwrap();
    line["topic"].as_str().unwrap().to_owned()
}

#[test]
fn a_document_is_replaced_as_a_whole_or_not_at_all() {
    let aups = Aups::start();
    let first = aups.admin("GET", "/v1/config", "");
    assert_eq!((first.status, first.etag.as_str(), first.content_type.as_str()), (200, "\"0\"", "application/json"));
    assert_eq!(first.json()["topics"]["registered"], "data/{nodeId}/{name}");
    let set = put(&aups, r#"{"retain":["data/#"]}"#, &[("If-Match", "\"0\"")]);
    assert_eq!((set.status, set.json(), set.etag.as_str()), (200, json!({"version": 1}), "\"1\""));
    let before = in_force(&aups);
    assert_eq!((&before["retain"], &before["topics"]), (&json!(["data/#"]), &first.json()["topics"]));

    assert_eq!(put(&aups, "{}", &[("If-Match", "\"0\"")]).problem(412), "outdated");
    assert_eq!(put(&aups, "{}", &[("If-Match", "0")]).problem(400), "malformed-if-match");
    let broken = put(&aups, "{\"retain\":\n [}", &[]);
    assert_eq!((broken.problem(400), broken.json()["line"].clone()), ("malformed-request".into(), json!(2)));
    assert_eq!(put(&aups, &format!("{{}}{}", " ".repeat(1 << 20)), &[]).problem(413), "body-too-large");
    assert_eq!(aups.admin("PUT", "/v1/config?coment=x", "{}").problem(400), "malformed-query");
    for (document, pointer) in [
        (r#"{"retain":[],"topics":{"registered":"{nodeId}/{name}"}}"#, "/topics"),
        (r#"{"retain":["a/#/b"]}"#, "/retain/0"),
        (r#"{"retain":[],"topcs":{}}"#, "/topcs"),
        ("[]", ""),
    ] {
        let refused = put(&aups, document, &[]);
        assert_eq!(refused.problem(422), "config-refused");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{}", refused.body);
        assert!(!refused.json()["errors"][0]["message"].as_str().unwrap().is_empty());
        assert_eq!(aups.admin("POST", "/v1/config/check", document).problem(422), "config-refused");
    }
    assert_eq!(in_force(&aups), before, "what is refused changes nothing");

    let checked = aups.admin("POST", "/v1/config/check", "{}");
    assert_eq!((checked.status, checked.json()), (200, first.json()), "what is left out is as by default");
    let diff = |path: &str, body: &str| aups.admin("POST", &format!("/v1/config/diff{path}"), body);
    let expected = json!({"changes": [{"pointer": "/retain/0", "before": "data/#"}]});
    assert_eq!(diff("", "{}").json(), expected);
    assert_eq!(diff("?to=0", "").json(), expected);
    assert_eq!(diff("?from=1&to=1", "").json(), json!({"changes": []}));
    assert_eq!(diff("?to=0", "{}").problem(400), "malformed-query");
    assert_eq!(diff("?to=7", "").problem(404), "unknown-version");
    assert_eq!(in_force(&aups), before, "neither changes anything");
}

#[test]
fn versions_are_kept_and_gone_back_to_and_survive_a_kill() {
    let mut aups = Aups::start();
    aups.admin("PUT", "/v1/config?comment=for%20late%20readers", r#"{"retain":["data/#"]}"#);
    put(&aups, "{}", &[]);
    assert_eq!(aups.admin("GET", "/v1/config?version=1", "").json()["retain"], json!(["data/#"]));
    assert_eq!(aups.admin("GET", "/v1/config?version=3", "").problem(404), "unknown-version");
    let back = |body: &str, headers: &[(&str, &str)]| aups.admin_with("POST", "/v1/config/rollback", body, headers);
    assert_eq!(back(r#"{"version":9}"#, &[]).problem(404), "unknown-version");
    assert_eq!(back(r#"{"version":1}"#, &[("If-Match", "\"1\"")]).problem(412), "outdated");
    assert_eq!(back(r#"{"version":1}"#, &[("If-Match", "\"2\"")]).json(), json!({"version": 3}));

    aups.kill_and_restart();
    assert_eq!(in_force(&aups)["retain"], json!(["data/#"]));
    let mut items = aups.admin("GET", "/v1/config/versions", "").json()["items"].as_array().unwrap().clone();
    for item in &mut items {
        assert!(item.as_object_mut().unwrap().remove("appliedAt").unwrap().as_u64().unwrap() > 1_600_000_000_000);
    }
    let expected = json!([
        {"version": 1, "author": "admin", "comment": "for late readers", "active": false},
        {"version": 2, "author": "admin", "active": false},
        {"version": 3, "author": "admin", "restores": 1, "active": true},
    ]);
    assert_eq!(Value::Array(items), expected);
    let trail = aups.ok(&["audit", "tail", "-n", "100", "--json"]);
    for told in [r#""event":"config-in-force","version":3"#, r#""event":"config-loaded","version":3"#] {
        assert!(trail.contains(told), "{told}: {trail}");
    }
}

#[test]
fn of_those_who_change_the_same_version_at_once_one_does() {
    let aups = Aups::start();
    let token = format!("Bearer {}", aups.admin_token());
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let changes: Vec<_> = (0..8)
            .map(|n| {
                let (aups, token) = (&aups, &token);
                scope.spawn(move || {
                    let document = format!(r#"{{"retain":["data/{n}/#"]}}"#);
                    let headers = [("Authorization", token.as_str()), ("If-Match", "\"0\"")];
                    aups.request("PUT", "/v1/config", document.as_bytes(), &headers).status
                })
            })
            .collect();
        changes.into_iter().map(|change| change.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|each| **each == status).count();
    assert_eq!((count(200), count(412)), (1, 7), "{statuses:?}");
    assert_eq!(aups.admin("GET", "/v1/config", "").etag, "\"1\"");
}

#[test]
fn topics_change_between_two_items_without_a_restart() {
    let mut aups = Aups::start();
    aups.apply(EVERYTHING);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    let send = |aups: &Aups, value: u64| assert_eq!(aups.send(&credential, &value.to_string()).status, 202);
    assert_eq!(put(&aups, &topics("greensboro"), &[]).status, 200);
    send(&aups, 0);
    let read = ["sub", "--as", "alice.json", "data/#", "greensboro/#", "rome/#", "--json"];
    let mut alice = aups.spawn(&read);
    let deadline = Instant::now() + PATIENCE;
    while alice.next_within(std::time::Duration::from_millis(200)).is_none() {
        assert!(Instant::now() < deadline, "{}", aups.log());
        send(&aups, 1);
    }
    // From the answer on, everything goes by the new document.
    assert_eq!(put(&aups, &topics("rome"), &[]).status, 200);
    send(&aups, 2);
    let mut topic = next_topic(&mut alice);
    while topic == "greensboro/sensor1/value" {
        topic = next_topic(&mut alice);
    }
    assert_eq!(topic, "rome/sensor1/value");
    assert_eq!(put(&aups, r#"{"topics":{"registered":"rome"}}"#, &[]).problem(422), "config-refused");
    send(&aups, 3);
    assert_eq!(next_topic(&mut alice), "rome/sensor1/value", "an invalid document changes nothing");
    let told = aups.ok(&["topics", "--as", "alice.json"]);
    assert!(told.contains("rome/#") && !told.contains("greensboro/#"), "{told}");
    drop(alice);
    aups.kill_and_restart();
    let mut alice = aups.spawn(&read);
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "{}", aups.log());
        send(&aups, 4);
        if let Some(line) = alice.next_within(std::time::Duration::from_millis(200)) {
            assert!(line.contains("rome/sensor1/value"), "{line}");
            break;
        }
    }
}

#[test]
fn what_is_retained_changes_without_a_restart() {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    let retained = |seconds: &str| {
        let sub = ["sub", "--as", "alice.json", "data/#", "--json", "--count", "1", "--timeout", seconds];
        text(&aups.run(&sub).stdout)
    };
    let send = |value: u64| assert_eq!(aups.send(&credential, &value.to_string()).status, 202);
    send(1);
    assert_eq!(put(&aups, r#"{"retain":["data/#"],"qos":[{"filter":"data/#","qos":0}]}"#, &[]).status, 200);
    send(2);
    let line = retained("30");
    assert!(line.contains(r#""status":"retained""#) && line.contains(r#""value":2"#), "{line}");
    assert_eq!(put(&aups, "{}", &[]).status, 200);
    let deadline = Instant::now() + PATIENCE;
    while !retained("1").is_empty() {
        assert!(Instant::now() < deadline, "it is still retained:\n{}", aups.log());
    }
    assert_eq!(
        put(&aups, r#"{"qos":[{"filter":"data/#","qos":2}]}"#, &[]).json()["errors"][0]["pointer"],
        "/qos/0/qos"
    );
}

const WILL: &str = r#"{"will":{"topic":"status/{nosId}"}}"#;

/// What is said on the topics of the NOSs from now on, retained messages first.
fn statuses(command: &mut std::process::Command) -> Lines {
    Lines::of(command.args(["-t", "status/#", "-F", "%t=%p", "-q", "1"]))
}

#[test]
fn a_nos_says_at_its_own_broker_that_it_is_there() {
    let mut aups = Aups::start();
    aups.apply(EVERYTHING);
    let alice = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    assert_eq!(put(&aups, WILL, &[]).status, 200);
    let mut said = statuses(&mut aups.mosquitto_sub(Some(&alice), &[]));
    assert_eq!(said.next(), "status/nos-1=online");
    assert_eq!(put(&aups, &WILL.replace("status/", "status/of/"), &[]).status, 200);
    assert_eq!((said.next(), said.next()), ("status/nos-1=".into(), "status/of/nos-1=online".into()));
    assert!(aups.terminate().status.success());
    assert_eq!(said.next(), "status/of/nos-1=offline");
}

#[test]
fn a_broker_elsewhere_says_when_a_nos_is_gone() {
    let mosquitto = Mosquitto::start();
    let mut aups = Aups::start_with(&["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]);
    let mut said = statuses(&mut mosquitto.sub_command(&[]));
    assert_eq!(put(&aups, WILL, &[]).status, 200);
    assert_eq!(said.next(), "status/nos-1=online");
    assert_eq!(put(&aups, &WILL.replace("status/", "status/of/"), &[]).status, 200);
    assert_eq!((said.next(), said.next()), ("status/nos-1=".into(), "status/of/nos-1=online".into()));
    aups.kill();
    assert_eq!(said.next(), "status/of/nos-1=offline");
}

#[test]
fn the_config_commands_print_and_exit_as_documented() {
    let aups = Aups::start();
    let document = aups.ok(&["config", "get"]);
    assert!(document.contains("\"registered\": \"data/{nodeId}/{name}\""), "{document}");
    fs::write(aups.file("config.json"), &document).unwrap();
    assert_eq!(aups.ok(&["config", "set", "config.json"]), "version 0\n", "what is printed is what is set");
    fs::write(aups.file("late.json"), r#"{"retain":["data/#"]}"#).unwrap();
    assert_eq!(aups.ok(&["config", "set", "late.json", "--comment", "50 %", "--if-version", "0"]), "version 1\n");
    let outdated = said(&aups.run(&["config", "set", "config.json", "--if-version", "0"]), 4);
    assert!(outdated.contains("version 1 is active"), "{outdated}");
    fs::write(aups.file("bad.json"), r#"{"retain":["data/#","a/#/b"]}"#).unwrap();
    for command in ["check", "set", "diff"] {
        let told = said(&aups.run(&["config", command, "bad.json"]), 4);
        assert!(told.contains("bad.json: /retain/1: ") && told.contains("1 fault"), "{told}");
    }
    assert_eq!(aups.ok(&["config", "check", "late.json"]), "this document would be taken\n");
    let diff = aups.ok(&["config", "diff", "config.json"]);
    assert!(diff.starts_with("--- in force\n+++ config.json\n@@") && diff.contains("-    \"data/#\""), "{diff}");
    assert_eq!(aups.ok(&["config", "diff", "late.json"]), "");
    assert!(aups.ok(&["config", "diff", "--from", "0", "--to", "1"]).contains("+    \"data/#\""));
    let places: Value = serde_json::from_str(&aups.ok(&["config", "diff", "config.json", "--json"])).unwrap();
    assert_eq!(places, json!([{"pointer": "/retain/0", "before": "data/#"}]));
    assert_eq!(aups.ok(&["config", "rollback", "0"]), "version 2\n");
    assert_eq!(aups.ok(&["config", "get", "--version", "0"]), aups.ok(&["config", "get"]));
    let listed = aups.ok(&["config", "versions"]);
    assert!(listed.contains("2 (active)") && listed.contains("50 %") && listed.contains("restores 0"), "{listed}");
    said(&aups.run(&["config", "diff"]), 2);
    said(&aups.run(&["config", "diff", "late.json", "--to", "1"]), 2);
}

#[test]
fn what_is_edited_is_set_and_what_is_refused_is_kept_for_another_try() {
    let aups = Aups::start();
    let edit = |editor: &str| aups.run_with(&["config", "edit"], &[("EDITOR", editor), ("VISUAL", "")]);
    let unchanged = edit("true");
    assert_eq!((text(&unchanged.stdout).as_str(), unchanged.status.code()), ("", Some(0)));
    assert!(text(&unchanged.stderr).contains("nothing was changed"));
    let set = edit(r#"sed -i 's/"retain": \[\]/"retain": ["data\/#"]/'"#);
    assert_eq!(text(&set.stdout), "version 1\n", "{}", text(&set.stderr));
    let refused = said(&edit("sed -i 's/retain/retan/'"), 4);
    assert!(refused.contains("/retan: ") && refused.contains("what you wrote is kept in "), "{refused}");
    let kept = refused.split("what you wrote is kept in ").nth(1).unwrap().trim();
    assert!(fs::read_to_string(kept).unwrap().contains("retan"));
    fs::remove_file(kept).unwrap();
    assert_eq!(aups.admin("GET", "/v1/config", "").etag, "\"1\"");
    assert!(said(&edit("false"), 1).contains("the editor ended with"));
}

#[test]
fn every_nos_uses_a_document_before_its_command_returns_and_starts_with_it_while_the_ktm_is_away() {
    let mut realm = Realm::start();
    let (roof, mut cellar) = (realm.nos("roof"), realm.nos("cellar"));
    assert_eq!(roof.admin("GET", "/v1/config", "").problem(404), "elsewhere");
    let version = |nos: &Aups| {
        let metrics = nos.request("GET", "/metrics", b"", &[]).body;
        metrics.lines().find_map(|line| line.strip_prefix("aups_config_version ")).unwrap().to_owned()
    };
    assert_eq!(version(&roof), "0");
    fs::write(realm.ktm.file("config.json"), topics("rome")).unwrap();
    assert_eq!(realm.ktm.ok(&["config", "set", "config.json"]), "version 1\n");
    assert_eq!((version(&roof), version(&cellar)), ("1".into(), "1".into()));
    realm.ktm.apply(METEO);
    realm.ktm.kill();
    cellar.kill_and_restart();
    assert_eq!(version(&cellar), "1", "the last that it knew");
    realm.ktm.start_again();
    assert_eq!(realm.ktm.ok(&["config", "rollback", "0"]), "version 2\n");
    assert_eq!(version(&roof), "2");
}
