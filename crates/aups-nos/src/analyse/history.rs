//! What a node said recently of each quantity: median and spread of its last values, and how far readings differ that were
//! taken close together.
//!
//! Of registered sources only: an unregistered one may be anybody who calls itself so. Lives in memory; after a start it
//! begins anew.

use super::scoring::Quantity;
use aups_core::UnixMillis;
use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState},
    iter,
    sync::{Mutex, PoisonError},
};

/// Most series (a quantity of a node each) that are remembered, about 600 bytes each with a full window of 31. For a new
/// one beyond that, one is forgotten that had no reading for a while.
pub const SERIES_MAX: usize = 65_536;
/// Parts that are locked apart: readings of different series rarely wait for each other.
const SHARDS: usize = 16;
/// The estimate of noise follows about so many of the last differences.
const NOISE_MEMORY: u8 = 16;
/// Standard deviation of normal noise over its MAD: 1 / 0.6745.
const SIGMA_PER_MAD: f64 = 1.4826;
/// Standard deviation of normal noise over the mean distance of two successive values: √π / 2.
const SIGMA_PER_DIFFERENCE: f64 = 0.886_227;

/// What was known of a series before a reading.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observed {
    /// How many values are in the window.
    pub count: u8,
    /// Their median; 0 if there are none.
    pub median: f64,
    /// The median of their distances from it (MAD); 0 if there are none.
    pub mad: f64,
    /// How far values differ that were taken close together, as a standard deviation; `None`: too few were.
    pub noise: Option<f64>,
}

impl Observed {
    /// The modified z-score of a value (Iglewicz and Hoaglin 1993), its scale at least the spread that is usual for the
    /// quantity. `None`: too little is known, or more than half of all values were the same and no spread is usual.
    pub(super) fn deviation(&self, value: f64, quantity: &Quantity) -> Option<f64> {
        let scale = (SIGMA_PER_MAD * self.mad).max(quantity.spread);
        (self.count >= quantity.count_min && scale > 0.0).then(|| (value - self.median).abs() / scale)
    }
}

/// The recent values of all series. Shared by all connections.
#[derive(Debug)]
pub struct History {
    shards: Box<[Mutex<Shard>]>,
    /// Keyed at random: nobody outside can make two series share a place.
    hasher: RandomState,
    /// In each shard.
    series_max: usize,
}

impl Default for History {
    fn default() -> Self {
        Self::with_series_max(SERIES_MAX)
    }
}

impl History {
    /// A history of about so many series at most, at least one in each of its parts.
    pub fn with_series_max(series_max: usize) -> Self {
        let shards = iter::repeat_with(Mutex::default).take(SHARDS).collect();
        Self { shards, hasher: RandomState::new(), series_max: (series_max / SHARDS).max(1) }
    }

    /// How many series are remembered.
    pub fn series(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).series.len()).sum()
    }

    /// Says what was known of a node's quantity before a value that was taken at a time, and keeps the value if it is to be
    /// learnt.
    pub(super) fn observe(
        &self,
        (node, name): (&str, &str),
        (value, at): (f64, UnixMillis),
        learn: bool,
        quantity: &Quantity,
    ) -> Observed {
        let key = self.hasher.hash_one((node, name));
        // The low bits choose the shard; the table inside takes the high ones first.
        let shard = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        let Some(shard) = self.shards.get(shard) else { return Observed::default() };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let series = shard.series_of(key, self.series_max);
        let known = series.known(quantity);
        if learn {
            series.learn(&known, value, at, quantity);
        }
        known
    }
}

/// Series by the hash of their names: that any two of 65,536 share 64 bits is less likely than one in a billion.
#[derive(Debug, Default)]
struct Shard {
    series: HashMap<u64, Series, BuildHasherDefault<AsIs>>,
    /// In the order in which they will be looked at when room is needed; each once.
    queue: VecDeque<u64>,
}

impl Shard {
    fn series_of(&mut self, key: u64, series_max: usize) -> &mut Series {
        if !self.series.contains_key(&key) {
            while self.series.len() >= series_max {
                self.forget_one();
            }
            self.queue.push_back(key);
        }
        let series = self.series.entry(key).or_default();
        series.touched = true;
        series
    }

