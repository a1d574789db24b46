//! The administrators' tokens: each 256 random bits with a name, known here by its hash.
//!
//! Records: `admin-token/<name>`. The first start's token is in a file as well, and that file says at each start what the
//! token is: whoever reads the data directory cannot be locked out.

mod file;

use super::digest::Digest;
use anyhow::Context as _;
use aups_core::{Clock, Sub, TokenName, UnixMillis};
use aups_envelope::{Secret, b64};
use aups_store::{Change, Expect, Store, StoreError};
use file::TokenFile;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};
use thiserror::Error;

const PREFIX: &str = "admin-token/";
/// The name of the token that the first start makes.
pub(crate) const FIRST: &str = "admin";
/// Most admin tokens.
pub(crate) const TOKENS_MAX: usize = 64;
/// Longest life of a token that has an end.
pub(crate) const LIFE_MAX: Duration = Duration::from_hours(24 * 3_650);
/// Longest time that a token which was replaced goes on.
pub(crate) const GRACE_MAX: Duration = Duration::from_hours(1);
/// How often it is written when tokens were last used.
const USES_WRITTEN_EVERY: Duration = Duration::from_mins(10);

/// Who makes an administrator's request: the name of the token that came with it, or the app, as `app:<sub>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor(Box<str>);

impl Actor {
    fn token(name: &TokenName) -> Self {
        Self(name.as_str().into())
    }

    /// An app that rules its own users. No token has a name with a colon.
    pub(crate) fn app(sub: &Sub) -> Self {
        Self(format!("app:{sub}").into())
    }

    /// The name, as in the audit trail.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

/// What a text is that was presented as a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented {
    /// A token that holds.
    Valid(Actor),
    /// A token that held until then.
    Ended(Actor, UnixMillis),
    /// No token, or one that was removed or replaced.
    Unknown,
}

/// Why the tokens were not changed.
#[derive(Debug, Error)]
pub(crate) enum TokenError {
    #[error("there is a token `{0}` already; rotate it, or remove it first")]
    Exists(TokenName),
    #[error("no token is called `{0}`")]
    Unknown(TokenName),
    #[error("there are {TOKENS_MAX} tokens, which is the most; remove some that have ended or are not used any more")]
    Full,
    #[error(
        "`{0}` is the last token without an end: without it everybody would be locked out one day; add another first"
    )]
    Last(TokenName),
    #[error("a token ends between now and {} days from now", LIFE_MAX.as_secs() / 86_400)]
    Expiry,
    #[error("a token that was replaced goes on for at most {} minutes", GRACE_MAX.as_secs() / 60)]
    Grace,
    #[error("the file of the first token cannot be written")]
    File(#[source] io::Error),
    #[error("the token could not be stored")]
    Store(#[from] StoreError),
}

/// A token as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    sha256: Digest,
    created: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used: Option<UnixMillis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<Replaced>,
}

/// The secret before the newest rotation, for as long as it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Replaced {
    sha256: Digest,
    ends: UnixMillis,
}

impl Record {
    const fn new(sha256: Digest, created: UnixMillis, expires: Option<UnixMillis>) -> Self {
        Self { sha256, created, expires, last_used: None, replaced: None }
    }
}

/// A token as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    pub(crate) name: TokenName,
    /// When its secret was made.
    pub(crate) created: UnixMillis,
    /// Absent: it holds until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<UnixMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_used: Option<UnixMillis>,
    /// Until when the secret before goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) previous_ends: Option<UnixMillis>,
}

/// A token that was just made; its secret is shown this once.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: View,
    pub(crate) secret: Secret<32>,
}

/// What changes need to know of each other.
#[derive(Debug)]
struct Changes {
    /// Uses up to this time are stored.
    uses_written: UnixMillis,
}

/// The administrators' tokens of a realm.
#[derive(Debug)]
pub(crate) struct AdminTokens {
    file: TokenFile,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// Held over a change from reading to writing.
    changes: tokio::sync::Mutex<Changes>,
    records: RwLock<BTreeMap<TokenName, Record>>,
}

impl AdminTokens {
    /// Reads the tokens; makes the first one if its file is not there.
    pub(crate) async fn open(file: PathBuf, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut records = BTreeMap::new();
        for (key, value) in store.list(PREFIX).await?.0 {
            let name = key.strip_prefix(PREFIX).unwrap_or_default().parse()?;
            let record: Record =
                serde_json::from_slice(&value.value).with_context(|| format!("the stored `{key}` cannot be read"))?;
            records.insert(name, record);
        }
        let file = TokenFile::at(file);
        let sha256 = file.open()?;
        let first: TokenName = FIRST.parse()?;
        let changes = tokio::sync::Mutex::new(Changes { uses_written: clock.now() });
        let tokens = Self { file, store, clock, changes, records: RwLock::new(records) };
        let is_known = tokens.read().get(&first).is_some_and(|record| record.sha256.matches(&sha256));
        if !is_known {
            tokens.put(&first, Record::new(sha256, tokens.clock.now(), None)).await?;
        }
        Ok(tokens)
    }

    /// What a text is; takes the same time whatever differs from which token.
    pub(crate) fn check(&self, presented: &str) -> Presented {
        let (digest, now) = (Digest::of(presented.as_bytes()), self.clock.now());
        let mut found = Presented::Unknown;
        for (name, record) in self.write().iter_mut() {
            let replaced = record.replaced.as_ref().filter(|replaced| replaced.sha256.matches(&digest));
            let ends = match (record.sha256.matches(&digest), replaced) {
                (true, _) => record.expires,
                (false, Some(replaced)) => Some(replaced.ends),
                (false, None) => continue,
            };
            let actor = Actor::token(name);
            found = if let Some(ended) = ends.filter(|ends| *ends <= now) {
                Presented::Ended(actor, ended)
            } else {
                record.last_used = Some(now);
                Presented::Valid(actor)
            };
        }
        found
    }

