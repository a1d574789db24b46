//! Records: JSON values in the store, with the secrets inside them wrapped.

use crate::error::KtmError;
use aups_envelope::{Kek, Secret, b64};
use aups_store::{Change, Expect, Revision, Store};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};
use std::{borrow::Cow, sync::Arc};

/// How often a race for a record is run again before we give up. Each loss means that another instance got on.
pub(crate) const RACES_MAX: usize = 16;

/// The store as records.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    store: Arc<dyn Store>,
}

impl Records {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The record under a key, and the revision to expect when it is changed.
    pub(crate) async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, Revision)>, KtmError> {
        let Some(found) = self.store.get(key).await? else { return Ok(None) };
        Ok(Some((read(key, &found.value)?, found.revision)))
    }

    /// Every record under a prefix, in the order of keys.
    pub(crate) async fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T, Revision)>, KtmError> {
        let (found, _) = self.store.list(prefix).await?;
        let records = found.into_iter().map(|(key, found)| {
            let record = read(&key, &found.value)?;
            Ok((key, record, found.revision))
        });
        records.collect()
    }

    /// Does all changes or none. `None`: somebody else was faster; read again.
    pub(crate) async fn commit(&self, changes: Vec<Change>) -> Result<Option<Revision>, KtmError> {
        match self.store.commit(changes).await {
            Ok(revision) => Ok(Some(revision)),
            Err(error) if error.is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The change that writes a record.
pub(crate) fn put<T: Serialize>(key: &str, record: &T, expect: Expect) -> Result<Change, KtmError> {
    let value = serde_json::to_vec(record).map_err(|source| KtmError::Record { key: key.to_owned(), source })?;
    Ok(Change::put(key, value, expect))
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, KtmError> {
    serde_json::from_slice(value).map_err(|source| KtmError::Record { key: key.to_owned(), source })
}

/// A secret as it stands in a record: base64url of what [`Kek::wrap`] made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrapped(Vec<u8>);

impl Wrapped {
    /// Wraps a secret for the record under `key`. `bound` are members of the record that nobody may change without it.
    pub(crate) fn wrap(kek: &Kek, key: &str, bound: &[&[u8]], secret: &Secret<32>) -> Self {
        Self(kek.wrap(&aad(key, bound), secret.expose()))
    }

    /// Unwraps the secret of the record under `key`; fails if the record or what is bound to it was changed.
    pub(crate) fn unwrap(&self, kek: &Kek, key: &str, bound: &[&[u8]]) -> Result<Secret<32>, KtmError> {
        kek.unwrap_array(&aad(key, bound), &self.0).map_err(|_| KtmError::Altered { key: key.to_owned() })
    }
}

/// The record's key and the bound members, each preceded by its length as a u32.
fn aad(key: &str, bound: &[&[u8]]) -> Vec<u8> {
    let mut aad = Vec::new();
    for part in [key.as_bytes()].iter().chain(bound) {
        aad.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&b64::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Wrapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        b64::decode(&text).map(Self).map_err(D::Error::custom)
    }
}
