//! Sources of every kind: those that seal, those that send again, and the examples.

use crate::program::{Answer, Aups, text};
use aups_core::{Session, UnixMillis};
use aups_envelope::{ContentType, Secret, SourceSealer, Spelling, b64};
use serde_json::{Value, json};
use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

const SCHEMES: [&str; 4] = ["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305", "ascon-aead128"];
const JSON: (&str, &str) = ("Content-Type", "application/json");
const SEALED: (&str, &str) = ("Content-Type", "application/aups");

/// Registers a source that seals; its answer is in the file, too.
pub(crate) fn register(aups: &Aups, node: &str, scheme: &str) -> Value {
    let body =
        json!({"NodeId": node, "NodeType": "sensor", "CommunicationMode": "discrete", "EncryptionScheme": scheme});
    let answer = aups.post("/registration", &body.to_string(), &[JSON]);
    assert_eq!(answer.status, 201, "{}", answer.body);
    fs::write(aups.file(&format!("{node}.json")), &answer.body).unwrap();
    answer.json()
}

pub(crate) fn sealer(told: &Value, session: Session) -> SourceSealer {
    let text = |member: &str| told[member].as_str().unwrap();
    let suite = u8::try_from(told["suite"].as_u64().unwrap()).unwrap().try_into().unwrap();
    let key = Secret::from_bytes(b64::decode_array(text("key")).unwrap());
    SourceSealer::new(&text("NodeId").parse().unwrap(), suite, &key, text("credentialId").parse().unwrap(), session)
}

pub(crate) fn seal(sealer: &SourceSealer, text: &str) -> Vec<u8> {
    sealer.seal(ContentType::Json, text.as_bytes(), UnixMillis(0), Spelling::Binary).unwrap()
}

pub(crate) fn send(aups: &Aups, body: &[u8]) -> Answer {
    aups.request("POST", "/data", body, &[SEALED])
}

/// Runs a program with this on its standard input.
fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_scheme_from_the_command_to_the_reader() {
    let aups = Aups::start();
    let (mut alice, _) = aups.subscribed_alice();
    for (value, scheme) in SCHEMES.into_iter().enumerate() {
        register(&aups, scheme, scheme);
        let node = format!("{scheme}.json");
        for run in 0..2 {
            let line = format!("{{\"name\":\"t\",\"value\":{}}}\n[]\n", 10 * (value + 1) + run);
            fs::write(aups.file("lines"), line).unwrap();
            assert_eq!(aups.ok(&["send", "--node", &node, "lines"]), "sent 1 reading\n");
        }
        assert_eq!(mode(aups.file(&format!("{node}.session"))), 0o600);
        for run in 0..2 {
            let line = loop {
                let line: Value = serde_json::from_str(&alice.next()).unwrap();
                if line["topic"].as_str().unwrap().ends_with("/t") {
                    break line;
                }
            };
            assert_eq!(line["topic"], format!("data/{scheme}/t"));
            assert_eq!(line["item"]["data"]["value"], 10 * (value + 1) + run);
        }
    }
    let listed = aups.ok(&["source", "list"]);
    assert!(SCHEMES.iter().all(|scheme| listed.contains(scheme)) && listed.contains("SCHEME"), "{listed}");
}

#[test]
fn what_was_taken_is_not_taken_again_after_a_kill() {
    for durability in ["disk", "memory"] {
        let mut aups = Aups::start_with(&["--durability", durability]);
        let told = register(&aups, "s1", "chacha20-poly1305");
        let sealer_1 = sealer(&told, Session::new(1, 0));
        let (first, second, third) = (seal(&sealer_1, "1"), seal(&sealer_1, "[2,3]"), seal(&sealer_1, "4"));
        assert_eq!(send(&aups, &first).status, 202);
        let key = ("Idempotency-Key", "\"one\"");
        assert_eq!(aups.request("POST", "/data", &second, &[SEALED, key]).json()["accepted"], 2);
        assert_eq!(send_five(&aups, "two").status, 202);
        aups.kill_and_restart();
        for body in [&first, &second] {
            assert_eq!(send(&aups, body).problem(409), "replayed", "{durability}");
        }
        let again = aups.request("POST", "/data", &second, &[SEALED, key]);
        assert_eq!((again.status, &again.json()["accepted"]), (202, &2.into()), "{durability}");
        assert_eq!(
            aups.post("/data", "[6]", &[JSON, ("Idempotency-Key", "\"two\"")]).problem(422),
            "idempotency-mismatch"
        );
        assert_eq!(send_five(&aups, "two").status, 202);
        assert_eq!(send(&aups, &third).status, 202, "what is above goes on");
        assert_eq!(send(&aups, &seal(&sealer(&told, Session::new(2, 0)), "5")).status, 202);
    }
}

fn send_five(aups: &Aups, key: &str) -> Answer {
    aups.post("/data", "[5]", &[JSON, ("Idempotency-Key", key)])
}

