//! Enrolment: a one-time token becomes a reader's identity.

use crate::{
    b64,
    hash::{constant_time_eq, sha256},
    jws::{self, Jws, JwsError, Kid, Object},
    kem::{Kem, KemError, KemPublicKey},
    secret::Secret,
    sign::{BadSignature, SigningKey, VerifyingKey, realm_id},
};
use aups_core::{ReaderKind, RealmId, Sub, UnixMillis};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Largest enrolment request or answer.
pub const ENROL_BYTES_MAX: usize = 16 << 10;

/// Most bytes of certificates that a realm tells its readers to trust, in PEM.
pub const CA_BYTES_MAX: usize = 8 << 10;

const REQUEST_TYPE: &str = "aups-enrol";
const ENROLLED_TYPE: &str = "aups-enrolled";
/// Version of what the answer says and of the identity file.
pub(crate) const IDENTITY_VERSION: u8 = 1;

/// What the administrator hands to a reader, once: a secret, and the hash of the realm key that the reader is to trust.
///
/// As text: `<base64url of 32 random bytes>.<base64url of SHA-256(realm key)>`. The text is the one secret of ours that has
/// a `Display`: it is there to be printed.
#[derive(Debug)]
pub struct EnrolmentToken {
    secret: Secret<32>,
    realm: RealmId,
}

/// A text that is no enrolment token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an enrolment token: two texts of 43 characters with a dot between")]
pub struct EnrolmentTokenError;

impl EnrolmentToken {
    /// Puts a token together.
    pub fn new(secret: Secret<32>, realm_key: &VerifyingKey) -> Self {
        Self { secret, realm: realm_id(realm_key) }
    }

    /// The first part: what the server knows.
    pub fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// The realm that the token is for.
    pub fn realm(&self) -> RealmId {
        self.realm
    }
}

impl fmt::Display for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", b64::encode(self.secret.expose()), self.realm)
    }
}

impl FromStr for EnrolmentToken {
    type Err = EnrolmentTokenError;
    fn from_str(text: &str) -> Result<Self, EnrolmentTokenError> {
        let (secret, realm) = text.split_once('.').ok_or(EnrolmentTokenError)?;
        let secret = b64::decode_array(secret).map(Secret::from_bytes).map_err(|_| EnrolmentTokenError)?;
        Ok(Self { secret, realm: realm.parse().map_err(|_| EnrolmentTokenError)? })
    }
}

/// What a reader sends to enrol. On the wire: JWS of type `aups-enrol`, no kid, signed by the new key.
#[derive(Debug)]
pub struct EnrolRequest {
    /// The first part of the token.
    pub token: Secret<32>,
    /// The new key.
    pub signing_key: VerifyingKey,
    /// What the reader's keys are to be sealed to.
    pub kem: KemPublicKey,
    /// When the request was made, by the reader's clock.
    pub iat: UnixMillis,
}

/// An enrolment request or answer that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// More than [`ENROL_BYTES_MAX`].
    #[error("an enrolment has at most {ENROL_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// The KEM key is none.
    #[error(transparent)]
    Kem(#[from] KemError),
    /// Not signed by the new key, or not by the realm's.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// The answer names a realm key that the token does not.
    #[error(
        "the realm key is not the one that the token names: somebody stands between, or the token is for another realm"
    )]
    OtherRealm,
    /// The answer to another request.
    #[error("an answer to another request")]
    OtherRequest,
    /// A version of the answer that this version of ours does not know.
    #[error("the answer has version {0}, this program knows version 1")]
    Version(u8),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RequestClaims {
    #[serde(with = "jws::secret")]
    token: Secret<32>,
    signing_key: VerifyingKey,
    kem: Kem,
    kem_key: String,
    iat: UnixMillis,
}

impl EnrolRequest {
    /// Signs with the new key, the secret half of `signing_key`.
    pub fn sign(&self, key: &SigningKey) -> String {
        let claims = RequestClaims {
            token: self.token.duplicate(),
            signing_key: self.signing_key,
            kem: self.kem.kem(),
            kem_key: b64::encode(self.kem.as_bytes()),
            iat: self.iat,
        };
        jws::sign(REQUEST_TYPE, None, &jws::to_json(&claims), key)
    }

