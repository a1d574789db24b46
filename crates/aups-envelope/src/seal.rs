//! Sealing: a plaintext for a topic becomes a message.

use crate::{
    key::{KeyEntry, KeyTerms},
    message::{ContentType, HEADER_BYTES, Header, SIGNATURE_BYTES, Spelling, TAG_BYTES, U48_MAX, json},
    sign::SigningKey,
    subkey::{Subkey, TopicTooLong, signed_bytes, topic_length, with_associated_data},
};
use aups_core::{Flags, KeyId, PublisherSlot, Session, UnixMillis};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Most messages under one subkey.
pub const SUBKEY_MESSAGES_MAX: u64 = 1 << 32;
/// Most bytes of padded plaintext under one subkey: 64 GiB. With the cap on messages this keeps an attacker's advantage
/// against GCM below 2⁻⁶³ (draft-irtf-cfrg-aead-limits).
pub const SUBKEY_BYTES_MAX: u64 = 64 << 30;
/// Longest plaintext.
pub const PLAINTEXT_BYTES_MAX: usize = 2 << 20;

/// What is to be sealed.
#[derive(Debug, Clone, Copy)]
pub struct Plaintext<'a> {
    /// The MQTT topic name on which it will be published. Opens on no other.
    pub topic: &'a str,
    /// The publisher's counter for the topic and the scope.
    pub topic_seq: u32,
    /// Now.
    pub ts: UnixMillis,
    /// What the bytes are.
    pub content: ContentType,
    /// The bytes.
    pub bytes: &'a [u8],
    /// Pad to a multiple of so many bytes; 0 is no padding.
    pub pad_bytes: u16,
}

/// A plaintext that was not sealed. Nothing of it is to be published.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SealError {
    /// [`SUBKEY_MESSAGES_MAX`] or [`SUBKEY_BYTES_MAX`] is reached: begin a new incarnation, or wait for the next key.
    #[error("the subkey has sealed as much as a key may: begin a new incarnation")]
    Exhausted,
    /// The time of sealing is not in the key's `[nbf, exp)`: use the key of now.
    #[error("sealing at {ts}, but the key seals from {nbf} until before {exp}")]
    OutsideValidity {
        /// The time of sealing.
        ts: UnixMillis,
        /// When the key begins.
        nbf: UnixMillis,
        /// When it ends.
        exp: UnixMillis,
    },
    /// The key demands a signature and there is no signing key.
    #[error("the key demands signed messages: give the signing key")]
    SignerMissing,
    /// The key demands padding and there is no block to pad to.
    #[error("the key demands padded messages: give the block to pad to")]
    PaddingMissing,
    /// Longer than [`PLAINTEXT_BYTES_MAX`].
    #[error("a plaintext has at most {PLAINTEXT_BYTES_MAX} bytes, this one has {0}")]
    PlaintextTooLong(usize),
    /// A topic that is too long.
    #[error(transparent)]
    TopicTooLong(#[from] TopicTooLong),
}

/// Seals for one incarnation of one publisher under one temporary key. Shared between threads; counts what it seals.
///
/// INVARIANT: there is one `SealingKey` per (key, publisher, session), for its counter is what makes nonces unique.
#[derive(Debug)]
pub struct SealingKey {
    subkey: Subkey,
    key_id: KeyId,
    terms: KeyTerms,
    publisher: PublisherSlot,
    session: Session,
    used: Usage,
}

impl SealingKey {
    /// Derives the subkey. About 1 µs.
    pub fn new(entry: &KeyEntry, publisher: PublisherSlot, session: Session) -> Self {
        Self::with_usage(entry, publisher, session, Usage::default())
    }

    fn with_usage(entry: &KeyEntry, publisher: PublisherSlot, session: Session, used: Usage) -> Self {
        let subkey = Subkey::new(&entry.key_t, entry.terms.suite, &entry.key_id, publisher, session);
        Self { subkey, key_id: entry.key_id, terms: entry.terms, publisher, session, used }
    }

    /// The key's id.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What the key is for.
    pub fn terms(&self) -> &KeyTerms {
        &self.terms
    }

    /// Seals a plaintext. Signs if the key's terms demand it, with `signer`; pads if the plaintext says so.
    ///
    /// About 0.15 µs for 300 bytes, and 8 µs for a signature.
    pub fn seal(
        &self,
        message: &Plaintext<'_>,
        signer: Option<&SigningKey>,
        spelling: Spelling,
    ) -> Result<Vec<u8>, SealError> {
        let signer = match signer {
            _ if !self.terms.flags.contains(Flags::SIGNED) => None,
            None => return Err(SealError::SignerMissing),
            signer => signer,
        };
        self.seal_with(message, signer, spelling)
    }