    /// Forgets the first one that was not touched since it was last looked at here (second chance).
    fn forget_one(&mut self) {
        while let Some(key) = self.queue.pop_front() {
            match self.series.get_mut(&key) {
                Some(series) if series.touched => {
                    series.touched = false;
                    self.queue.push_back(key);
                }
                _ => {
                    self.series.remove(&key);
                    return;
                }
            }
        }
    }
}

/// Keys that are hashes already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The last values of one quantity of one node.
#[derive(Debug, Default)]
struct Series {
    /// In ascending order.
    values: Vec<f64>,
    /// For each of them, which one it was, counted over and over again to 255.
    ordinals: Vec<u8>,
    /// The ordinal of the next one.
    next: u8,
    /// The last one, and when it was taken.
    last: Option<(f64, UnixMillis)>,
    /// Mean distance of successive values that were taken close together.
    difference: f64,
    /// How many went into that, counted as far as it matters.
    differences: u8,
    touched: bool,
}

impl Series {
    fn known(&self, quantity: &Quantity) -> Observed {
        let Some(median) = median(&self.values) else { return Observed::default() };
        Observed {
            count: u8::try_from(self.values.len()).unwrap_or(u8::MAX),
            median,
            mad: deviation_median(&self.values, median),
            noise: (self.differences >= quantity.count_min.min(NOISE_MEMORY))
                .then_some(SIGMA_PER_DIFFERENCE * self.difference),
        }
    }

    fn learn(&mut self, known: &Observed, value: f64, at: UnixMillis, quantity: &Quantity) {
        let fits = known.deviation(value, quantity).is_none_or(|deviation| deviation <= quantity.deviation);
        if let Some((last, taken)) = self.last
            && fits
            && at > taken
            && at.since(taken) <= quantity.repeated_within
            && (value - last).is_finite()
        {
            self.differences = (self.differences + 1).min(NOISE_MEMORY);
            self.difference += ((value - last).abs() - self.difference) / f64::from(self.differences);
        }
        self.last = Some((value, at));
        while self.values.len() >= usize::from(quantity.window) {
            self.drop_oldest();
        }
        let place = self.values.partition_point(|known| *known < value);
        self.values.insert(place, value);
        self.ordinals.insert(place, self.next);
        self.next = self.next.wrapping_add(1);
    }

    fn drop_oldest(&mut self) {
        // There are at most 255: each has another ordinal.
        let oldest = self.next.wrapping_sub(u8::try_from(self.ordinals.len()).unwrap_or(u8::MAX));
        if let Some(place) = self.ordinals.iter().position(|ordinal| *ordinal == oldest) {
            self.values.remove(place);
            self.ordinals.remove(place);
        }
    }
}

/// The median of values in ascending order.
fn median(values: &[f64]) -> Option<f64> {
    let upper = *values.get(values.len() / 2)?;
    let lower = values.len().checked_sub(1).and_then(|last| values.get(last / 2)).copied()?;
    Some(f64::midpoint(lower, upper))
}

/// The median of the distances of values in ascending order from their median.
///
/// The nearer half and one more stand together: a binary search finds where they begin, and the farthest of them stands at one of
/// their ends.
fn deviation_median(values: &[f64], median: f64) -> f64 {
    let distance = |place: usize| values.get(place).map_or(f64::INFINITY, |value| (value - median).abs());
    let half = values.len() / 2;
    let (mut first, mut end) = (0, values.len().saturating_sub(half + 1));
    while first < end {
        let middle = usize::midpoint(first, end);
        if distance(middle + half + 1) < distance(middle) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    let last = first + half;
    let farthest = distance(first).max(distance(last));
    if values.len() % 2 == 1 {
        return farthest;
    }
    // Of an even number the mean of the two in the middle: without the farthest, the next one stands at an end again.
    let next = if distance(first) < distance(last) {
        distance(first).max(distance(last - 1))
    } else {
        distance(first + 1).max(distance(last))
    };
    f64::midpoint(farthest, next)
}

#[cfg(test)]
mod tests;
