//! How a reader shows who it is where there is no body to sign: `GET /v1/topics`.

use crate::{
    jws::{self, Jws, JwsError, Kid},
    sign::{BadSignature, SigningKey, VerifyingKey},
};
use aups_core::{RealmId, Sub, UnixMillis};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest token.
pub const BEARER_BYTES_MAX: usize = 2 << 10;

const TYPE: &str = "aups-auth";

/// A Bearer token. On the wire: JWS of type `aups-auth`, kid = sub, signed by the reader.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    /// The realm that is asked. Whoever answers compares it with its own.
    pub aud: RealmId,
    /// Who asks.
    pub sub: Sub,
    /// When, by the reader's clock.
    pub iat: UnixMillis,
    /// Random: no two tokens are the same.
    #[serde(with = "jws::bytes")]
    pub jti: [u8; 16],
}

/// A token that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BearerError {
    /// More than [`BEARER_BYTES_MAX`].
    #[error("a Bearer token has at most {BEARER_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// `kid` names somebody else than `sub`.
    #[error("`kid` and `sub` name different readers")]
    OtherSubject,
    /// Not signed by the reader's key.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
}

impl Bearer {
    /// Signs with the reader's key.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(TYPE, Some(self.sub.as_str()), &jws::to_json(self), key)
    }

    /// Whose token it says it is, before anybody verified it.
    pub fn peek_sub(token: &[u8]) -> Result<Sub, BearerError> {
        Self::parse(token).map(|(_, bearer)| bearer.sub)
    }

    /// Reads and verifies a token. Whether `iat` is good, `aud` is the realm and `jti` is new is for the caller.
    pub fn verify(token: &[u8], key: &VerifyingKey) -> Result<Self, BearerError> {
        let (jws, bearer) = Self::parse(token)?;
        jws.verify(key)?;
        Ok(bearer)
    }

    fn parse(token: &[u8]) -> Result<(Jws<'_>, Self), BearerError> {
        if token.len() > BEARER_BYTES_MAX {
            return Err(BearerError::TooLong(token.len()));
        }
        let jws = Jws::parse(token, TYPE, Kid::Present)?;
        let bearer: Self = jws.claims()?;
        if jws.kid() == bearer.sub.as_str() { Ok((jws, bearer)) } else { Err(BearerError::OtherSubject) }
    }
}

#[cfg(test)]
mod tests;
