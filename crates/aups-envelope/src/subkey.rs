//! What one incarnation of one NOS, or one session of a source, seals with, and the bytes that a tag and a signature cover.

use crate::{
    aead::{AeadKey, COUNTERS_BYTES, TAG_BYTES, key_bytes},
    message::{HEADER_BYTES, Header, put, u48_to_be_bytes},
    schedule::subkey,
    secret::KeyT,
};
use aups_core::{KeyId, PublisherSlot, Session, Suite, topic::TOPIC_BYTES_MAX};
use thiserror::Error;

/// A topic that is longer than a topic may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a topic has at most {TOPIC_BYTES_MAX} bytes")]
pub struct TopicTooLong;

/// Key and IV of a publisher's session under a temporary key: no two sessions share a nonce space, so no NOS needs to
/// agree with another on nonces, nor to remember a counter over a crash.
#[derive(Debug)]
pub(crate) struct Subkey(AeadKey);

impl Subkey {
    /// Derives and sets up.
    #[expect(clippy::expect_used, reason = "fails only for another length than that of the suite, which we derive")]
    pub(crate) fn new(key_t: &KeyT, suite: Suite, key_id: &KeyId, publisher: PublisherSlot, session: Session) -> Self {
        let okm = subkey(key_t, suite, key_id, publisher, session);
        let (key, iv) = okm.expose().split_at(key_bytes(suite));
        Self(AeadKey::new(suite, key, iv).expect("a subkey is as long as its suite's key and IV"))
    }

    /// Encrypts in place and gives the tag.
    pub(crate) fn seal(&self, header: &Header, aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_BYTES] {
        self.0.seal(counters(header), aad, in_out)
    }

    /// Verifies and decrypts.
    pub(crate) fn open(&self, header: &Header, aad: &[u8], ciphertext_and_tag: &[u8]) -> Option<Vec<u8>> {
        self.0.open(counters(header), aad, ciphertext_and_tag)
    }
}

/// `ts ‖ seq`: unique as seq is counted, and as ts is there even if a machine is resumed from a snapshot.
fn counters(header: &Header) -> [u8; COUNTERS_BYTES] {
    let mut counters = [0; COUNTERS_BYTES];
    let rest = put(&mut counters, &u48_to_be_bytes(header.ts.0));
    put(rest, &u48_to_be_bytes(header.seq));
    counters
}

/// Hands `"aups/1 message" ‖ header ‖ u16(len topic) ‖ topic` to `then`; on the stack, if the topic is not a long one.
pub(crate) fn with_associated_data<R>(
    header: &[u8; HEADER_BYTES],
    topic: &str,
    then: impl FnOnce(&[u8]) -> R,
) -> Result<R, TopicTooLong> {
    const LABEL: &[u8] = b"aups/1 message";
    const ON_STACK_BYTES: usize = 256;
    let length = topic_length(topic)?;
    let parts = [LABEL, header, &length, topic.as_bytes()];
    let mut on_stack = [0; ON_STACK_BYTES];
    let Some(aad) = on_stack.get_mut(..LABEL.len() + HEADER_BYTES + length.len() + topic.len()) else {
        return Ok(then(&parts.concat()));
    };
    let mut rest = &mut *aad;
    for part in parts {
        rest = put(rest, part);
    }
    Ok(then(aad))
}

/// `"aups/1 signature" ‖ u16(len topic) ‖ topic ‖ header ‖ ciphertext ‖ tag`.
pub(crate) fn signed_bytes(
    header: &[u8; HEADER_BYTES],
    topic: &str,
    ciphertext_and_tag: &[u8],
) -> Result<Vec<u8>, TopicTooLong> {
    let length = topic_length(topic)?;
    Ok([b"aups/1 signature", &length[..], topic.as_bytes(), header, ciphertext_and_tag].concat())
}

/// `u16(len topic)`.
pub(crate) fn topic_length(topic: &str) -> Result<[u8; 2], TopicTooLong> {
    match u16::try_from(topic.len()) {
        Ok(length) if topic.len() <= TOPIC_BYTES_MAX => Ok(length.to_be_bytes()),
        _ => Err(TopicTooLong),
    }
}
