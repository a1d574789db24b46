//! Who administers: admin tokens, and the audit trail of what is done with them.

use crate::program::{Answer, Aups, METEO, text};
use serde_json::{Value, json};
use std::fs;

impl Aups {
    /// What was done, as the trail on disk has it: without the checkpoints, and without what was registered and in force then.
    fn trail(&self) -> Vec<Value> {
        let mut lines = self.whole_trail();
        let told =
            ["checkpoint", "state", "reader", "reader-removed", "group", "schema", "policy-text", "policies-in-force"];
        lines.retain(|line| !told.contains(&line["event"].as_str().unwrap()));
        lines
    }

    /// Every line of the trail that is on disk.
    fn whole_trail(&self) -> Vec<Value> {
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
    // That one shows data in clear: recorded as changes are.
    let counted = |method: &str, route: &str| method == "GET" && route != "/v1/dead-letters/{id}";
    for (_, route, _, status) in calls.iter().filter(|(method, route, ..)| counted(method, route)) {
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
    let of_keys = |line: &Value| line["event"].as_str().unwrap().starts_with("root-");
    let of_config = |line: &Value| line["event"] == "config-loaded";
    let trail: Vec<_> = aups.trail().into_iter().filter(|line| !of_keys(line) && !of_config(line)).collect();
    let events: Vec<_> = trail.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let start = ["started", "policies-loaded"];
    let calls = ["begun", "call", "begun", "call", "enrolled", "begun", "call"];
    assert_eq!(events, [&start[..], &calls[..], &start[..]].concat(), "no `stopped`: it was killed");
    assert_eq!((&trail[1]["version"], &trail[10]["version"]), (&json!(0), &json!(1)));
    let whole = aups.whole_trail();
    assert_eq!(trail[3]["changed"]["version"], 1);
    assert_eq!(trail[5]["changed"]["sub"], "alice");
    assert_eq!(trail[5]["changed"]["attrs"]["roles"], json!(["meteorologist"]));
    assert_eq!(
        (&trail[6]["sub"], &trail[6]["kind"], &trail[6]["address"]),
        (&json!("alice"), &json!("user"), &json!("127.0.0.1"))
    );
    assert_eq!(trail[8]["changed"], json!({"sub": "alice"}));

    let after = aups.admin("GET", "/v1/audit?after=9&limit=1", "").json();
    assert_eq!(after["items"], json!([whole[9]]));
    let newest = aups.admin("GET", "/v1/audit?limit=2", "").json();
    assert_eq!(newest["items"], json!(whole[whole.len() - 2..]));
    assert_eq!((&newest["next"], &newest["newest"]), (&json!(whole.len()), &json!(whole.len())));
    for wrong in ["limit=0", "limit=1001", "limit=x", "after=-1", "before=1", "limit=1&limit=2"] {
        assert_eq!(aups.admin("GET", &format!("/v1/audit?{wrong}"), "").problem(400), "malformed-query", "{wrong}");
    }
}

#[test]
fn a_used_enrolment_token_and_a_torn_line_are_told() {
    let mut aups = Aups::start();
    let token = aups.ok(&["app", "add", "pump"]);
    aups.enrol(token.trim(), "pump.json", &[]);
    assert_eq!(aups.run(&["enrol", "--token", token.trim(), "--out", "again.json"]).status.code(), Some(3));
    let refused = aups.trail().pop().unwrap();
    assert_eq!(
        (&refused["event"], &refused["path"], &refused["status"]),
        (&json!("refused"), &json!("/v1/enrol"), &json!(401))
    );
    aups.kill();
    let file = aups.data_dir().join("audit/000000000001.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{whole}{{\"number\":")).unwrap();
    aups.start_again();
    let trail = aups.trail();
    let repaired = trail.iter().find(|line| line["event"] == "repaired").unwrap();
    assert_eq!((&repaired["bytes"], &repaired["number"]), (&json!(10), &json!(whole.lines().count() + 1)));
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

impl Aups {
    /// A request with any token.
    fn as_holder_of(&self, token: &str, method: &str, path: &str, body: &str) -> Answer {
        self.request(method, path, body.as_bytes(), &[("Authorization", &format!("Bearer {}", token.trim()))])
    }
}

#[test]
fn each_administrator_has_a_token_of_its_own() {
    let mut aups = Aups::start();
    let ci = aups.ok(&["token", "add", "ci", "--expires", "90d"]);
    assert_eq!(ci.trim().len(), 43, "the token alone");
    assert_eq!(aups.as_holder_of(&ci, "POST", "/v1/users", r#"{"sub":"alice"}"#).status, 201);
    let trail = aups.trail();
    assert_eq!((&trail.last().unwrap()["actor"], &trail.last().unwrap()["path"]), (&json!("ci"), &json!("/v1/users")));

    let listed: Value = serde_json::from_str(&aups.ok(&["token", "list", "--json"])).unwrap();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("admin"), &json!("ci")));
    assert!(listed[0].get("expires").is_none() && listed[1]["lastUsed"].is_u64(), "{listed}");
    assert_eq!(listed[1]["expires"].as_u64().unwrap() - listed[1]["created"].as_u64().unwrap(), 90 * 86_400_000);
    assert!(aups.ok(&["token", "list"]).starts_with("NAME   CREATED"));

    let rotated = aups.ok(&["token", "rotate", "ci", "--grace", "10m"]);
    for token in [&ci, &rotated] {
        assert_eq!(aups.as_holder_of(token, "GET", "/v1/tokens", "").status, 200);
    }
    let again = aups.ok(&["token", "rotate", "ci"]);
    assert_eq!(aups.as_holder_of(&rotated, "GET", "/v1/tokens", "").status, 401);
    aups.kill_and_restart();
    assert_eq!(aups.as_holder_of(&again, "GET", "/v1/tokens", "").status, 200, "tokens survive a kill");
    aups.ok(&["token", "remove", "ci"]);
    assert_eq!(aups.as_holder_of(&again, "GET", "/v1/tokens", "").status, 401);
}

#[test]
fn the_first_token_is_rotated_in_its_file_and_the_last_one_stays() {
    let aups = Aups::start();
    let old = aups.admin_token();
    let new = aups.ok(&["token", "rotate", "admin"]);
    assert_eq!(aups.admin_token(), new.trim());
    assert_eq!(aups.as_holder_of(&old, "GET", "/v1/users", "").status, 401);
    aups.ok(&["user", "list"]);
    let refused = aups.run(&["token", "remove", "admin"]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(text(&refused.stderr).contains("last token without an end"), "{}", text(&refused.stderr));
}

#[test]
fn a_token_that_has_ended_is_told_so_and_a_wrong_one_is_told_nothing() {
    let aups = Aups::start();
    let soon = aups.admin("POST", "/v1/tokens", r#"{"name":"soon","expiresIn":"1s"}"#).json();
    let wrong = aups.as_holder_of("wrong", "GET", "/v1/users", "");
    let none = aups.request("GET", "/v1/users", b"", &[]);
    assert_eq!((wrong.problem(401), &wrong.body), (none.problem(401), &none.body));
    let ended = loop {
        let answer = aups.as_holder_of(soon["token"].as_str().unwrap(), "GET", "/v1/users", "");
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(ended.problem(401), "admin-token");
    assert!(ended.json()["detail"].as_str().unwrap().contains("ended at"), "{}", ended.body);
    assert_eq!(aups.admin("GET", "/v1/tokens", "").json()["items"][1]["name"], "soon");

    let trail: Vec<_> = aups.trail().into_iter().filter(|line| line["event"] == "refused").collect();
    assert_eq!(trail.len(), 3);
    assert_eq!(
        (&trail[0]["path"], &trail[0]["status"], trail[0].get("actor")),
        (&json!("/v1/users"), &json!(401), None)
    );
    assert_eq!(trail[2]["actor"], "soon");
    let metrics = aups.request("GET", "/metrics", b"", &[]).body;
    assert!(metrics.contains(r#"aups_requests_refused_total{code="admin-token"} 3"#), "{metrics}");
}

#[test]
fn wrong_tokens_are_slowed_down_and_right_ones_are_not() {
    let aups = Aups::start();
    let mut command = std::process::Command::new("curl");
    // Many requests over one connection.
    command.args([
        "-sS",
        "-o",
        "/dev/null",
        "-w",
        "%{http_code} %header{retry-after}\n",
        "-H",
        "Authorization: Bearer x",
    ]);
    command.arg(aups.url("/v1/users?[1-1000]"));
    let (_, answers, _) = crate::program::run(&mut command);
    let slowed = answers.lines().filter(|line| *line == "429 1").count();
    let refused = answers.lines().filter(|line| line.trim() == "401").count();
    assert!(slowed >= 1 && refused >= 300 && slowed + refused == 1_000, "{slowed} {refused}");
    assert_eq!(aups.admin("GET", "/v1/users", "").status, 200);
}

#[test]
fn malformed_tokens_are_refused_with_what_to_do() {
    let aups = Aups::start();
    let add = |body: &str| aups.admin("POST", "/v1/tokens", body);
    for (body, member) in [
        (r#"{"name":"a","expiresIn":"90"}"#, "expiresIn"),
        (r#"{"name":"a","expiresIn":"1d","expires":1}"#, "expiresIn"),
        (r#"{"name":"a","expires":1}"#, "expires"),
        (r#"{"name":"a","expiresIn":"0s"}"#, "expires"),
        (r#"{"name":"a","expiresIn":"3651d"}"#, "expires"),
    ] {
        let refused = add(body);
        assert_eq!(refused.problem(400), "malformed-token", "{body}");
        assert_eq!(refused.json()["member"], member, "{body}");
    }
    for body in [r#"{"name":"a b"}"#, r#"{"name":"a","expires":-1}"#, r#"{"nam":"a"}"#, "{}", ""] {
        assert_eq!(add(body).problem(400), "malformed-request", "{body}");
    }
    assert_eq!(add(r#"{"name":"admin"}"#).problem(409), "exists");
    assert_eq!(aups.admin("DELETE", "/v1/tokens/nobody", "").problem(404), "unknown");
    assert_eq!(aups.admin("POST", "/v1/tokens/nobody/rotate", "").problem(404), "unknown");
    for (query, code) in
        [("grace=61m", "malformed-token"), ("grace=x", "malformed-token"), ("grce=1m", "malformed-query")]
    {
        assert_eq!(aups.admin("POST", &format!("/v1/tokens/admin/rotate?{query}"), "").problem(400), code, "{query}");
    }
    let usage = aups.run(&["token", "add", "ci", "--expires", "90"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(text(&usage.stderr).contains("90d"), "{}", text(&usage.stderr));
    assert_eq!(aups.admin("GET", "/v1/tokens", "").json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn the_trail_is_shown_and_followed() {
    let aups = Aups::start();
    aups.ok(&["group", "add", "staff"]);
    let table = aups.ok(&["audit", "tail", "-n", "3"]);
    let rows: Vec<_> = table.lines().collect();
    assert!(rows[0].starts_with("NUMBER  AT") && rows.len() == 3, "what began is not shown again:\n{table}");
    assert!(rows[2].contains("admin  127.0.0.1  POST /v1/groups 201") && rows[2].contains("staff"), "{table}");

    let (server, data) = (aups.url(""), aups.data_dir());
    let args = ["audit", "tail", "-n", "2", "--follow", "--json", "--server", &server, "--data-dir"];
    let mut followed = aups.spawn(&[&args[..], &[data.to_str().unwrap()]].concat());
    let before: Vec<_> = (0..2).map(|_| followed.next()).collect();
    aups.ok(&["group", "remove", "staff"]);
    let after: Vec<_> = (0..3).map(|_| followed.next()).collect();
    let file = fs::read_to_string(data.join("audit/000000000001.jsonl")).unwrap();
    assert!(file.ends_with(&format!("{}\n", [before, after].concat().join("\n"))), "byte by byte:\n{file}");
    assert_eq!(aups.run(&["audit", "tail", "-n", "0"]).status.code(), Some(2));
}

#[test]
fn the_trail_answers_who_could_read_and_what_somebody_got_and_holds() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    aups.reader("mallory", &[]);
    let mut sub = aups.spawn(&["sub", "--as", aups.file("alice.json").to_str().unwrap(), "data/#", "--json"]);
    let source = aups.source("sensor1");
    let item: Value = loop {
        assert_eq!(aups.send(&source, "7").status, 202);
        if let Some(line) = sub.next_within(std::time::Duration::from_millis(500)) {
            break serde_json::from_str(&line).unwrap();
        }
    };
    let topic = item["topic"].as_str().unwrap();
    let table = aups.ok(&["audit", "access", "alice"]);
    assert!(table.contains("granted") && table.contains(topic) && table.contains("meteorologist"), "{table}");
    assert_eq!(aups.ok(&["audit", "access", "mallory"]).lines().count(), 1, "the headings alone");

    let day = item["item"]["receivedAt"].as_str().unwrap().split_once('T').unwrap().0.to_owned();
    let readable = |args: &[&str]| aups.ok(&[&["audit", "who-could-read", topic, "--on", &day], args].concat());
    let table = readable(&[]);
    assert!(table.contains("alice   user") && table.contains("every item") && !table.contains("mallory"), "{table}");
    aups.ok(&["user", "remove", "alice"]);
    let json: Value = serde_json::from_str(&readable(&["--json"])).unwrap();
    let stretch = &json["readers"][0];
    assert!(stretch["sub"] == "alice" && stretch["to"].as_u64() < json["to"].as_u64(), "until she was removed: {json}");
    assert_eq!(aups.run(&["audit", "who-could-read", topic, "--on", "2001-01-01"]).status.code(), Some(1));

    let found = aups.ok(&["audit", "search", "--sub", "alice", "--event", "bumped,keys", "--json"]);
    assert!(found.contains(r#""event":"keys""#) && found.contains(r#""readers":["alice"]"#), "{found}");

    let kept = aups.ok(&["audit", "checkpoint"]);
    fs::write(aups.file("checkpoint.jws"), &kept).unwrap();
    let files = aups.data_dir().join("audit");
    let (files, kept) = (files.to_str().unwrap().to_owned(), aups.file("checkpoint.jws"));
    let kept = kept.to_str().unwrap().to_owned();
    let off_line = ["audit", "verify", "--files", &files, "--checkpoint", &kept];
    assert!(aups.ok(&["audit", "verify", "--checkpoint", &kept]).starts_with("ok: lines 1 to "));
    assert!(aups.ok(&off_line).starts_with("ok: lines 1 to "));
    assert!(aups.terminate().status.success());
    let file = aups.data_dir().join("audit/000000000001.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replacen("mallory", "trudy!!", 1)).unwrap();
    let refused = aups.run(&off_line);
    let told = text(&refused.stdout);
    assert!(
        refused.status.code() == Some(1) && told.contains("000000000001.jsonl, line ") && told.contains("was changed"),
        "{told}"
    );
    let cut: String = whole.split_inclusive('\n').take(5).collect();
    fs::write(&file, cut).unwrap();
    assert!(text(&aups.run(&off_line).stdout).contains("its end was cut off"));
}

#[test]
fn nothing_that_is_secret_is_in_the_trail() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    let enrolment = aups.ok(&["user", "add", "alice"]);
    aups.enrol(enrolment.trim(), "alice.json", &[]);
    let identity: Value = serde_json::from_slice(&fs::read(aups.file("alice.json")).unwrap()).unwrap();
    let mut secrets = vec![
        enrolment.split('.').next().unwrap().to_owned(),
        identity["mqtt"]["password"].as_str().unwrap().to_owned(),
        identity["signingKey"].as_str().unwrap().to_owned(),
        identity["kemKey"].as_str().unwrap().to_owned(),
        aups.source("sensor1"),
        aups.admin_token(),
    ];
    for command in [
        &["user", "token", "alice"][..],
        &["source", "invite"],
        &["token", "add", "ci"],
        &["token", "rotate", "ci"],
        &["token", "rotate", "admin"],
    ] {
        let printed = aups.ok(command);
        secrets.push(printed.trim().split('.').next().unwrap().to_owned());
    }
    aups.request("GET", "/v1/users?token=in-the-query", b"", &[("Authorization", "Bearer wrong-but-private")]);
    secrets.extend(["in-the-query", "wrong-but-private"].map(ToOwned::to_owned));
    assert!(aups.terminate().status.success());
    for entry in fs::read_dir(aups.data_dir().join("audit")).unwrap() {
        let written = fs::read_to_string(entry.unwrap().path()).unwrap();
        for secret in &secrets {
            assert!(secret.len() >= 12 && !written.contains(secret.as_str()), "{secret}");
        }
    }
}
