//! What `aups` says and how it ends, where no server is needed.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// Runs `aups` in an empty environment with this input: exit code, stdout, stderr.
fn aups(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aups"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended before this.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// An address at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

const COMMANDS: [&str; 15] = [
    "up", "demo", "user", "app", "group", "source", "policy", "schema", "key", "token", "audit", "enrol", "topics",
    "sub", "send",
];

#[test]
fn every_command_has_help_with_examples() {
    let (code, help, _) = aups(&["--help"], "");
    assert_eq!(code, Some(0));
    for command in COMMANDS {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is not in\n{help}");
        let (code, out, err) = aups(&[command, "--help"], "");
        assert_eq!(code, Some(0), "{command}");
        assert!(out.contains("Usage:") && out.contains("Examples:") && err.is_empty(), "{command}:\n{out}{err}");
    }
}

#[test]
fn wrong_usage_exits_2_and_says_what_would_do() {
    let (code, out, err) = aups(&["usr"], "");
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("user"), "{err}");
    let (code, _, err) = aups(&["user", "add", "alice", "--attr", "clearance=high"], "");
    assert_eq!(code, Some(2));
    assert!(err.contains("clearance is a whole number"), "{err}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_the_way_to_start_one() {
    let (code, out, err) = aups(&["policy", "show", "--server", NOBODY, "--admin-token-file", "/dev/null"], "");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.starts_with("error: no server answers at http://127.0.0.1:1\n  help: ") && err.contains("aups up"),
        "{err}"
    );
    let (code, out, err) = aups(&["send", "--anonymous", "--server", NOBODY], "1\n");
    assert_eq!((code, out.as_str()), (Some(1), "sent 0 readings\n"));
    assert!(err.contains("aups up"), "{err}");
}

#[test]
fn a_missing_admin_token_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (code, _, err) = aups(&["user", "list", "--data-dir", dir.path().to_str().unwrap()], "");
    assert_eq!(code, Some(1));
    assert!(err.contains("admin.token") && err.contains("AUPS_ADMIN_TOKEN"), "{err}");
}

#[test]
fn a_policy_is_checked_without_a_server() {
    let good = "permit(principal, action, resource in Topic::\"data\");\n";
    let (code, out, err) = aups(&["policy", "check", "-"], good);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "1 policy: this set would be admitted\n", ""));
}

#[test]
fn a_wrong_policy_is_shown_at_its_place_and_exits_4() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good.cedar"), dir.path().join("bad.cedar"));
    std::fs::write(&good, "permit(principal, action, resource in Topic::\"data\");").unwrap();
    std::fs::write(&bad, "permit(principal, action, resource)\nwhen { resource.qualty.accuracy == resource.name };\n")
        .unwrap();
    let files = [good.to_str().unwrap(), bad.to_str().unwrap()];
    let (code, out, err) = aups(&[&["policy", "check"], &files[..]].concat(), "");
    assert_eq!((code, out.as_str()), (Some(4), ""), "{err}");
    assert!(err.contains(&format!("{}:2:", bad.display())), "the line is of its file:\n{err}");
    assert!(err.contains("when { resource.qualty") && err.contains('^') && err.contains("help:"), "{err}");
    assert!(err.contains("nothing was changed"), "{err}");
}

#[test]
fn the_demo_and_the_readers_refuse_what_they_cannot_use() {
    let (code, _, err) = aups(&["demo", "--rate", "none"], "");
    assert_eq!(code, Some(2), "{err}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("alice.json");
    let name = file.to_str().unwrap();
    let (code, _, err) = aups(&["sub", "--as", name, "data/#"], "");
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: ") && err.contains("alice.json"), "{err}");
    std::fs::write(&file, "{}").unwrap();
    let token = format!("{0}.{0}", "A".repeat(43));
    let (code, _, err) = aups(&["enrol", "--token", &token, "--out", name, "--server", NOBODY], "");
    assert_eq!(code, Some(1));
    assert!(err.contains("alice.json") && err.contains("not overwritten"), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), b"{}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_aups"))
        .args(["policy", "check", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    child.stdin.take().unwrap().write_all(b"permit(principal, action, resource);").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
