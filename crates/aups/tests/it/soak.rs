//! A sample of `cargo xtask soak`, and of what it finds.

use crate::program::run;
use serde_json::Value;
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

fn soak(args: &[&str]) -> (Option<i32>, String, String) {
    run(Command::new(env!("CARGO_BIN_EXE_aups")).args(["bench", "soak", "--json"]).args(args))
}

#[test]
fn a_sample_of_the_soak_loses_nothing_and_lets_nobody_in() {
    let (code, stdout, stderr) = soak(&["--duration", "20s", "--life", "2s", "--rate", "200", "--every", "5s"]);
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
    assert_eq!((code, &report["faults"]), (Some(0), &serde_json::json!([])), "{report}");

    let accepted = report["accepted"].as_u64().unwrap();
    assert!(accepted > 100, "{report}");
    let readers = report["readers"].as_array().unwrap();
    for reader in readers.iter().filter(|reader| reader["name"] != "one-topic") {
        let opened = if reader["entitled"] == true { accepted } else { 0 };
        assert_eq!(reader["opened"], opened, "{report}");
    }
    let returns =
        |name: &str| readers.iter().find(|reader| reader["name"] == name).unwrap()["returns"].as_u64().unwrap();
    assert!(returns("comes-and-goes") > 0 && report["sourceReturns"].as_u64().unwrap() > 0, "{report}");
    // Five kinds of items, at least nine lives of keys, less what a busy machine delays.
    assert!(report["keys"].as_u64().unwrap() > 10, "{report}");
    let samples = report["rss"]["samples"].as_array().unwrap();
    assert!(samples.len() > 1 && samples.iter().all(|sample| sample["bytes"].as_u64().unwrap() > 1 << 20), "{report}");
    assert_eq!(report["rss"]["flat"], Value::Null, "too short to tell");
}

/// What is stopped tells what it found until then.
#[test]
fn a_soak_that_is_stopped_reports_so_far() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
    command.args(["bench", "soak", "--json", "--duration", "1h", "--rate", "100", "--every", "1s"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It looks at memory, and says so, once everybody is at work.
    let looks = BufReader::new(child.stderr.take().unwrap()).lines();
    assert_eq!(looks.map_while(Result::ok).take(3).count(), 3);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && report["faults"] == serde_json::json!([]), "{report}");
    assert!(report["complete"] == false && report["accepted"].as_u64().unwrap() > 0, "{report}");
}
