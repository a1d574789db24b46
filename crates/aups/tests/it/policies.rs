//! The policy set as an administrator meets it: over HTTP, and by `aups policy`.

use crate::program::{Answer, Aups, METEO, text};
use serde_json::{Value, json};
use std::{fs, process::Output};

/// Another set, of two policies.
const GARDEN: &str = "\
@id(\"garden\") permit(principal, action, resource in Topic::\"data/garden\");
permit(principal == User::\"bob\", action, resource in Topic::\"data\");
";

fn put(aups: &Aups, policies: &str, headers: &[(&str, &str)]) -> Answer {
    aups.admin_with("PUT", "/v1/policies", policies, headers)
}

fn in_force(aups: &Aups) -> String {
    aups.admin("GET", "/v1/policies", "").body
}

/// What a command that must end with this code said on standard error.
fn said(output: &Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}{said}", text(&output.stdout));
    said
}

#[test]
fn a_policy_set_is_replaced_as_a_whole_or_not_at_all() {
    let aups = Aups::start();
    let none = aups.admin("GET", "/v1/policies", "");
    assert_eq!((none.status, none.body.as_str(), none.etag.as_str()), (200, "", "\"0\""));
    let first = put(&aups, METEO, &[("Content-Type", "text/plain; charset=utf-8"), ("If-Match", "\"0\"")]);
    assert_eq!((first.status, first.json()), (200, json!({"version": 1, "policies": 1})));
    assert_eq!((first.etag.as_str(), in_force(&aups).as_str()), ("\"1\"", METEO));
    assert_eq!(put(&aups, METEO, &[]).json()["version"], 1, "the same set gets no new version");

    let refused = put(&aups, "permit(principal, action, resource)\nwhen { resource.qualty.accuracy > 1 };", &[]);
    assert_eq!(refused.problem(422), "policy-refused");
    let error = &refused.json()["errors"][0];
    assert_eq!(error["line"], 2, "{error}");
    assert!(error["help"].as_str().unwrap().contains("quality"), "{error}");
    assert_eq!(put(&aups, GARDEN, &[("If-Match", "\"7\"")]).problem(412), "outdated");
    assert_eq!(put(&aups, GARDEN, &[("If-Match", "7")]).problem(400), "malformed-if-match");
    assert_eq!(put(&aups, GARDEN, &[("If-Match", "W/\"1\"")]).problem(400), "malformed-if-match");
    assert_eq!(put(&aups, GARDEN, &[("Content-Type", "application/json")]).problem(415), "media-type");
    assert_eq!(put(&aups, &" ".repeat((4 << 20) + 1), &[]).problem(413), "body-too-large");
    assert_eq!(aups.admin("PUT", "/v1/policies?coment=x", GARDEN).problem(400), "malformed-query");
    let wordy = format!("/v1/policies?comment={}", "x".repeat(501));
    assert_eq!(aups.admin("PUT", &wordy, GARDEN).problem(400), "malformed-comment");
    let latin = aups.request(
        "PUT",
        "/v1/policies",
        b"// caf\xe9",
        &[("Authorization", &format!("Bearer {}", aups.admin_token()))],
    );
    assert_eq!(latin.problem(400), "not-utf8");
    assert_eq!(in_force(&aups), METEO, "what is refused changes nothing");

    assert_eq!(put(&aups, "", &[("If-Match", "\"1\"")]).json()["version"], 2);
    assert_eq!(put(&aups, METEO, &[("If-Match", "*")]).json()["version"], 3);
}

