use super::*;
use crate::{NosConfig, fixture::NOW, json::Document};
use aups_core::ManualClock;
use std::collections::BTreeSet;

fn acceptance(salt: u8) -> Acceptance {
    let NosConfig { topics, scoring, transport, .. } = NosConfig::default();
    Acceptance::new(topics, scoring, transport, Arc::new(ManualClock::at(NOW)), [salt; 32])
}

fn topic(acceptance: &Acceptance, json: &str, address: &str) -> String {
    let sender = Sender::Unregistered(address.parse().unwrap());
    acceptance.accept(Document::read(json.as_bytes()).unwrap().root(), &sender).unwrap().topic.to_string()
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
    let document = Document::read(br#"{"NodeId":"x","value":1.50,"name":"t","a":[1, 2]}"#).unwrap();
    let entry = acceptance.accept(document.root(), &Sender::Unregistered([192, 0, 2, 1].into())).unwrap();
    let restored = Entry::restore(entry.json.clone(), &acceptance.topics).unwrap();
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
