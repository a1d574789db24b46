//! Sealing to a reader's key: HPKE base mode (RFC 9180), KDF HKDF-SHA256 (1), AEAD AES-256-GCM (2).
//!
//! Base mode does not say who sealed: the NOS's signature around the answer does.

use crate::{
    b64,
    secret::{Secret, SecretBytes},
};
use hpke::{
    Deserializable as _, HpkeError, OpModeR, OpModeS, Serializable as _, aead::AesGcm256, kdf::HkdfSha256,
    kem::X25519HkdfSha256,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeStruct as _};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Length of a secret key: both kinds.
const SECRET_BYTES: usize = 32;

/// A key encapsulation mechanism.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kem {
    /// X-Wing, ML-KEM-768 with X25519 (HPKE KEM 0x647A): holds against who records today and computes with quanta later.
    #[default]
    #[serde(rename = "x-wing")]
    XWing,
    /// DHKEM(X25519, HKDF-SHA256) (HPKE KEM 0x0020): for clients that lack the room.
    #[serde(rename = "x25519")]
    X25519,
}

/// A KEM that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is no key encapsulation mechanism that is known: x-wing or x25519")]
pub struct UnknownKem(String);

impl FromStr for Kem {
    type Err = UnknownKem;
    fn from_str(name: &str) -> Result<Self, UnknownKem> {
        match name {
            "x-wing" => Ok(Self::XWing),
            "x25519" => Ok(Self::X25519),
            _ => Err(UnknownKem(name.into())),
        }
    }
}

impl fmt::Display for Kem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::XWing => "x-wing",
            Self::X25519 => "x25519",
        })
    }
}

impl Kem {
    /// A fresh secret key.
    ///
    /// # Panics
    /// When the operating system gives no randomness.
    pub fn generate(self) -> KemSecretKey {
        KemSecretKey { kem: self, bytes: Secret::random() }
    }

    /// Length of a public key in bytes.
    pub const fn public_key_bytes(self) -> usize {
        match self {
            Self::XWing => 1_216,
            Self::X25519 => 32,
        }
    }
}

/// Why nothing was sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KemError {
    /// Not a public key of this kind: its owner is at fault.
    #[error("not a public key of the {0} kind")]
    PublicKey(Kem),
    /// The encapsulated key is not of this kind, or the ciphertext was changed or is for somebody else.
    #[error("does not open: changed, or sealed to somebody else")]
    DoesNotOpen,
}

/// A reader's secret key.
#[derive(Debug)]
pub struct KemSecretKey {
    kem: Kem,
    bytes: Secret<SECRET_BYTES>,
}

impl KemSecretKey {
    /// From its 32 bytes: the seed of an X-Wing key, the scalar of an X25519 key (clamped where it is used).
    pub fn from_bytes(kem: Kem, bytes: Secret<SECRET_BYTES>) -> Self {
        Self { kem, bytes }
    }

    /// Its kind.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// Its 32 bytes, to be kept.
    pub fn bytes(&self) -> &Secret<SECRET_BYTES> {
        &self.bytes
    }

    /// The public half. About 80 µs for X-Wing, 14 µs for X25519.
    ///
    /// # Panics
    /// Never: all 32 bytes are a secret key of either kind.
    pub fn public(&self) -> KemPublicKey {
        #[expect(clippy::expect_used, reason = "fails only for another length, which the type rules out")]
        fn public_bytes<K: hpke::Kem>(secret: &Secret<SECRET_BYTES>) -> Box<[u8]> {
            let key = secret_key::<K>(secret).expect("32 bytes are a secret key");
            K::sk_to_pk(&key).to_bytes().as_slice().into()
        }
        let bytes = match self.kem {
            Kem::XWing => public_bytes::<hpke::kem::XWing>(&self.bytes),
            Kem::X25519 => public_bytes::<X25519HkdfSha256>(&self.bytes),
        };
        KemPublicKey { kem: self.kem, bytes }
    }