#[test]
fn versions_are_kept_and_gone_back_to() {
    let mut aups = Aups::start();
    aups.admin("PUT", "/v1/policies?comment=the%20meteorologists", METEO);
    put(&aups, GARDEN, &[]);
    let old = aups.admin("GET", "/v1/policies?version=1", "");
    assert_eq!((old.body.as_str(), old.etag.as_str(), in_force(&aups).as_str()), (METEO, "\"1\"", GARDEN));
    assert_eq!(aups.admin("GET", "/v1/policies?version=0", "").body, "");
    assert_eq!(aups.admin("GET", "/v1/policies?version=3", "").problem(404), "unknown-version");
    assert_eq!(aups.admin("GET", "/v1/policies?version=one", "").problem(400), "malformed-query");

    let back = |body: &str, headers: &[(&str, &str)]| aups.admin_with("POST", "/v1/policies/rollback", body, headers);
    assert_eq!(back(r#"{"version":9}"#, &[]).problem(404), "unknown-version");
    assert_eq!(back(r#"{"version":1}"#, &[("If-Match", "\"1\"")]).problem(412), "outdated");
    assert_eq!(back(r#"{"version":"1"}"#, &[]).problem(400), "malformed-request");
    assert_eq!(in_force(&aups), GARDEN);
    let restored = back(r#"{"version":1,"comment":"not yet"}"#, &[("If-Match", "\"2\"")]);
    assert_eq!((restored.status, restored.json()), (200, json!({"version": 3, "policies": 1})));

    aups.kill_and_restart();
    assert_eq!(in_force(&aups), METEO);
    let listed = aups.admin("GET", "/v1/policies/versions", "").json();
    let mut items = listed["items"].as_array().unwrap().clone();
    for item in &mut items {
        assert!(item.as_object_mut().unwrap().remove("appliedAt").unwrap().as_u64().unwrap() > 1_600_000_000_000);
    }
    let expected = json!([
        {"version": 1, "policies": 1, "author": "admin", "comment": "the meteorologists", "active": false},
        {"version": 2, "policies": 2, "author": "admin", "active": false},
        {"version": 3, "policies": 1, "author": "admin", "comment": "not yet", "restores": 1, "active": true},
    ]);
    assert_eq!(Value::Array(items), expected);
}

#[test]
fn a_set_is_checked_without_becoming_active() {
    let aups = Aups::start();
    let check = |policies: &str| aups.admin("POST", "/v1/policies/check", policies);
    assert_eq!((check(GARDEN).status, check(GARDEN).json()), (200, json!({"policies": 2})));
    check("permit(principal, action, resource) when { resource.nme == \"x\" };").problem(422);
    assert_eq!(in_force(&aups), "");
}

#[test]
fn the_policy_commands_print_and_exit_as_documented() {
    let aups = Aups::start();
    assert_eq!(aups.apply(METEO), "version 1: 1 policies\n");
    fs::write(aups.file("garden.cedar"), GARDEN).unwrap();
    let applied = aups.ok(&["policy", "apply", "garden.cedar", "--comment", "R&D: 50 %", "--if-version", "1"]);
    assert_eq!(applied, "version 2: 2 policies\n");
    fs::write(aups.file("bad.cedar"), "permit(principal, action, resource) when { principal.rols == 1 };").unwrap();
    for command in ["check", "apply"] {
        let told = said(&aups.run(&["policy", command, "garden.cedar", "bad.cedar"]), 4);
        assert!(told.contains("bad.cedar:1:") && told.contains("roles") && told.contains('^'), "{told}");
    }
    let outdated = said(&aups.run(&["policy", "apply", "policies.cedar", "--if-version", "1"]), 4);
    assert!(outdated.contains("version 2 is active"), "{outdated}");

    assert_eq!(aups.ok(&["policy", "show"]), GARDEN);
    assert_eq!(aups.ok(&["policy", "show", "1"]), METEO);
    let unknown = said(&aups.run(&["policy", "show", "7"]), 1);
    assert!(unknown.contains("no version 7"), "{unknown}");
    said(&aups.run(&["policy", "rollback", "7"]), 1);
    said(&aups.run(&["policy", "rollback", "1", "--if-version", "1"]), 4);
    assert_eq!(aups.ok(&["policy", "rollback", "1", "--comment", "too early"]), "version 3: 1 policies\n");
    assert_eq!(aups.ok(&["policy", "show"]), METEO);

    let listed = aups.ok(&["policy", "list"]);
    let lines: Vec<_> = listed.lines().collect();
    assert!(lines[0].starts_with("VERSION") && lines.len() == 4, "{listed}");
    assert!(lines[2].starts_with("2 ") && lines[2].ends_with("admin   R&D: 50 %"), "{listed}");
    assert!(lines[3].starts_with("3 (active)") && lines[3].ends_with("restores 1; too early"), "{listed}");
    let listed: Value = serde_json::from_str(&aups.ok(&["policy", "list", "--json"])).unwrap();
    assert_eq!((&listed[1]["comment"], &listed[2]["active"]), (&json!("R&D: 50 %"), &json!(true)));
}

#[test]
fn a_reader_whose_filter_is_refused_is_told_what_its_administrator_can_do() {
    let aups = Aups::start();
    aups.apply(&METEO.replace("Topic::\"data\"", "Topic::\"data/s1\""));
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let refused = aups.run(&["sub", "--as", "alice.json", "data/#", "data/s1/#"]);
    let told = said(&refused, 3);
    assert!(told.contains("refuses `data/#`") && told.contains("but `data/s1/#`"), "{told}");
    assert!(told.contains("aups policy explain --reader alice --filter 'data/#'"), "{told}");
    assert!(!told.contains("refuses `data/s1/#`") && !told.contains("meteo\""), "{told}");
}
