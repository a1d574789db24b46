//! Secrets at rest: wrapped by a versioned key-encryption key (KEK).

use crate::{
    aead::{AeadKey, COUNTERS_BYTES, TAG_BYTES},
    hash::random,
    secret::{Secret, SecretBytes},
};
use aups_core::Suite;
use thiserror::Error;

const VERSION_BYTES: usize = 4;
const NONCE_BYTES: usize = COUNTERS_BYTES;
const OVERHEAD_BYTES: usize = VERSION_BYTES + NONCE_BYTES + TAG_BYTES;

/// A key-encryption key.
///
/// Wrapped form: `version(u32) ‖ nonce(12) ‖ ciphertext ‖ tag(16)`, AES-256-GCM, a random nonce,
/// AAD = `"aups/1 wrap" ‖ version ‖ aad`. Random nonces hold for 2³² wraps per version (NIST SP 800-38D section 8.3):
/// roots and salts are made by the day and by the scope, far below.
#[derive(Debug)]
pub struct Kek {
    version: u32,
    key: AeadKey,
}

/// Bytes that this KEK does not unwrap.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WrapError {
    /// Not of the wrapped form: the store is at fault.
    #[error("a wrapped secret has {OVERHEAD_BYTES} bytes at least, this one has {0}")]
    TooShort(usize),
    /// Wrapped under another version: give the KEK of that version.
    #[error("wrapped under version {wrapped} of the key-encryption key, this is version {held}")]
    Version {
        /// That of the wrapped secret.
        wrapped: u32,
        /// That of this KEK.
        held: u32,
    },
    /// The KEK is another one, or the bytes or the record around them were changed.
    #[error("does not unwrap: another key-encryption key, or the record was changed")]
    Altered,
    /// The secret inside has another length than its reader expects.
    #[error("a wrapped secret of {found} bytes where {wanted} are expected")]
    Length {
        /// Bytes inside.
        found: usize,
        /// Bytes expected.
        wanted: usize,
    },
}

impl Kek {
    /// A KEK of a version. Versions rise; a version is never used for two keys.
    ///
    /// # Panics
    /// Never: 32 bytes are a key.
    #[expect(clippy::needless_pass_by_value, reason = "the key moves in here and is zeroised once it is set up")]
    #[expect(clippy::expect_used, reason = "fails only for another length, which the type rules out")]
    pub fn new(version: u32, key: Secret<32>) -> Self {
        // An IV of zeros: the random nonces are the nonces.
        let key = AeadKey::new(Suite::Aes256Gcm, key.expose(), &[0; NONCE_BYTES]);
        Self { version, key: key.expect("AES-256-GCM takes 32 and 12 bytes") }
    }

    /// Its version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The version under which a secret was wrapped: which KEK to unwrap it with.
    pub fn version_of(wrapped: &[u8]) -> Option<u32> {
        wrapped.first_chunk().map(|version| u32::from_be_bytes(*version))
    }

    /// Wraps a secret. `aad` names the record that it belongs to, so that no two records can be exchanged in the store.
    pub fn wrap(&self, aad: &[u8], secret: &[u8]) -> Vec<u8> {
        let nonce = random::<NONCE_BYTES>();
        let mut wrapped = Vec::with_capacity(OVERHEAD_BYTES + secret.len());
        wrapped.extend_from_slice(&self.version.to_be_bytes());
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(secret);
        let (_, in_out) = wrapped.split_at_mut(VERSION_BYTES + NONCE_BYTES);
        let tag = self.key.seal(nonce, &self.full_aad(aad), in_out);
        wrapped.extend_from_slice(&tag);
        wrapped
    }

    /// Unwraps a secret that was wrapped under this version for the same record.
    pub fn unwrap(&self, aad: &[u8], wrapped: &[u8]) -> Result<SecretBytes, WrapError> {
        let parts = wrapped.split_first_chunk::<VERSION_BYTES>().and_then(|(version, rest)| {
            let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
            (sealed.len() >= TAG_BYTES).then_some((u32::from_be_bytes(*version), *nonce, sealed))
        });
        let (version, nonce, sealed) = parts.ok_or(WrapError::TooShort(wrapped.len()))?;
        if version != self.version {
            return Err(WrapError::Version { wrapped: version, held: self.version });
        }
        self.key.open(nonce, &self.full_aad(aad), sealed).map(SecretBytes::from_vec).ok_or(WrapError::Altered)
    }

    /// Unwraps a secret of a known length.
    pub fn unwrap_array<const N: usize>(&self, aad: &[u8], wrapped: &[u8]) -> Result<Secret<N>, WrapError> {
        let secret = self.unwrap(aad, wrapped)?;
        Secret::from_slice(secret.expose()).ok_or(WrapError::Length { found: secret.expose().len(), wanted: N })
    }

    fn full_aad(&self, aad: &[u8]) -> Vec<u8> {
        [b"aups/1 wrap", &self.version.to_be_bytes()[..], aad].concat()
    }
}

#[cfg(test)]
mod tests;
