//! The policy administration point: numbered versions of the policy set, kept, and one of them active.
//!
//! Records: `policy/head` names the active version; `policy/version/<number, ten digits>` says when, by whom and why;
//! `policy/text/<number>` is the text to the letter. A start reads the active version alone, however many are kept.
//! Version 0 is the empty set that every realm starts with: nobody reads. It is never stored.

use aups_core::{Clock, RealmId, UnixMillis};
use aups_policy::{Pdp, PolicyError, PolicySet, Schema};
use aups_store::{Change, Expect, Store, StoreError, Versioned};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

/// Versions that are kept, the active one included; the oldest go.
pub(crate) const VERSIONS_KEPT_MAX: u64 = 200;
/// Longest comment on a version, in characters.
pub(crate) const COMMENT_CHARS_MAX: usize = 500;

const HEAD_KEY: &str = "policy/head";
const VERSION_PREFIX: &str = "policy/version/";
const TEXT_PREFIX: &str = "policy/text/";
/// How policies without an `@id` are named: `policies-1`, `policies-2`, …
const STEM: &str = "policies";

/// Why a policy set did not become active, or is not to be had.
#[derive(Debug, Error)]
pub(crate) enum PolicyAdminError {
    #[error("the policy set is refused")]
    Refused(Vec<PolicyError>),
    #[error("version {active} is active, not version {expected}")]
    Outdated { active: u64, expected: u64 },
    #[error("no version {number} is kept")]
    UnknownVersion { number: u64 },
    #[error("a comment has at most {COMMENT_CHARS_MAX} characters")]
    Comment,
    #[error("the policy set could not be stored")]
    Store(#[from] StoreError),
    #[error("the stored record `{key}` cannot be read; restore a backup")]
    Corrupt { key: String },
    #[error(
        "this program refuses the active policies, version {number}, which another one took: {first}; start the program \
         that took them and apply a set that both take"
    )]
    Inadmissible { number: u64, first: PolicyError },
}

/// What is told of a version besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Version {
    #[serde(rename = "version")]
    pub(crate) number: u64,
    pub(crate) policies: usize,
    pub(crate) applied_at: UnixMillis,
    pub(crate) author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    /// The version whose text it has, if it was made by going back to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restores: Option<u64>,
}

/// What the record of the active version holds: its number alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u64,
}

/// Who changes the policies, and what for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reason {
    pub(crate) author: String,
    pub(crate) comment: String,
}

/// The active version with its text.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) version: Version,
    pub(crate) text: Arc<str>,
}

/// The versions of a realm's policy set.
#[derive(Debug)]
pub(crate) struct Policies {
    realm: RealmId,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// One change at a time.
    changes: Mutex<()>,
    active: RwLock<Arc<Active>>,
    decisions: watch::Sender<Arc<Pdp>>,
}

