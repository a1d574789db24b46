//! What is kept of a secret that somebody else has: its SHA-256.

use aups_envelope::{b64, constant_time_eq, sha256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A SHA-256, base64url in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Of a secret of 256 random bits: a plain hash of it cannot be searched.
    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(sha256(&[secret]))
    }

    /// Whether both are of the same secret; takes the same time whatever differs.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        constant_time_eq(&self.0, &other.0)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        b64::decode_array(&String::deserialize(deserializer)?).map(Self).map_err(serde::de::Error::custom)
    }
}
