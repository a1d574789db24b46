//! Token buckets: how much somebody may ask for in a while.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Mutex,
    time::Duration,
};
use tokio::time::Instant;

/// Most senders of one kind whose buckets are kept apart, about 100 bytes each.
const BUCKETS_MAX: usize = 65_536;

/// How much is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rate {
    /// Tokens that come back each second; at least 1.
    pub per_second: u32,
    /// Most tokens that are saved up; at least 1.
    pub burst: u32,
}

impl Rate {
    /// So many each second, and as many at once.
    pub const fn per_second(tokens: u32) -> Self {
        Self { per_second: tokens, burst: tokens }
    }
}

/// A bucket of tokens per sender.
///
/// A bucket with a token left pays for anything, if need be by going into debt: a batch larger than the burst is taken
/// once and paid off afterwards, so that the rate holds in the long run and no batch size is impossible. Buckets that are
/// full again are forgotten. Senders for whom there is no room share one bucket, so that a flood of made-up senders
/// neither takes memory nor goes free.
#[derive(Debug)]
pub struct Buckets<K> {
    rate: Rate,
    buckets: Mutex<Known<K>>,
}

#[derive(Debug)]
struct Known<K> {
    own: HashMap<K, Bucket>,
    shared: Bucket,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: Rate, now: Instant) {
        let back = now.saturating_duration_since(self.at).as_secs_f64() * f64::from(rate.per_second.max(1));
        self.tokens = (self.tokens + back).min(f64::from(rate.burst.max(1)));
        self.at = now;
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// Full buckets for everybody.
    pub fn new(rate: Rate) -> Self {
        let shared = Bucket { tokens: f64::from(rate.burst.max(1)), at: Instant::now() };
        Self { rate, buckets: Mutex::new(Known { own: HashMap::new(), shared }) }
    }

    /// Takes tokens from a sender's bucket, or says after how long there is one again.
    pub fn take(&self, sender: K, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.with(sender, now, |rate, bucket| {
            if bucket.tokens < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - bucket.tokens) / f64::from(rate.per_second.max(1))));
            }
            bucket.tokens -= f64::from(tokens);
            Ok(())
        })
    }

    /// Takes tokens for what was already taken in: a debt if there are not enough.
    pub(crate) fn owe(&self, sender: K, tokens: u32, now: Instant) {
        self.with(sender, now, |_, bucket| bucket.tokens -= f64::from(tokens));
    }

    fn with<T>(&self, sender: K, now: Instant, change: impl FnOnce(Rate, &mut Bucket) -> T) -> T {
        let mut known = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Known { own, shared } = &mut *known;
        if own.len() >= BUCKETS_MAX && !own.contains_key(&sender) {
            own.retain(|_, bucket| {
                bucket.refill(self.rate, now);
                bucket.tokens < f64::from(self.rate.burst.max(1))
            });
        }
        let bucket = if own.len() < BUCKETS_MAX || own.contains_key(&sender) {
            own.entry(sender).or_insert(Bucket { tokens: f64::from(self.rate.burst.max(1)), at: now })
        } else {
            shared
        };
        bucket.refill(self.rate, now);
        change(self.rate, bucket)
    }
}

/// Who counts as one sender: an IPv4 address, or the /64 network of an IPv6 address, whose owner has all of it.
pub fn sender_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

/// The address of a request that came without one: all such share a bucket.
pub(crate) const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests;
