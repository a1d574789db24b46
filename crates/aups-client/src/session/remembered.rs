//! Answers that are remembered for a while, so that a flood of the same question does not become a flood of requests.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    time::Duration,
};

/// At most so many values, each for the same time. When there is no room, the oldest goes.
#[derive(Debug)]
pub(crate) struct Remembered<T> {
    lifetime: Duration,
    values_max: usize,
    /// When each is forgotten.
    ends: HashMap<T, Duration>,
    /// In the order in which they are forgotten.
    order: VecDeque<T>,
}

impl<T: Copy + Eq + Hash> Remembered<T> {
    pub(crate) fn new(lifetime: Duration, values_max: usize) -> Self {
        Self { lifetime, values_max, ends: HashMap::new(), order: VecDeque::new() }
    }

    /// Remembers a value from now on. One that is remembered already keeps its end.
    pub(crate) fn insert(&mut self, value: T, now: Duration) {
        while self
            .order
            .front()
            .is_some_and(|oldest| self.order.len() >= self.values_max || !self.contains(oldest, now))
        {
            if let Some(oldest) = self.order.pop_front() {
                self.ends.remove(&oldest);
            }
        }
        if !self.ends.contains_key(&value) {
            self.ends.insert(value, now + self.lifetime);
            self.order.push_back(value);
        }
    }

    /// Whether the value is remembered now.
    pub(crate) fn contains(&self, value: &T, now: Duration) -> bool {
        self.ends.get(value).is_some_and(|end| *end > now)
    }
}

#[cfg(test)]
mod tests;
