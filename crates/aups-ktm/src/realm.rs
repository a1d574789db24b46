//! The realm's own key: what readers and NOSs pin, and everything that the realm says is signed with.

use crate::{
    custody,
    error::KtmError,
    records::{RACES_MAX, Records, Wrapped, put},
};
use aups_core::RealmId;
use aups_envelope::{Kek, SigningKey, VerifyingKey, realm_id};
use aups_store::{Expect, Store};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const KEY: &str = "ktm/realm";

/// One administration, named by the hash of its Ed25519 key.
#[derive(Debug)]
pub struct Realm {
    id: RealmId,
    signing_key: SigningKey,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RealmRecord {
    public_key: VerifyingKey,
    seed: Wrapped,
}

impl Realm {
    /// The realm of this store; at the first start, a new one.
    ///
    /// [`KtmError::WrongKek`] if the store was made with another KEK.
    pub async fn open(store: Arc<dyn Store>, kek: &Kek) -> Result<Self, KtmError> {
        let records = Records::new(store);
        custody::check_fit(&records, kek).await?;
        for _ in 0..RACES_MAX {
            if let Some((record, _)) = records.get::<RealmRecord>(KEY).await? {
                return Self::from_record(&record, kek);
            }
            let signing_key = SigningKey::generate();
            let public_key = signing_key.public();
            let seed = Wrapped::wrap(kek, KEY, &[public_key.as_bytes()], &signing_key.seed());
            // If another instance is faster, its key is the realm's.
            if records.commit(vec![put(KEY, &RealmRecord { public_key, seed }, Expect::Absent)?]).await?.is_some() {
                tracing::info!(realm = %realm_id(&public_key), "made a realm");
                return Ok(Self { id: realm_id(&public_key), signing_key });
            }
        }
        Err(KtmError::Contended { key: KEY.to_owned() })
    }

    fn from_record(record: &RealmRecord, kek: &Kek) -> Result<Self, KtmError> {
        let seed = record.seed.unwrap(kek, KEY, &[record.public_key.as_bytes()])?;
        Ok(Self { id: realm_id(&record.public_key), signing_key: SigningKey::from_seed(seed) })
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
