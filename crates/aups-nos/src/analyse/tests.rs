use super::*;

const NOON: &str = "2026-11-22T12:00:00Z";

fn reading(json: &str) -> Reading {
    serde_json::from_str(json).unwrap()
}

fn score(json: &str) -> Quality {
    let received_at = UnixMillis::parse_rfc3339(NOON).unwrap();
    let arrival = Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at };
    analyse(&reading(json), arrival, &ScoringRules::default()).1
}

fn accuracy(json: &str) -> u8 {
    score(json).accuracy.hundredths()
}

#[test]
fn security_follows_from_how_an_item_came() {
    for (transport, registered, expected) in [
        (Transport::Loopback, true, [90, 90, 50, 90]),
        (Transport::Tls, true, [90, 90, 50, 90]),
        (Transport::Clear, true, [0, 20, 50, 40]),
        (Transport::Loopback, false, [90, 90, 50, 10]),
        (Transport::Clear, false, [0, 20, 50, 10]),
    ] {
        let arrival = Arrival { transport, registered, sealed: None, received_at: UnixMillis(0) };
        let (security, _) = analyse(&reading(r#"{"name":"x","value":1}"#), arrival, &ScoringRules::default());
        let scores = [security.confidentiality, security.integrity, security.privacy, security.authentication];
        assert_eq!(scores.map(Score::hundredths), expected, "{transport:?} {registered}");
    }
}

#[test]
fn declared_uncertainty_lowers_accuracy() {
    let irradiance =
        |percent: &str| accuracy(&format!(r#"{{"name":"irradiance","value":500,"uncertainty":{percent}}}"#));
    assert_eq!(
        [irradiance("0"), irradiance("8"), irradiance("13"), irradiance("25"), irradiance("100")],
        [100, 92, 87, 75, 0]
    );
    assert_eq!(irradiance("250"), 0);
    for undeclared in ["-1", "\"8\"", "null", "{}"] {
        assert_eq!(irradiance(undeclared), 90, "{undeclared}");
    }
}

/// The fifteen hours of the station's year with more rain than an hour can bring.
#[test]
fn impossible_hours_of_rain_score_low() {
    let rain = |mm: u32| accuracy(&format!(r#"{{"name":"rain","value":{mm},"unit":"mm"}}"#));
    assert_eq!([rain(0), rain(98), rain(100)], [90, 90, 90]);
    assert_eq!([rain(101), rain(124), rain(175), rain(193)], [44, 34, 11, 3]);
    assert_eq!([rain(200), rain(300), rain(500)], [0, 0, 0]);
}

#[test]
fn a_range_holds_in_its_unit_only() {
    assert_eq!(accuracy(r#"{"name":"temperature","value":293.15,"unit":"K"}"#), 81, "not known in kelvin");
    assert_eq!(accuracy(r#"{"name":"temperature","value":293.15,"unit":"Cel"}"#), 0);
    assert_eq!(accuracy(r#"{"name":"temperature","value":293.15}"#), 0);
    assert_eq!(accuracy(r#"{"name":"temperature","value":"warm"}"#), 0, "no number at all");
    assert_eq!(accuracy(r#"{"name":"mood","value":"good"}"#), 81);
}

#[test]
fn precision_counts_the_decimals_as_written() {
    for (number, expected) in [
        ("10", Some(0)),
        ("10.0", Some(1)),
        ("-0.25", Some(2)),
        ("5e-3", Some(3)),
        ("1.5e1", Some(0)),
        ("1.50E+1", Some(1)),
        ("1e400000000000000000000", Some(0)),
        ("1e-99999999999", Some(u32::MAX)),
        ("\"1.5\"", None),
        ("[1.5]", None),
        ("null", None),
    ] {
        assert_eq!(decimals(number), expected, "{number}");
    }
    let precision = |value: &str| score(&format!(r#"{{"name":"x","value":{value}}}"#)).precision.hundredths();
    assert_eq!([precision("993"), precision("6.2"), precision("6.25"), precision("true")], [50, 100, 100, 50]);
}

#[test]
fn a_reading_loses_worth_as_it_ages() {
    let timeliness =
        |time: &str| score(&format!(r#"{{"name":"x","value":1,"time":"{time}"}}"#)).timeliness.hundredths();
    assert_eq!(timeliness(NOON), 100);
    assert_eq!(timeliness("2026-11-22T11:57:30Z"), 50);
    assert_eq!(timeliness("2026-11-22T11:55:00Z"), 0);
    assert_eq!(timeliness("1988-01-01T01:00:00-05:00"), 0);
    assert_eq!(timeliness("2026-11-22T12:00:30Z"), 100, "clocks may differ");
    assert_eq!(timeliness("2026-11-22T12:00:31Z"), 0, "but not by more");
    assert_eq!(score(r#"{"name":"x","value":1}"#).timeliness.hundredths(), 50);
}

#[test]
fn completeness_is_the_part_of_expected_members_that_is_there() {
    let completeness = |json: &str| score(json).completeness.hundredths();
    assert_eq!(completeness(r#"{"name":"t","value":1,"unit":"Cel","time":"2026-11-22T12:00:00Z"}"#), 100);
    assert_eq!(completeness(r#"{"name":"t","value":1,"unit":"Cel"}"#), 75);
    assert_eq!(completeness(r#"{"name":"value","value":1}"#), 25);
    assert_eq!(completeness(r#"{"name":"value","value":null}"#), 0);
}
