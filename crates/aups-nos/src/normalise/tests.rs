use super::*;
use crate::json::Document;

fn mapped(json: &str, registered: bool) -> (String, Option<Box<str>>) {
    let normalised = normalise(Document::read(json.as_bytes()).unwrap().root(), registered).unwrap();
    (serde_json::to_string(&normalised.reading).unwrap(), normalised.node_id)
}

fn refused(json: &str, registered: bool) -> &'static str {
    normalise(Document::read(json.as_bytes()).unwrap().root(), registered).unwrap_err().member
}

#[test]
fn an_object_with_value_is_a_reading_and_keeps_its_further_members() {
    let (reading, _) = mapped(
        r#" {"observed":{"a":[1]},"unit":"Cel","value":10.00,"time":"1988-01-01T01:00:00-05:00","name":"temperature"} "#,
        true,
    );
    assert_eq!(
        reading,
        r#"{"name":"temperature","value":10.00,"unit":"Cel","time":"1988-01-01T01:00:00-05:00","observed":{"a":[1]}}"#
    );
    assert_eq!(mapped(r#"{"value":null}"#, true).0, r#"{"name":"value","value":null}"#);
    assert_eq!(mapped(r#"{"\u0076alue":[1, 2],"name":""}"#, true).0, r#"{"name":"","value":[1, 2]}"#);
}

fn schema(json: &str, registered: bool) -> &'static str {
    normalise(Document::read(json.as_bytes()).unwrap().root(), registered).unwrap().schema.as_str()
}

#[test]
fn a_scalar_is_the_value_of_a_nameless_reading_and_what_fits_nothing_is_kept_raw() {
    for (json, expected) in [
        ("1", "default"),
        ("-2.50", "default"),
        ("\"warm\"", "default"),
        ("true", "default"),
        ("null", "raw"),
        ("[1]", "raw"),
        ("{}", "raw"),
        (r#"{"name":"t","unit":"Cel"}"#, "raw"),
    ] {
        assert_eq!(mapped(json, true), (format!(r#"{{"name":"value","value":{json}}}"#), None));
        assert_eq!((schema(json, true), schema(json, false)), (expected, expected), "{json}");
    }
    assert_eq!(schema(r#"{"value":null}"#, true), "default");
    assert_eq!(schema(r#"{"NodeId":"x","a":1}"#, false), "raw");
}

#[test]
fn an_unregistered_source_names_itself_and_a_registered_one_does_not() {
    let whole = r#"{"NodeId":"x/+\u0041","value":1}"#;
    assert_eq!(mapped(whole, false), (r#"{"name":"value","value":1}"#.into(), Some("x/+A".into())));
    assert_eq!(mapped(whole, true), (r#"{"name":"value","value":1,"NodeId":"x/+\u0041"}"#.into(), None));
    let other = r#"{"a":1,"NodeId":"x","b\"":[2]}"#;
    assert_eq!(mapped(other, false), (r#"{"name":"value","value":{"a":1,"b\"":[2]}}"#.into(), Some("x".into())));
    assert_eq!(mapped(other, true).0, format!(r#"{{"name":"value","value":{other}}}"#));
    assert_eq!(mapped(r#"{"NodeId":"x"}"#, false).0, r#"{"name":"value","value":{}}"#);
}

#[test]
fn members_of_the_mapping_must_be_what_they_are_called() {
    for (json, member) in [
        (r#"{"value":1,"name":5}"#, "name"),
        (r#"{"value":1,"unit":null}"#, "unit"),
        (r#"{"value":1,"time":1700000000}"#, "time"),
        (r#"{"value":1,"time":"2026-01-31"}"#, "time"),
        (r#"{"value":1,"time":"2026-01-31T12:00:00"}"#, "time"),
        (r#"{"value":1,"time":"2026-02-30T12:00:00Z"}"#, "time"),
        (r#"{"value":1,"time":"1969-12-31T23:59:59Z"}"#, "time"),
    ] {
        assert_eq!(refused(json, true), member, "{json}");
    }
    for bad in ["5", "\"\"", "null", &format!("\"{}\"", "é".repeat(65))] {
        assert_eq!(refused(&format!(r#"{{"value":1,"NodeId":{bad}}}"#), false), "NodeId");
    }
    mapped(&format!(r#"{{"value":1,"NodeId":"{}"}}"#, "é".repeat(64)), false);
}
