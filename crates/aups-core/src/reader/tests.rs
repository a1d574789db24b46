use super::*;
use serde_json::json;

#[test]
fn attributes_that_ship_read_as_before() {
    let json = r#"{"roles":["a","b"],"org":"acme","clearance":3,"purposes":[]}"#;
    let attributes: Attributes = serde_json::from_str(json).unwrap();
    assert_eq!(attributes.roles, ["a".to_owned(), "b".to_owned()].into());
    assert_eq!((attributes.org.as_str(), attributes.clearance), ("acme", 3));
    assert_eq!(serde_json::to_string(&attributes).unwrap(), json);
    assert_eq!(serde_json::from_str::<Attributes>("{}").unwrap(), Attributes::default());
}

#[test]
fn further_attributes_stand_beside_them() {
    let json = json!({"roles": [], "org": "", "clearance": 0, "purposes": [], "tags": {"owner": "acme"},
        "active": true, "floor": -2, "site": "north", "rooms": ["a", "b"]});
    let attributes: Attributes = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(attributes.tags["owner"], "acme");
    assert_eq!(attributes.further["active"], AttributeValue::Truth(true));
    assert_eq!(attributes.further["floor"], AttributeValue::Number(-2));
    assert_eq!(attributes.further["site"], AttributeValue::Text("north".into()));
    assert_eq!(attributes.further["rooms"], AttributeValue::Texts(["a".to_owned(), "b".to_owned()].into()));
    assert_eq!(serde_json::to_value(&attributes).unwrap(), json);
}

#[test]
fn what_is_no_value_of_an_attribute_is_refused_by_name() {
    for (json, told) in [
        (r#"{"clearance":"high"}"#, "attribute `clearance`: invalid type: string"),
        (r#"{"roles":"a"}"#, "attribute `roles`: invalid type: string"),
        (r#"{"floor":1.5}"#, "attribute `floor`: invalid type: floating point `1.5`, expected a text, a whole number,"),
        (r#"{"floor":18446744073709551615}"#, "attribute `floor`: 18446744073709551615 is beyond 9223372036854775807"),
        (r#"{"site":{"a":1}}"#, "attribute `site`: invalid type: map"),
        (r#"{"site":null}"#, "attribute `site`: invalid type: null"),
        (r#"{"rooms":[1]}"#, "attribute `rooms`: invalid type: integer `1`, expected a string"),
        (r#"{"tags":{"a":1}}"#, "attribute `tags`: invalid type: integer"),
        (r#"{"org":"a","org":"b"}"#, "attribute `org` comes twice"),
        (r#"{"site":"a","site":"b"}"#, "attribute `site` comes twice"),
        ("[]", "expected an object of attributes"),
    ] {
        let error = serde_json::from_str::<Attributes>(json).unwrap_err().to_string();
        assert!(error.contains(told), "{json}: {error}");
    }
}
