use super::*;
use crate::fixture::{NOW, acceptance, accepted};
use std::collections::BTreeSet;

fn topic(acceptance: &Acceptance, json: &str, address: &str) -> String {
    let sender = Sender::Unregistered(address.parse().unwrap());
    accepted(acceptance, json, &sender)[0].topic.to_string()
}

#[test]
fn an_address_has_a_name_that_stays_and_does_not_tell_it() {
    let acceptance_1 = acceptance(1);
    let name = topic(&acceptance_1, "1", "192.0.2.1");
    assert_eq!(name, topic(&acceptance_1, "2", "::ffff:192.0.2.1"));
    assert_ne!(name, topic(&acceptance_1, "1", "192.0.2.2"));
    assert_ne!(name, topic(&acceptance_1, "1", "2001:db8::1"));
    assert_ne!(name, topic(&acceptance(2), "1", "192.0.2.1"), "another NOS, another salt");
}

#[test]
fn an_entry_comes_back_from_its_json() {
    let acceptance = acceptance(1);
    let json = r#"{"NodeId":"x","value":1.50,"name":"t","a":[1, 2]}"#;
    let entry = accepted(&acceptance, json, &Sender::Unregistered([192, 0, 2, 1].into())).remove(0);
    let restored = Entry::restore(entry.json.clone(), &acceptance.config().topics).unwrap();
    assert_eq!(serde_json::to_vec(&restored.item).unwrap(), entry.json);
    assert_eq!((restored.topic, restored.item.id), (entry.topic, entry.item.id));
}

#[test]
fn ids_rise_and_are_all_different() {
    let ids = ItemIds { random: [0xff; 10], counter: AtomicU32::new(0) };
    let made: Vec<_> = (0..10_000).map(|_| ids.next(NOW)).collect();
    assert!(made.is_sorted());
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), made.len());
    let id = made[0].0;
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    assert_eq!(id.get_timestamp().unwrap().to_unix().0, NOW.0 / 1_000);
    assert_ne!(ItemIds::new().next(NOW), ItemIds::new().next(NOW), "of two NOSs in the same millisecond");
}
