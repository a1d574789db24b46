//! Destruction that holds against whoever has the store's old bytes: what was destroyed lay under a version of the KEK that is
//! destroyed too, after what remains was wrapped anew.

use crate::{
    backup::Versions,
    custody::{Keyring, NOS_SIGNING_KEYS, SOURCE_MASTERS},
    error::KtmError,
    records::{RACES_MAX, Records, rewrapped},
    root::Roots,
    scope,
    scopes::Scopes,
};
use aups_core::ScopeId;
use aups_store::{Change, Expect, Listed};
use std::{sync::Arc, time::Instant};
use tokio::sync::Mutex;

/// Most records that are wrapped anew in one transaction, and most bytes of them: so that nobody who waits for a bump waits long.
const REWRAPPED_AT_ONCE: usize = 1_024;
const REWRAPPED_BYTES_AT_ONCE: usize = 4 << 20;

/// Where wrapped secrets lie. What others keep may look like one: a reader's tag may be called as their member is.
const SECRETS_UNDER: [&str; 3] = ["ktm/", NOS_SIGNING_KEYS, SOURCE_MASTERS];

/// Destroys, and wraps anew what remains.
#[derive(Debug)]
pub(crate) struct Eraser {
    records: Records,
    keyring: Keyring,
    roots: Arc<Roots>,
    scopes: Arc<Scopes>,
    one_at_a_time: Mutex<()>,
}

impl Eraser {
    pub(crate) fn new(records: Records, keyring: Keyring, roots: Arc<Roots>, scopes: Arc<Scopes>) -> Self {
        Self { records, keyring, roots, scopes, one_at_a_time: Mutex::default() }
    }

    /// Does what destroys secrets in the store, then destroys the version of the KEK that they lay under.
    ///
    /// The new version is on disk before anything is deleted: after a kill at any step the next start goes on. If only the
    /// wrapping anew fails, the destruction was done; the upkeep wraps later.
    pub(crate) async fn destroying<T>(&self, delete: impl Future<Output = Result<T, KtmError>>) -> Result<T, KtmError> {
        let one_at_a_time = self.one_at_a_time.lock().await;
        if self.keyring.is_full() {
            self.rewrap().await?;
        }
        self.keyring.begin_version().await?;
        let deleted = delete.await?;
        if let Err(error) = self.rewrap().await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "what was destroyed is not yet erased; the next upkeep tries again");
        }
        drop(one_at_a_time);
        Ok(deleted)
    }

    /// Makes sure that what is deleted from now on goes with the next wrapping anew.
    pub(crate) async fn begin(&self) -> Result<(), KtmError> {
        Ok(self.keyring.begin_version().await?)
    }

    /// Goes on where a kill or a failure left something to be wrapped anew.
    pub(crate) async fn finish(&self) -> Result<(), KtmError> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        if self.keyring.has_earlier() { self.rewrap().await } else { Ok(()) }
    }

    /// Everything in the store as of one revision, with the versions of the KEK that unwrap it: none is retired meanwhile.
    pub(crate) async fn snapshot(&self) -> Result<(Listed, Versions), KtmError> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let listed = self.records.everything().await?;
        Ok((listed, self.keyring.duplicates()))
    }

    async fn rewrap(&self) -> Result<(), KtmError> {
        let began = Instant::now();
        // Versions that begin meanwhile are for what is destroyed meanwhile: the next time.
        let version = self.keyring.newest_version();
        // Whoever wrapped under the version before has written it when these are ours.
        drop(self.scopes.hold().await);
        drop(self.roots.hold().await);
        let mut records = 0;
        for _ in 0..RACES_MAX {
            let found = self.pass(version).await?;
            records += found;
            if found == 0 {
                self.keyring.retire_before(version).await?;
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(records, took_ms, version, "wrapped all secrets anew");
                metrics::counter!("aups_ktm_rewraps_total").increment(1);
                return Ok(());
            }
        }
        Err(KtmError::Contended { key: scope::PREFIX.to_owned() })
    }

    /// Wraps anew what lies under versions before this one; how many records that were, those included that somebody else changed
    /// meanwhile.
    async fn pass(&self, version: u32) -> Result<usize, KtmError> {
        let (mut changes, mut bytes, mut found) = (Vec::new(), 0, 0);
        let everything = self.records.everything().await?.0;
        let of_ours =
            everything.into_iter().filter(|(key, _)| SECRETS_UNDER.iter().any(|prefix| key.starts_with(prefix)));
        for (key, item) in of_ours {
            let Some(value) = rewrapped(&self.keyring, version, &key, &item.value)? else { continue };
            found += 1;
            bytes += key.len() + value.len();
            changes.push(Change::put(key, value, Expect::Revision(item.revision)));
            if changes.len() >= REWRAPPED_AT_ONCE || bytes >= REWRAPPED_BYTES_AT_ONCE {
                self.write(std::mem::take(&mut changes)).await?;
                bytes = 0;
            }
        }
        self.write(changes).await?;
        Ok(found)
    }

    /// Does nothing if somebody changed one of the records: the next pass finds them again.
    async fn write(&self, changes: Vec<Change>) -> Result<(), KtmError> {
        if changes.is_empty() {
            return Ok(());
        }
        let scopes: Vec<ScopeId> =
            changes.iter().filter_map(|change| change.key().strip_prefix(scope::PREFIX)?.parse().ok()).collect();
        let changing = self.scopes.hold().await;
        if let Some(revision) = self.records.commit(changes).await? {
            for id in &scopes {
                self.scopes.rewritten(id, revision, &changing);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
