use super::*;

#[test]
fn quantiles_are_right_to_three_digits() {
    let mut recorder = Recorder::new().unwrap();
    for micros in 1..=10_000 {
        recorder.note(Duration::from_micros(micros));
    }
    for (fraction, micros) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.999, 9_990.0), (1.0, 10_000.0)] {
        let told = recorder.quantile(fraction).unwrap().as_secs_f64() * 1e6;
        assert!((told / micros - 1.0).abs() < 1e-3, "{fraction}: {told}");
    }
    assert_eq!(recorder.json()["count"], 10_000);
}

#[test]
fn what_was_noted_twice_counts_twice_and_what_is_longer_than_all_counts_as_an_hour() {
    let mut recorder = Recorder::new().unwrap();
    assert_eq!(recorder.quantile(0.5), None);
    recorder.note(Duration::from_hours(5));
    let other = recorder.clone();
    recorder.add(&other).unwrap();
    assert_eq!(recorder.count(), 2);
    let longest = recorder.quantile(1.0).unwrap();
    assert!(longest >= DURATION_MAX && longest < DURATION_MAX * 2, "{longest:?}");
}