impl Policies {
    /// Reads the active version. A stored version that this program's rules refuse is an error and not an open door.
    pub(crate) async fn open(
        realm: RealmId,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PolicyAdminError> {
        let number = head(&*store).await?;
        let (version, text) = match number {
            0 => (first(clock.now()), "".into()),
            _ => {
                stored(&*store, number).await?.ok_or_else(|| PolicyAdminError::Corrupt { key: version_key(number) })?
            }
        };
        let set = admit(&text).await.map_err(|error| inadmissible(number, error))?;
        let (decisions, _) = watch::channel(Arc::new(Pdp::new(realm, set)));
        let active = RwLock::new(Arc::new(Active { version, text }));
        Ok(Self { realm, store, clock, changes: Mutex::new(()), active, decisions })
    }

    /// The decision point of the active version, and of every later one.
    pub(crate) fn decisions(&self) -> watch::Receiver<Arc<Pdp>> {
        self.decisions.subscribe()
    }

    /// The schema that the active version was admitted under.
    pub(crate) fn schema(&self) -> Schema {
        self.decisions.borrow().set().schema().clone()
    }

    /// The active version.
    pub(crate) fn active(&self) -> Arc<Active> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The versions that are kept, oldest first, without their texts.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>, PolicyAdminError> {
        let kept = self.store.list(VERSION_PREFIX).await?.0;
        kept.into_iter().map(|(key, value)| record(&key, &value)).collect()
    }

    /// The text of a version.
    pub(crate) async fn text(&self, number: u64) -> Result<Arc<str>, PolicyAdminError> {
        if number == 0 {
            return Ok("".into());
        }
        let kept = stored(&*self.store, number).await?;
        kept.map(|(_, text)| text).ok_or(PolicyAdminError::UnknownVersion { number })
    }

    /// What a set would decide, without making it active.
    pub(crate) async fn candidate(&self, text: &str) -> Result<Pdp, PolicyAdminError> {
        Ok(Pdp::new(self.realm, admit(text).await?))
    }

    /// Replaces the whole set. When this returns, every NOS of this process decides by the new one. The set that is
    /// active already gets no new version.
    pub(crate) async fn apply(
        &self,
        text: &str,
        reason: Reason,
        expected: Option<u64>,
    ) -> Result<Version, PolicyAdminError> {
        let _change = self.changes.lock().await;
        self.replace(text, reason, None, expected).await
    }

    /// Makes the text of an earlier version active again, as a new version.
    pub(crate) async fn restore(
        &self,
        number: u64,
        reason: Reason,
        expected: Option<u64>,
    ) -> Result<Version, PolicyAdminError> {
        let _change = self.changes.lock().await;
        let text = self.text(number).await?;
        self.replace(&text, reason, Some(number), expected).await
    }

    /// The caller holds `changes`.
    async fn replace(
        &self,
        text: &str,
        reason: Reason,
        restores: Option<u64>,
        expected: Option<u64>,
    ) -> Result<Version, PolicyAdminError> {
        if reason.comment.chars().count() > COMMENT_CHARS_MAX {
            return Err(PolicyAdminError::Comment);
        }
        let before = self.active();
        let active = before.version.number;
        if let Some(expected) = expected.filter(|expected| *expected != active) {
            return Err(PolicyAdminError::Outdated { active, expected });
        }
        if *text == *before.text {
            return Ok(before.version.clone());
        }
        let set = admit(text).await?;
        let version = Version {
            number: active + 1,
            policies: set.len(),
            applied_at: self.clock.now(),
            author: reason.author,
            comment: reason.comment,
            restores,
        };
        self.keep(&version, text).await?;
        let active = Active { version: version.clone(), text: text.into() };
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(active);
        self.decisions.send_replace(Arc::new(Pdp::new(self.realm, set)));
        Ok(version)
    }

    /// Writes a version, names it the active one and drops the one that is too many, all in one transaction.
    async fn keep(&self, version: &Version, text: &str) -> Result<(), PolicyAdminError> {
        let number = version.number;
        // `Any`: a transaction of which the disk could not tell whether it was done is done again.
        let mut changes = vec![
            Change::put(version_key(number), json(version), Expect::Any),
            Change::put(text_key(number), text.to_owned(), Expect::Any),
            Change::put(HEAD_KEY, json(&Head { version: number }), Expect::Any),
        ];
        if let Some(oldest) = number.checked_sub(VERSIONS_KEPT_MAX) {
            changes.extend([version_key(oldest), text_key(oldest)].map(|key| Change::delete(key, Expect::Any)));
        }
        self.store.commit(changes).await?;
        Ok(())
    }
}

/// Parses and validates a set without making it active. Admission of 10,000 policies takes half a second of CPU.
async fn admit(text: &str) -> Result<PolicySet, PolicyAdminError> {
    let text = text.to_owned();
    let admission = tokio::task::spawn_blocking(move || PolicySet::parse(&text, STEM)).await;
    match admission {
        Ok(admitted) => admitted.map_err(PolicyAdminError::Refused),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// What keeps the server from starting: its own store holds what it does not take.
fn inadmissible(number: u64, error: PolicyAdminError) -> PolicyAdminError {
    match error {
        PolicyAdminError::Refused(errors) => match errors.into_iter().next() {
            Some(first) => PolicyAdminError::Inadmissible { number, first },
            None => PolicyAdminError::Refused(Vec::new()),
        },
        error => error,
    }
}

/// What every realm starts with.
fn first(now: UnixMillis) -> Version {
    Version { number: 0, policies: 0, applied_at: now, author: String::new(), comment: String::new(), restores: None }
}

async fn head(store: &dyn Store) -> Result<u64, PolicyAdminError> {
    match store.get(HEAD_KEY).await? {
        None => Ok(0),
        Some(value) => record::<Head>(HEAD_KEY, &value).map(|head| head.version),
    }
}

async fn stored(store: &dyn Store, number: u64) -> Result<Option<(Version, Arc<str>)>, PolicyAdminError> {
    let (version_key, text_key) = (version_key(number), text_key(number));
    let Some(version) = store.get(&version_key).await? else { return Ok(None) };
    let text = store.get(&text_key).await?;
    let text = text.as_ref().and_then(|text| std::str::from_utf8(&text.value).ok());
    let text = text.ok_or(PolicyAdminError::Corrupt { key: text_key })?;
    Ok(Some((record(&version_key, &version)?, text.into())))
}

fn version_key(number: u64) -> String {
    format!("{VERSION_PREFIX}{number:010}")
}

fn text_key(number: u64) -> String {
    format!("{TEXT_PREFIX}{number:010}")
}

fn record<T: DeserializeOwned>(key: &str, value: &Versioned) -> Result<T, PolicyAdminError> {
    serde_json::from_slice(&value.value).map_err(|_| PolicyAdminError::Corrupt { key: key.into() })
}

fn json<T: Serialize>(record: &T) -> bytes::Bytes {
    // These records hold texts and numbers only, which JSON always takes.
    serde_json::to_vec(record).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
