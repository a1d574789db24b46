//! A bounded map for what can be computed again.

use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    mem,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Shards of a cache, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// A map of bounded size that forgets what was not asked for lately: each shard has two generations, and when the younger
/// one is full, the older is dropped and the younger takes its place.
pub(crate) struct Cache<K, V> {
    shards: [RwLock<Generations<K, V>>; SHARDS],
    hasher: RandomState,
    /// Entries of one generation of one shard.
    generation_max: usize,
}

struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// A cache of at most so many entries (rounded up to a few dozen).
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::new(Generations { young: HashMap::new(), old: HashMap::new() })),
            hasher: RandomState::new(),
            generation_max: entries_max.div_ceil(2 * SHARDS),
        }
    }

    /// What was kept under a key. Allocates nothing.
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let shard = self.shard(key);
        {
            let generations = read(shard);
            if let Some(value) = generations.young.get(key) {
                return Some(value.clone());
            }
            if !generations.old.contains_key(key) {
                return None;
            }
        }
        // Asked for again: it shall live as long as the young.
        let mut generations = write(shard);
        let (key, value) = generations.old.remove_entry(key)?;
        generations.keep(key, value.clone(), self.generation_max);
        Some(value)
    }

    /// Keeps a value and returns the one that is now kept: the first of those that came at the same time.
    pub(crate) fn keep(&self, key: K, value: V) -> V {
        let mut generations = write(self.shard(&key));
        if let Some(first) = generations.young.get(&key) {
            return first.clone();
        }
        generations.keep(key, value.clone(), self.generation_max);
        value
    }

    /// Entries that are kept at present.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| read(shard)).map(|shard| shard.young.len() + shard.old.len()).sum()
    }

    fn shard<Q: Hash + ?Sized>(&self, key: &Q) -> &RwLock<Generations<K, V>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let number = self.hasher.hash_one(key) as usize % SHARDS;
        let [first, ..] = &self.shards;
        self.shards.get(number).unwrap_or(first)
    }
}

impl<K: Hash + Eq, V> Generations<K, V> {
    fn keep(&mut self, key: K, value: V, generation_max: usize) {
        if self.young.len() >= generation_max {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

/// A thread that panicked left a whole map behind: entries are inserted and removed one by one.
fn read<K, V>(shard: &RwLock<Generations<K, V>>) -> RwLockReadGuard<'_, Generations<K, V>> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<K, V>(shard: &RwLock<Generations<K, V>>) -> RwLockWriteGuard<'_, Generations<K, V>> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq, V: Clone> std::fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("entries", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