    /// Reads a request and verifies that its sender holds the key that it carries. Whether the token is good is for the
    /// caller. Checked in this order: size, form, signature, KEM key.
    pub fn verify(request: &[u8]) -> Result<Self, EnrolError> {
        if request.len() > ENROL_BYTES_MAX {
            return Err(EnrolError::TooLong(request.len()));
        }
        let jws = Jws::parse(request, REQUEST_TYPE, Kid::Absent)?;
        let RequestClaims { token, signing_key, kem, kem_key, iat } = jws.claims()?;
        jws.verify(&signing_key)?;
        Ok(Self { token, signing_key, kem: KemPublicKey::from_text(kem, &kem_key)?, iat })
    }

    /// The first part of the token, to be looked up.
    pub fn token(&self) -> &[u8; 32] {
        self.token.expose()
    }
}

/// How a reader reaches the broker.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MqttAccess {
    /// `mqtt://` or `mqtts://`.
    pub url: String,
    /// The reader's name.
    pub username: String,
    /// Random, apart from the keys.
    pub password: String,
}

impl fmt::Debug for MqttAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttAccess").field("url", &self.url).field("username", &self.username).finish_non_exhaustive()
    }
}

/// What the realm answers. On the wire: JWS of type `aups-enrolled`, no kid, signed by the realm key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// SHA-256 of the request.
    pub rh: [u8; 32],
    /// User or app.
    pub kind: ReaderKind,
    /// The reader's name.
    pub sub: Sub,
    /// The realm.
    pub realm: RealmId,
    /// Its key.
    pub realm_key: VerifyingKey,
    /// Where key requests go.
    pub server: String,
    /// How to reach the broker.
    pub mqtt: MqttAccess,
    /// The authorities of both, in PEM; none: there is no TLS, or the system knows them.
    pub ca: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EnrolledClaims {
    #[serde(with = "jws::bytes")]
    rh: [u8; 32],
    version: u8,
    kind: ReaderKind,
    sub: Sub,
    realm: RealmId,
    realm_key: VerifyingKey,
    server: String,
    mqtt: Object<MqttAccess>,
    #[serde(default, deserialize_with = "jws::present", skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
}

impl Enrolled {
    /// Signs with the realm's key.
    pub fn sign(&self, realm: &SigningKey) -> String {
        let Self { rh, kind, sub, realm: id, realm_key, server, mqtt, ca } = self.clone();
        let (version, mqtt) = (IDENTITY_VERSION, Object(mqtt));
        let claims = EnrolledClaims { rh, version, kind, sub, realm: id, realm_key, server, mqtt, ca };
        jws::sign(ENROLLED_TYPE, None, &jws::to_json(&claims), realm)
    }

    /// Reads and verifies the answer to a request. Checked in this order: size, form, version, that the token names the
    /// realm key, signature, realm, `rh`.
    pub fn verify(answer: &[u8], request: &[u8], token: &EnrolmentToken) -> Result<Self, EnrolError> {
        if answer.len() > ENROL_BYTES_MAX {
            return Err(EnrolError::TooLong(answer.len()));
        }
        let jws = Jws::parse(answer, ENROLLED_TYPE, Kid::Absent)?;
        let EnrolledClaims { rh, version, kind, sub, realm, realm_key, server, mqtt: Object(mqtt), ca } =
            jws.claims()?;
        if version != IDENTITY_VERSION {
            return Err(EnrolError::Version(version));
        }
        if !constant_time_eq(realm_id(&realm_key).as_bytes(), token.realm.as_bytes()) {
            return Err(EnrolError::OtherRealm);
        }
        jws.verify(&realm_key)?;
        if realm != token.realm {
            return Err(EnrolError::OtherRealm);
        }
        if rh != sha256(&[request]) {
            return Err(EnrolError::OtherRequest);
        }
        Ok(Self { rh, kind, sub, realm, realm_key, server, mqtt, ca })
    }
}

#[cfg(test)]
mod tests;
