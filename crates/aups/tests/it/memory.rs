//! `aups bench memory`: a sample, and a limit that is one.

use crate::program::run;
use serde_json::Value;
use std::process::Command;

fn memory(limit: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
    command.args(["bench", "memory", "--json", "--topics", "600", "--readers", "20"]);
    run(command.args(["--duration", "1s", "--rounds", "1", "--limit", limit]))
}

#[test]
fn a_sample_tells_what_each_topic_and_reader_takes_and_that_a_limited_server_works() {
    let (code, stdout, stderr) = memory("1024");
    let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}\n{stderr}"));
    assert_eq!(code, Some(0), "{report}");
    for state in ["started", "fewTopics", "manyTopics", "withReaders"] {
        assert!(report[state]["rssBytes"].as_u64().unwrap() > 1 << 20, "{state}: {report}");
    }
    assert!(report["bytesPerTopic"].is_number() && report["bytesPerReader"].is_number(), "{report}");
    for rounds in ["unlimited", "limited"] {
        assert!(report[rounds][0]["acceptedPerSecond"].as_f64().unwrap() > 1.0, "{report}");
    }
    assert!(report["limitedToUnlimited"].as_f64().unwrap() > 0.0, "{report}");
}

#[test]
fn a_server_that_may_have_no_memory_does_not_do() {
    let (code, stdout, stderr) = memory("1");
    assert_eq!((code, &*stdout), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("error:"), "{stderr}");
}
