use super::*;

fn collected(texts: &[&str]) -> String {
    let given: Vec<_> = texts.iter().map(|text| parse(text).unwrap()).collect();
    serde_json::to_string(&collect(&given)).unwrap()
}

#[test]
fn sets_are_split_at_commas_and_grow() {
    assert_eq!(
        collected(&["roles=b,a", "roles=c, a", "org=CNR, Pisa", "clearance=-2"]),
        r#"{"roles":["a","b","c"],"org":"CNR, Pisa","clearance":-2}"#
    );
}

#[test]
fn an_empty_value_empties() {
    assert_eq!(collected(&["roles=", "org="]), r#"{"roles":[],"org":""}"#);
    assert_eq!(collected(&[]), "{}");
}

#[test]
fn a_wrong_attribute_is_refused_with_what_would_do() {
    for (text, told) in [
        ("role=x", "unknown attribute `role`: known are roles, org, clearance, purposes"),
        ("clearance=high", "clearance is a whole number, as in clearance=2, not `high`"),
        ("roles", "write it as NAME=VALUE, as in roles=meteorologist"),
    ] {
        assert_eq!(parse(text).unwrap_err(), told);
    }
}
