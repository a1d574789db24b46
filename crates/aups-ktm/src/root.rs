//! Root generations: the random bytes that every temporary key comes from, and that make keys unrecoverable when they go.
//!
//! Generations cut time into pieces without a gap: generation 1 begins with time itself (so that a key whose epoch began
//! before the realm existed has a root, and a clock that is set back finds one), each later one where the one before it
//! ends. Which generation a key comes from is decided by its `nbf` alone, so every replica decides alike.

use crate::{
    custody::Keyring,
    error::KtmError,
    records::{RACES_MAX, Records, Wrapped, put},
};
use aups_core::{UnixMillis, limits::KEY_LIFE_MIN};
use aups_envelope::Secret;
use aups_store::{Change, Expect};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};

const PREFIX: &str = "ktm/root/";

/// How far ahead generations reach, in root periods: one for the next epoch of the longest life, one to be early.
const AHEAD_PERIODS: u64 = 2;

/// One root and the keys that it is for.
#[derive(Debug)]
pub(crate) struct Generation {
    number: u32,
    /// Covers keys whose `nbf` is not before this…
    from: UnixMillis,
    /// …and before this.
    to: UnixMillis,
    history_ms: u64,
    life_max_ms: u64,
    root: Secret<32>,
}

impl Generation {
    /// How long after their expiry its keys still open, in milliseconds.
    pub(crate) const fn history_ms(&self) -> u64 {
        self.history_ms
    }

    /// The root, for a key of this life. A longer-lived key would outlive its root.
    pub(crate) fn root_for(&self, life_ms: u64) -> Result<&Secret<32>, KtmError> {
        if life_ms <= self.life_max_ms { Ok(&self.root) } else { Err(life_error(life_ms, self.life_max_ms)) }
    }

    /// From here on no key of it may be opened with: its last key's `dec` is past.
    fn spent_at(&self) -> UnixMillis {
        UnixMillis(self.to.0.saturating_add(self.life_max_ms).saturating_add(self.history_ms))
    }
}

/// Refuses lives that no generation of these settings would serve.
pub(crate) fn check_life(life_ms: u64, root_period: Duration) -> Result<(), KtmError> {
    let least = millis(KEY_LIFE_MIN);
    let most = millis(root_period);
    if (least..=most).contains(&life_ms) { Ok(()) } else { Err(life_error(life_ms, most)) }
}

