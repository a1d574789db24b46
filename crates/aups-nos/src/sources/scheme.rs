//! How a source seals what it sends: the paper's `EncryptionScheme`.

use aups_core::Suite;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// How a source may seal what it sends. In JSON its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum EncryptionScheme {
    /// It does not.
    #[default]
    None,
    /// With a key of its own.
    Sealed(Suite),
}

impl EncryptionScheme {
    /// The suite of one that seals.
    pub const fn suite(self) -> Option<Suite> {
        match self {
            Self::None => None,
            Self::Sealed(suite) => Some(suite),
        }
    }
}

const NONE: &str = "none";

/// A scheme that this version does not know. Who names it is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("use none (the default), aes-128-gcm, aes-256-gcm, chacha20-poly1305 or ascon-aead128")]
pub struct UnknownScheme;

impl FromStr for EncryptionScheme {
    type Err = UnknownScheme;
    fn from_str(name: &str) -> Result<Self, UnknownScheme> {
        match name {
            NONE => Ok(Self::None),
            name => name.parse().map(Self::Sealed).map_err(|_| UnknownScheme),
        }
    }
}

impl TryFrom<String> for EncryptionScheme {
    type Error = UnknownScheme;
    fn try_from(name: String) -> Result<Self, UnknownScheme> {
        name.parse()
    }
}

impl From<EncryptionScheme> for String {
    fn from(scheme: EncryptionScheme) -> Self {
        scheme.to_string()
    }
}

impl fmt::Display for EncryptionScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str(NONE),
            Self::Sealed(suite) => suite.fmt(f),
        }
    }
}
