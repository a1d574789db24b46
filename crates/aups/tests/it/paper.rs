//! `aups bench paper`: a sample of the experiment, with AUPS alone where the harness is not there.

use crate::program::run;
use serde_json::Value;
use std::{fs, path::Path, process::Command};

/// Runs of two seconds; the harness is said to be where it is not.
fn sample(out: &Path, seed: &str) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
    command.args(["bench", "paper", "--duration", "2s", "--seed", seed, "--harness", "/nonexistent", "--out"]).arg(out);
    let (code, stdout, stderr) = run(&mut command);
    assert_eq!(code, Some(0), "{stdout}\n{stderr}");
    (stdout, stderr)
}

/// The packets of a file of latencies: run, number and source, and whether it was answered and came to both users.
fn packets(out: &Path) -> Vec<(String, String, bool)> {
    let text = fs::read_to_string(out.join("latency.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("run,number,source,answered_us,user1_us,user2_us"));
    let mut packets: Vec<_> = lines
        .map(|line| {
            let cells: Vec<_> = line.split(',').collect();
            let is_complete = cells[3..].iter().all(|cell| cell.parse::<f64>().is_ok_and(|micros| micros > 0.0));
            (cells[0].to_owned(), cells[1..3].join(" "), is_complete)
        })
        .collect();
    packets.sort();
    packets
}

#[test]
fn a_sample_of_the_paper_has_all_figures_and_is_repeated_by_its_seed() {
    let dir = tempfile::tempdir().unwrap();
    let outs = ["one", "again", "other"].map(|name| dir.path().join(name));
    let (stdout, stderr) = sample(&outs[0], "7");
    assert!(stderr.contains("with AUPS alone") && stderr.contains("--harness"), "{stderr}");
    assert!(stdout.contains("the paper") && stdout.contains("with AUPS, 20/s"), "{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100), "{stdout}");

    let report: Value = serde_json::from_slice(&fs::read(outs[0].join("paper.json")).unwrap()).unwrap();
    let runs = report["runs"].as_array().unwrap();
    let sent: Vec<_> = runs.iter().map(|run| (run["name"].as_str().unwrap(), run["sent"].as_u64().unwrap())).collect();
    assert_eq!(sent, [("with-10", 20), ("with-20", 40)], "{report}");
    for run in runs {
        assert_eq!((&run["lost"], &run["refused"]), (&0.into(), &0.into()), "{report}");
        assert_eq!(run["deliveredMicros"]["count"], 2 * run["sent"].as_u64().unwrap(), "{report}");
        assert!(run["publishedMicros"]["p50"].as_f64().unwrap() > 0.0, "{report}");
        assert!(run["cpuPercentBox"]["samples"].as_u64().unwrap() > 0, "{report}");
    }
    assert!(
        report["stepMicros"].as_object().unwrap().values().all(|micros| micros.as_f64().unwrap() > 0.0),
        "{report}"
    );

    for name in ["latency", "cpu"] {
        let svg = fs::read_to_string(outs[0].join(format!("{name}.svg"))).unwrap();
        assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>\n") && svg.contains("with AUPS"), "{svg}");
        let png = fs::read(outs[0].join(format!("{name}.png"))).unwrap();
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82"));
    }
    let cpu = fs::read_to_string(outs[0].join("cpu.csv")).unwrap();
    assert!(cpu.starts_with("run,second,percent_of_one_core\nwith-10,1,"), "{cpu}");

    sample(&outs[1], "7");
    sample(&outs[2], "8");
    let [one, again, other] = outs.map(|out| packets(&out));
    assert!(one.len() == 60 && one.iter().all(|(_, _, is_complete)| *is_complete), "{one:?}");
    assert_eq!(one, again);
    assert_ne!(one, other);
}