#[test]
fn rotation_and_removal_take_everything_from_the_old_secrets() {
    let aups = Aups::start();
    let old = register(&aups, "s1", "aes-256-gcm");
    assert_eq!(send(&aups, &seal(&sealer(&old, Session::new(9, 0)), "1")).status, 202);
    let told = aups.ok(&["source", "rotate", "s1", "--out", "s1.json"]);
    assert!(told.contains("s1.json") && mode(aups.file("s1.json")) == 0o600, "{told}");
    let new: Value = serde_json::from_slice(&fs::read(aups.file("s1.json")).unwrap()).unwrap();
    for member in ["credentialId", "credential", "key"] {
        assert_ne!(new[member], old[member]);
        assert!(!told.contains(new[member].as_str().unwrap()));
    }
    let credential = |told: &Value| told["credential"].as_str().unwrap().to_owned();
    assert_eq!(send(&aups, &seal(&sealer(&old, Session::new(10, 0)), "2")).problem(401), "not-authenticated");
    assert_eq!(aups.send(&credential(&old), "2").problem(401), "not-authenticated");
    assert_eq!(send(&aups, &seal(&sealer(&new, Session::new(1, 0)), "2")).status, 202);
    assert_eq!(aups.send(&credential(&new), "2").status, 202);
    let printed: Value = serde_json::from_str(&aups.ok(&["source", "rotate", "s1"])).unwrap();
    assert_eq!(aups.send(&credential(&printed), "3").status, 202);
    assert!(!aups.run(&["source", "rotate", "s2", "--out", "s2.json"]).status.success());
    assert!(!aups.file("s2.json").exists() && !aups.file("s2.json.new").exists());
    aups.ok(&["source", "remove", "s1"]);
    assert_eq!(aups.send(&credential(&printed), "4").problem(401), "not-authenticated");
    let again = register(&aups, "s1", "aes-256-gcm");
    assert_ne!(again["key"], printed["key"]);
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../examples/source").join(name)
}

fn is_there(program: &str, args: &[&str]) -> bool {
    let there = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("SKIPPED: `{program} {}` does not run here", args.join(" "));
    }
    there
}

/// What was accepted so far.
fn accepted(aups: &Aups) -> u64 {
    let metrics = aups.request("GET", "/metrics", b"", &[]).body;
    let line = metrics.lines().find(|line| line.starts_with("aups_items_accepted_total")).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn the_example_in_sh_registers_and_sends() {
    let aups = Aups::start();
    for body in ["1", "[2,3]"] {
        let mut sh = Command::new("sh");
        let file = aups.file("s1.json");
        sh.arg(example("source.sh")).arg(aups.url("")).arg("s1").arg(&file);
        assert_eq!(ok(&run(&mut sh, body)).trim(), json!({"accepted": if body == "1" { 1 } else { 2 }}).to_string());
        assert_eq!(mode(file), 0o600);
    }
    assert_eq!(accepted(&aups), 3);
}

#[test]
fn the_example_in_python_sends_plain_and_sealed() {
    if !is_there("python3", &["--version"]) {
        return;
    }
    let aups = Aups::start();
    let python = |args: &[&str], input: &str| {
        let mut python = Command::new("python3");
        python.arg(example("source.py")).arg(aups.url("")).args(args).current_dir(aups.file(""));
        run(&mut python, input)
    };
    let mut schemes = vec!["none"];
    if is_there("python3", &["-c", "import cryptography"]) {
        schemes.extend(["aes-128-gcm", "aes-256-gcm", "chacha20-poly1305"]);
    }
    for scheme in &schemes {
        let file = format!("{scheme}.json");
        fs::write(aups.file(&file), ok(&python(&["register", scheme, scheme], ""))).unwrap();
        for body in ["1", "[2,3]"] {
            assert!(ok(&python(&["send", &file], body)).contains("accepted"));
        }
    }
    assert_eq!(accepted(&aups), 3 * u64::try_from(schemes.len()).unwrap());
    assert!(!python(&["send", "none.json"], "{").status.success());
}

#[test]
fn the_example_in_c_sends_plain_and_sealed() {
    if !is_there("cc", &["--version"]) {
        return;
    }
    let mut aups = Aups::start();
    let program = aups.file("source");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(example("source.c"));
    ok(&run(&mut cc, ""));
    let source = |aups: &Aups, args: &[&str], input: &str| {
        let (host, port) = aups.http.rsplit_once(':').unwrap();
        run(Command::new(&program).args([host, port]).args(args).current_dir(aups.file("")), input)
    };
    for scheme in ["none", "ascon-aead128"] {
        let file = format!("{scheme}.json");
        fs::write(aups.file(&file), ok(&source(&aups, &["register", scheme, scheme], ""))).unwrap();
        for body in ["1", "[2,3]", &format!("\"{}\"", "x".repeat(1_000))] {
            assert!(ok(&source(&aups, &["send", &file], body)).contains("accepted"));
        }
    }
    assert_eq!(accepted(&aups), 8);
    assert_eq!(mode(aups.file("ascon-aead128.json.session")), 0o600);
    assert!(!source(&aups, &["send", "none.json"], "{").status.success());
    aups.kill_and_restart();
    assert!(ok(&source(&aups, &["send", "ascon-aead128.json"], "5")).contains("accepted"));
}
