//! What a realm says of its certificate authority, so that whoever knows the realm can trust the TLS of its servers: the
//! certificates of X.509, signed with the realm key.

use crate::{
    enrol::CA_BYTES_MAX,
    jws::{self, Jws, JwsError, Kid},
    sign::{BadSignature, SigningKey, VerifyingKey, realm_id},
};
use aups_core::RealmId;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest statement that is read, in bytes.
pub const AUTHORITY_BYTES_MAX: usize = 16 << 10;

const TYPE: &str = "aups-ca";

/// A statement that is not taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// More than [`AUTHORITY_BYTES_MAX`], or more certificates than [`CA_BYTES_MAX`].
    #[error("a statement on a certificate authority has at most {AUTHORITY_BYTES_MAX} bytes")]
    TooLong,
    /// Not a JWS of this form.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// Not signed by the realm's key.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// Of another realm than the one that was asked for.
    #[error("it is of another realm")]
    OtherRealm,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Claims {
    realm: RealmId,
    realm_key: VerifyingKey,
    ca: String,
}

/// Signs the certificates, in PEM. On the wire: JWS of type `aups-ca`, no kid.
pub fn sign(ca: &str, realm: &SigningKey) -> String {
    let realm_key = realm.public();
    let claims = Claims { realm: realm_id(&realm_key), realm_key, ca: ca.to_owned() };
    jws::sign(TYPE, None, &jws::to_json(&claims), realm)
}

/// The certificates, in PEM, if it is this realm that vouches for them. What they are is for the caller to see.
pub fn verify(statement: &[u8], of: RealmId) -> Result<String, AuthorityError> {
    if statement.len() > AUTHORITY_BYTES_MAX {
        return Err(AuthorityError::TooLong);
    }
    let jws = Jws::parse(statement, TYPE, Kid::Absent)?;
    let Claims { realm, realm_key, ca } = jws.claims()?;
    if realm != of || realm_id(&realm_key) != of {
        return Err(AuthorityError::OtherRealm);
    }
    jws.verify(&realm_key)?;
    if ca.len() > CA_BYTES_MAX {
        return Err(AuthorityError::TooLong);
    }
    Ok(ca)
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn only_the_realm_that_is_asked_for_can_vouch() {
        let (realm, other) = (SigningKey::generate(), SigningKey::generate());
        let statement = sign("PEM", &realm);
        assert_eq!(verify(statement.as_bytes(), realm_id(&realm.public())).unwrap(), "PEM");
        let foreign = verify(statement.as_bytes(), realm_id(&other.public()));
        assert!(matches!(foreign, Err(AuthorityError::OtherRealm)));
        // The realm's own key and name over what somebody else signed.
        let claims = Claims { realm: realm_id(&realm.public()), realm_key: realm.public(), ca: "PEM".into() };
        let forged = jws::sign(TYPE, None, &jws::to_json(&claims), &other);
        let forged = verify(forged.as_bytes(), realm_id(&realm.public()));
        assert!(matches!(forged, Err(AuthorityError::BadSignature(_))));
        let long = sign(&"x".repeat(CA_BYTES_MAX + 1), &realm);
        assert!(matches!(verify(long.as_bytes(), realm_id(&realm.public())), Err(AuthorityError::TooLong)));
    }
}
