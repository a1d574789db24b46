//! What sources seal, in both spellings.

use aups_core::{KeyId, NodeId, Session, Suite, UnixMillis};
use aups_envelope::{ContentType, KeyT, SealedMessage, Secret, SourceMaster, SourceOpener, SourceSealer, Spelling};
use std::sync::LazyLock;

const READING: &str = r#"{"name":"temperature","value":21.5,"unit":"Cel"}"#;

/// A source that seals, and the one message that it sealed, binary.
struct Source {
    node: NodeId,
    suite: Suite,
    id: KeyId,
    key: KeyT,
    authentic: Vec<u8>,
}

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let master = SourceMaster::new(Secret::from_bytes([7; 32]));
    let source = |(number, suite): (u8, Suite)| {
        let (node, id) = (format!("sensor{number}").parse().expect("a name"), KeyId::from_bytes([number; 24]));
        let key = master.key(&node, suite, &id);
        let sealer = SourceSealer::new(&node, suite, &key, id, Session::new(3, 7));
        let authentic = sealer.seal(ContentType::Json, READING.as_bytes(), UnixMillis(1), Spelling::Binary);
        Source { node, suite, id, key, authentic: authentic.expect("it can be sealed") }
    };
    (1..).zip(Suite::ALL).map(source).collect()
});

/// Nothing but what the sources sealed opens, and as that of no other.
pub(crate) fn run(data: &[u8]) {
    let Ok(message) = SealedMessage::parse(data) else { return };
    for source in SOURCES.iter() {
        let opener = SourceOpener::new(&source.node, source.suite, &source.key, source.id, message.header().session);
        if opener.open(&message).is_ok() {
            assert_eq!(message.to_binary(), source.authentic, "a message that this source did not seal was taken");
        }
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let json = |binary: &[u8]| SealedMessage::parse(binary).expect("it was sealed").to_json();
    SOURCES.iter().flat_map(|source| [json(&source.authentic), source.authentic.clone()]).collect()
}
