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

#[test]
fn scores_are_called_as_in_an_item() {
    assert_eq!(ScoreName::LIST, ScoreName::ALL.map(ScoreName::as_str).join(", "));
    let score = Score::from_hundredths;
    let mut security =
        Security { confidentiality: score(1), integrity: score(2), privacy: score(3), authentication: score(4) };
    let mut quality = Quality { accuracy: score(5), precision: score(6), timeliness: score(7), completeness: score(8) };
    for name in ScoreName::ALL {
        assert_eq!(serde_json::to_value(name).unwrap(), name.as_str());
        let json = serde_json::json!({ "security": security, "quality": quality });
        let of = name.of(&security, &quality);
        assert_eq!(
            json.pointer(&format!("/{}", name.as_str().replace('.', "/"))),
            Some(&of.fraction().into()),
            "{name}"
        );
        *name.of_mut(&mut security, &mut quality) = Score::from_hundredths(of.hundredths() + 10);
        assert_eq!(name.of(&security, &quality).hundredths(), of.hundredths() + 10);
    }
}