    /// Opens what was sealed to the public half under the same `info`. About 210 µs for X-Wing, 60 µs for X25519.
    pub fn open(&self, info: &[u8], enc: &[u8], ct: &[u8]) -> Result<SecretBytes, KemError> {
        match self.kem {
            Kem::XWing => open::<hpke::kem::XWing>(&self.bytes, info, enc, ct),
            Kem::X25519 => open::<X25519HkdfSha256>(&self.bytes, info, enc, ct),
        }
        .map(SecretBytes::from_vec)
        .map_err(|_| KemError::DoesNotOpen)
    }
}

/// A reader's public key, checked. JSON: `{"kem":"x-wing","kemKey":"<base64url>"}`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KemPublicKey {
    kem: Kem,
    bytes: Box<[u8]>,
}

/// What HPKE gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedTo {
    /// The encapsulated key.
    pub enc: Vec<u8>,
    /// `ciphertext ‖ tag`.
    pub ct: Vec<u8>,
}

impl KemPublicKey {
    /// From its bytes: 1,216 for X-Wing, checked as FIPS 203 demands, 32 for X25519.
    pub fn from_bytes(kem: Kem, bytes: &[u8]) -> Result<Self, KemError> {
        match kem {
            Kem::XWing => <hpke::kem::XWing as hpke::Kem>::PublicKey::from_bytes(bytes).map(drop),
            Kem::X25519 => <X25519HkdfSha256 as hpke::Kem>::PublicKey::from_bytes(bytes).map(drop),
        }
        .map_err(|_| KemError::PublicKey(kem))?;
        Ok(Self { kem, bytes: bytes.into() })
    }

    /// Its kind.
    pub fn kem(&self) -> Kem {
        self.kem
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seals to the owner of the secret half. About 120 µs for X-Wing, 70 µs for X25519.
    ///
    /// Refuses an X25519 key of small order (RFC 9180 section 7.1.4).
    ///
    /// # Panics
    /// When the operating system gives no randomness.
    pub fn seal(&self, info: &[u8], plaintext: &[u8]) -> Result<SealedTo, KemError> {
        match self.kem {
            Kem::XWing => seal::<hpke::kem::XWing>(&self.bytes, info, plaintext),
            Kem::X25519 => seal::<X25519HkdfSha256>(&self.bytes, info, plaintext),
        }
        .map_err(|_| KemError::PublicKey(self.kem))
    }
}

fn secret_key<K: hpke::Kem>(secret: &Secret<SECRET_BYTES>) -> Result<K::PrivateKey, HpkeError> {
    K::PrivateKey::from_bytes(secret.expose())
}

fn seal<K: hpke::Kem>(public: &[u8], info: &[u8], plaintext: &[u8]) -> Result<SealedTo, HpkeError> {
    let public = K::PublicKey::from_bytes(public)?;
    let (enc, ct) = hpke::single_shot_seal::<AesGcm256, HkdfSha256, K>(&OpModeS::Base, &public, info, plaintext, b"")?;
    Ok(SealedTo { enc: enc.to_bytes().to_vec(), ct })
}

fn open<K: hpke::Kem>(secret: &Secret<SECRET_BYTES>, info: &[u8], enc: &[u8], ct: &[u8]) -> Result<Vec<u8>, HpkeError> {
    let enc = K::EncappedKey::from_bytes(enc)?;
    let secret = secret_key::<K>(secret)?;
    hpke::single_shot_open::<AesGcm256, HkdfSha256, K>(&OpModeR::Base, &secret, &enc, info, ct, b"")
}

impl fmt::Debug for KemPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KemPublicKey({}, {} bytes)", self.kem, self.bytes.len())
    }
}

impl Serialize for KemPublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("KemPublicKey", 2)?;
        object.serialize_field("kem", &self.kem)?;
        object.serialize_field("kemKey", &b64::encode(&self.bytes))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for KemPublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Members {
            kem: Kem,
            kem_key: String,
        }
        let Members { kem, kem_key } = Members::deserialize(deserializer)?;
        Self::from_text(kem, &kem_key).map_err(D::Error::custom)
    }
}

impl KemPublicKey {
    /// From base64url.
    pub(crate) fn from_text(kem: Kem, text: &str) -> Result<Self, KemError> {
        Self::from_bytes(kem, &b64::decode(text).map_err(|_| KemError::PublicKey(kem))?)
    }
}

#[cfg(test)]
mod tests;
