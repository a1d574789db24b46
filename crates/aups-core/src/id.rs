//! Ids: names that people choose, and fixed-width values that the system makes. Each is a type of its own, checked once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A text that is not a name: names match `[A-Za-z0-9._~-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a {what}: use 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -")]
pub struct NameError {
    what: &'static str,
    text: String,
}

/// Whether a byte may stand in a name.
pub const fn is_name_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $type(Box<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_name_byte) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { what: $what, text: text.chars().take(NAME_BYTES_MAX + 1).collect() })
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

name!(
    /// A thing that sends data in (the paper's NodeId).
    NodeId,
    "NodeId"
);
name!(
    /// A registered reader: unique across users and apps.
    Sub,
    "reader name (sub)"
);
name!(
    /// A Networked Smart Object.
    NosId,
    "NOS id"
);
name!(
    /// A group of readers.
    GroupName,
    "group name"
);
name!(
    /// An administrator's token.
    TokenName,
    "token name"
);

/// A text that is not the canonical base64url (RFC 4648 section 5, no padding) of so many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not the base64url (without padding) of {bytes} bytes")]
pub struct FixedBytesError {
    bytes: usize,
}

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $type:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type([u8; $bytes]);

        impl $type {
            /// Length in bytes.
            pub const BYTES: usize = $bytes;
            /// From its bytes.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }
            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = FixedBytesError;
            fn from_str(text: &str) -> Result<Self, FixedBytesError> {
                // One byte more than wanted, so that a longer text fails by length and not by overflow.
                let mut bytes = [0; $bytes + 3];
                match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
                    Ok($bytes) => bytes.first_chunk().copied().map(Self).ok_or(FixedBytesError { bytes: $bytes }),
                    _ => Err(FixedBytesError { bytes: $bytes }),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({})"), self)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

fixed_bytes!(
    /// One administration: SHA-256 of its Ed25519 public key.
    RealmId,
    32
);
fixed_bytes!(
    /// Who may read: SHA-256 over the canonical residual of the policies and what goes with it.
    ScopeId,
    32
);
fixed_bytes!(
    /// Eight random bytes that name a scope record on the wire, unique in the realm.
    ScopeTag,
    8
);
fixed_bytes!(
    /// Names a temporary key and commits to it: `scopeTag(8) ‖ epoch(4) ‖ bump(2) ‖ commit(10)`.
    KeyId,
    24
);

/// The n-th validity interval of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// A scope's revocation counter: never resets, holds for all later epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bump(pub u16);

/// The slot that the KTM gave a NOS, never reused. Zero is no NOS: a source that seals for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublisherSlot(pub u32);

/// One incarnation of a publisher: `incarnation(u32, strictly rising per slot) ‖ random(u32)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Session(pub u64);

impl Session {
    /// From its two halves.
    pub const fn new(incarnation: u32, random: u32) -> Self {
        Self(((incarnation as u64) << 32) | random as u64)
    }

    /// The half that the KTM gave and that rises.
    pub const fn incarnation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl KeyId {
    /// Bytes of the commitment.
    pub const COMMIT_BYTES: usize = 10;

    /// Puts a key id together.
    pub fn new(tag: ScopeTag, epoch: Epoch, bump: Bump, commit: [u8; Self::COMMIT_BYTES]) -> Self {
        let mut bytes = [0; Self::BYTES];
        let (head, rest) = bytes.split_at_mut(ScopeTag::BYTES);
        head.copy_from_slice(tag.as_bytes());
        let (epoch_bytes, rest) = rest.split_at_mut(4);
        epoch_bytes.copy_from_slice(&epoch.0.to_be_bytes());
        let (bump_bytes, commit_bytes) = rest.split_at_mut(2);
        bump_bytes.copy_from_slice(&bump.0.to_be_bytes());
        commit_bytes.copy_from_slice(&commit);
        Self(bytes)
    }

    /// The scope record that the key belongs to.
    pub fn scope_tag(&self) -> ScopeTag {
        ScopeTag(self.part::<0, { ScopeTag::BYTES }>())
    }

    /// The validity interval that the key is for.
    pub fn epoch(&self) -> Epoch {
        Epoch(u32::from_be_bytes(self.part::<8, 4>()))
    }

    /// The revocation counter that the key is for.
    pub fn bump(&self) -> Bump {
        Bump(u16::from_be_bytes(self.part::<12, 2>()))
    }

    /// The commitment to the key and its terms.
    pub fn commit(&self) -> [u8; Self::COMMIT_BYTES] {
        self.part::<14, { Self::COMMIT_BYTES }>()
    }

    fn part<const FROM: usize, const LEN: usize>(&self) -> [u8; LEN] {
        const { assert!(FROM + LEN <= Self::BYTES) };
        std::array::from_fn(|i| self.0.get(FROM + i).copied().unwrap_or_default())
    }
}

/// An item's id: a `UUIDv7` (RFC 9562) given at acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ItemId(pub uuid::Uuid);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

#[cfg(test)]
mod tests;
