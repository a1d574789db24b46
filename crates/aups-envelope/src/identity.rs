//! A reader's identity file. Reading and writing it, mode 0600, is the caller's.

use crate::{
    enrol::{CA_BYTES_MAX, Enrolled, IDENTITY_VERSION, MqttAccess},
    jws::{self, Object, object_from_slice},
    kem::{Kem, KemSecretKey},
    secret::{Secret, SecretBytes},
    sign::{SigningKey, VerifyingKey, realm_id},
};
use aups_core::{ReaderKind, RealmId, Sub};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Everything that a reader needs to be one.
#[derive(Debug)]
pub struct IdentityFile {
    /// User or app.
    pub kind: ReaderKind,
    /// Its name.
    pub sub: Sub,
    /// Its realm.
    pub realm: RealmId,
    /// The realm's key.
    pub realm_key: VerifyingKey,
    /// Where key requests go.
    pub server: String,
    /// How to reach the broker.
    pub mqtt: MqttAccess,
    /// The authorities of both, in PEM; none: there is no TLS, or the system knows them.
    pub ca: Option<String>,
    /// Signs its requests.
    pub signing_key: SigningKey,
    /// Opens the answers.
    pub kem: KemSecretKey,
}

/// Bytes that are no identity file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not a JSON object of exactly the members of an identity file.
    #[error("not an identity file")]
    Json(#[source] serde_json::Error),
    /// A version that this version of ours does not know.
    #[error("the identity file has version {0}, this program knows version 1")]
    Version(u8),
    /// The realm's id is not the hash of its key: somebody changed one of them.
    #[error("`realm` is not the hash of `realmKey`")]
    Realm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    version: u8,
    kind: ReaderKind,
    sub: Sub,
    realm: RealmId,
    realm_key: VerifyingKey,
    server: String,
    mqtt: Object<MqttAccess>,
    #[serde(default, deserialize_with = "jws::present", skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(with = "jws::secret")]
    signing_key: Secret<32>,
    kem: Kem,
    #[serde(with = "jws::secret")]
    kem_key: Secret<32>,
}

impl IdentityFile {
    /// From what the realm answered and the keys that the reader made.
    pub fn new(enrolled: Enrolled, signing_key: SigningKey, kem: KemSecretKey) -> Self {
        let Enrolled { kind, sub, realm, realm_key, server, mqtt, ca, .. } = enrolled;
        Self { kind, sub, realm, realm_key, server, mqtt, ca, signing_key, kem }
    }

    /// The file: JSON, secret keys as base64url.
    ///
    /// # Panics
    /// Never: all members can be written as JSON.
    #[expect(clippy::expect_used, reason = "fails only for values that this crate does not write")]
    pub fn to_json(&self) -> SecretBytes {
        /// More than a file takes that our own server made; a longer one only leaves a copy in freed memory.
        const FILE_BYTES: usize = 4_096 + CA_BYTES_MAX;
        let members = Members {
            version: IDENTITY_VERSION,
            kind: self.kind,
            sub: self.sub.clone(),
            realm: self.realm,
            realm_key: self.realm_key,
            server: self.server.clone(),
            mqtt: Object(self.mqtt.clone()),
            ca: self.ca.clone(),
            signing_key: self.signing_key.seed(),
            kem: self.kem.kem(),
            kem_key: self.kem.bytes().duplicate(),
        };
        let mut json = SecretBytes::from_vec(Vec::with_capacity(FILE_BYTES));
        serde_json::to_writer_pretty(json.writer(), &members).expect("texts and numbers can be written as JSON");
        json
    }

    /// Reads a file.
    pub fn from_json(json: &[u8]) -> Result<Self, IdentityError> {
        let members: Members = object_from_slice(json).map_err(IdentityError::Json)?;
        if members.version != IDENTITY_VERSION {
            return Err(IdentityError::Version(members.version));
        }
        if members.realm != realm_id(&members.realm_key) {
            return Err(IdentityError::Realm);
        }
        Ok(Self {
            kind: members.kind,
            sub: members.sub,
            realm: members.realm,
            realm_key: members.realm_key,
            server: members.server,
            mqtt: members.mqtt.0,
            ca: members.ca,
            signing_key: SigningKey::from_seed(members.signing_key),
            kem: KemSecretKey::from_bytes(members.kem, members.kem_key),
        })
    }
}

#[cfg(test)]
mod tests;
