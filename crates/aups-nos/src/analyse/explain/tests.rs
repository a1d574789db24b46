use super::{super::tests::Bench, *};
use crate::analyse::Subject;
use aups_core::ItemId;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

/// An item that was scored, and why it has its scores.
fn explanation(bench: &Bench, json: &str) -> Explanation {
    let data = super::super::tests::reading(json);
    let subject = Subject { reading: &data, schema: bench.schema, source: &bench.source };
    let scored = super::super::analyse(&subject, Some(&bench.labels), bench.arrival, &bench.scoring, &bench.history);
    let item = Item {
        id: ItemId(Uuid::now_v7()),
        source: bench.source.clone(),
        schema: bench.schema.into(),
        received_at: bench.arrival.received_at,
        data,
        security: scored.security,
        quality: scored.quality,
    };
    let json = serde_json::to_vec(&item).unwrap();
    Explanation::new(&json, &scored.inputs, 3, &bench.scoring).unwrap()
}

/// As it comes back from a file.
fn read(explanation: &Explanation) -> Explanation {
    serde_json::from_str(&serde_json::to_string(explanation).unwrap()).unwrap()
}

fn rules() -> serde_json::Value {
    json!({
        "privacy": {"members": ["/patient"], "labels": ["wearable"]},
        "overrides": [
            {"score": "quality.precision", "when": "data.value > 20.0", "value": "default * 0.5"},
            {"score": "quality.completeness", "value": "data.missing"},
        ],
    })
}

fn warm() -> Bench {
    let mut bench = Bench::with(rules());
    (0..20_u8).for_each(|value| {
        bench.next("temperature", 20.1 + f64::from(value) / 7.0);
    });
    bench
}

const READING: &str =
    r#"{"name":"temperature","value":35.5,"unit":"Cel","time":"2026-11-22T12:19:30Z","patient":7,"uncertainty":8}"#;

#[test]
fn every_score_is_explained_and_follows_from_what_is_said() {
    let explanation = explanation(&warm(), READING);
    assert_eq!(explanation.scores.iter().map(|one| one.score).collect::<Vec<_>>(), ScoreName::ALL);
    assert_eq!(read(&explanation).verify().unwrap(), []);
    let of = |score| explanation.scores.iter().find(|one| one.score == score).unwrap();
    let accuracy = of(ScoreName::Accuracy);
    assert!(
        accuracy.why.contains("certainty 0.92 (8 of 100)") && accuracy.why.contains("from the last 20"),
        "{}",
        accuracy.why
    );
    let precision = of(ScoreName::Precision);
    assert_eq!(
        (precision.rule.as_str(), precision.value.hundredths()),
        ("CEL 0: default * 0.5 (when data.value > 20.0)", 50)
    );
    let completeness = of(ScoreName::Completeness);
    assert!(completeness.why.starts_with("expression 1 failed: "), "{}", completeness.why);
    assert_eq!(completeness.value.hundredths(), 100);
    assert_eq!(explanation.rules.quantities.len(), 1, "only what has to do with it");
}

#[test]
fn whatever_is_changed_in_a_file_shows() {
    let honest = serde_json::to_value(explanation(&warm(), READING)).unwrap();
    let differing = |pointer: &str, to: serde_json::Value| {
        let mut tampered = honest.clone();
        *tampered.pointer_mut(pointer).expect(pointer) = to;
        let tampered: Explanation = serde_json::from_str(&tampered.to_string()).unwrap();
        let differences = tampered.verify().unwrap();
        let mut scores: Vec<_> = differences.iter().map(|difference| difference.score.as_str()).collect();
        scores.dedup();
        scores
    };
    assert_eq!(differing("/scores/0/value", json!(0.99)), ["quality.accuracy"]);
    assert_eq!(differing("/scores/2/why", json!("because")), ["quality.timeliness"]);
    assert_eq!(differing("/scores/2/rule", json!("because")), ["quality.timeliness"]);
    assert_eq!(differing("/scores/0/inputs/certainty", json!(0.93)), ["quality.accuracy"]);
    assert_eq!(differing("/item/quality/accuracy", json!(0.99)), ["quality.accuracy"]);
    assert_eq!(differing("/item/security/authentication", json!(1.0)), ["security.authentication"]);
    assert_eq!(differing("/item/data/uncertainty", json!(1)), ["quality.accuracy"]);
    assert_eq!(differing("/item/data/time", json!("2026-11-22T12:19:59Z")), ["quality.timeliness"]);
    assert_eq!(differing("/history/median", json!(35.5)), ["quality.accuracy"]);
    assert_eq!(differing("/labels/personal", json!(true)), ["security.privacy"]);
    assert_eq!(
        differing("/arrival/transport", json!("clear")),
        ["security.confidentiality", "security.integrity", "security.authentication"]
    );
    assert_eq!(differing("/rules/overrides/0/value", json!("1")), ["quality.precision"]);
    assert_eq!(differing("/rules/timeliness/volatility", json!("1h")), ["quality.timeliness"]);
    assert_eq!(differing("/scores/3", honest["scores"][2].clone()), ["quality.timeliness", "quality.completeness"]);
}

#[test]
fn rules_that_are_none_cannot_be_computed_with() {
    let mut tampered = serde_json::to_value(explanation(&warm(), READING)).unwrap();
    tampered["rules"]["overrides"][0]["value"] = json!("while (true) {}");
    let tampered: Explanation = serde_json::from_str(&tampered.to_string()).unwrap();
    assert!(matches!(tampered.verify(), Err(VerifyError::Rules(_))));
    let mut tampered = read(&explanation(&warm(), READING));
    tampered.arrival.sealed = Some("rot13".into());
    assert!(matches!(tampered.verify(), Err(VerifyError::Sealed(_))));
}

proptest! {
    /// To the last digit, whatever the values are.
    #[test]
    fn what_was_scored_verifies_after_a_way_through_json(
        values in prop::collection::vec(any::<f64>().prop_filter("finite", |value| value.is_finite()), 1..40),
        name in "rain|temperature|x",
    ) {
        let mut bench = Bench::with(rules());
        for value in values {
            bench.arrival.received_at = bench.arrival.received_at.plus(std::time::Duration::from_millis(700));
            let explanation = explanation(&bench, &json!({"name": name, "value": value}).to_string());
            prop_assert_eq!(read(&explanation).verify().unwrap(), []);
        }
    }
}
