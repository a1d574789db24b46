//! The realm's own key: what readers and NOSs pin, and everything that the realm says is signed with.

use crate::{
    custody::{self, Keyring},
    error::KtmError,
    records::Records,
};
use aups_core::RealmId;
use aups_envelope::{SigningKey, VerifyingKey, realm_id};
use aups_store::Store;
use std::sync::Arc;

const KEY: &str = "ktm/realm";

/// One administration, named by the hash of its Ed25519 key.
#[derive(Debug)]
pub struct Realm {
    id: RealmId,
    signing_key: SigningKey,
}

impl Realm {
    /// The realm of this store; at the first start, a new one.
    ///
    /// [`KtmError::WrongKek`] if the store was made with another KEK.
    pub async fn open(store: Arc<dyn Store>, keyring: &Keyring) -> Result<Self, KtmError> {
        let signing_key = custody::signing_key(&Records::new(store), keyring, KEY).await?;
        Ok(Self { id: realm_id(&signing_key.public()), signing_key })
    }

    /// Its name.
    pub const fn id(&self) -> RealmId {
        self.id
    }

    /// What its signatures verify under.
    pub fn public(&self) -> VerifyingKey {
        self.signing_key.public()
    }

    /// What certificates and enrolments are signed with.
    pub const fn signing_key(&self) -> &SigningKey {
        &self.signing_key
    }
}

#[cfg(test)]
mod tests;
