use super::*;
use crate::fixture::entry;

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
