//! Token buckets: how much somebody may ask for in a while.

use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Most senders of one kind whose accounts are kept apart, about 100 bytes each.
const ACCOUNTS_MAX: usize = 65_536;
/// Parts of the accounts that are locked apart.
const SHARDS: usize = 16;
/// Where there is no room, it is looked for accounts to forget so often at most: looking takes as long as there are many.
const FORGET_EVERY: Duration = Duration::from_secs(1);
/// Longest time for which somebody pays off.
const DEBT_MAX: Duration = Duration::from_hours(24);

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

    /// How long it takes until so many tokens are back.
    fn time_of(self, tokens: u32) -> Duration {
        Duration::from_nanos(u64::from(tokens) * 1_000_000_000 / u64::from(self.per_second.max(1)))
    }
}

/// How much somebody may send; what is `None` has no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Allowance {
    /// Items.
    pub items: Option<Rate>,
    /// Bytes of bodies.
    pub bytes: Option<Rate>,
}

impl Allowance {
    /// So many items, of any size.
    pub const fn items(rate: Rate) -> Self {
        Self { items: Some(rate), bytes: None }
    }
}

/// A bucket with a token left pays for anything, if need be by going into debt: a batch larger than the burst is taken once
/// and paid off afterwards, so that the rate holds in the long run and no batch size is impossible.
///
/// It is kept as the time at which it is full again (GCRA, the generic cell rate algorithm), so that a rate may change.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Whether there is a token, or after how long there is one again.
    fn check(self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let missing = self.full_at.saturating_duration_since(now);
        let wait = missing.saturating_sub(rate.time_of(rate.burst.max(1) - 1));
        if wait.is_zero() { Ok(()) } else { Err(wait) }
    }

    fn owe(&mut self, rate: Rate, tokens: u32, now: Instant) {
        let missing = self.full_at.saturating_duration_since(now) + rate.time_of(tokens);
        self.full_at = now + missing.min(DEBT_MAX);
    }
}

/// What one sender has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    items: Bucket,
    bytes: Bucket,
}

impl Account {
    /// Nothing is used.
    pub(crate) fn full(now: Instant) -> Self {
        let bucket = Bucket { full_at: now };
        Self { items: bucket, bytes: bucket }
    }

    fn is_full(&self, now: Instant) -> bool {
        self.items.full_at <= now && self.bytes.full_at <= now
    }

    /// Takes items if there is something left, or says after how long there is.
    pub(crate) fn take(&mut self, allowance: &Allowance, items: u32, now: Instant) -> Result<(), Duration> {
        let of_items = allowance.items.map_or(Ok(()), |rate| self.items.check(rate, now));
        let of_bytes = allowance.bytes.map_or(Ok(()), |rate| self.bytes.check(rate, now));
        if of_items.is_err() || of_bytes.is_err() {
            return Err(of_items.err().max(of_bytes.err()).unwrap_or_default());
        }
        self.owe(allowance, items, 0, now);
        Ok(())
    }

    /// Takes what was already taken in: a debt if there is not enough.
    pub(crate) fn owe(&mut self, allowance: &Allowance, items: u32, bytes: u32, now: Instant) {
        if let Some(rate) = allowance.items {
            self.items.owe(rate, items, now);
        }
        if let Some(rate) = allowance.bytes {
            self.bytes.owe(rate, bytes, now);
        }
    }
}

/// An account per sender.
///
/// Accounts that are full again are forgotten. Senders for whom there is no room share one, so that a flood of made-up
/// senders neither takes memory nor goes free.
#[derive(Debug)]
pub(crate) struct Accounts<K> {
    hasher: RandomState,
    shards: [Mutex<Shard<K>>; SHARDS],
}

#[derive(Debug)]
struct Shard<K> {
    own: HashMap<K, Account>,
    shared: Account,
    /// When it was last looked for accounts to forget.
    forgot_at: Option<Instant>,
}

impl<K> Default for Accounts<K> {
    fn default() -> Self {
        let shard = |_| Shard { own: HashMap::new(), shared: Account::full(Instant::now()), forgot_at: None };
        Self { hasher: RandomState::new(), shards: std::array::from_fn(shard).map(Mutex::new) }
    }
}

impl<K: Hash + Eq + Clone> Accounts<K> {
    /// Takes items from a sender's account if there is something left, or says after how long there is.
    pub(crate) fn take(&self, sender: &K, allowance: &Allowance, items: u32, now: Instant) -> Result<(), Duration> {
        self.with(sender, now, |account| account.take(allowance, items, now))
    }

    /// Takes what was already taken in: a debt if there is not enough.
    pub(crate) fn owe(&self, sender: &K, allowance: &Allowance, items: u32, bytes: u32, now: Instant) {
        self.with(sender, now, |account| account.owe(allowance, items, bytes, now));
    }

    fn with<T>(&self, sender: &K, now: Instant, change: impl FnOnce(&mut Account) -> T) -> T {
        let shard = usize::try_from(self.hasher.hash_one(sender) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(shard).unwrap_or(first);
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        change(shard.account(sender, now))
    }
}

impl<K: Hash + Eq + Clone> Shard<K> {
    fn account(&mut self, sender: &K, now: Instant) -> &mut Account {
        let full = self.own.len() >= ACCOUNTS_MAX / SHARDS;
        let may_forget = self.forgot_at.is_none_or(|at| now.saturating_duration_since(at) >= FORGET_EVERY);
        if full && may_forget && !self.own.contains_key(sender) {
            self.forgot_at = Some(now);
            self.own.retain(|_, account| !account.is_full(now));
        }
        if self.own.len() >= ACCOUNTS_MAX / SHARDS && !self.own.contains_key(sender) {
            return &mut self.shared;
        }
        self.own.entry(sender.clone()).or_insert_with(|| Account::full(now))
    }
}

/// A bucket of tokens per sender, all at one rate.
#[derive(Debug)]
pub struct Buckets<K> {
    allowance: Allowance,
    accounts: Accounts<K>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// Full buckets for everybody.
    pub fn new(rate: Rate) -> Self {
        Self { allowance: Allowance::items(rate), accounts: Accounts::default() }
    }

    /// Takes tokens from a sender's bucket, or says after how long there is one again. A bucket with a token left pays for
    /// anything, if need be by going into debt.
    #[expect(clippy::needless_pass_by_value, reason = "most callers make it for this")]
    pub fn take(&self, sender: K, tokens: u32, now: Instant) -> Result<(), Duration> {
        self.accounts.take(&sender, &self.allowance, tokens, now)
    }
}

/// The address of a request that came without one: all such share a bucket.
pub(crate) const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests;
