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
    assert!(told.contains("refuses `data/#`") && told.contains("only `data/s1/#`"), "{told}");
    assert!(told.contains("aups policy explain --reader alice --filter 'data/#'"), "{told}");
    assert!(!told.contains("refuses `data/s1/#`") && !told.contains("meteo\""), "{told}");
}

/// A realm with alice, a meteorologist, bob, who is nothing, and a topic in use.
fn populated() -> Aups {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.ok(&["user", "add", "alice", "--attr", "roles=meteorologist"]);
    aups.ok(&["user", "add", "bob"]);
    let credential = aups.source("sensor1");
    assert_eq!(aups.send(&credential, r#"{"name":"temperature","value":21}"#).status, 202);
    let until = std::time::Instant::now() + crate::program::PATIENCE;
    // What was accepted is in use when it is published, a moment later.
    while aups.admin("POST", "/v1/policies/diff", "").json()["topics"] == 0 {
        assert!(std::time::Instant::now() < until, "no topic came into use");
    }
    aups
}

#[test]
fn a_diff_says_who_gains_and_loses_what_and_changes_nothing() {
    let aups = populated();
    put(&aups, GARDEN, &[]);
    let diff = |query: &str, body: &str| aups.admin("POST", &format!("/v1/policies/diff{query}"), body);
    let told = diff("", METEO).json();
    let of = |reader: &str| {
        let entries = told["entries"].as_array().unwrap();
        entries.iter().find(|entry| entry["reader"] == reader).unwrap_or_else(|| panic!("{reader}: {told}")).clone()
    };
    assert_eq!(of("alice")["change"], "gains");
    assert_eq!(of("bob")["change"], "loses");
    assert_eq!(of("bob")["topics"], json!(["data/sensor1/temperature"]));
    assert_eq!((&told["readersGaining"], &told["readersLosing"]), (&json!(1), &json!(1)));
    assert_eq!(diff("?from=2&to=1", "").json(), told);
    assert_eq!(diff("?from=1", METEO).json()["entries"], json!([]), "the same set");
    assert_eq!(diff("", "").json()["readersLosing"], 1, "the empty set takes what bob has");
    assert_eq!(diff("?from=7", METEO).problem(404), "unknown-version");
    assert_eq!(diff("?to=1", METEO).problem(400), "malformed-query");
    assert_eq!(diff("?form=1", METEO).problem(400), "malformed-query");
    assert_eq!(diff("", "permit(principal);").problem(422), "policy-refused");
    assert_eq!(in_force(&aups), GARDEN);

    fs::write(aups.file("meteo.cedar"), METEO).unwrap();
    for command in [&["policy", "diff", "meteo.cedar"][..], &["policy", "apply", "meteo.cedar", "--dry-run"]] {
        let shown = aups.ok(command);
        assert!(shown.contains("user bob\n  - data/sensor1/temperature"), "{shown}");
        assert!(shown.contains("user alice\n  + data/sensor1/temperature"), "{shown}");
    }
    let shown: Value = serde_json::from_str(&aups.ok(&["policy", "diff", "--json", "meteo.cedar"])).unwrap();
    assert_eq!(shown, told);
    fs::write(aups.file("bad.cedar"), "permit(principal, action, resource) when { principal.rols == 1 };").unwrap();
    let faults = said(&aups.run(&["policy", "diff", "bad.cedar"]), 4);
    assert!(faults.contains("bad.cedar:1:") && faults.contains("roles"), "{faults}");
    assert_eq!(in_force(&aups), GARDEN);
}

#[test]
fn an_explanation_says_why_and_names_the_policies() {
    let aups = populated();
    put(
        &aups,
        &METEO.replace(
            "contains(\"meteorologist\")",
            "contains(\"meteorologist\") && resource.quality.accuracy.greaterThanOrEqual(decimal(\"0.80\"))",
        ),
        &[],
    );
    let explain = |question: Value| aups.admin("POST", "/v1/explain", &question.to_string());
    let depends = explain(json!({"reader": "alice", "topic": "data/sensor1/temperature"})).json();
    assert_eq!(
        (&depends["answer"], &depends["policies"][0]["name"]),
        (&json!("depends"), &json!("meteo")),
        "{depends}"
    );
    let deny = explain(json!({"reader": "bob", "topic": "data/sensor1/temperature"})).json();
    assert_eq!(deny["answer"], "deny", "{deny}");
    let item = |accuracy: f64| {
        json!({
            "id": "01890a5d-ac96-774b-bcce-b302099a8057",
            "source": {"nodeId": "sensor1", "nodeType": "sensor", "communicationMode": "discrete", "registered": true},
            "schema": "default", "receivedAt": "2026-11-22T10:00:00.000Z", "data": {"name": "temperature", "value": 21},
            "security": {"confidentiality": 1.0, "integrity": 1.0, "privacy": 1.0, "authentication": 1.0},
            "quality": {"accuracy": accuracy, "precision": 1.0, "timeliness": 1.0, "completeness": 1.0},
        })
    };
    for (accuracy, answer) in [(0.80, "allow"), (0.79, "deny")] {
        let told = explain(json!({"reader": "alice", "topic": "data/sensor1/temperature", "item": item(accuracy),
            "at": "2026-11-22T10:00:00Z", "address": "127.0.0.1"}));
        assert_eq!(told.json()["answer"], answer, "{}", told.body);
    }
    let filter = explain(json!({"reader": "bob", "filter": "data/#"})).json();
    assert_eq!(filter["accepted"], false, "{filter}");
    assert_eq!(explain(json!({"reader": "alice", "filter": "data/#"})).json()["accepted"], true);

    let unknown = explain(json!({"reader": "alcie", "topic": "data"}));
    assert_eq!(unknown.problem(404), "unknown");
    assert!(unknown.body.contains("did you mean `alice`?"), "{}", unknown.body);
    for wrong in [
        json!({"reader": "alice"}),
        json!({"reader": "alice", "topic": "data", "filter": "data"}),
        json!({"reader": "alice", "topic": "data/#"}),
        json!({"reader": "alice", "topic": "data", "at": "noon"}),
        json!({"reader": "alice", "topic": "data", "item": {}}),
    ] {
        explain(wrong).problem(400);
    }

    let shown = aups.ok(&["policy", "explain", "--reader", "alice", "--topic", "data/sensor1/temperature"]);
    assert!(shown.contains("meteo") && shown.contains("0.80"), "{shown}");
    let line = json!({"topic": "data/sensor1/temperature", "item": item(0.5), "status": "fresh"});
    fs::write(aups.file("line.json"), line.to_string()).unwrap();
    let about_item =
        ["policy", "explain", "--reader", "alice", "--topic", "data/sensor1/temperature", "--item", "line.json"];
    let shown = aups.ok(&about_item);
    assert!(shown.contains("may not read this item"), "{shown}");
    let json: Value = serde_json::from_str(&aups.ok(&[&about_item[..], &["--json"]].concat())).unwrap();
    assert_eq!(json["answer"], "deny");
    let shown = aups.ok(&["policy", "explain", "--reader", "bob", "--filter", "data/#"]);
    assert!(shown.starts_with("bob may not subscribe to data/#: "), "{shown}");
    let told = said(&aups.run(&["policy", "explain", "--reader", "alcie", "--topic", "data"]), 1);
    assert!(told.contains("did you mean `alice`?"), "{told}");
    said(&aups.run(&["policy", "explain", "--reader", "alice"]), 2);
    fs::write(aups.file("line.json"), "{").unwrap();
    said(&aups.run(&about_item), 4);
}

#[test]
fn a_set_is_applied_only_if_its_expectations_hold() {
    let aups = populated();
    let expectations = |outcome: &str| {
        format!(
            "[[reader]]\nsub = \"eve\"\n\n[[expect]]\nreader = \"eve\"\ntopic = \"data/s1/x\"\noutcome = \"deny\"\n\n\
             [[expect]]\nreader = \"alice\"\ntopic = \"data/s1/x\"\noutcome = \"{outcome}\"\n"
        )
    };
    fs::write(aups.file("good.toml"), expectations("allow")).unwrap();
    fs::write(aups.file("bad.toml"), expectations("deny")).unwrap();
    fs::write(aups.file("garden.cedar"), GARDEN).unwrap();
    assert_eq!(aups.ok(&["policy", "test", "good.toml"]), "2 expectations hold\n", "the set in force");
    let failed = aups.run(&["policy", "test", "good.toml", "bad.toml"]);
    let told = said(&failed, 4);
    assert!(told.contains("1 of 4 expectations do not hold"), "{told}");
    let shown = text(&failed.stdout);
    assert!(shown.starts_with("bad.toml:9: deny was expected, allow came\n") && shown.contains("meteo"), "{shown}");
    let failed = aups.run(&["policy", "test", "--json", "good.toml", "--policies", "garden.cedar"]);
    said(&failed, 4);
    let json: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!((&json["expectations"], &json["failed"][0]["line"]), (&json!(2), &json!(9)), "{json}");
    assert_eq!(json["failed"][0]["explanation"]["answer"], "deny");

    let told = said(&aups.run(&["policy", "apply", "garden.cedar", "--tests", "good.toml"]), 4);
    assert!(told.contains("good.toml:9:") && told.contains("nothing was changed"), "{told}");
    assert_eq!(in_force(&aups), METEO);
    assert_eq!(aups.ok(&["policy", "apply", "garden.cedar", "--tests", "bad.toml"]), "version 2: 2 policies\n");
    fs::write(aups.file("who.toml"), expectations("deny").replace("alice", "alcie")).unwrap();
    let told = said(&aups.run(&["policy", "test", "who.toml"]), 1);
    assert!(told.contains("did you mean `alice`?"), "{told}");
}

#[test]
fn a_change_of_policies_takes_effect_at_run_time() {
    let aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    assert_eq!(aups.send(&credential, r#"{"name":"before","value":1}"#).status, 202);
    while !alice.next().contains("\"before\"") {}
    aups.apply(&METEO.replace("when {", "when { resource.name != \"hidden\" &&"));
    assert_eq!(aups.send(&credential, r#"[{"name":"hidden","value":1},{"name":"shown","value":1}]"#).status, 202);
    let next = alice.next();
    assert!(next.contains("\"shown\""), "{next}");
    aups.ok(&["policy", "rollback", "1"]);
    assert_eq!(aups.send(&credential, r#"{"name":"hidden","value":2}"#).status, 202);
    let next = alice.next();
    assert!(next.contains("\"hidden\""), "{next}");
}

#[test]
fn every_starter_is_applied_as_it_stands() {
    let aups = Aups::start();
    let listed = aups.ok(&["policy", "example"]);
    let names: Vec<_> = listed.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(names.len(), 6, "{listed}");
    for name in names {
        fs::write(aups.file("it.cedar"), aups.ok(&["policy", "example", name])).unwrap();
        fs::write(aups.file("it.toml"), aups.ok(&["policy", "example", name, "--tests"])).unwrap();
        let applied = aups.ok(&["policy", "apply", "it.cedar", "--tests", "it.toml"]);
        assert!(applied.starts_with("version "), "{name}: {applied}");
    }
    said(&aups.run(&["policy", "example", "bulding"]), 2);
}

#[test]
fn the_schema_is_extended_and_guarded() {
    let mut aups = Aups::start();
    let put_schema =
        |aups: &Aups, added: &str, headers: &[(&str, &str)]| aups.admin_with("PUT", "/v1/schema", added, headers);
    let shipped = aups.admin("GET", "/v1/schema", "");
    assert_eq!((shipped.status, shipped.etag.as_str()), (200, "\"0\""));
    assert!(shipped.body.contains("entity User"), "{}", shipped.body);
    assert_eq!(aups.admin("GET", "/v1/schema?extension", "").json(), json!({"reader": {}, "item": {}}));

    fs::write(
        aups.file("site.cedar"),
        r#"@id("site") permit(principal, action, resource in Topic::"data")
when { principal has site && resource has room && principal.site == "rome" };"#,
    )
    .unwrap();
    said(&aups.run(&["policy", "apply", "site.cedar"]), 4);
    said(&aups.run(&["policy", "check", "site.cedar"]), 4);
    let refused = said(&aups.run(&["user", "add", "alice", "--attr", "role=x"]), 4);
    assert!(refused.contains("did you mean `roles`?"), "{refused}");

    fs::write(aups.file("schema.json"), r#"{"reader":{"site":"String","floor":"Long"},"item":{"room":"String"}}"#)
        .unwrap();
    assert_eq!(
        aups.ok(&["schema", "set", "schema.json", "--if-version", "0"]),
        "3 attributes added to the schema that ships\n"
    );
    assert!(aups.ok(&["schema", "show"]).contains("site?: String"));
    let added: Value = serde_json::from_str(&aups.ok(&["schema", "show", "--json"])).unwrap();
    assert_eq!(added, json!({"reader": {"floor": "Long", "site": "String"}, "item": {"room": "String"}}));
    aups.ok(&["policy", "check", "site.cedar", "--schema", "schema.json"]);
    assert_eq!(aups.ok(&["policy", "apply", "site.cedar"]), "version 1: 1 policies\n");
    aups.ok(&["user", "add", "alice", "--attr", "site=rome", "--attr", "floor=3", "--tag", "flat=7"]);
    said(&aups.run(&["user", "set", "alice", "--attr", "floor=high"]), 4);
    let alice = aups.admin("GET", "/v1/users/alice", "").json();
    assert_eq!((&alice["attrs"]["floor"], &alice["attrs"]["tags"]), (&json!(3), &json!({"flat": "7"})));
    assert!(aups.ok(&["user", "list"]).contains("floor=3; site=rome; tag flat=7"));
    let wrong = aups.admin("PATCH", "/v1/users/alice", r#"{"attrs":{"site":5}}"#);
    assert_eq!((wrong.problem(400).as_str(), &wrong.json()["member"]), ("malformed-attribute", &json!("attrs")));

    let without = |name: &str| {
        let mut added = added.clone();
        added["reader"].as_object_mut().unwrap().remove(name);
        added["item"].as_object_mut().unwrap().remove(name);
        added.to_string()
    };
    let in_use = put_schema(&aups, &without("room"), &[]);
    assert_eq!(in_use.problem(409), "schema-in-use");
    assert!(in_use.body.contains("room") && in_use.body.contains("line 2"), "{}", in_use.body);
    let had = put_schema(&aups, &without("floor"), &[]);
    assert_eq!(had.problem(409), "schema-in-use");
    assert!(had.body.contains("`alice`") && had.body.contains("floor"), "{}", had.body);
    assert_eq!(put_schema(&aups, "{}", &[("If-Match", "\"0\"")]).problem(412), "outdated");
    let ships = put_schema(&aups, r#"{"reader":{"roles":"String"}}"#, &[]);
    assert_eq!((ships.problem(422).as_str(), &ships.json()["member"]), ("schema-refused", &json!("reader.roles")));
    put_schema(&aups, r#"{"reader":{"age":"Integer"}}"#, &[]).problem(400);
    put_schema(&aups, r#"{"user":{}}"#, &[]).problem(400);
    fs::write(aups.file("bad.json"), r#"{"reader":{"age":"Integer"}}"#).unwrap();
    said(&aups.run(&["schema", "set", "bad.json"]), 4);

    aups.kill_and_restart();
    assert_eq!(aups.admin("GET", "/v1/schema?extension", "").json(), added, "nothing was taken away");
    let explained = aups.ok(&["policy", "explain", "--reader", "alice", "--topic", "data/s1/x"]);
    assert!(explained.contains("room"), "{explained}");
    aups.ok(&["user", "set", "alice", "--no-tags"]);
    aups.admin("PATCH", "/v1/users/alice", r#"{"attrs":{"floor":null}}"#);
    assert_eq!(put_schema(&aups, &without("floor"), &[("If-Match", "\"1\"")]).etag, "\"2\"");
    assert_eq!(aups.admin("GET", "/v1/users/alice", "").json()["attrs"].get("tags"), None);
}

#[test]
fn policies_ask_for_what_is_said_of_a_source() {
    let aups = Aups::start();
    aups.apply(r#"permit(principal, action, resource in Topic::"data") when { resource.labels.contains("lobby") };"#);
    aups.ok(&["user", "add", "alice"]);
    aups.source("lamp1");
    let shown = aups.ok(&["source", "set", "lamp1", "--label", "lobby,indoor", "--tag", "owner=cnr"]);
    assert!(shown.contains("indoor,lobby  owner=cnr"), "{shown}");
    let change = |body: &str| aups.admin("PATCH", "/v1/sources/lamp1", body);
    let changed = change(r#"{"tags":{}}"#).json();
    assert_eq!((&changed["labels"], &changed["tags"]), (&json!(["indoor", "lobby"]), &json!({})));
    assert_eq!(aups.admin("GET", "/v1/sources", "").json()["items"][0], changed);
    assert_eq!(change(r#"{"labels":[""]}"#).problem(400), "malformed-marks");
    change(r#"{"label":["x"]}"#).problem(400);
    assert_eq!(aups.admin("PATCH", "/v1/sources/lamp2", r#"{"labels":[]}"#).problem(404), "unknown");
    let item = json!({
        "id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "source": {"nodeId": "lamp1", "nodeType": "sensor", "communicationMode": "discrete", "registered": true},
        "schema": "default", "receivedAt": "2026-11-22T10:00:00.000Z", "data": {"name": "light", "value": 21},
        "security": {"confidentiality": 1.0, "integrity": 1.0, "privacy": 1.0, "authentication": 1.0},
        "quality": {"accuracy": 1.0, "precision": 1.0, "timeliness": 1.0, "completeness": 1.0},
    });
    let mut question = json!({"reader": "alice", "topic": "data/lamp1/light", "item": item});
    let answer = |question: &Value| aups.admin("POST", "/v1/explain", &question.to_string()).json()["answer"].clone();
    assert_eq!(answer(&question), "allow", "the server knows the labels of the source");
    aups.ok(&["source", "set", "lamp1", "--no-labels"]);
    assert_eq!(answer(&question), "deny");
    question["marks"] = json!({"labels": ["lobby"]});
    assert_eq!(answer(&question), "allow");
    said(&aups.run(&["source", "set", "lamp1"]), 2);
    said(&aups.run(&["source", "set", "lamp2", "--label", "x"]), 1);
}