fn life_error(asked: u64, most: u64) -> KtmError {
    KtmError::Life { asked, least: millis(KEY_LIFE_MIN), most }
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RootRecord {
    number: u32,
    from: UnixMillis,
    to: UnixMillis,
    history_ms: u64,
    life_max_ms: u64,
    root: Wrapped,
}

impl RootRecord {
    fn of(generation: &Generation, keyring: &Keyring) -> Self {
        let Generation { number, from, to, history_ms, life_max_ms, ref root } = *generation;
        let bound = bound(from, to, history_ms, life_max_ms);
        let root = Wrapped::wrap(keyring, &key(number), &[&bound], root);
        Self { number, from, to, history_ms, life_max_ms, root }
    }

    fn open(self, found_at: &str, keyring: &Keyring) -> Result<Generation, KtmError> {
        let Self { number, from, to, history_ms, life_max_ms, root } = self;
        let root = root.unwrap(keyring, found_at, &[&bound(from, to, history_ms, life_max_ms)])?;
        Ok(Generation { number, from, to, history_ms, life_max_ms, root })
    }
}

fn key(number: u32) -> String {
    // Ten digits, so that the order of keys is that of numbers.
    format!("{PREFIX}{number:010}")
}

fn bound(from: UnixMillis, to: UnixMillis, history_ms: u64, life_max_ms: u64) -> Vec<u8> {
    [from.0, to.0, history_ms, life_max_ms].iter().flat_map(|member| member.to_be_bytes()).collect()
}

/// The generations that exist, all in memory: a handful.
#[derive(Debug)]
pub(crate) struct Roots {
    records: Records,
    keyring: Keyring,
    root_period: Duration,
    history: Duration,
    /// In the order of time.
    known: RwLock<Vec<Arc<Generation>>>,
    extending: Mutex<()>,
}

impl Roots {
    /// Reads what exists. New generations will have this period and history; those that exist keep theirs.
    pub(crate) async fn load(
        records: Records,
        keyring: Keyring,
        root_period: Duration,
        history: Duration,
    ) -> Result<Self, KtmError> {
        let roots =
            Self { records, keyring, root_period, history, known: RwLock::default(), extending: Mutex::default() };
        roots.reload().await?;
        Ok(roots)
    }

    /// The generation of the keys that begin at `nbf`.
    pub(crate) fn covering(&self, nbf: UnixMillis) -> Result<Arc<Generation>, KtmError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let covering = known.iter().rev().find(|generation| generation.from <= nbf);
        match covering {
            Some(generation) if nbf < generation.to => Ok(Arc::clone(generation)),
            // `extend` reaches further ahead than any epoch that may be asked for, unless the clock jumped since.
            Some(_) => Err(KtmError::Clock),
            None => Err(KtmError::RootDestroyed),
        }
    }

    /// The longest history that a key may have.
    pub(crate) fn history_max_ms(&self) -> u64 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().map(|generation| generation.history_ms).fold(millis(self.history), u64::max)
    }

    /// Writes generations ahead, so that every key that may be asked for by two root periods from now has a root.
    ///
    /// Costs a comparison when there is nothing to do. After a pause, or a clock set forward, one generation covers the
    /// gap: pieces stay contiguous, and nothing that exists is touched.
    pub(crate) async fn extend(&self, now: UnixMillis) -> Result<(), KtmError> {
        if self.reaches_ahead_of(now) {
            return Ok(());
        }
        let _one_at_a_time = self.extending.lock().await;
        for _ in 0..RACES_MAX {
            if self.reaches_ahead_of(now) {
                return Ok(());
            }
            let next = self.next(now);
            let change = put(&key(next.number), &RootRecord::of(&next, &self.keyring), Expect::Absent)?;
            if self.records.commit(vec![change]).await?.is_some() {
                tracing::info!(number = next.number, from = %next.from, to = %next.to, "made a root generation");
                self.known.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(next));
            } else {
                // Another instance made it: ours was never used.
                self.reload().await?;
            }
        }
        Err(KtmError::Contended { key: PREFIX.to_owned() })
    }

    /// Until this is dropped nobody in this process makes a generation.
    pub(crate) async fn hold(&self) -> MutexGuard<'_, ()> {
        self.extending.lock().await
    }

    /// Whether there is a generation to destroy.
    pub(crate) fn any_spent(&self, now: UnixMillis) -> bool {
        !self.spent(now).is_empty()
    }

    fn spent(&self, now: UnixMillis) -> Vec<u32> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let older = known.iter().rev().skip(1);
        older.filter(|generation| generation.spent_at() <= now).map(|generation| generation.number).collect()
    }

    /// Destroys the generations whose last key is past its `dec`; never the newest, whose number the next one needs.
    pub(crate) async fn destroy_spent(&self, now: UnixMillis) -> Result<(), KtmError> {
        let spent = self.spent(now);
        if spent.is_empty() {
            return Ok(());
        }
        // Whoever else destroys them has the same reason: nothing to expect.
        self.records.commit(spent.iter().map(|number| Change::delete(key(*number), Expect::Any)).collect()).await?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.retain(|generation| !spent.contains(&generation.number));
        tracing::info!(numbers = ?spent, "destroyed root generations");
        Ok(())
    }

    fn reaches_ahead_of(&self, now: UnixMillis) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let wanted = now.0.saturating_add(millis(self.root_period).saturating_mul(AHEAD_PERIODS));
        known.last().is_some_and(|last| last.to.0 >= wanted)
    }

    fn next(&self, now: UnixMillis) -> Generation {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (number, from) = known.last().map_or((1, UnixMillis(0)), |last| (last.number.saturating_add(1), last.to));
        let to = from.max(now).plus(self.root_period);
        let (history_ms, life_max_ms) = (millis(self.history), millis(self.root_period));
        Generation { number, from, to, history_ms, life_max_ms, root: Secret::random() }
    }

    async fn reload(&self) -> Result<(), KtmError> {
        let records = self.records.list::<RootRecord>(PREFIX).await?;
        let found = records.into_iter().map(|(key, record, _)| record.open(&key, &self.keyring).map(Arc::new));
        let found = found.collect::<Result<Vec<_>, _>>()?;
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
