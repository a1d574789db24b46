//! Certificates of NOSs: the realm key says which slot belongs to which signing key.

use crate::{
    jws::{self, Jws, JwsError, Kid},
    sign::{BadSignature, SigningKey, VerifyingKey},
};
use aups_core::{NosId, PublisherSlot, UnixMillis, limits::SKEW_MAX};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const TYPE: &str = "aups-nos";

/// What the realm says about a NOS. On the wire: JWS of type `aups-nos`, no kid, signed by the realm key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Certificate {
    /// Its name.
    pub nos: NosId,
    /// Its slot, which stands in the header of its messages.
    pub publisher: PublisherSlot,
    /// The key that it signs with.
    pub signing_key: VerifyingKey,
    /// When the certificate was issued.
    pub iat: UnixMillis,
    /// When it ends.
    pub exp: UnixMillis,
}

/// A certificate that is not to be believed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Slot 0 is no NOS.
    #[error("slot 0 belongs to no NOS")]
    NoPublisher,
    /// Now is more than 30 s outside of its time.
    #[error("the certificate holds from {iat} to {exp}, and now is {now}")]
    Time {
        /// Its begin.
        iat: UnixMillis,
        /// Its end.
        exp: UnixMillis,
        /// The verifier's clock.
        now: UnixMillis,
    },
}

impl From<BadSignature> for CertificateError {
    fn from(error: BadSignature) -> Self {
        Self::Jws(error.into())
    }
}

impl Certificate {
    /// Signs with the realm's key.
    pub fn issue(&self, realm: &SigningKey) -> String {
        jws::sign(TYPE, None, &jws::to_json(self), realm)
    }

    /// Verifies a certificate: form, signature, slot, time (give or take 30 s).
    pub fn verify(jws: &str, realm_key: &VerifyingKey, now: UnixMillis) -> Result<Self, CertificateError> {
        let jws = Jws::parse(jws.as_bytes(), TYPE, Kid::Absent)?;
        let certificate: Self = jws.claims()?;
        jws.verify(realm_key)?;
        let Self { iat, exp, .. } = certificate;
        if certificate.publisher == PublisherSlot(0) {
            Err(CertificateError::NoPublisher)
        } else if now.plus(SKEW_MAX) < iat || exp.plus(SKEW_MAX) < now {
            Err(CertificateError::Time { iat, exp, now })
        } else {
            Ok(certificate)
        }
    }
}

#[cfg(test)]
mod tests;