    /// All tokens, by name.
    pub(crate) fn list(&self) -> Vec<View> {
        let now = self.clock.now();
        self.read().iter().map(|(name, record)| view(name, record, now)).collect()
    }

    /// Makes a token with an end, or without one.
    pub(crate) async fn add(&self, name: TokenName, expires: Option<UnixMillis>) -> Result<Issued, TokenError> {
        let _change = self.changes.lock().await;
        let now = self.clock.now();
        if expires.is_some_and(|expires| expires <= now || expires > now.plus(LIFE_MAX)) {
            return Err(TokenError::Expiry);
        }
        if self.read().contains_key(&name) {
            return Err(TokenError::Exists(name));
        }
        if self.read().len() >= TOKENS_MAX {
            return Err(TokenError::Full);
        }
        let secret = Secret::random();
        self.issue(&name, Record::new(digest(&secret), now, expires), secret).await
    }

    /// Gives a token a new secret and the same life again; the old secret goes on for `grace` at most.
    pub(crate) async fn rotate(&self, name: &TokenName, grace: Duration) -> Result<Issued, TokenError> {
        let _change = self.changes.lock().await;
        if grace > GRACE_MAX {
            return Err(TokenError::Grace);
        }
        let old = self.get(name)?;
        let (now, secret) = (self.clock.now(), Secret::random());
        let expires = old.expires.map(|expires| now.plus(expires.since(old.created)));
        let ends = old.expires.map_or(now.plus(grace), |expires| expires.min(now.plus(grace)));
        let replaced = (ends > now).then_some(Replaced { sha256: old.sha256, ends });
        let record = Record { last_used: old.last_used, replaced, ..Record::new(digest(&secret), now, expires) };
        if name.as_str() != FIRST {
            return self.issue(name, record, secret).await;
        }
        // The file last: until it is replaced, the next start holds to the old one.
        let prepared = self.file.prepare(&secret).map_err(TokenError::File)?;
        self.store_record(name, &record).await?;
        prepared.put_in_place().map_err(TokenError::File)?;
        self.write().insert(name.clone(), record.clone());
        Ok(Issued { token: view(name, &record, now), secret })
    }

    /// Ends a token. The first one's file goes with it; the next start makes it anew.
    pub(crate) async fn remove(&self, name: &TokenName) -> Result<(), TokenError> {
        let _change = self.changes.lock().await;
        self.get(name)?;
        let holds_on = |(other, record): (&TokenName, &Record)| other != name && record.expires.is_none();
        if !self.read().iter().any(holds_on) {
            return Err(TokenError::Last(name.clone()));
        }
        self.store.commit(vec![Change::delete(key(name), Expect::Any)]).await?;
        if name.as_str() == FIRST {
            self.file.remove().map_err(TokenError::File)?;
        }
        self.write().remove(name);
        Ok(())
    }

    /// Writes when tokens were last used, every few minutes, for as long as the task runs.
    pub(crate) async fn keep_uses(self: Arc<Self>) {
        let mut due = tokio::time::interval(USES_WRITTEN_EVERY);
        loop {
            due.tick().await;
            self.write_uses().await;
        }
    }

    /// Writes when tokens were last used. That it fails costs nothing but this knowledge.
    pub(crate) async fn write_uses(&self) {
        let mut changes = self.changes.lock().await;
        let now = self.clock.now();
        let is_new = |record: &Record| record.last_used.is_some_and(|used| used > changes.uses_written);
        let put = |(name, record): (&TokenName, &Record)| Change::put(key(name), json(record), Expect::Any);
        let puts: Vec<_> = self.read().iter().filter(|(_, record)| is_new(record)).map(put).collect();
        if puts.is_empty() {
            return;
        }
        match self.store.commit(puts).await {
            Ok(_) => changes.uses_written = now,
            Err(error) => tracing::warn!(%error, "when admin tokens were last used is not stored"),
        }
    }

    async fn issue(&self, name: &TokenName, record: Record, secret: Secret<32>) -> Result<Issued, TokenError> {
        let token = view(name, &record, self.clock.now());
        self.put(name, record).await?;
        Ok(Issued { token, secret })
    }

    async fn put(&self, name: &TokenName, record: Record) -> Result<(), StoreError> {
        self.store_record(name, &record).await?;
        self.write().insert(name.clone(), record);
        Ok(())
    }

    async fn store_record(&self, name: &TokenName, record: &Record) -> Result<(), StoreError> {
        self.store.commit(vec![Change::put(key(name), json(record), Expect::Any)]).await.map(drop)
    }

    fn get(&self, name: &TokenName) -> Result<Record, TokenError> {
        self.read().get(name).cloned().ok_or_else(|| TokenError::Unknown(name.clone()))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TokenName, Record>> {
        self.records.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TokenName, Record>> {
        self.records.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A secret as text: what goes into the file and behind `Bearer`.
pub(crate) fn text(secret: &Secret<32>) -> String {
    b64::encode(secret.expose())
}

fn digest(secret: &Secret<32>) -> Digest {
    Digest::of(text(secret).as_bytes())
}

fn view(name: &TokenName, record: &Record, now: UnixMillis) -> View {
    View {
        name: name.clone(),
        created: record.created,
        expires: record.expires,
        last_used: record.last_used,
        previous_ends: record.replaced.as_ref().map(|replaced| replaced.ends).filter(|ends| *ends > now),
    }
}

fn key(name: &TokenName) -> String {
    format!("{PREFIX}{name}")
}

fn json(record: &Record) -> bytes::Bytes {
    // A record holds texts and numbers only, which JSON always takes.
    serde_json::to_vec(record).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
