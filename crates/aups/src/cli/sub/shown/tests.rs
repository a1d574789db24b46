use super::*;

const ITEM: &str = r#"{"id":"019aaa4e-0000-7000-8000-000000000000","source":{"nodeId":"s1","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-11-22T13:27:31.500Z","data":{"name":"t","value":10.50,"unit":"\u001b[2J"},"security":{"confidentiality":0.9,"integrity":0.9,"privacy":0.5,"authentication":0.9},"quality":{"accuracy":0.93,"precision":1.0,"timeliness":1.0,"completeness":0.75}}"#;

fn shown(json: bool) -> Shown {
    Shown::new(json, Paint::plain(), Paint::plain())
}

#[test]
fn a_person_sees_one_line_that_does_not_steer_the_terminal() {
    let item: Item = serde_json::from_str(ITEM).unwrap();
    assert_eq!(
        shown(false).item(&"data/s1/t".parse().unwrap(), &item, Status::Fresh),
        "13:27:31.500  data/s1/t  10.50 \u{fffd}[2J  acc 0.93 prec 1.00 time 1.00 comp 0.75  fresh"
    );
}

#[test]
fn a_long_value_is_cut_for_a_person() {
    let long = format!("\"{}\"", "x".repeat(100));
    let item: Item = serde_json::from_str(&ITEM.replace("10.50", &long)).unwrap();
    let line = shown(false).item(&"t".parse().unwrap(), &item, Status::Late);
    assert!(line.contains(&format!("\"{}…", "x".repeat(58))) && line.ends_with("late"), "{line}");
}

#[test]
fn a_program_gets_the_item_as_it_was_written() {
    let (topic, item) = ("data/s1/t".parse().unwrap(), RawValue::from_string(ITEM.into()).unwrap());
    let line = as_json(&ItemLine { topic: &topic, item: &item, status: Status::Retained });
    assert_eq!(line, format!(r#"{{"topic":"data/s1/t","item":{ITEM},"status":"retained"}}"#));
}

#[test]
fn what_is_no_item_is_told_by_its_status() {
    let topic: Topic = "data/s1/t".parse().unwrap();
    let key_id = KeyId::from_bytes([0; 24]);
    let denied = Event::Denied { topic: topic.clone(), key_id };
    assert_eq!(
        as_json(&Notice::of(&denied).unwrap()),
        format!(r#"{{"status":"denied","topic":"data/s1/t","keyId":"{key_id}"}}"#)
    );
    let gap = Event::Gap { topic, missed: 3 };
    assert_eq!(as_json(&Notice::of(&gap).unwrap()), r#"{"status":"gap","topic":"data/s1/t","missed":3}"#);
    assert_eq!(shown(false).notice(&Notice::of(&gap).unwrap()), "gap data/s1/t: 3 missing");
}

#[test]
fn a_person_is_told_of_a_denied_key_once() {
    let denied = Event::Denied { topic: "t".parse().unwrap(), key_id: KeyId::from_bytes([0; 24]) };
    let mut shown = shown(false);
    assert!(shown.is_news(&Notice::of(&denied).unwrap()));
    assert!(!shown.is_news(&Notice::of(&denied).unwrap()));
}
