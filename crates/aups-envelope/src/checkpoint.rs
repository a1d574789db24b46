//! How far an audit trail goes and what it says up to there, signed: whoever keeps a checkpoint elsewhere can tell later
//! whether anything before it was changed, removed or cut off.

use crate::{
    certificate::{Certificate, CertificateError},
    jws::{self, Jws, JwsError, Kid},
    sign::{BadSignature, SigningKey, VerifyingKey},
};
use aups_core::UnixMillis;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest checkpoint.
pub const CHECKPOINT_BYTES_MAX: usize = 4 << 10;

const TYPE: &str = "aups-audit";

/// What is signed of a trail. On the wire: JWS of type `aups-audit`, no kid, signed by the realm, or by a NOS that the realm
/// certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The realm's key. Whoever verifies compares it with the one that it knows.
    pub realm_key: VerifyingKey,
    /// The certificate of the NOS that signed; absent: the realm did.
    #[serde(default, deserialize_with = "jws::present", skip_serializing_if = "Option::is_none")]
    pub nos: Option<String>,
    /// The number of the newest line.
    pub number: u64,
    /// SHA-256 of that line, which has the hash of the line before it, and so on.
    #[serde(with = "jws::bytes")]
    pub hash: [u8; 32],
    /// When it was signed.
    pub at: UnixMillis,
}

/// A checkpoint that is not to be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// More than [`CHECKPOINT_BYTES_MAX`].
    #[error("a checkpoint has at most {CHECKPOINT_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Of another realm than the one that is asked for.
    #[error("it is of the realm whose key is {0}")]
    OtherRealm(VerifyingKey),
    /// The NOS that signed it was not certified then.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Signed by another key, or changed.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
}

impl Checkpoint {
    /// Signs with the realm's key, or with that of the NOS whose certificate it carries.
    pub fn sign(&self, key: &SigningKey) -> String {
        jws::sign(TYPE, None, &jws::to_json(self), key)
    }

    /// Reads and verifies a checkpoint under the key of this realm. Without one, under the key that it carries: that says
    /// only that whoever holds that key signed it.
    pub fn verify(checkpoint: &str, realm_key: Option<&VerifyingKey>) -> Result<Self, CheckpointError> {
        if checkpoint.len() > CHECKPOINT_BYTES_MAX {
            return Err(CheckpointError::TooLong(checkpoint.len()));
        }
        let jws = Jws::parse(checkpoint.as_bytes(), TYPE, Kid::Absent)?;
        let claims: Self = jws.claims()?;
        if realm_key.is_some_and(|expected| *expected != claims.realm_key) {
            return Err(CheckpointError::OtherRealm(claims.realm_key));
        }
        let signer = match &claims.nos {
            Some(certificate) => Certificate::verify(certificate, &claims.realm_key, claims.at)?.signing_key,
            None => claims.realm_key,
        };
        jws.verify(&signer)?;
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;
