//! Who may read, as data: what the policy decision point found out and the KTM keeps.

use crate::{id::ScopeId, topic::Topic};
use serde::{Deserialize, Deserializer, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};
use thiserror::Error;

/// Authenticated encryption of a message. The number stands in the header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Suite {
    /// AES-256-GCM (NIST SP 800-38D).
    #[default]
    Aes256Gcm = 1,
    /// ChaCha20-Poly1305 (RFC 8439).
    ChaCha20Poly1305 = 2,
    /// Ascon-AEAD128 (NIST SP 800-232): a key of 128 bits, for readers with little room.
    AsconAead128 = 3,
    /// AES-128-GCM (NIST SP 800-38D), for sources only: many small devices have no other in hardware. No scope is sealed with it.
    Aes128Gcm = 5,
}

impl Suite {
    /// Every suite that this version knows.
    pub const ALL: [Self; 4] = [Self::Aes256Gcm, Self::ChaCha20Poly1305, Self::AsconAead128, Self::Aes128Gcm];

    /// Whether a scope may have it: what NOSs seal for readers.
    pub const fn is_for_readers(self) -> bool {
        !matches!(self, Self::Aes128Gcm)
    }
}

/// A suite that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "unknown suite `{0}`: this version knows aes-256-gcm (1), chacha20-poly1305 (2), ascon-aead128 (3) and, for sources only, \
     aes-128-gcm (5)"
)]
pub struct UnknownSuite(String);

impl From<Suite> for u8 {
    fn from(suite: Suite) -> Self {
        suite as Self
    }
}

impl TryFrom<u8> for Suite {
    type Error = UnknownSuite;
    fn try_from(number: u8) -> Result<Self, UnknownSuite> {
        match number {
            1 => Ok(Self::Aes256Gcm),
            2 => Ok(Self::ChaCha20Poly1305),
            3 => Ok(Self::AsconAead128),
            5 => Ok(Self::Aes128Gcm),
            _ => Err(UnknownSuite(number.to_string())),
        }
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;
    fn from_str(name: &str) -> Result<Self, UnknownSuite> {
        match name {
            "aes-256-gcm" => Ok(Self::Aes256Gcm),
            "chacha20-poly1305" => Ok(Self::ChaCha20Poly1305),
            "ascon-aead128" => Ok(Self::AsconAead128),
            "aes-128-gcm" => Ok(Self::Aes128Gcm),
            _ => Err(UnknownSuite(name.into())),
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes256Gcm => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::AsconAead128 => "ascon-aead128",
            Self::Aes128Gcm => "aes-128-gcm",
        })
    }
}

/// What a message carries besides the ciphertext: bits of the header.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(u8);

impl Flags {
    /// None.
    pub const NONE: Self = Self(0);
    /// An Ed25519 signature of the NOS follows the tag.
    pub const SIGNED: Self = Self(1);
    /// The plaintext is padded.
    pub const PADDED: Self = Self(2);

    /// From the byte of the header; `None` if a bit is set that this version does not know.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !(Self::SIGNED.0 | Self::PADDED.0) == 0 { Some(Self(bits)) } else { None }
    }

    /// The byte of the header.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What must be done when an item is sealed, because a policy that lets somebody read it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Obligations {
    /// Sign each message.
    pub sign: bool,
    /// Pad each plaintext to a multiple of so many bytes; 0 is no padding.
    pub pad_bytes: u16,
    /// Leave these members out of the plaintext.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redact: BTreeSet<Redaction>,
    /// Say on these topics that there was such an item.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub notify: BTreeSet<Topic>,
}

/// A member of an item's `data` that readers do not get: a JSON pointer (RFC 6901) such as `/data/gps/lat`.
///
/// INVARIANT: points below `/data`, and not at `/data/name` or `/data/value`, without which there is no item.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Redaction(Box<str>);

/// Longest pointer of a redaction, in bytes.
pub const REDACTION_BYTES_MAX: usize = 256;
/// Most levels of a redaction, `data` included.
pub const REDACTION_LEVELS_MAX: usize = 16;

/// A text that does not point at something that can be redacted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RedactionError {
    /// Not below `/data`.
    #[error("a redaction points below /data, as /data/gps does")]
    NotBelowData,
    /// `/data/name` or `/data/value`.
    #[error(
        "there is no item without /data/name and /data/value: do not let it be read at all, or redact parts of them"
    )]
    Essential,
    /// A `~` that is neither `~0` nor `~1`.
    #[error("in a JSON pointer, ~ is written ~0, and / within a name ~1")]
    Escape,
    /// More than [`REDACTION_BYTES_MAX`] bytes or [`REDACTION_LEVELS_MAX`] levels.
    #[error("a redaction has at most {REDACTION_BYTES_MAX} bytes and {REDACTION_LEVELS_MAX} levels")]
    TooLong,
}

impl FromStr for Redaction {
    type Err = RedactionError;
    fn from_str(text: &str) -> Result<Self, RedactionError> {
        let below = text.strip_prefix("/data/").ok_or(RedactionError::NotBelowData)?;
        if text.len() > REDACTION_BYTES_MAX || text.split('/').skip(1).count() > REDACTION_LEVELS_MAX {
            return Err(RedactionError::TooLong);
        }
        if text.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) {
            return Err(RedactionError::Escape);
        }
        if matches!(below, "name" | "value") {
            return Err(RedactionError::Essential);
        }
        Ok(Self(text.into()))
    }
}

impl Redaction {
    /// The pointer as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names on the way from the item's `data`, unescaped: `gps` and `a/b` of `/data/gps/a~1b`. At least one.
    pub fn path(&self) -> impl Iterator<Item = String> {
        // The first two parts are the empty one before the first slash and `data`.
        self.0.split('/').skip(2).map(|name| name.replace("~1", "/").replace("~0", "~"))
    }
}

impl fmt::Display for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Redaction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Obligations {
    /// The header flags that these demand.
    pub const fn flags(&self) -> Flags {
        let signed = if self.sign { Flags::SIGNED } else { Flags::NONE };
        let padded = if self.pad_bytes > 0 { Flags::PADDED } else { Flags::NONE };
        signed.union(padded)
    }
}

/// Who may read and under which key terms: the residual of the policies for an item whose reader is unknown.
///
/// Made by the policy decision point, kept in the KTM's scope record. The residuals are canonical texts: one policy a
/// line, sorted; they are evaluated again for each reader who asks for a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScopeSpec {
    /// SHA-256 over all the rest, the realm and the canonicaliser's version.
    pub id: ScopeId,
    /// The residual for a reader that is an app.
    pub app: Box<str>,
    /// The residual for a reader that is a user.
    pub user: Box<str>,
    /// What must be done when sealing.
    pub obligations: Obligations,
    /// How to seal.
    pub suite: Suite,
    /// How long a key lives, in milliseconds: 1 s to the KTM's root period.
    pub life_ms: u64,
}

impl ScopeSpec {
    /// The header flags that a message of this scope must carry.
    pub const fn flags(&self) -> Flags {
        self.obligations.flags()
    }

    /// How long a key lives.
    pub const fn life(&self) -> Duration {
        Duration::from_millis(self.life_ms)
    }
}

#[cfg(test)]
mod tests;
