use super::*;

const FIGURE_2: &str = r#"{"id":"01981a4b-7c3d-7e5f-8a6b-9c0d1e2f3a4b","source":{"nodeId":"sensor1","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-11-22T13:27:31.000Z","data":{"name":"temperature","value":10.00,"unit":"Cel","time":"1988-01-01T01:00:00-05:00","observed":7},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,"authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#;

#[test]
fn an_item_comes_back_to_the_letter() {
    let item: Item = serde_json::from_str(FIGURE_2).unwrap();
    assert_eq!(item.data.number(), Some(10.0));
    assert_eq!(serde_json::to_string(&item).unwrap(), FIGURE_2, "10.00 stays 10.00, `observed` stays");
}

#[test]
fn absent_members_stay_absent() {
    let text = FIGURE_2.replace(r#","unit":"Cel","time":"1988-01-01T01:00:00-05:00","observed":7"#, "");
    let item: Item = serde_json::from_str(&text).unwrap();
    assert_eq!((&item.data.unit, &item.data.time, item.data.further.len()), (&None, &None, 0));
    assert_eq!(serde_json::to_string(&item).unwrap(), text);
}

#[test]
fn a_member_that_comes_twice_or_is_missing_is_refused() {
    for (from, to) in [
        (r#""observed":7"#, r#""observed":7,"observed":7"#),
        (r#""unit":"Cel""#, r#""unit":"Cel","unit":"K""#),
        (r#""name":"temperature","#, ""),
        (r#""value":10.00,"#, ""),
        (r#""schema""#, r#""more":1,"schema""#),
    ] {
        let text = FIGURE_2.replace(from, to);
        assert_ne!(text, FIGURE_2);
        assert!(serde_json::from_str::<Item>(&text).is_err(), "{text}");
    }
}

#[test]
fn marks_that_are_not_there_are_not_written() {
    assert_eq!(serde_json::to_string(&Marks::default()).unwrap(), "{}");
    let json = r#"{"labels":["calibrated"],"tags":{"owner":"acme"}}"#;
    let marks: Marks = serde_json::from_str(json).unwrap();
    assert_eq!(serde_json::to_string(&marks).unwrap(), json);
    assert!(serde_json::from_str::<Marks>(r#"{"label":["calibrated"]}"#).is_err());
}
