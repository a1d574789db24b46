//! The policy administration point: numbered versions of the policy set, kept, and one of them active.
//!
//! Records: `policy/<version, ten digits>` holds a version; the highest one is active. Version 0 is the empty set that
//! every realm starts with: nobody reads.

use aups_core::{Clock, RealmId, UnixMillis};
use aups_policy::{Pdp, PolicyError, PolicySet};
use aups_store::{Change, Expect, Store, StoreError};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Mutex, watch};

const PREFIX: &str = "policy/";
/// How policies without an `@id` are named: `policies-1`, `policies-2`, …
const STEM: &str = "policies";

/// Why a policy set did not become active.
#[derive(Debug, Error)]
pub(crate) enum ApplyError {
    #[error("the policy set is refused")]
    Refused(Vec<PolicyError>),
    #[error("version {active} is active, not version {expected}")]
    Outdated { active: u64, expected: u64 },
    #[error("the policy set could not be stored")]
    Store(#[from] StoreError),
    #[error("the stored policy version `{key}` cannot be read")]
    Corrupt { key: String },
}

/// One version as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Version {
    #[serde(rename = "version")]
    pub(crate) number: u64,
    pub(crate) policies: usize,
    pub(crate) applied_at: UnixMillis,
    pub(crate) text: Arc<str>,
}

/// The versions of a realm's policy set.
#[derive(Debug)]
pub(crate) struct Policies {
    realm: RealmId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    active: Mutex<Version>,
    decisions: watch::Sender<Arc<Pdp>>,
}

impl Policies {
    /// Reads the active version. A stored version that this program's rules refuse is an error and not an open door.
    pub(crate) async fn open(realm: RealmId, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Result<Self, ApplyError> {
        let newest = store.list(PREFIX).await?.0.into_iter().last();
        let (active, set) = match newest {
            None => (Version { number: 0, policies: 0, applied_at: clock.now(), text: "".into() }, PolicySet::empty()),
            Some((key, value)) => {
                let version: Version =
                    serde_json::from_slice(&value.value).map_err(|_| ApplyError::Corrupt { key: key.clone() })?;
                let set = PolicySet::parse(&version.text, STEM).map_err(ApplyError::Refused)?;
                (version, set)
            }
        };
        let (decisions, _) = watch::channel(Arc::new(Pdp::new(realm, set)));
        Ok(Self { realm, store, clock, active: Mutex::new(active), decisions })
    }

    /// The decision point of the active version, and of every later one.
    pub(crate) fn decisions(&self) -> watch::Receiver<Arc<Pdp>> {
        self.decisions.subscribe()
    }

    /// The active version.
    pub(crate) async fn active(&self) -> Version {
        self.active.lock().await.clone()
    }

    /// Every version that was ever active, oldest first.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>, ApplyError> {
        let stored = self.store.list(PREFIX).await?.0;
        let parse = |(key, value): (String, aups_store::Versioned)| {
            serde_json::from_slice(&value.value).map_err(|_| ApplyError::Corrupt { key })
        };
        stored.into_iter().map(parse).collect()
    }

    /// Replaces the whole set. When this returns, every NOS of this process decides by the new one.
    pub(crate) async fn apply(&self, text: &str, expected: Option<u64>) -> Result<Version, ApplyError> {
        let set = admit(text).await?;
        let mut active = self.active.lock().await;
        if let Some(expected) = expected.filter(|expected| *expected != active.number) {
            return Err(ApplyError::Outdated { active: active.number, expected });
        }
        let version =
            Version { number: active.number + 1, policies: set.len(), applied_at: self.clock.now(), text: text.into() };
        let value = serde_json::to_vec(&version).map_err(|_| ApplyError::Corrupt { key: PREFIX.into() })?;
        let key = format!("{PREFIX}{:010}", version.number);
        self.store.commit(vec![Change::Put { key, value: value.into(), expect: Expect::Absent }]).await?;
        self.decisions.send_replace(Arc::new(Pdp::new(self.realm, set)));
        active.clone_from(&version);
        Ok(version)
    }
}

/// Parses and validates a set without making it active. Admission of 10,000 policies takes half a second of CPU.
pub(crate) async fn admit(text: &str) -> Result<PolicySet, ApplyError> {
    let text = text.to_owned();
    let admission = tokio::task::spawn_blocking(move || PolicySet::parse(&text, STEM)).await;
    match admission {
        Ok(admitted) => admitted.map_err(ApplyError::Refused),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