    /// Signs exactly if there is a signer.
    fn seal_with(
        &self,
        message: &Plaintext<'_>,
        signer: Option<&SigningKey>,
        spelling: Spelling,
    ) -> Result<Vec<u8>, SealError> {
        let padded_bytes = self.check(message)?;
        let signed = if signer.is_some() { Flags::SIGNED } else { Flags::NONE };
        let padded = if message.pad_bytes > 0 { Flags::PADDED } else { Flags::NONE };
        let header = Header {
            suite: self.terms.suite,
            flags: signed.union(padded),
            content: message.content,
            publisher: self.publisher,
            session: self.session,
            seq: self.used.count(padded_bytes)?,
            ts: message.ts,
            topic_seq: message.topic_seq,
            key_id: self.key_id,
        };
        let header_bytes = header.to_bytes();
        let signature_bytes = if signer.is_some() { SIGNATURE_BYTES } else { 0 };
        let frame = Frame { header: &header, header_bytes: &header_bytes, topic: message.topic, spelling };
        let mut out = frame.seal(&self.subkey, message.bytes, padded_bytes, signature_bytes)?;
        if let Some(signer) = signer {
            let (_, ciphertext_and_tag) = out.split_at(front_bytes(spelling));
            let signature = signer.sign(&signed_bytes(&header_bytes, message.topic, ciphertext_and_tag)?);
            out.extend_from_slice(&signature);
        }
        Ok(frame.spell(out))
    }

    /// Checks what can be checked before the counter moves, and gives the length of the padded plaintext.
    fn check(&self, message: &Plaintext<'_>) -> Result<usize, SealError> {
        let KeyTerms { nbf, exp, flags, .. } = self.terms;
        let ts = message.ts;
        if ts < nbf || ts >= exp || ts.0 > U48_MAX {
            return Err(SealError::OutsideValidity { ts, nbf, exp });
        }
        if message.bytes.len() > PLAINTEXT_BYTES_MAX {
            return Err(SealError::PlaintextTooLong(message.bytes.len()));
        }
        topic_length(message.topic)?;
        match usize::from(message.pad_bytes) {
            0 if flags.contains(Flags::PADDED) => Err(SealError::PaddingMissing),
            0 => Ok(message.bytes.len()),
            // ISO/IEC 7816-4: there is always a byte of padding.
            block => Ok((message.bytes.len() + 1).next_multiple_of(block)),
        }
    }
}

/// How much of the header stands in front of the ciphertext: in the JSON spelling the key id is a member of its own.
const fn front_bytes(spelling: Spelling) -> usize {
    match spelling {
        Spelling::Binary => HEADER_BYTES,
        Spelling::Json => HEADER_BYTES - KeyId::BYTES,
    }
}

/// What stands around a ciphertext, and what its tag covers besides it.
pub(crate) struct Frame<'a> {
    pub(crate) header: &'a Header,
    /// The same as bytes.
    pub(crate) header_bytes: &'a [u8; HEADER_BYTES],
    pub(crate) topic: &'a str,
    pub(crate) spelling: Spelling,
}

impl Frame<'_> {
    /// The front of the header, the ciphertext of the plaintext padded to so many bytes, and the tag; with room for what follows.
    pub(crate) fn seal(
        &self,
        subkey: &Subkey,
        plaintext: &[u8],
        padded_bytes: usize,
        more_bytes: usize,
    ) -> Result<Vec<u8>, TopicTooLong> {
        let front_bytes = front_bytes(self.spelling);
        let (front, _) = self.header_bytes.split_at(front_bytes);
        let mut out = Vec::with_capacity(front_bytes + padded_bytes + TAG_BYTES + more_bytes);
        out.extend_from_slice(front);
        out.extend_from_slice(plaintext);
        if self.header.flags.contains(Flags::PADDED) {
            out.push(0x80);
            out.resize(front_bytes + padded_bytes, 0);
        }
        let (_, in_out) = out.split_at_mut(front_bytes);
        let tag = with_associated_data(self.header_bytes, self.topic, |aad| subkey.seal(self.header, aad, in_out))?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// The message, of all that follows the front of the header.
    pub(crate) fn spell(&self, whole: Vec<u8>) -> Vec<u8> {
        match self.spelling {
            Spelling::Binary => whole,
            Spelling::Json => json(&self.header.key_id, &whole),
        }
    }
}

/// How much a subkey has sealed.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Usage {
    /// Counts one more message of so many bytes and gives its seq, which no other message has; refuses beyond the caps.
    pub(crate) fn count(&self, bytes: usize) -> Result<u64, SealError> {
        let bytes = u64::try_from(bytes).map_err(|_| SealError::Exhausted)?;
        let add = |counter: &AtomicU64, step: u64, cap: u64| {
            let below = |held: u64| held.checked_add(step).filter(|sum| *sum <= cap);
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below).map_err(|_| SealError::Exhausted)
        };
        add(&self.bytes, bytes, SUBKEY_BYTES_MAX)?;
        add(&self.messages, 1, SUBKEY_MESSAGES_MAX)
    }
}

#[cfg(test)]
mod tests;
