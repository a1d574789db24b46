//! Which history of the store a revision is of: after a restore the numbers begin again, and mean other transactions.

use super::wire::Base64;
use crate::{
    error::KtmError,
    records::{RACES_MAX, Records, put},
};
use aups_envelope::{b64, random};
use aups_store::{Expect, Revision, Store};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, sync::Arc};

/// Left out by a restore, so that the restored store begins a history of its own.
pub(crate) const KEY: &str = "ktm/history";

/// The random name of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct History([u8; 16]);

/// How far a copy of the store is. Revisions of different histories are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) history: History,
    pub(crate) revision: Revision,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryRecord {
    id: History,
}

impl History {
    /// That of a store; a store without one begins one.
    pub(crate) async fn open(store: Arc<dyn Store>) -> Result<Self, KtmError> {
        let records = Records::new(store);
        for _ in 0..RACES_MAX {
            if let Some((HistoryRecord { id }, _)) = records.get(KEY).await? {
                return Ok(id);
            }
            let id = Self(random());
            if records.commit(vec![put(KEY, &HistoryRecord { id }, Expect::Absent)?]).await?.is_some() {
                return Ok(id);
            }
        }
        Err(KtmError::Contended { key: KEY.to_owned() })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&b64::encode(&self.0))
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for History {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Base64(bytes) = Base64::deserialize(deserializer)?;
        bytes.as_ref().try_into().map(Self).map_err(|_| D::Error::custom("a history is named by 16 bytes"))
    }
}
