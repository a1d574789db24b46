//! A map of bounded size that forgets what was not used for long.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// Two halves: what was used lately, and what was used before. When the younger half is full, the older one is forgotten
/// and the younger takes its place. So what was used among the last `max / 2` keys is there, and never more than `max`.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// Holds at most `max` values, and two at least.
    pub(super) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (max / 2).max(1) }
    }

    /// The value of a key, used now.
    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// The value of a key, made if there is none, used now.
    pub(super) fn entry(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let used_before = self.old.remove(&key);
        if !self.young.contains_key(&key) {
            self.make_room();
        }
        self.young.entry(key).or_insert_with(|| used_before.unwrap_or_else(make))
    }

    /// All that is remembered, what was used before first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.old.iter().chain(&self.young)
    }

    /// Sets the value of a key.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.make_room();
        self.young.insert(key, value);
    }

    fn make_room(&mut self) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests;
