use super::*;
use crate::fixture::entry;
use aups_core::KeyId;

fn retained(filters: &[&str]) -> Retained {
    Retained::new(filters.iter().map(|filter| filter.parse().unwrap()).collect())
}

fn last(entry: Entry) -> Last {
    Last { entry, under: None, only: None }
}

#[test]
fn what_is_retained_is_said_by_filters() {
    let retained = retained(&["data/+/state", "house/#"]);
    for (topic, is) in [("data/s1/state", true), ("data/s1/count", false), ("house/a/b", true), ("other", false)] {
        assert_eq!(retained.retains(&topic.parse().unwrap()), is, "{topic}");
    }
}

#[test]
fn each_topic_is_looked_at_once_with_its_last_item() {
    let mut retained = retained(&["unregistered/#"]);
    for text in [r#"{"name":"a","value":1}"#, r#"{"name":"b","value":2}"#, r#"{"name":"a","value":3}"#] {
        retained.keep(last(entry(text)));
    }
    assert!(!retained.is_stale() && retained.next_stale().is_none());
    retained.look_again();
    let mut values = Vec::new();
    while let Some(Last { entry, .. }) = retained.next_stale() {
        values.push(entry.item.data.value.get().to_owned());
        retained.keep(last(entry));
    }
    values.sort();
    assert_eq!(values, ["2", "3"]);
    assert!(!retained.is_stale());
}

#[test]
fn topics_that_wait_keep_their_turn_however_often_things_change() {
    let mut retained = retained(&["unregistered/#"]);
    for n in 0..10 {
        retained.keep(last(entry(&format!(r#"{{"name":"n{n}","value":{n}}}"#))));
    }
    let mut seen = HashSet::new();
    for _ in 0..10 {
        retained.look_again();
        let next = retained.next_stale().unwrap();
        seen.insert(next.entry.topic.clone());
        retained.keep(next);
    }
    assert_eq!(seen.len(), 10, "each had its turn");
}

#[test]
fn what_no_filter_names_any_more_is_cleared_unless_it_is_retained_again() {
    let mut retained = retained(&["unregistered/#"]);
    let published =
        |text: &str| Last { under: Some(SealedUnder::of(&KeyId::from_bytes([0; 24]))), ..last(entry(text)) };
    for name in ["a", "b", "c"] {
        retained.keep(published(&format!(r#"{{"NodeId":"s1","name":"{name}","value":1}}"#)));
    }
    retained.keep(last(entry(r#"{"NodeId":"s1","name":"nobody","value":1}"#)));
    retained.look_again();
    retained.set_filters(vec!["unregistered/s1/a".parse().unwrap()]);
    assert!(retained.is_stale());
    // One of them is retained again before it was cleared.
    retained.set_filters(vec!["unregistered/#".parse().unwrap()]);
    retained.keep(published(r#"{"NodeId":"s1","name":"b","value":2}"#));
    let cleared: Vec<_> = std::iter::from_fn(|| retained.next_to_clear()).map(|topic| topic.to_string()).collect();
    assert_eq!(cleared, ["unregistered/s1/c"]);
    let looked_at = retained.next_stale().unwrap();
    assert_eq!(looked_at.entry.topic.as_str(), "unregistered/s1/a");
    assert!(retained.next_stale().is_none() && !retained.is_stale());
}
