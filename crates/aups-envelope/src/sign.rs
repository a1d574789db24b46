//! Ed25519 (RFC 8032): the realm's key, a NOS's, a reader's.

use crate::{b64, hash::sha256, secret::Secret};
use aups_core::RealmId;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Length of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A secret signing key. Signing takes about 8 µs.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Secret<32>,
    public: VerifyingKey,
}

impl SigningKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self::from_seed(Secret::random())
    }

    /// The key of a seed (RFC 8032 section 5.1.5).
    ///
    /// # Panics
    /// Never for a reason that a caller could give: only when AWS-LC has no memory.
    #[expect(clippy::expect_used, reason = "every 32 bytes are a seed")]
    pub fn from_seed(seed: Secret<32>) -> Self {
        use aws_lc_rs::signature::KeyPair as _;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("every 32 bytes are an Ed25519 seed");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self { pair, seed, public: VerifyingKey(public) }
    }

    /// The seed, to be kept.
    pub fn seed(&self) -> Secret<32> {
        self.seed.duplicate()
    }

    /// The public half.
    pub fn public(&self) -> VerifyingKey {
        self.public
    }

    /// Signs. Deterministic.
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let mut bytes = [0; SIGNATURE_BYTES];
        bytes.copy_from_slice(self.pair.sign(message).as_ref());
        bytes
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(public {})", self.public)
    }
}

/// A public key. Texts and JSON: base64url.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

/// A signature that does not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// Bytes that we do not take for a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VerifyingKeyError {
    /// Not the base64url of 32 bytes.
    #[error("not the base64url (without padding) of 32 bytes")]
    Encoding,
    /// A second encoding of a point that has a canonical one.
    #[error("not the canonical encoding of a point")]
    NotCanonical,
    /// A point of small order: signatures under it verify for many messages.
    #[error("a point of small order")]
    SmallOrder,
}

impl VerifyingKey {
    /// From its 32 bytes. Refuses encodings that are not canonical and points of small order; a text that is no point at
    /// all is found out by [`VerifyingKey::verify`].
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, VerifyingKeyError> {
        if is_small_order(&bytes) {
            Err(VerifyingKeyError::SmallOrder)
        } else if !is_canonical(&bytes) {
            Err(VerifyingKeyError::NotCanonical)
        } else {
            Ok(Self(bytes))
        }
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Verifies strictly: S below the group order, R byte for byte (both by AWS-LC), neither the key nor R of small
    /// order. So one signature verifies for one message under one key. About 32 µs.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let (r, _) = signature.split_first_chunk::<32>().ok_or(BadSignature)?;
        if is_small_order(r) {
            return Err(BadSignature);
        }
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).map_err(|_| BadSignature)
    }
}

/// The id of a realm: SHA-256 of its public key.
pub fn realm_id(realm_key: &VerifyingKey) -> RealmId {
    RealmId::from_bytes(sha256(&[realm_key.as_bytes()]))
}

/// Whether the y coordinate is below p = 2²⁵⁵ − 19.
fn is_canonical(point: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = point;
    !(*first >= 0xed && middle.iter().all(|byte| *byte == 0xff) && last & 0x7f == 0x7f)
}

/// Whether the point's order divides 8, in any encoding: y is one of seven values, whatever the sign.
fn is_small_order(point: &[u8; 32]) -> bool {
    /// The y of the points of order 8, as in libsodium's `ge25519_has_small_order`.
    const ORDER_8: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
            0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
            0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut y = *point;
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    let [first, middle @ .., last] = y;
    // 0 and 1; p − 1, p and p + 1.
    let near_zero = first <= 1 && middle.iter().all(|byte| *byte == 0) && last == 0;
    let near_p = (0xec..=0xee).contains(&first) && middle.iter().all(|byte| *byte == 0xff) && last == 0x7f;
    near_zero || near_p || ORDER_8.contains(&y)
}

impl FromStr for VerifyingKey {
    type Err = VerifyingKeyError;
    fn from_str(text: &str) -> Result<Self, VerifyingKeyError> {
        Self::from_bytes(b64::decode_array(text).map_err(|_| VerifyingKeyError::Encoding)?)
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64::encode(&self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
