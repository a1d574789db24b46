//! Sealed messages, in both spellings.

use crate::fixture::{NOW, PUBLISHER, SESSION, TOPIC, certificate, entries, entry, signing};
use aups_core::{Flags, Suite};
use aups_envelope::{
    ContentType, KeyEntry, Plaintext, SealedMessage, SealingKey, Spelling,
    accept::{Acceptance, AcceptanceLimits, Accepted, Arrival, KeyRing, Rejection},
};
use std::sync::LazyLock;

const ITEM: &str = r#"{"id":"019b7640-2000-7000-8000-000000000001","data":{"name":"temperature","value":10.0}}"#;

struct Held {
    ring: KeyRing,
    /// The one message that was sealed under each key, binary.
    authentic: Vec<Vec<u8>>,
}

static HELD: LazyLock<Held> = LazyLock::new(|| {
    let authentic = entries().iter().map(|entry| seal(entry, ITEM.as_bytes())).collect();
    let mut ring = KeyRing::new();
    for entry in entries() {
        ring.insert(entry).expect("the entry holds together");
    }
    ring.list(vec![certificate()]);
    Held { ring, authentic }
});

fn seal(entry: &KeyEntry, bytes: &[u8]) -> Vec<u8> {
    let pad_bytes = if entry.terms.flags.contains(Flags::PADDED) { 32 } else { 0 };
    let plaintext = Plaintext { topic: TOPIC, topic_seq: 5, ts: NOW, content: ContentType::Json, bytes, pad_bytes };
    let sealing = SealingKey::new(entry, PUBLISHER, SESSION);
    sealing.seal(&plaintext, Some(&signing("nos")), Spelling::Binary).expect("it can be sealed")
}

fn accept(payload: &[u8]) -> Result<Accepted, Rejection> {
    let arrival = Arrival { topic: TOPIC, payload, retain: false, now: NOW };
    Acceptance::new(AcceptanceLimits::default()).accept(&arrival, &HELD.ring)
}

/// Nothing but the messages that were sealed is taken, in either spelling, and spelling back and forth changes nothing.
pub(crate) fn run(data: &[u8]) {
    if let Ok(message) = SealedMessage::parse(data) {
        let (binary, json) = (message.to_binary(), message.to_json());
        for spelt in [&binary, &json] {
            let again = SealedMessage::parse(spelt).expect("what we spell can be read");
            assert_eq!((again.to_binary(), again.to_json()), (binary.clone(), json.clone()), "respelt");
        }
        if message.spelling() == Spelling::Binary {
            assert_eq!(binary, data, "the binary spelling is the only one of its kind");
        }
        if accept(data).is_ok() {
            assert!(HELD.authentic.contains(&binary), "a message that nobody sealed was taken");
        }
    } else {
        assert!(accept(data).is_err(), "what cannot be read was taken");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let json = |binary: &Vec<u8>| SealedMessage::parse(binary).expect("it was sealed").to_json();
    HELD.authentic.iter().flat_map(|binary| [json(binary), binary.clone()]).collect()
}

/// What a publisher seals as an item is an item, or is refused as none.
pub(crate) fn run_item(data: &[u8]) {
    match accept(&seal(&entry(Suite::Aes256Gcm, Flags::NONE, 1), data)) {
        Ok(accepted) => assert_eq!(accepted.plaintext, data, "opened to something else"),
        Err(error) => assert_eq!(error, Rejection::BadItem, "it was sealed as it should be"),
    }
}

pub(crate) fn item_seeds() -> Vec<Vec<u8>> {
    ["", "{}", r#"{"id":1}"#, ITEM, r#"{"id":"019b7640-2000-7000-8000-000000000001"}"#]
        .map(|text| text.as_bytes().to_vec())
        .into()
}
