use super::{formulas::decimals, *};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

const NOON: &str = "2026-11-22T12:00:00Z";

/// A NOS as far as scores go, and one source of it.
pub(super) struct Bench {
    pub(super) scoring: Scoring,
    pub(super) history: History,
    pub(super) source: Source,
    pub(super) schema: &'static str,
    pub(super) labels: BTreeSet<String>,
    pub(super) arrival: Arrival,
}

impl Bench {
    pub(super) fn new(rules: ScoringRules) -> Self {
        let received_at = UnixMillis::parse_rfc3339(NOON).unwrap();
        Self {
            scoring: Scoring::new(rules).unwrap(),
            history: History::default(),
            source: Source {
                node_id: "s1".into(),
                node_type: "sensor".into(),
                communication_mode: "discrete".into(),
                registered: true,
            },
            schema: "default",
            labels: BTreeSet::new(),
            arrival: Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at },
        }
    }

    /// With rules as an administrator writes them.
    pub(super) fn with(rules: serde_json::Value) -> Self {
        Self::new(serde_json::from_value(rules).unwrap())
    }

    pub(super) fn analyse(&self, json: &str) -> Scored {
        let subject = Subject { reading: &reading(json), schema: self.schema, source: &self.source };
        analyse(&subject, Some(&self.labels), self.arrival, &self.scoring, &self.history)
    }

    pub(super) fn quality(&self, json: &str) -> Quality {
        self.analyse(json).quality
    }

    pub(super) fn security(&self, json: &str) -> [u8; 4] {
        let Security { confidentiality, integrity, privacy, authentication } = self.analyse(json).security;
        [confidentiality, integrity, privacy, authentication].map(Score::hundredths)
    }

    /// Accuracy of one more value of `name`, a minute after the one before.
    pub(super) fn next(&mut self, name: &str, value: f64) -> u8 {
        self.arrival.received_at = self.arrival.received_at.plus(Duration::from_mins(1));
        self.quality(&format!(r#"{{"name":"{name}","value":{value}}}"#)).accuracy.hundredths()
    }
}

pub(super) fn reading(json: &str) -> Reading {
    serde_json::from_str(json).unwrap()
}

fn score(json: &str) -> Quality {
    Bench::new(ScoringRules::default()).quality(json)
}

fn accuracy(json: &str) -> u8 {
    score(json).accuracy.hundredths()
}

#[test]
fn security_follows_from_how_an_item_came() {
    let sealed = Some(Suite::Aes256Gcm);
    for (transport, registered, sealed, expected) in [
        (Transport::Loopback, true, None, [90, 90, 50, 90]),
        (Transport::Tls, true, None, [90, 90, 50, 90]),
        (Transport::Clear, true, None, [0, 20, 50, 40]),
        (Transport::Loopback, false, None, [90, 90, 50, 10]),
        (Transport::Clear, false, None, [0, 20, 50, 10]),
        (Transport::Clear, true, sealed, [100, 100, 50, 100]),
        (Transport::Tls, true, sealed, [100, 100, 50, 100]),
    ] {
        let mut bench = Bench::new(ScoringRules::default());
        bench.arrival = Arrival { transport, registered, sealed, ..bench.arrival };
        assert_eq!(bench.security(r#"{"name":"x","value":1}"#), expected, "{transport:?} {registered} {sealed:?}");
    }
}

#[test]
fn privacy_follows_from_what_is_declared() {
    let privacy = |bench: &Bench, json: &str| bench.security(json)[2];
    let mut bench = Bench::with(json!({"privacy": {
        "members": ["/patient/name", "/gps", "/value/face", "/a~1b"], "labels": ["wearable"], "pseudonyms": ["pseudonym"]
    }}));
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1}"#), 80, "nothing personal, but a NodeId");
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1,"patient":{"bed":3}}"#), 80);
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1,"patient":{"name":"A"}}"#), 40);
    assert_eq!(privacy(&bench, r#"{"name":"x","value":{"face":1},"patient":{"name":"A"}}"#), 20);
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1,"gps":null,"a/b":1}"#), 40, "null is nothing");
    bench.labels = ["pseudonym".to_owned()].into();
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1}"#), 100);
    bench.labels.insert("wearable".to_owned());
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1}"#), 50);
    // A name that the NOS made of an address leads nowhere without the NOS's salt.
    bench.labels.clear();
    bench.arrival.registered = false;
    bench.source.node_id = "addr-0011223344556677".into();
    assert_eq!(privacy(&bench, r#"{"name":"x","value":1}"#), 100);
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

#[test]
fn what_fitted_no_mapping_is_capped() {
    let mut bench = Bench::new(ScoringRules::default());
    bench.schema = "raw";
    let json = format!(r#"{{"name":"t","value":1.5,"unit":"Cel","time":"{NOON}"}}"#);
    let Quality { accuracy, precision, timeliness, completeness } = bench.quality(&json);
    assert_eq!([accuracy, precision, timeliness, completeness].map(Score::hundredths), [20; 4]);
}

#[test]
fn a_quantity_has_rules_of_its_own() {
    let bench = Bench::with(json!({
        "quantities": [
            {"name": "level", "units": ["m"], "range": [0, 10], "volatility": "1h", "sensitivity": 2, "resolution": 0.01,
             "uncertainty": {"member": "error", "max": 0.5}, "expected": ["value", "depth"]},
            {"name": "level", "units": ["%"], "range": [0, 100], "volatility": 60},
        ],
        "completeness": {"schemas": {"default": ["value", "unit"]}},
    }));
    let hundredths = |json: &str| {
        let Quality { accuracy, precision, timeliness, completeness } = bench.quality(json);
        [accuracy, precision, timeliness, completeness].map(Score::hundredths)
    };
    let half_an_hour_ago = "2026-11-22T11:30:00Z";
    let in_metres = format!(r#"{{"name":"level","value":5.2,"unit":"m","error":0.1,"time":"{half_an_hour_ago}"}}"#);
    assert_eq!(hundredths(&in_metres), [80, 50, 25, 50]);
    let in_percent = format!(r#"{{"name":"level","value":50,"unit":"%","error":0.1,"time":"{half_an_hour_ago}"}}"#);
    assert_eq!(hundredths(&in_percent), [90, 50, 0, 100], "the schema's members, where the quantity has none");
}

#[test]
fn a_declared_resolution_counts_as_digits_do() {
    let precision = |json: &str| score(json).precision.hundredths();
    assert_eq!(precision(r#"{"name":"x","value":20.53125,"resolution":1}"#), 50);
    assert_eq!(precision(r#"{"name":"x","value":20,"resolution":0.05}"#), 100);
    assert_eq!(precision(r#"{"name":"x","value":20,"resolution":100}"#), 25);
    assert_eq!(precision(r#"{"name":"x","value":20,"resolution":-1}"#), 50, "nonsense is not a declaration");
    assert_eq!(precision(r#"{"name":"x","value":1e-400}"#), 100);
}

#[test]
fn a_value_that_does_not_fit_the_recent_ones_is_doubted() {
    let mut bench = Bench::new(ScoringRules::default());
    for value in [20.0, 20.5, 21.0, 20.2, 19.8, 20.1, 20.4, 20.9, 20.7] {
        assert_eq!(bench.next("temperature", value), 90);
    }
    assert_eq!(bench.next("temperature", 59.0), 90, "nine are too few to compare with");
    // 35 is 14.5 from the median of 20.45, and 4 is usual: 3.6, a little beyond 3.5.
    assert_eq!(bench.next("temperature", 35.0), 86);
    assert_eq!(bench.next("temperature", 55.0), 36);
    assert_eq!(bench.next("temperature", 21.0), 90);
}

#[test]
fn a_sensor_that_jumps_is_believed_again_once_it_stays_there() {
    let mut bench = Bench::new(ScoringRules::default());
    for _ in 0..40 {
        bench.next("pressure", 990.0);
    }
    let after: Vec<u8> = (0..20).map(|_| bench.next("pressure", 1_050.0)).collect();
    let doubted = after.iter().take_while(|accuracy| **accuracy < 90).count();
    assert_eq!((after[0], doubted, after[19]), (21, 16, 90), "{after:?}");
}

#[test]
fn what_cannot_be_teaches_nothing() {
    let mut bench = Bench::new(ScoringRules::default());
    for _ in 0..40 {
        bench.next("rain", 0.0);
    }
    for _ in 0..40 {
        assert_eq!(bench.next("rain", 500.0), 0);
    }
    assert_eq!(bench.next("rain", 0.0), 90, "it was never believed");
}

#[test]
fn values_without_spread_say_nothing_of_others_where_no_spread_is_usual() {
    let mut bench = Bench::new(ScoringRules::default());
    for _ in 0..40 {
        assert_eq!(bench.next("door", 0.0), 81);
    }
    assert_eq!(bench.next("door", 1.0), 81, "more than half of all values were the same: MAD is 0");
}

#[test]
fn unregistered_sources_have_no_history() {
    let mut bench = Bench::new(ScoringRules::default());
    bench.arrival.registered = false;
    for _ in 0..40 {
        bench.next("temperature", 20.0);
    }
    assert_eq!((bench.next("temperature", 59.0), bench.history.series()), (90, 0));
}

#[test]
fn noise_makes_a_sensor_less_precise_than_it_writes() {
    let mut bench = Bench::new(ScoringRules::default());
    let precision = |bench: &mut Bench, value: f64, seconds: u64| {
        bench.arrival.received_at = bench.arrival.received_at.plus(Duration::from_secs(seconds));
        bench.quality(&format!(r#"{{"name":"temperature","value":{value:.1}}}"#)).precision.hundredths()
    };
    for second in 0..20 {
        precision(&mut bench, 20.0 + f64::from(second % 2), 1);
    }
    // Successive values differ by 1: a standard deviation of 0.886, of 0.1 wanted.
    assert_eq!(precision(&mut bench, 20.0, 1), 51);
    let mut calm = Bench::new(ScoringRules::default());
    for minute in 0..20 {
        assert_eq!(
            precision(&mut calm, 20.0 + f64::from(minute % 2), 60),
            100,
            "too far apart to repeat a measurement"
        );
    }
}

#[test]
fn every_mistake_in_the_rules_is_told_with_its_place() {
    let told = |rules: serde_json::Value| {
        let errors = Scoring::new(serde_json::from_value(rules).unwrap()).unwrap_err();
        errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
    };
    assert_eq!(
        told(json!({
            "integrity": {"clear": 1.1}, "rawMax": -0.1,
            "privacy": {"members": ["patient", "/ok", "/a~2"]},
            "accuracy": {"window": 64, "countMin": 2, "deviation": 0, "uncertainty": {"member": "", "max": 0}},
            "timeliness": {"volatility": 0, "sensitivity": -1},
            "completeness": {"schemas": {"a/b": [""]}},
            "quantities": [
                {"name": "", "range": [2, 1]},
                {"name": "t", "units": ["C"], "window": 4, "spread": -1, "resolution": 0},
                {"name": "t", "units": ["K", "C"]},
            ],
        })),
        [
            "/scores/integrity/clear",
            "/scores/rawMax",
            "/scores/privacy/members/0",
            "/scores/privacy/members/2",
            "/scores/accuracy/uncertainty/member",
            "/scores/accuracy/uncertainty/max",
            "/scores/accuracy/deviation",
            "/scores/accuracy/window",
            "/scores/accuracy/countMin",
            "/scores/timeliness/volatility",
            "/scores/timeliness/sensitivity",
            "/scores/completeness/schemas/a~1b/0",
            "/scores/quantities/0/name",
            "/scores/quantities/0/range",
            "/scores/quantities/1/spread",
            "/scores/quantities/1/window",
            "/scores/quantities/1/resolution",
            "/scores/quantities/2/units",
        ]
    );
    assert!(serde_json::from_value::<ScoringRules>(json!({"volatility": "5m"})).is_err(), "no such member");
    for span in [json!("5 minutes"), json!(-1), json!(null), json!("5")] {
        assert!(serde_json::from_value::<ScoringRules>(json!({"timeliness": {"volatility": span}})).is_err(), "{span}");
    }
}

#[test]
fn rules_read_back_as_they_were_written() {
    let rules = ScoringRules::default();
    let written = serde_json::to_value(&rules).unwrap();
    assert_eq!(written["timeliness"]["volatility"], "5m");
    assert_eq!(serde_json::from_value::<ScoringRules>(written).unwrap(), rules);
    let seconds: ScoringRules = serde_json::from_value(json!({"timeliness": {"volatility": 0.5}})).unwrap();
    assert_eq!(serde_json::to_value(seconds.timeliness.volatility).unwrap(), "500ms");
}

/// A finite number of any size.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![-1e3..1e3, any::<f64>().prop_filter("finite", |number| number.is_finite())]
}

proptest! {
    /// Every score is a score, whatever is read, however it came, whatever was read before: scores of the type are in [0, 1];
    /// that they are no accident of clamping is what the others show.
    #[test]
    fn nothing_that_is_read_breaks_a_score(values in prop::collection::vec((number(), 0_u64..100_000), 1..80), name in "[a-z]{1,8}|rain") {
        let mut bench = Bench::new(ScoringRules::default());
        for (value, ms) in values {
            bench.arrival.received_at = bench.arrival.received_at.plus(Duration::from_millis(ms));
            let scored = bench.analyse(&json!({"name": name, "value": value, "uncertainty": value}).to_string());
            prop_assert!(scored.inputs.observed.mad >= 0.0 && scored.inputs.observed.median.is_finite());
        }
    }

    #[test]
    fn older_is_never_better(ages in (0_u64..600_000, 0_u64..600_000), s in 0.0..4.0) {
        let bench = Bench::with(json!({"timeliness": {"sensitivity": s}}));
        let timeliness = |age: u64| {
            let taken = UnixMillis(bench.arrival.received_at.0 - age);
            bench.quality(&format!(r#"{{"name":"x","value":1,"time":"{taken}"}}"#)).timeliness
        };
        let (younger, older) = (ages.0.min(ages.1), ages.0.max(ages.1));
        prop_assert!(timeliness(older) <= timeliness(younger));
    }

    #[test]
    fn less_certain_is_never_more_accurate(one in 0.0..200.0, other in 0.0..200.0) {
        let accuracy = |percent: f64| score(&format!(r#"{{"name":"irradiance","value":5,"uncertainty":{percent}}}"#)).accuracy;
        prop_assert_eq!(accuracy(one) <= accuracy(other), one >= other || accuracy(one) == accuracy(other));
    }

    #[test]
    fn further_out_of_range_is_never_more_accurate(one in 100.0..400.0, other in 100.0..400.0) {
        let accuracy = |mm: f64| score(&format!(r#"{{"name":"rain","value":{mm}}}"#)).accuracy;
        let (near, far) = (f64::min(one, other), f64::max(one, other));
        prop_assert!(accuracy(far) <= accuracy(near));
    }

    #[test]
    fn further_from_the_recent_values_is_never_more_accurate(one in 0.0..40.0, other in 0.0..40.0) {
        let mut bench = Bench::new(ScoringRules::default());
        (0..12).for_each(|_| { bench.next("temperature", 10.0); });
        let (near, far) = (f64::min(one, other), f64::max(one, other));
        let near = bench.next("temperature", 10.0 + near);
        let far = bench.next("temperature", 10.0 + far);
        prop_assert!(far <= near);
    }

    #[test]
    fn coarser_is_never_more_precise(one in 1e-6..1e6, other in 1e-6..1e6) {
        let precision = |step: f64| score(&json!({"name": "x", "value": 1, "resolution": step}).to_string()).precision;
        let (fine, coarse) = (f64::min(one, other), f64::max(one, other));
        prop_assert!(precision(coarse) <= precision(fine));
    }

    #[test]
    fn more_members_are_never_less_complete(present in prop::collection::vec(any::<bool>(), 6)) {
        let bench = Bench::with(json!({"completeness": {"expected": ["a", "b", "c", "d", "e", "f"]}}));
        let mut reading = json!({"name": "x", "value": 1});
        let mut last = bench.quality(&reading.to_string()).completeness;
        for (member, _) in ["a", "b", "c", "d", "e", "f"].iter().zip(&present).filter(|(_, present)| **present) {
            reading[member] = json!(1);
            let now = bench.quality(&reading.to_string()).completeness;
            prop_assert!(now > last);
            last = now;
        }
    }
}
