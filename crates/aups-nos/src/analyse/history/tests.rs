use super::{super::tests::Bench, *};
use crate::analyse::ScoringRules;
use proptest::prelude::*;

fn observed(bench: &mut Bench, value: f64) -> Observed {
    let json = format!(r#"{{"name":"x","value":{value}}}"#);
    bench.analyse(&json).inputs.observed
}

/// The same by the definition: sorted copies.
fn by_definition(values: &[f64]) -> (f64, f64) {
    let median = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
    };
    let middle = median(values);
    let distances: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    (middle, median(&distances))
}

proptest! {
    #[test]
    fn median_and_mad_are_those_of_the_last_values(values in prop::collection::vec(-100_i32..100, 1..200)) {
        let mut bench = Bench::new(ScoringRules::default());
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        for (number, value) in values.iter().enumerate() {
            let observed = observed(&mut bench, *value);
            let last = &values[number.saturating_sub(31)..number];
            prop_assert_eq!(usize::from(observed.count), last.len());
            if !last.is_empty() {
                prop_assert_eq!((observed.median, observed.mad), by_definition(last));
            }
        }
    }
}

#[test]
fn a_node_has_a_series_for_each_quantity() {
    let mut bench = Bench::new(ScoringRules::default());
    observed(&mut bench, 1.0);
    bench.analyse(r#"{"name":"y","value":2}"#);
    bench.source.node_id = "s2".into();
    assert_eq!(observed(&mut bench, 3.0), Observed::default());
    assert_eq!(bench.history.series(), 3);
    assert_eq!(observed(&mut bench, 3.0).count, 1);
}

#[test]
fn what_had_no_reading_for_a_while_is_forgotten_first() {
    let mut bench = Bench::new(ScoringRules::default());
    bench.history = History::with_series_max(16 * 8);
    observed(&mut bench, 1.0);
    for other in 0..5_000 {
        bench.analyse(&format!(r#"{{"name":"other{other}","value":1}}"#));
        bench.analyse(r#"{"name":"x","value":1}"#);
    }
    assert_eq!(bench.history.series(), 16 * 8, "memory stays bounded");
    assert_eq!(observed(&mut bench, 1.0).count, 31, "what is in use stays");
    let forgotten = bench.analyse(r#"{"name":"other0","value":1}"#).inputs.observed;
    assert_eq!(forgotten, Observed::default());
}

#[test]
fn a_smaller_window_takes_effect_at_once() {
    let mut bench = Bench::new(ScoringRules::default());
    (0..40).for_each(|value| {
        observed(&mut bench, f64::from(value));
    });
    bench.scoring = super::super::Scoring::new(ScoringRules {
        accuracy: crate::analyse::rules::AccuracyRules { window: 10, ..Default::default() },
        ..ScoringRules::default()
    })
    .unwrap();
    observed(&mut bench, 40.0);
    let observed = observed(&mut bench, 41.0);
    assert_eq!((observed.count, observed.median), (10, 35.5));
}
