use super::*;
use crate::fixture::{entry, nos_id};

#[test]
fn a_notification_names_the_item_and_tells_nothing_of_its_value() {
    let (of, topic) = (entry(r#"{"NodeId":"s1","name":"temperature","value":77.125}"#), "alerts/hot".parse().unwrap());
    let told = notification(&of, &topic, &nos_id()).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&told.json).unwrap();
    assert_eq!(json["data"]["value"], "unregistered/s1/temperature");
    assert_eq!(json["data"]["item"], of.item.id.to_string());
    assert_eq!((json["schema"].as_str(), json["source"]["nodeId"].as_str()), (Some("notification"), Some("nos-1")));
    assert!(!json.to_string().contains("77.125"));
    assert_eq!((told.topic.as_str(), told.item.security), ("alerts/hot", of.item.security));
    let again: Item = serde_json::from_slice(&told.json).unwrap();
    assert_eq!(again.id, told.item.id, "it reads back as an item");
}

#[test]
fn the_same_event_has_the_same_id_and_another_one_another() {
    let (one, other) = (entry("1"), entry("2"));
    let id_of = |of: &Entry, topic: &str| notification(of, &topic.parse().unwrap(), &nos_id()).unwrap().item.id;
    assert_eq!(id_of(&one, "a"), id_of(&one, "a"));
    assert_ne!(id_of(&one, "a"), id_of(&one, "b"));
    assert_ne!(id_of(&one, "a"), id_of(&other, "a"));
    assert_eq!(id_of(&one, "a").0.get_version_num(), 7);
    assert_eq!(id_of(&one, "a").0.as_bytes()[..6], one.item.id.0.as_bytes()[..6]);
}
