//! Publishers: the slots of NOSs, how often each began, and the certificates that readers verify them by.

use crate::{
    error::KtmError,
    realm::Realm,
    records::{RACES_MAX, Records, put},
    service::Incarnation,
};
use aups_core::{NosId, PublisherSlot, UnixMillis};
use aups_envelope::{Certificate, VerifyingKey};
use aups_store::{Change, Expect, Revision};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    str::FromStr as _,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Mutex;

/// Most NOSs of a realm: every answer to a key request carries a certificate of each.
pub const PUBLISHERS_MAX: usize = 1_024;

/// How long a certificate is good.
pub const CERTIFICATE_LIFE: Duration = Duration::from_hours(24);

/// How old a certificate is when it is replaced.
const CERTIFICATE_RENEWED_AFTER: Duration = Duration::from_hours(12);

pub(crate) const PREFIX: &str = "ktm/publisher/";
pub(crate) const SLOTS: &str = "ktm/slots";

fn key(nos: &NosId) -> String {
    format!("{PREFIX}{nos}")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PublisherRecord {
    slot: PublisherSlot,
    incarnation: u32,
    signing_key: VerifyingKey,
}

/// The last slot that was given; none is given twice.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotsRecord {
    last: u32,
}

/// The publishers, all in memory.
#[derive(Debug)]
pub(crate) struct Publishers {
    records: Records,
    realm: Arc<Realm>,
    listed: RwLock<BTreeMap<NosId, Listed>>,
    /// The newest transaction that may have changed one of them, as far as we know.
    revision: AtomicU64,
    beginning: Mutex<()>,
}

#[derive(Debug)]
struct Listed {
    record: PublisherRecord,
    certificate: Option<Issued>,
}

#[derive(Debug)]
struct Issued {
    jws: String,
    at: UnixMillis,
}

impl Listed {
    /// Its certificate, if it is neither old nor, after the clock was set back, of the future.
    fn good_certificate(&self, now: UnixMillis) -> Option<String> {
        let Issued { jws, at } = self.certificate.as_ref()?;
        (*at <= now && now.since(*at) < CERTIFICATE_RENEWED_AFTER).then(|| jws.clone())
    }
}

impl Publishers {
    pub(crate) async fn load(records: Records, realm: Arc<Realm>) -> Result<Self, KtmError> {
        let mut listed = BTreeMap::new();
        // Not the newest of the records that are left: a removal is no record, and NOSs have heard of it.
        let (found, revision) = records.list_as_of::<PublisherRecord>(PREFIX).await?;
        for (key, record, _) in found {
            let nos = key.strip_prefix(PREFIX).and_then(|name| NosId::from_str(name).ok());
            listed.insert(nos.ok_or(KtmError::Altered { key })?, Listed { record, certificate: None });
        }
        let (listed, revision) = (RwLock::new(listed), AtomicU64::new(revision));
        Ok(Self { records, realm, listed, revision, beginning: Mutex::default() })
    }

    /// Counts a start of a NOS; its first gives it the next free slot.
    pub(crate) async fn begin(&self, nos: &NosId, signing_key: VerifyingKey) -> Result<Incarnation, KtmError> {
        let _one_at_a_time = self.beginning.lock().await;
        let key = key(nos);
        for _ in 0..RACES_MAX {
            let (record, changes) = match self.records.get::<PublisherRecord>(&key).await? {
                Some((before, revision)) => again(nos, before, signing_key, Expect::Revision(revision))?,
                None => self.first(nos, signing_key).await?,
            };
            if let Some(revision) = self.records.commit(changes).await? {
                let listed = Listed { record, certificate: None };
                self.listed.write().unwrap_or_else(PoisonError::into_inner).insert(nos.clone(), listed);
                self.revision.fetch_max(revision, Ordering::SeqCst);
                return Ok(Incarnation { publisher: record.slot, incarnation: record.incarnation });
            }
        }
        Err(KtmError::Contended { key })
    }

