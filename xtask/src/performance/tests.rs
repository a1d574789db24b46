use super::*;
use serde_json::json;

fn results() -> Results {
    let load = json!({
        "machine": "a machine",
        "contenders": [
            {"name": "with", "acceptedPerSecond": 61234.4, "cpuMicrosPerItem": 12.34, "latencyMicros": {"p50": 431.0, "p99": 1210.0}},
            {"name": "without", "acceptedPerSecond": 70000.0}
        ],
        "ratios": [{"of": "with", "to": "without", "acceptedPerSecond": 0.8748}]
    });
    [("load-single".to_owned(), load)].into()
}

#[test]
fn blocks_are_filled_from_the_results_and_the_rest_stays() {
    let text = "before\n<!-- figures: load load-single -->\nold\n<!-- end -->\nafter <!-- figures: machine load-single --><!-- end -->";
    let once = filled(text, &results()).unwrap();
    assert!(once.starts_with("before\n<!-- figures: load load-single -->\n\n| "), "{once}");
    assert!(once.contains("| with | 61,234 |  | 12.3 µs | 431.0 µs | 1.21 ms |  |  |"), "{once}");
    assert!(once.contains("| with / without | 0.87 |"), "{once}");
    assert!(once.contains("a machine") && !once.contains("old"), "{once}");
    assert_eq!(filled(&once, &results()).unwrap(), once, "and again");
}

#[test]
fn goals_are_reached_missed_or_not_measured_yet() {
    let goals = filled("<!-- figures: goals --><!-- end -->", &results()).unwrap();
    assert!(goals.contains("| POSTs taken, of the same chain without AUPS | ≥ 0.90 | 0.87 | missed |"), "{goals}");
    assert!(goals.contains("| key requests a second and core | ≥ 5,000 | not yet |  |"), "{goals}");
    let keys = ("keys".to_owned(), json!({"perSecondPerCore": 5_000.0}));
    let goals = filled(&goals, &results().into_iter().chain([keys]).collect()).unwrap();
    assert!(goals.contains("| key requests a second and core | ≥ 5,000 | 5,000 | reached |"), "{goals}");
}

#[test]
fn what_was_not_measured_is_told_and_what_is_no_block_refused() {
    let text = |name: &str| format!("<!-- figures: {name} --><!-- end -->");
    assert!(filled(&text("load load-disk"), &results()).unwrap().contains("Not measured yet: load-disk"));
    assert!(filled(&text("capacity"), &results()).unwrap().contains("Not measured yet"));
    assert!(filled(&text("poetry load-single"), &results()).is_err());
    assert!(filled("<!-- figures: load load-single -->", &results()).is_err());
}
