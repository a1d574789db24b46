//! How payloads become readings, as an administrator sets it and as sources meet it.

use crate::program::{Aups, text};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
};

const CLIMATE: &str = r#"{ "name": "climate", "items": [
    { "name": "temperature", "value": { "pointer": "/t" }, "unit": "Cel" },
    { "name": "humidity", "value": { "pointer": "/h" }, "unit": "%RH", "optional": true } ] }"#;

/// `aups config try` in a directory without a server.
struct Try(tempfile::TempDir);

impl Try {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        Self(dir)
    }

    /// The exit code, standard output and standard error.
    fn run(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
        let output = command.args(["config", "try"]).args(args).current_dir(self.0.path()).output().unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }
}

#[test]
fn try_shows_what_a_payload_would_become() {
    let there = Try::new(&[
        ("climate.json", CLIMATE),
        (
            "others.json",
            r#"[{ "name": "meter", "when": { "nodeType": "meter*" }, "items": [{ "name": "m", "value": { "pointer": "" } }] }]"#,
        ),
        ("payload.json", r#"[{"t":21.50,"h":40},{"x":1}]"#),
        ("pack.json", r#"[{"n":"v","u":"V","v":120.10}]"#),
        ("lines", "{\"t\":1}\n\n{\"t\":2}\n"),
    ]);
    let (code, shown, said) =
        there.run(&["--mapping", "others.json", "--mapping", "climate.json", "--node-id", "garden", "payload.json"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let lines: Vec<_> = shown.lines().filter(|line| !line.contains("confidentiality 0.90")).collect();
    assert_eq!(
        lines,
        [
            "value 1",
            "  meter does not fit: when/nodeType: the source's is not `meter*`",
            "  climate fits",
            "  data/garden/temperature (climate)",
            r#"    {"name":"temperature","value":21.50,"unit":"Cel"}"#,
            "  data/garden/humidity (climate)",
            r#"    {"name":"humidity","value":40,"unit":"%RH"}"#,
            "value 2",
            "  meter does not fit: when/nodeType: the source's is not `meter*`",
            "  climate does not fit: items/0/value: there is nothing at `/t`",
            "  data/garden/value (raw)",
            r#"    {"name":"value","value":{"x":1}}"#,
        ]
    );
    let (_, shown, _) = there.run(&[
        "--mapping",
        "others.json",
        "--node-type",
        "meter-2",
        "--registered",
        "false",
        "--json",
        "payload.json",
    ]);
    let first: Value = serde_json::from_str(shown.lines().next().unwrap()).unwrap();
    assert_eq!(
        first["mappings"],
        json!([{"name": "meter", "fits": false, "why": "when/nodeType: the source's is not `meter*`"}])
    );
    assert!(first["items"][0]["topic"].as_str().unwrap().starts_with("unregistered/addr-"));
    assert!(shown.contains(r#""value":{"t":21.50,"h":40}"#), "numbers as they are published: {shown}");
    let (_, shown, _) = there.run(&["--type", "application/senml+json", "pack.json"]);
    assert!(shown.contains("data/s1/v (senml)") && shown.contains(r#""value":120.10,"unit":"V""#), "{shown}");
    let (_, shown, _) = there.run(&["--mapping", "climate.json", "--type", "ndjson", "lines"]);
    assert_eq!(shown.matches("climate fits").count(), 2, "{shown}");
}

#[test]
fn try_says_where_a_mapping_or_a_payload_is_wrong() {
    let there = Try::new(&[
        ("good.json", "{}"),
        ("bad.json", "{\"value\":1,\n\"time\":\"x\"}"),
        ("lines", "\n{\n1\n"),
        ("broken.json", "{\"name\":\n"),
        ("mapping.json", r#"{ "name": "m", "items": [{ "name": "x", "value": { "pointer": "a" } }] }"#),
        ("list.json", r#"[{ "name": "m", "items": [{ "name": "x", "value": { "ponter": "/a" } }] }]"#),
        ("config.json", r#"{ "drop": ["/value"] }"#),
    ]);
    for (args, wanted) in [
        (&["bad.json"][..], "line 2, column 8"),
        (&["--type", "ndjson", "lines"], "line 2"),
        (&["--type", "senml", "good.json"], "SenML pack"),
        (&["--mapping", "mapping.json", "good.json"], "mapping.json: /items/0/value/pointer: "),
        (&["--mapping", "list.json", "good.json"], "list.json: /0/items/0/value"),
        (&["--mapping", "broken.json", "good.json"], "broken.json: EOF while parsing a value at line 2"),
        (&["--config", "config.json", "good.json"], "config.json: /drop/0: "),
    ] {
        let (code, shown, said) = there.run(args);
        assert_eq!((code, shown.as_str()), (Some(4), ""), "{args:?}: {said}");
        assert!(said.contains(wanted), "{args:?}: {said}");
    }
    assert_eq!(there.run(&["nothing.json"]).0, Some(1));
}

#[test]
fn a_mapping_is_used_from_when_it_is_set() {
    let aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    let set = aups.admin("PUT", "/v1/config", &format!(r#"{{"mappings":[{CLIMATE}]}}"#));
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(aups.send(&credential, r#"{"t":21.50,"h":40}"#).json()["accepted"], 2);
    // What told that she is subscribed may still come.
    let mut next = || loop {
        let line: Value = serde_json::from_str(&alice.next()).unwrap();
        if line["item"]["data"]["name"] != "start" {
            return (line["topic"].clone(), line["item"]["schema"].clone());
        }
    };
    assert_eq!(next(), (json!("data/sensor1/temperature"), json!("climate")));
    assert_eq!(next(), (json!("data/sensor1/humidity"), json!("climate")));
    let wrong = aups.admin("PUT", "/v1/config", r#"{"mappings":[{"name":"raw","items":[]}]}"#);
    let errors = wrong.json()["errors"].clone();
    assert_eq!(
        [&errors[0]["pointer"], &errors[1]["pointer"]],
        [&json!("/mappings/0/name"), &json!("/mappings/0/items")],
        "{}",
        wrong.body
    );
}

/// 240 MB through a server that needs next to no memory for them.
#[test]
fn a_stream_without_end_takes_no_memory() {
    const LINES: usize = 4_000;
    let aups = Aups::start_with(&["--durability", "memory"]);
    let credential = aups.source("sensor1");
    let line = format!("{{\"value\":\"{}\"}}\n", "x".repeat(60_000));
    assert_eq!(aups.send(&credential, line.trim_end()).status, 202, "what is needed once is there");
    let before = aups.peak_memory_kib();
    let mut curl = Command::new("curl")
        .args(["-sS", "-X", "POST", "-T", "-", "-H", "Content-Type: application/x-ndjson", "-H", "Expect:"])
        .args(["-H", &format!("Authorization: Bearer {credential}"), &aups.url("/data")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = curl.stdin.take().unwrap();
    for _ in 0..LINES {
        body.write_all(line.as_bytes()).unwrap();
    }
    drop(body);
    let output = curl.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), format!("{{\"accepted\":{LINES}}}"));
    let grown = aups.peak_memory_kib() - before;
    assert!(grown < 64 << 10, "{grown} KiB more for 240 MB");
}
