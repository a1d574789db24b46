//! What sources seal: the sealed message from a source to its NOS, and the secrets of sources.
//!
//! A source that registered with a sealed scheme has a temporary key of its own, named by its credential id. It is publisher 0,
//! begins a higher session whenever it lost its counter, and seals for the topic `src:<NodeId>`, which no MQTT topic can be: what
//! one source sealed opens as nothing else.
//!
//! A NOS keeps no secret of a source. It has one master, and derives:
//!
//! ```text
//! credential = HKDF(salt "aups/1 source credential", ikm master, info credentialId ‖ NodeId), 32 bytes
//! keyT       = HKDF(salt "aups/1 source key", ikm master, info suite ‖ credentialId ‖ NodeId), 32 bytes
//! ```

use crate::{
    hkdf::hkdf,
    message::{ContentType, Header, SealedMessage, Spelling, U48_MAX},
    seal::{Frame, PLAINTEXT_BYTES_MAX, SealError, Usage},
    secret::{KeyT, Secret},
    subkey::{Subkey, with_associated_data},
};
use aups_core::{Flags, KeyId, NodeId, PublisherSlot, Session, Suite, UnixMillis};
use thiserror::Error;

/// The slot of no NOS.
const NO_NOS: PublisherSlot = PublisherSlot(0);

/// What the secrets of all sources of a NOS are derived from.
#[derive(Debug)]
pub struct SourceMaster(Secret<32>);

impl SourceMaster {
    /// From its bytes: 32 random ones.
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// What a source shows as Bearer. About 1 µs.
    pub fn credential(&self, node: &NodeId, credential_id: &KeyId) -> Secret<32> {
        let info: [&[u8]; 2] = [credential_id.as_bytes(), node.as_str().as_bytes()];
        Secret::filled(|out| hkdf(b"aups/1 source credential", self.0.expose(), &info, out))
    }

    /// What a source seals with. About 1 µs.
    pub fn key(&self, node: &NodeId, suite: Suite, credential_id: &KeyId) -> KeyT {
        let info: [&[u8]; 3] = [&[suite.into()], credential_id.as_bytes(), node.as_str().as_bytes()];
        KeyT::filled(|out| hkdf(b"aups/1 source key", self.0.expose(), &info, out))
    }
}

/// `src:<NodeId>`. A colon is in no NodeId, so that nothing else is the same.
fn topic(node: &NodeId) -> String {
    format!("src:{node}")
}

/// Seals for one session of one source; counts what it seals.
///
/// INVARIANT: there is one `SourceSealer` per (key, session), for its counter is what makes nonces unique.
#[derive(Debug)]
pub struct SourceSealer {
    subkey: Subkey,
    suite: Suite,
    credential_id: KeyId,
    session: Session,
    topic: String,
    used: Usage,
}

impl SourceSealer {
    /// Derives the subkey. About 1 µs.
    pub fn new(node: &NodeId, suite: Suite, key: &KeyT, credential_id: KeyId, session: Session) -> Self {
        let subkey = Subkey::new(key, suite, &credential_id, NO_NOS, session);
        Self { subkey, suite, credential_id, session, topic: topic(node), used: Usage::default() }
    }

    /// Seals a body. `ts` is for whoever reads the message, and may be 0 where there is no clock.
    ///
    /// Fails beyond [`PLAINTEXT_BYTES_MAX`], and when the session has sealed as much as a key may: begin a higher one.
    pub fn seal(
        &self,
        content: ContentType,
        bytes: &[u8],
        ts: UnixMillis,
        spelling: Spelling,
    ) -> Result<Vec<u8>, SealError> {
        if bytes.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::PlaintextTooLong(bytes.len()));
        }
        let header = Header {
            suite: self.suite,
            flags: Flags::NONE,
            content,
            publisher: NO_NOS,
            session: self.session,
            seq: self.used.count(bytes.len())?,
            ts: UnixMillis(ts.0.min(U48_MAX)),
            topic_seq: 0,
            key_id: self.credential_id,
        };
        let frame = Frame { header: &header, header_bytes: &header.to_bytes(), topic: &self.topic, spelling };
        Ok(frame.spell(frame.seal(&self.subkey, bytes, bytes.len(), 0)?))
    }
}

/// Opens what one source sealed in one session.
#[derive(Debug)]
pub struct SourceOpener {
    subkey: Subkey,
    suite: Suite,
    credential_id: KeyId,
    session: Session,
    topic: String,
}

/// A message that is not one of this source. None of its plaintext is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceOpenError {
    /// Sealed with another key or in another session: the caller chose the wrong opener.
    #[error("the message was sealed with another source's key, or in another session")]
    OtherKey,
    /// Publisher, flags or topic seq are not those of a source: all are 0.
    #[error("publisher, flags and topic seq of what a source seals are 0")]
    NotOfASource,
    /// The header names another suite than the source registered with.
    #[error("sealed with {message}, but the source registered with {registered}")]
    SuiteMismatch {
        /// That of the header.
        message: Suite,
        /// That of the registration.
        registered: Suite,
    },
    /// Message or key were changed, or it was sealed for another node.
    #[error("the tag does not verify")]
    BadTag,
}

impl SourceOpener {
    /// Derives the subkey. About 1 µs.
    pub fn new(node: &NodeId, suite: Suite, key: &KeyT, credential_id: KeyId, session: Session) -> Self {
        let subkey = Subkey::new(key, suite, &credential_id, NO_NOS, session);
        Self { subkey, suite, credential_id, session, topic: topic(node) }
    }

    /// Opens a message. Whether its session and seq rise is the caller's to see: they are authentic then. Checked in this
    /// order: key, what a source leaves at 0, suite, tag.
    pub fn open(&self, message: &SealedMessage<'_>) -> Result<Vec<u8>, SourceOpenError> {
        let header = message.header();
        if (header.key_id, header.session) != (self.credential_id, self.session) {
            return Err(SourceOpenError::OtherKey);
        }
        if (header.publisher, header.flags, header.topic_seq) != (NO_NOS, Flags::NONE, 0) {
            return Err(SourceOpenError::NotOfASource);
        }
        if header.suite != self.suite {
            return Err(SourceOpenError::SuiteMismatch { message: header.suite, registered: self.suite });
        }
        let (ciphertext_and_tag, _) = message.ciphertext_and_tag();
        let opened = with_associated_data(message.header_bytes(), &self.topic, |aad| {
            self.subkey.open(header, aad, ciphertext_and_tag)
        });
        opened.ok().flatten().ok_or(SourceOpenError::BadTag)
    }
}

#[cfg(test)]
mod tests;
