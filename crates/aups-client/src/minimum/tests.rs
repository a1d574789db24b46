use super::*;

fn item(accuracy: &str) -> Item {
    let json = r#"{"id":"01890a5d-ac96-774b-bcce-b302099a8057",
        "source":{"nodeId":"s1","nodeType":"sensor","communicationMode":"discrete","registered":true},
        "schema":"default","receivedAt":"2026-01-31T12:00:00.000Z","data":{"name":"temperature","value":10.0},
        "security":{"confidentiality":0.0,"integrity":0.1,"privacy":0.2,"authentication":0.3},
        "quality":{"accuracy":ACCURACY,"precision":0.5,"timeliness":0.6,"completeness":0.7}}"#;
    serde_json::from_str(&json.replace("ACCURACY", accuracy)).expect("an item")
}

#[test]
fn a_minimum_is_met_from_its_own_value_on() {
    let minimum: Minimum = "quality.accuracy=0.8".parse().expect("a minimum");
    assert!(minimum.is_met_by(&item("0.8")));
    assert!(minimum.is_met_by(&item("1.0")));
    assert!(!minimum.is_met_by(&item("0.79")));
}

#[test]
fn each_name_reads_its_own_score() {
    let Item { security, quality, .. } = item("0.4");
    let hundredths = ScoreName::ALL.map(|name| name.of(&security, &quality).hundredths());
    assert_eq!(hundredths, [40, 50, 60, 70, 0, 10, 20, 30]);
}

#[test]
fn an_unknown_score_is_told_with_those_that_there_are() {
    let error = "quality.colour=0.8".parse::<Minimum>().expect_err("unknown").to_string();
    assert!(error.contains("`quality.colour`") && error.contains("security.privacy"), "{error}");
}

#[test]
fn what_is_not_a_score_is_refused() {
    for value in ["1.01", "-0.1", "NaN", "inf", "", "a lot"] {
        assert!(
            matches!(format!("quality.accuracy={value}").parse::<Minimum>(), Err(MinimumError::Value(_))),
            "{value}"
        );
    }
    assert!(matches!("quality.accuracy".parse::<Minimum>(), Err(MinimumError::Form(_))));
}

#[test]
fn a_minimum_reads_back_as_it_was_written() {
    let text = "security.integrity=0.25";
    assert_eq!(text.parse::<Minimum>().expect("a minimum").to_string(), text);
}
