use super::{super::tests::Bench, *};
use crate::analyse::Scoring;
use serde_json::json;
use std::time::{Duration, Instant};

fn bench(score: &str, when: Option<&str>, value: &str) -> Bench {
    Bench::with(json!({"overrides": [{"score": score, "when": when, "value": value}]}))
}

fn accuracy(when: Option<&str>, value: &str, reading: &str) -> u8 {
    bench("quality.accuracy", when, value).quality(reading).accuracy.hundredths()
}

const READING: &str = r#"{"name":"temperature","value":20.5,"unit":"Cel","battery":0.4,"site":"roof","ok":true,"gps":{"lat":1},"none":null}"#;

#[test]
fn an_expression_says_the_score() {
    for (value, expected) in [
        ("0.42", 42),
        ("1", 100),
        ("0", 0),
        ("default * data.battery", 36),
        ("data.ok && data.site == 'roof' ? 0.7 : 0.1", 70),
        ("source.nodeId.startsWith('s') && source.registered ? 0.6 : 0.0", 60),
        ("arrival.transport == 'loopback' && arrival.sealed == '' ? 0.3 : 0.0", 30),
        ("receivedAt > 1.7e12 ? 0.2 : 0.0", 20),
        ("has(data.battery) && !has(data.gps) && !has(data.missing) ? 0.5 : 0.0", 50),
        ("history.count == 0.0 && !has(history.median) ? 0.9 : 0.0", 90),
        ("data['site'] == 'roof' ? 0.35 : 0.0", 35),
        ("data.unit in ['Cel', 'K'] ? 0.8 : 0.0", 80),
        ("data.none == null ? 0.15 : 0.0", 15),
        ("double(size(data.name)) / 20.0", 55),
    ] {
        assert_eq!(accuracy(None, value, READING), expected, "{value}");
    }
}

