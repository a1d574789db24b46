//! Numbered versions of a text that an administrator replaces as a whole: kept, and one of them active.
//!
//! Records, where KIND is `policy` or `config`: `KIND/head` names the active version; `KIND/version/<number, ten digits>`
//! says when, by whom and why; `KIND/text/<number>` is the text to the letter. A start reads the active version alone,
//! however many are kept. `KIND/active` is what NOSs that follow this realm need of it. Version 0 is what every realm starts
//! with; it is never stored.

use aups_core::{Clock, UnixMillis};
use aups_store::{Change, Expect, Store, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;
use thiserror::Error;

/// Versions that are kept, the active one included; the oldest go.
pub(crate) const VERSIONS_KEPT_MAX: u64 = 200;
/// Longest comment on a version, in characters.
pub(crate) const COMMENT_CHARS_MAX: usize = 500;

/// Why there is no new version, or an old one is not to be had.
#[derive(Debug, Error)]
pub(crate) enum VersionsError {
    #[error("version {active} is active, not version {expected}")]
    Outdated { active: u64, expected: u64 },
    #[error("no version {number} is kept")]
    Unknown { number: u64 },
    #[error("a comment has at most {COMMENT_CHARS_MAX} characters")]
    Comment,
    #[error("the version could not be stored")]
    Store(#[from] StoreError),
    #[error("the stored record `{key}` cannot be read; restore a backup")]
    Corrupt { key: String },
}

/// What is told of a version besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Version {
    #[serde(rename = "version")]
    pub(crate) number: u64,
    /// How many a policy set has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policies: Option<usize>,
    pub(crate) applied_at: UnixMillis,
    pub(crate) author: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) comment: String,
    /// The version whose text it has, if it was made by going back to that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restores: Option<u64>,
}

impl Version {
    /// What every realm starts with.
    pub(crate) fn first(now: UnixMillis) -> Self {
        let (author, comment) = (String::new(), String::new());
        Self { number: 0, policies: None, applied_at: now, author, comment, restores: None }
    }
}

/// Who makes a version, and what for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reason {
    pub(crate) author: String,
    pub(crate) comment: String,
    /// The version that is gone back to, if any.
    pub(crate) restores: Option<u64>,
    /// The version that is to be replaced; `None`: whichever is active.
    pub(crate) expected: Option<u64>,
}

/// What the record of the active version holds: its number alone.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    version: u64,
}

/// The versions of one kind of text.
#[derive(Debug)]
pub(crate) struct Versions {
    kind: &'static str,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Versions {
    pub(crate) const fn new(kind: &'static str, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { kind, store, clock }
    }

    /// The active version with its text; `None`: version 0.
    pub(crate) async fn active(&self) -> Result<Option<(Version, Arc<str>)>, VersionsError> {
        let key = self.head_key();
        let Some(head) = self.store.get(&key).await? else { return Ok(None) };
        let Head { version } = parse(&key, &head.value)?;
        let stored = self.stored(version).await?;
        stored.map(Some).ok_or_else(|| VersionsError::Corrupt { key: self.version_key(version) })
    }

    /// The versions that are kept, oldest first, without their texts.
    pub(crate) async fn list(&self) -> Result<Vec<Version>, VersionsError> {
        let kept = self.store.list(&format!("{}/version/", self.kind)).await?.0;
        kept.into_iter().map(|(key, value)| parse(&key, &value.value)).collect()
    }

    /// The text of a version that was stored.
    pub(crate) async fn text(&self, number: u64) -> Result<Arc<str>, VersionsError> {
        self.stored(number).await?.map(|(_, text)| text).ok_or(VersionsError::Unknown { number })
    }

    /// The version that comes after the active one, if that is the expected one.
    pub(crate) fn following(&self, active: &Version, reason: Reason) -> Result<Version, VersionsError> {
        let Reason { author, comment, restores, expected } = reason;
        if comment.chars().count() > COMMENT_CHARS_MAX {
            return Err(VersionsError::Comment);
        }
        let active = active.number;
        if let Some(expected) = expected.filter(|expected| *expected != active) {
            return Err(VersionsError::Outdated { active, expected });
        }
        Ok(Version { number: active + 1, policies: None, applied_at: self.clock.now(), author, comment, restores })
    }

    /// Writes a version, names it the active one, which NOSs follow by `active`, and drops the one that is too many, all in
    /// one transaction.
    pub(crate) async fn keep(&self, version: &Version, text: &str, active: Bytes) -> Result<(), VersionsError> {
        let number = version.number;
        // `Any`: a transaction of which the disk could not tell whether it was done is done again.
        let mut changes = vec![
            Change::put(self.version_key(number), json(version), Expect::Any),
            Change::put(self.text_key(number), text.to_owned(), Expect::Any),
            Change::put(format!("{}/active", self.kind), active, Expect::Any),
            Change::put(self.head_key(), json(&Head { version: number }), Expect::Any),
        ];
        if let Some(oldest) = number.checked_sub(VERSIONS_KEPT_MAX) {
            let too_many = [self.version_key(oldest), self.text_key(oldest)];
            changes.extend(too_many.map(|key| Change::delete(key, Expect::Any)));
        }
        self.store.commit(changes).await?;
        Ok(())
    }

    async fn stored(&self, number: u64) -> Result<Option<(Version, Arc<str>)>, VersionsError> {
        let (version_key, text_key) = (self.version_key(number), self.text_key(number));
        let Some(version) = self.store.get(&version_key).await? else { return Ok(None) };
        let text = self.store.get(&text_key).await?;
        let text = text.as_ref().and_then(|text| std::str::from_utf8(&text.value).ok());
        let text = text.ok_or(VersionsError::Corrupt { key: text_key })?;
        Ok(Some((parse(&version_key, &version.value)?, text.into())))
    }

    pub(super) fn head_key(&self) -> String {
        format!("{}/head", self.kind)
    }

    pub(super) fn version_key(&self, number: u64) -> String {
        format!("{}/version/{number:010}", self.kind)
    }

    pub(super) fn text_key(&self, number: u64) -> String {
        format!("{}/text/{number:010}", self.kind)
    }
}

/// A record of ours.
pub(crate) fn parse<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, VersionsError> {
    serde_json::from_slice(value).map_err(|_| VersionsError::Corrupt { key: key.into() })
}

/// The same as it is stored.
pub(crate) fn json<T: Serialize>(record: &T) -> Bytes {
    // These records hold texts and numbers only, which JSON always takes.
    serde_json::to_vec(record).unwrap_or_default().into()
}
