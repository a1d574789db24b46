//! Records: JSON values in the store, with the secrets inside them wrapped.

use crate::{custody::Keyring, error::KtmError};
use aups_envelope::{Kek, Secret, SecretBytes, b64, constant_time_eq, sha256};
use aups_store::{Change, Expect, Listed, Revision, Store};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _, ser::SerializeStruct as _,
};
use serde_json::{Map, Value};
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
        Ok(self.list_as_of(prefix).await?.0)
    }

    /// The same, and the store's revision as of which.
    pub(crate) async fn list_as_of<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<(Vec<(String, T, Revision)>, Revision), KtmError> {
        let (found, revision) = self.store.list(prefix).await?;
        let records = found.into_iter().map(|(key, found)| {
            let record = read(&key, &found.value)?;
            Ok((key, record, found.revision))
        });
        Ok((records.collect::<Result<_, KtmError>>()?, revision))
    }

    /// Every item of the store, whoever keeps it there, and the revision as of which.
    pub(crate) async fn everything(&self) -> Result<Listed, KtmError> {
        Ok(self.store.list("").await?)
    }

    /// A record that was read elsewhere.
    pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, KtmError> {
        read(key, value)
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

/// A secret as it stands in a record: an object with the one member `wrapped`, base64url of what [`Kek::wrap`] made of the
/// secret and a hash of what is bound to it, for the record's key.
///
/// So whoever wraps everything anew ([`rewrapped`]) need not know what a record is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrapped(Vec<u8>);

/// The secret, then the hash of what is bound to it.
const WRAPPED_BYTES: usize = 32 + 32;

const MEMBER: &str = "wrapped";

impl Wrapped {
    /// Wraps a secret for the record under `key`. `bound` are members of the record that nobody may change without it.
    pub(crate) fn wrap(keyring: &Keyring, key: &str, bound: &[&[u8]], secret: &Secret<32>) -> Self {
        // Of this capacity from the start: a buffer that grows leaves a copy behind.
        let mut both = Vec::with_capacity(WRAPPED_BYTES);
        both.extend_from_slice(secret.expose());
        both.extend_from_slice(&bound_hash(bound));
        Self(keyring.wrap(key.as_bytes(), SecretBytes::from_vec(both).expose()))
    }

    /// Unwraps the secret of the record under `key`; fails if the record or what is bound to it was changed.
    pub(crate) fn unwrap(&self, keyring: &Keyring, key: &str, bound: &[&[u8]]) -> Result<Secret<32>, KtmError> {
        let altered = || KtmError::Altered { key: key.to_owned() };
        let both = keyring.unwrap::<WRAPPED_BYTES>(key.as_bytes(), &self.0).map_err(|_| altered())?;
        let (secret, hash) = both.expose().split_at(32);
        if !constant_time_eq(hash, &bound_hash(bound)) {
            return Err(altered());
        }
        Secret::from_slice(secret).ok_or_else(altered)
    }
}

/// The value of a record with everything in it that lies under a version of the KEK before `version` wrapped anew. `None`: there is
/// nothing of that kind.
pub(crate) fn rewrapped(keyring: &Keyring, version: u32, key: &str, value: &[u8]) -> Result<Option<Vec<u8>>, KtmError> {
    // Most of what others keep in the store is told apart without reading it as JSON.
    if !value.windows(MEMBER.len()).any(|window| window == MEMBER.as_bytes()) {
        return Ok(None);
    }
    let Ok(mut record) = serde_json::from_slice::<Value>(value) else { return Ok(None) };
    if !rewrap_within(keyring, version, key, &mut record)? {
        return Ok(None);
    }
    serde_json::to_vec(&record).map(Some).map_err(|source| KtmError::Record { key: key.to_owned(), source })
}

/// Whether there was something. Records are flat, or nearly: what JSON nests deeper, its reader refuses.
fn rewrap_within(keyring: &Keyring, version: u32, key: &str, value: &mut Value) -> Result<bool, KtmError> {
    match value {
        Value::Object(members) if members.len() == 1 && members.contains_key(MEMBER) => {
            rewrap_one(keyring, version, key, members)
        }
        Value::Object(members) => members
            .values_mut()
            .try_fold(false, |some, member| Ok(rewrap_within(keyring, version, key, member)? || some)),
        Value::Array(elements) => elements
            .iter_mut()
            .try_fold(false, |some, element| Ok(rewrap_within(keyring, version, key, element)? || some)),
        _ => Ok(false),
    }
}

fn rewrap_one(keyring: &Keyring, version: u32, key: &str, members: &mut Map<String, Value>) -> Result<bool, KtmError> {
    let altered = || KtmError::Altered { key: key.to_owned() };
    let Some(Value::String(text)) = members.get_mut(MEMBER) else { return Ok(false) };
    let wrapped = b64::decode(text).map_err(|_| altered())?;
    if Kek::version_of(&wrapped).is_some_and(|found| found >= version) {
        return Ok(false);
    }
    let both = keyring.unwrap::<WRAPPED_BYTES>(key.as_bytes(), &wrapped).map_err(|_| altered())?;
    *text = b64::encode(&keyring.wrap(key.as_bytes(), both.expose()));
    Ok(true)
}

/// The hash of the bound members, each preceded by its length as a u32.
fn bound_hash(bound: &[&[u8]]) -> [u8; 32] {
    let mut all = Vec::new();
    for part in bound {
        all.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend_from_slice(part);
    }
    sha256(&[&all])
}

impl Serialize for Wrapped {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Wrapped", 1)?;
        object.serialize_field(MEMBER, &b64::encode(&self.0))?;
        object.end()
    }
}

impl<'de> Deserialize<'de> for Wrapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Text<'a> {
            #[serde(borrow)]
            wrapped: Cow<'a, str>,
        }
        let text = Text::deserialize(deserializer)?;
        b64::decode(&text.wrapped).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