#[test]
fn the_first_expression_that_applies_counts() {
    let bench = Bench::with(json!({"overrides": [
        {"score": "quality.accuracy", "when": "data.site == 'cellar'", "value": "0.1"},
        {"score": "quality.accuracy", "when": "data.site == 'roof'", "value": "0.2"},
        {"score": "quality.accuracy", "value": "0.3"},
        {"score": "security.privacy", "value": "0.4"},
    ]}));
    let scored = bench.analyse(READING);
    assert_eq!((scored.quality.accuracy.hundredths(), scored.security.privacy.hundredths()), (20, 40));
    let elsewhere = bench.analyse(r#"{"name":"temperature","value":20.5,"site":"lawn"}"#);
    assert_eq!(elsewhere.quality.accuracy.hundredths(), 30);
}

/// The formula says 0.90.
#[test]
fn an_expression_that_gives_no_score_changes_nothing() {
    for value in [
        "1.01",
        "-0.1",
        "2",
        "'high'",
        "true",
        "null",
        "data.missing",
        "data.gps",
        "1.0 / 0.0 - 1.0 / 0.0",
        "1 / 0",
        "9223372036854775807 + 1",
        "data.site * 2.0",
        "data.battery + 1",
        "history.median",
    ] {
        assert_eq!(accuracy(None, value, READING), 90, "{value}");
    }
    for when in ["data.missing > 1.0", "1", "'true'"] {
        assert_eq!(accuracy(Some(when), "0.1", READING), 90, "{when}");
    }
    assert_eq!(accuracy(Some("false"), "0.1", READING), 90);
}

#[test]
fn texts_that_are_too_long_are_not_there() {
    let long = |bytes: usize| json!({"name": "x", "value": 1, "note": "y".repeat(bytes)}).to_string();
    let value = "has(data.note) ? 1.0 : 0.0";
    assert_eq!([accuracy(None, value, &long(256)), accuracy(None, value, &long(257))], [100, 0]);
}

fn refused(value: &str) -> (String, String) {
    let rules = json!({"overrides": [{"score": "quality.accuracy", "value": "1"}, {"score": "quality.accuracy", "value": value}]});
    let mut errors = Scoring::new(serde_json::from_value(rules).unwrap()).expect_err(value);
    assert_eq!(errors.len(), 1);
    let error = errors.remove(0);
    (error.pointer, error.message)
}

#[test]
fn an_expression_that_is_wrong_is_told_with_its_place() {
    for (value, told) in [
        ("0.5 +", "is not CEL"),
        ("", "is not CEL"),
        ("0.5 0.5", "is not CEL"),
        ("item.value", "there is no `item` here; there are data"),
        ("pow(2.0, 3.0)", "there is no `pow` here"),
        ("data.name.matches('(a+)+') ? 1.0 : 0.0", "there is no `matches` here"),
        ("[1, 2].exists(x, x > 1) ? 1.0 : 0.0", "must not loop"),
        ("[1, 2].map(x, x).size() > 1 ? 1.0 : 0.0", "must not loop"),
        ("{'a': 1.0}['a']", "must not loop"),
    ] {
        let (pointer, message) = refused(value);
        assert_eq!(pointer, "/scores/overrides/1/value", "{value}");
        assert!(message.contains(told), "{value}: {message}");
    }
    let when = json!({"overrides": [{"score": "quality.accuracy", "when": "yes", "value": "1"}]});
    let errors = Scoring::new(serde_json::from_value(when).unwrap()).unwrap_err();
    assert_eq!(errors[0].pointer, "/scores/overrides/0/when");
}

#[test]
fn long_and_deep_expressions_are_refused_at_once() {
    let deep = |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    let begun = Instant::now();
    for value in [
        deep("(", ")", 17),
        deep("(", ")", 500),
        deep("[", "]", 500),
        "{1:".repeat(340),
        "true ? ".repeat(140),
        format!("1{}", " + 1".repeat(40)),
        format!("data{}", ".a".repeat(40)),
    ] {
        let (_, message) = refused(&value);
        assert!(message.contains("nested too deeply"), "{value}: {message}");
    }
    assert_eq!(accuracy(None, &format!("{}1", "-".repeat(1_023)), READING), 90, "-1 is no score");
    let (_, message) = refused(&"1".repeat(EXPRESSION_BYTES_MAX + 1));
    assert!(message.contains("at most 1024 bytes"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// What costs most of what is taken: long texts put together again and again, compared, and searched; lists of many.
#[test]
fn no_expression_that_is_taken_runs_for_long() {
    let note = "data.n";
    let together = vec![note; 26].join("+");
    let (left, right) = (vec![note; 14].join("+"), vec![note; 14].join("+"));
    let sums: Vec<String> = (0..4).map(|_| format!("({})", vec![note; 24].join("+"))).collect();
    let list = vec!["1"; 300].join(",");
    for value in [
        format!("size({together}) > 0 ? 1.0 : 0.0"),
        format!("({left}).contains({right}) ? 1.0 : 0.0"),
        format!("size({}) > 0 ? 1.0 : 0.0", sums.join("+")),
        format!("2 in [{list}] ? 1.0 : 0.0"),
        format!("size([{list}] + [{}]) > 0 ? 1.0 : 0.0", vec!["1"; 150].join(",")),
        format!("{} ? 1.0 : 0.0", vec![format!("{note} == {note}"); 50].join(" && ")),
    ] {
        let bench = bench("quality.accuracy", None, &value);
        let reading = json!({"name": "x", "value": 1, "n": "y".repeat(256)}).to_string();
        let fastest = (0..5).map(|_| {
            let begun = Instant::now();
            bench.quality(&reading);
            begun.elapsed()
        });
        let fastest = fastest.min().unwrap();
        // Without optimisation, on a machine that does other things as well; measured release figures stand in the guide.
        assert!(fastest < Duration::from_millis(20), "{fastest:?}: {value}");
    }
}
