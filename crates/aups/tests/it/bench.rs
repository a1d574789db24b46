//! The measurements of whole servers, with little load: what they count must add up.

use crate::program::run;
use serde_json::Value;
use std::process::Command;

/// Runs a bench that must succeed; the JSON that it prints, and what it says beside it.
fn bench(args: &[&str]) -> (Value, String) {
    let mut aups = Command::new(env!("CARGO_BIN_EXE_aups"));
    let (code, report, errors) = run(aups.arg("bench").args(args).arg("--json"));
    assert_eq!(code, Some(0), "{errors}");
    (serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report}{errors}")), errors)
}

fn count(load: &Value, member: &str) -> u64 {
    load[member].as_u64().unwrap_or_else(|| panic!("{member}: {load}"))
}

#[test]
fn the_load_bench_counts_what_is_sent_taken_and_delivered() {
    let load = ["load", "--contenders", "with", "--rounds", "2", "--duration", "1s", "--seed", "3"];
    let shape = ["--sources", "3", "--topics", "7", "--scopes", "2", "--policies", "9", "--payload", "300"];
    for (more, readings) in [(&["--rate", "100"][..], 1), (&["--rate", "1000", "--batch", "10"][..], 10)] {
        let (report, _) = bench(&[&load[..], &shape, more].concat());
        let contenders = report["contenders"].as_array().unwrap();
        assert_eq!((contenders.len(), contenders[0]["name"].as_str()), (1, Some("with")));
        assert_eq!(report["ratios"].as_array().unwrap().len(), 0, "there is nothing to compare it with");
        assert_eq!(report["parameters"]["policies"], 9);
        let rounds = contenders[0]["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 2);
        for load in rounds.iter().flat_map(|round| [&round["ingest"], &round["delivery"]]) {
            let items = count(load, "items");
            assert_eq!((count(load, "requests"), items), (100, 100 * readings), "an open loop sends what is due");
            assert_eq!(count(load, "accepted"), items, "{load}");
            assert_eq!((count(load, "refused"), count(load, "broken"), count(load, "unsent")), (0, 0, 0));
            assert_eq!(load["latencyMicros"]["count"], 100);
            assert!(count(load, "rssPeakBytes") >= count(load, "rssBytes") && count(load, "rssBytes") > 0);
        }
        for round in rounds {
            assert!(round["ingest"]["delivered"].is_null());
            assert_eq!(count(&round["delivery"], "delivered"), 100 * readings, "the subscriber gets every item");
        }
    }
}

#[test]
fn the_load_bench_tells_of_contenders_that_are_not_there() {
    let mut aups = Command::new(env!("CARGO_BIN_EXE_aups"));
    let nowhere = ["--harness", "/nonexistent", "--peers", "/nonexistent", "--contenders", "without,paper-stack"];
    let (code, _, errors) = run(aups.args(["bench", "load"]).args(nowhere));
    assert_eq!(code, Some(1));
    assert!(errors.contains("cargo build --profile dist -p aups -p aups-bench"), "{errors}");
    assert!(errors.contains("without `paper-stack`: ") && errors.contains("there is nothing to measure"), "{errors}");
}

#[test]
fn the_scale_bench_measures_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("steps.csv");
    for (axis, at, [first, second]) in
        [("topics", "6,150", [6, 150]), ("policies", "7,30", [7, 30]), ("readers", "2,5", [2, 5])]
    {
        let (report, _) =
            bench(&["scale", axis, "--at", at, "--duration", "1s", "--rate", "100", "--csv", file.to_str().unwrap()]);
        let steps = report["steps"].as_array().unwrap();
        assert_eq!(steps.iter().map(|step| count(step, "count")).collect::<Vec<_>>(), [first, second]);
        for step in steps {
            assert_eq!((count(&step["load"], "items"), count(&step["load"], "accepted")), (100, 100), "{step}");
            assert!(count(step, "rssIdleBytes") > 0);
            assert!(axis == "readers" || step["parameters"][axis] == step["count"], "{step}");
        }
        let table = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 3, "{table}");
        assert!(lines[0].starts_with(&format!("{axis},setUpSeconds,rssIdleBytes,requests,")), "{table}");
        assert!(lines[2].starts_with(&format!("{second},")), "{table}");
    }
}
