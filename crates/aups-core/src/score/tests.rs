use super::*;

#[test]
fn a_fraction_is_rounded_down_and_clamped() {
    for (fraction, shown) in [
        (0.799_999, "0.79"),
        (0.8, "0.80"),
        (0.29, "0.29"),
        (1.0, "1.00"),
        (7.0, "1.00"),
        (-1.0, "0.00"),
        (f64::NAN, "0.00"),
    ] {
        assert_eq!(Score::from_fraction(fraction).to_string(), shown);
    }
}

#[test]
fn every_hundredth_survives_json() {
    for hundredths in 0..=100 {
        let score = Score::from_hundredths(hundredths);
        let json = serde_json::to_string(&score).unwrap();
        assert_eq!(serde_json::from_str::<Score>(&json).unwrap(), score, "{json}");
    }
    assert_eq!(serde_json::to_string(&Score::ONE).unwrap(), "1.0");
    assert!(serde_json::from_str::<Score>("1.01").is_err());
}
