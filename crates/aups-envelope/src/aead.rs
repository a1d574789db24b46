//! Authenticated encryption with a 32-byte key, a 96-bit nonce and a 128-bit tag.

use aups_core::Suite;
use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

pub(crate) const KEY_BYTES: usize = 32;
pub(crate) const NONCE_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// AES-256-GCM (NIST SP 800-38D) or ChaCha20-Poly1305 (RFC 8439) under one key. Setting up takes about 0.15 µs.
///
/// A repeated nonce under one key gives away the plaintexts and, with GCM, the authentication key: each caller says
/// why its nonces are unique.
#[derive(Debug)]
pub(crate) struct AeadKey(LessSafeKey);

impl AeadKey {
    #[expect(clippy::expect_used, reason = "fails only for another key length, which the type rules out")]
    pub(crate) fn new(suite: Suite, key: &[u8; KEY_BYTES]) -> Self {
        let algorithm = match suite {
            Suite::Aes256Gcm => &AES_256_GCM,
            Suite::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("both algorithms take 32 bytes")))
    }

    /// Encrypts in place and gives the tag.
    ///
    /// # Panics
    /// Beyond the algorithm's 64 GiB (GCM) or 256 GiB for one message; what we seal is at most a few MiB.
    #[expect(clippy::expect_used, reason = "fails only for a message of more than 64 GiB")]
    pub(crate) fn seal(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_BYTES] {
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), in_out)
            .expect("the message is shorter than 64 GiB");
        let mut bytes = [0; TAG_BYTES];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Verifies the tag and decrypts; `None` if anything at all was changed. Nothing of the plaintext leaves before.
    pub(crate) fn open(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], ciphertext_and_tag: &[u8]) -> Option<Vec<u8>> {
        let (ciphertext, tag) = ciphertext_and_tag.split_last_chunk::<TAG_BYTES>()?;
        let mut plaintext = vec![0; ciphertext.len()];
        self.0
            .open_separate_gather(Nonce::assume_unique_for_key(nonce), Aad::from(aad), ciphertext, tag, &mut plaintext)
            .ok()?;
        Some(plaintext)
    }
}

#[cfg(test)]
mod tests;
