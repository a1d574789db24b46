//! What one incarnation of one NOS seals with, and the bytes that a tag and a signature cover.

use crate::{
    aead::{AeadKey, KEY_BYTES, NONCE_BYTES},
    key::KeyEntry,
    message::{HEADER_BYTES, Header, put, u48_to_be_bytes},
    schedule::subkey,
};
use aups_core::{PublisherSlot, Session, topic::TOPIC_BYTES_MAX};
use thiserror::Error;

/// A topic that is longer than a topic may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a topic has at most {TOPIC_BYTES_MAX} bytes")]
pub struct TopicTooLong;

/// Key and IV of a publisher's session under a temporary key: no two sessions share a nonce space, so no NOS needs to
/// agree with another on nonces, nor to remember a counter over a crash.
#[derive(Debug)]
pub(crate) struct Subkey {
    pub(crate) key: AeadKey,
    iv: [u8; NONCE_BYTES],
}

impl Subkey {
    /// Derives and sets up.
    pub(crate) fn new(entry: &KeyEntry, publisher: PublisherSlot, session: Session) -> Self {
        let suite = entry.terms.suite;
        let okm = subkey(&entry.key_t, suite, &entry.key_id, publisher, session);
        let (key, rest) = okm.expose().split_first_chunk::<KEY_BYTES>().unwrap_or((&[0; KEY_BYTES], &[]));
        let mut iv = [0; NONCE_BYTES];
        iv.copy_from_slice(rest);
        Self { key: AeadKey::new(suite, key), iv }
    }

    /// `IV xor (ts ‖ seq)`: unique as seq is counted, and as ts is there even if a machine is resumed from a snapshot.
    pub(crate) fn nonce(&self, header: &Header) -> [u8; NONCE_BYTES] {
        let counters = [u48_to_be_bytes(header.ts.0), u48_to_be_bytes(header.seq)];
        let mut nonce = self.iv;
        for (byte, counter) in nonce.iter_mut().zip(counters.as_flattened()) {
            *byte ^= counter;
        }
        nonce
    }
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