    async fn first(&self, nos: &NosId, signing_key: VerifyingKey) -> Result<Beginning, KtmError> {
        let full = KtmError::PublishersFull { most: PUBLISHERS_MAX };
        if self.listed.read().unwrap_or_else(PoisonError::into_inner).len() >= PUBLISHERS_MAX {
            return Err(full);
        }
        // Slot 0 is no NOS.
        let (last, expect) = match self.records.get::<SlotsRecord>(SLOTS).await? {
            Some((slots, revision)) => (slots.last, Expect::Revision(revision)),
            None => (0, Expect::Absent),
        };
        let last = last.checked_add(1).ok_or(full)?;
        let record = PublisherRecord { slot: PublisherSlot(last), incarnation: 1, signing_key };
        Ok((record, vec![put(SLOTS, &SlotsRecord { last }, expect)?, put(&key(nos), &record, Expect::Absent)?]))
    }

    /// A good certificate of every NOS; those that are getting old are issued anew.
    pub(crate) fn certificates(&self, now: UnixMillis) -> Vec<String> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificates) = listed.values().map(|publisher| publisher.good_certificate(now)).collect() {
            return certificates;
        }
        drop(listed);
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        for (nos, publisher) in listed.iter_mut() {
            if publisher.good_certificate(now).is_none() {
                publisher.certificate = Some(self.issue(nos, &publisher.record, now));
            }
        }
        listed.values().filter_map(|publisher| publisher.good_certificate(now)).collect()
    }

    /// The newest transaction that [`certificates`](Self::certificates) takes account of.
    pub(crate) fn revision(&self) -> Revision {
        self.revision.load(Ordering::SeqCst)
    }

    /// The slot of a NOS, and how often it began.
    pub(crate) fn get(&self, nos: &NosId) -> Option<Incarnation> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
        let PublisherRecord { slot, incarnation, .. } = listed.get(nos)?.record;
        Some(Incarnation { publisher: slot, incarnation })
    }

    /// The change that unlists a NOS: readers then drop what it publishes. Its slot is not given again.
    pub(crate) fn removing(nos: &NosId) -> Change {
        Change::delete(key(nos), Expect::Any)
    }

    /// To be called when that change was made.
    pub(crate) fn removed(&self, nos: &NosId, revision: Revision) {
        self.listed.write().unwrap_or_else(PoisonError::into_inner).remove(nos);
        self.revision.fetch_max(revision, Ordering::SeqCst);
    }

    fn issue(&self, nos: &NosId, record: &PublisherRecord, now: UnixMillis) -> Issued {
        let certificate = Certificate {
            nos: nos.clone(),
            publisher: record.slot,
            signing_key: record.signing_key,
            iat: now,
            exp: now.plus(CERTIFICATE_LIFE),
        };
        Issued { jws: certificate.issue(self.realm.signing_key()), at: now }
    }
}

/// What a record of ours says after a restore: a NOS goes on with an incarnation that it cannot have had, a new NOS with a
/// slot that nobody can have. `None`: it is none of ours.
pub(crate) fn ahead(key: &str, value: &[u8], by: u16) -> Result<Option<Vec<u8>>, KtmError> {
    let fault = |source| KtmError::Record { key: key.to_owned(), source };
    if key == SLOTS {
        let SlotsRecord { last } = serde_json::from_slice(value).map_err(fault)?;
        return serde_json::to_vec(&SlotsRecord { last: last.saturating_add(by.into()) }).map(Some).map_err(fault);
    }
    if !key.starts_with(PREFIX) {
        return Ok(None);
    }
    let record: PublisherRecord = serde_json::from_slice(value).map_err(fault)?;
    let record = PublisherRecord { incarnation: record.incarnation.saturating_add(by.into()), ..record };
    serde_json::to_vec(&record).map(Some).map_err(fault)
}

/// What a publisher's record becomes, and the changes that make it so.
type Beginning = (PublisherRecord, Vec<Change>);

fn again(
    nos: &NosId,
    before: PublisherRecord,
    signing_key: VerifyingKey,
    expect: Expect,
) -> Result<Beginning, KtmError> {
    let incarnation = before.incarnation.checked_add(1).ok_or_else(|| KtmError::IncarnationsUsedUp(nos.clone()))?;
    let record = PublisherRecord { incarnation, signing_key, ..before };
    Ok((record, vec![put(&key(nos), &record, expect)?]))
}

#[cfg(test)]
mod tests;
