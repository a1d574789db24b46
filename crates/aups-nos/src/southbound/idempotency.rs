//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is sent again with the same key is answered as the
//! first one was, and nothing is taken twice.
//!
//! Only what was taken is remembered: a request that was refused may be mended and sent with the same key.

use crate::{
    accept::{Content, Sender},
    problem::Refusal,
};
use aups_core::{Clock, Problem, UnixMillis};
use aups_envelope::hash;
use aups_net::sender_network;
use axum::http::HeaderMap;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use std::{
    collections::{HashMap, VecDeque, hash_map},
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a request is remembered.
const REMEMBERED_FOR: Duration = Duration::from_mins(10);
/// Longest key, in characters.
const KEY_CHARS_MAX: usize = 128;
/// Most requests that are remembered.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// All requests.
    all: usize,
    /// Of one registered source.
    of_a_source: u32,
    /// Of all unregistered sources together: they leave room for the others.
    unregistered: usize,
    /// Of one network of theirs.
    of_a_network: u32,
}

/// All: 330 requests a second, about 150 bytes each; a source: 33 a second, each of which may bring a batch.
const LIMITS: Limits = Limits { all: 200_000, of_a_source: 20_000, unregistered: 50_000, of_a_network: 5_000 };
/// How soon a request that is under way may be asked for again.
const UNDER_WAY_RETRY: Duration = Duration::from_secs(1);

/// Under what the marks of requests are kept: this, when they are forgotten, and their id.
pub(super) const REQUEST_PREFIX: &str = "idem/";

/// A key that a sender made up for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestKey(String);

impl RequestKey {
    /// That of a request, if it has one: a string in quotes (RFC 9651 section 3.3.3), or the same without them where it needs none.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut all = headers.get_all("idempotency-key").iter();
        let Some(first) = all.next() else { return Ok(None) };
        let key = first.to_str().ok().map(str::trim).and_then(unquoted);
        match key {
            Some(key) if (1..=KEY_CHARS_MAX).contains(&key.len()) && all.next().is_none() => Ok(Some(Self(key))),
            _ => {
                let detail = format!(
                    "give Idempotency-Key once, as 1 to {KEY_CHARS_MAX} ASCII characters in quotes, for instance a UUID that is \
                     new for each request and the same when it is sent again"
                );
                Err(Problem::new(400, "malformed-idempotency-key", "malformed Idempotency-Key", detail).into())
            }
        }
    }
}

fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
        return text.bytes().all(is_bare).then(|| text.to_owned());
    };
    let (mut key, mut rest) = (String::new(), rest.chars());
    loop {
        match rest.next()? {
            '"' => return rest.as_str().is_empty().then_some(key),
            '\\' => key.push(rest.next().filter(|escaped| matches!(escaped, '"' | '\\'))?),
            plain @ ' '..='~' => key.push(plain),
            _ => return None,
        }
    }
}

/// Names a request: hash of sender and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct RequestId([u8; 16]);

/// Names who is counted: hash of a source, or of a network. The first bit tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SenderId([u8; 8]);

impl SenderId {
    const REGISTERED: u8 = 0x80;

    const fn is_registered(self) -> bool {
        let [first, ..] = self.0;
        first & Self::REGISTERED != 0
    }
}

/// A request of which everything was taken, or that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    body: [u8; 16],
    sender: SenderId,
    /// What was taken, and until when that is known; `None`: it is under way.
    taken: Option<Taken>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    items: u64,
    until: UnixMillis,
}

/// The requests of the last minutes that came with a key.
pub(crate) struct Idempotency {
    clock: Arc<dyn Clock>,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    requests: HashMap<RequestId, Remembered>,
    /// When each that was taken is forgotten, in about that order.
    ends: VecDeque<(UnixMillis, RequestId)>,
    senders: HashMap<SenderId, u32>,
    unregistered: usize,
    /// Keys of marks that say nothing any more. Never more than were remembered.
    forgotten: Vec<Bytes>,
}

/// What a request with a key is.
pub(super) enum Begun {
    /// The first one, or the first that may be taken.
    First(UnderWay),
    /// A copy of one that was taken: so many items.
    Taken(u64),
}

impl Idempotency {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limits(clock, LIMITS)
    }

    fn with_limits(clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { clock, limits, state: Mutex::default() }
    }

    /// Begins a request, or finds it among those that were. `text` is what is sent: another one with the same key is refused.
    pub(super) fn begin(
        self: &Arc<Self>,
        sender: &Sender,
        key: &RequestKey,
        content: Content,
        text: &[u8],
    ) -> Result<Begun, Refusal> {
        let (id, sender) = (request_id(sender, key), sender_id(sender));
        let body = half(hash::sha256(&[&[u8::from(content == Content::Senml)], text]));
        let now = self.clock.now();
        let mut state = self.lock();
        state.forget(now);
        match state.requests.get(&id) {
            Some(known) if known.body != body => return Err(mismatch().into()),
            Some(Remembered { taken: Some(taken), .. }) => return Ok(Begun::Taken(taken.items)),
            Some(_) => return Err(under_way()),
            None => {}
        }
        let Limits { all, of_a_source, unregistered, of_a_network } = self.limits;
        let own_max = if sender.is_registered() { of_a_source } else { of_a_network };
        if state.senders.get(&sender).is_some_and(|count| *count >= own_max) {
            return Err(full(429, "idempotency-quota", state.wait(now)));
        }
        let no_room = !sender.is_registered() && state.unregistered >= unregistered;
        if no_room || state.requests.len() >= all {
            return Err(full(503, "idempotency-full", state.wait(now)));
        }
        state.insert(id, Remembered { body, sender, taken: None });
        drop(state);
        let until = now.plus(REMEMBERED_FOR);
        Ok(Begun::First(UnderWay { of: Arc::clone(self), id, body, sender, until }))
    }

    /// Goes on from the marks that were kept. Gives the keys of those that are out of date.
    pub(super) fn restore(&self, marks: Vec<(Bytes, Bytes)>) -> Vec<Bytes> {
        let now = self.clock.now();
        let mut state = self.lock();
        let mut left_over = Vec::new();
        for (key, value) in marks {
            match read_mark(&key, &value) {
                Some((id, remembered, taken)) if now < taken.until && state.requests.len() < self.limits.all => {
                    state.insert(id, remembered);
                    state.ends.push_back((taken.until, id));
                }
                _ => left_over.push(key),
            }
        }
        left_over
    }

    /// Keys of marks that may be cleared away since the last call.
    pub(super) fn take_forgotten(&self) -> Vec<Bytes> {
        let mut state = self.lock();
        state.forget(self.clock.now());
        std::mem::take(&mut state.forgotten)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").field("requests", &self.lock().requests.len()).finish_non_exhaustive()
    }
}

impl State {
    fn insert(&mut self, id: RequestId, request: Remembered) {
        if let Some(before) = self.requests.insert(id, request) {
            self.count_less(before.sender);
        }
        *self.senders.entry(request.sender).or_default() += 1;
        self.unregistered += usize::from(!request.sender.is_registered());
    }

    fn remove(&mut self, id: &RequestId) {
        if let Some(removed) = self.requests.remove(id) {
            self.count_less(removed.sender);
        }
    }

    fn count_less(&mut self, sender: SenderId) {
        self.unregistered -= usize::from(!sender.is_registered());
        if let hash_map::Entry::Occupied(mut count) = self.senders.entry(sender) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// Forgets what is out of date.
    fn forget(&mut self, now: UnixMillis) {
        while let Some((until, id)) = self.ends.front().copied().filter(|(until, _)| *until <= now) {
            self.ends.pop_front();
            self.remove(&id);
            self.forgotten.push(mark_key(until, id));
        }
    }

    /// How long until there is room for another.
    fn wait(&self, now: UnixMillis) -> Duration {
        let first = self.ends.front().map_or(UNDER_WAY_RETRY, |(until, _)| until.since(now));
        first.max(UNDER_WAY_RETRY)
    }
}

/// A request that is being taken. Dropped before it is taken, it is forgotten.
#[derive(Debug)]
pub(super) struct UnderWay {
    of: Arc<Idempotency>,
    id: RequestId,
    body: [u8; 16],
    sender: SenderId,
    until: UnixMillis,
}

impl UnderWay {
    /// What is to be kept with so many items.
    pub(super) fn mark(&self, items: u64) -> (Bytes, Bytes) {
        let mut value = BytesMut::with_capacity(32);
        value.put_slice(&self.body);
        value.put_slice(&self.sender.0);
        value.put_u64(items);
        (mark_key(self.until, self.id), value.freeze())
    }

    /// Everything was taken: so many items.
    pub(super) fn taken(self, items: u64) {
        let mut state = self.of.lock();
        let taken = Some(Taken { items, until: self.until });
        state.insert(self.id, Remembered { body: self.body, sender: self.sender, taken });
        state.ends.push_back((self.until, self.id));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.of.lock();
        if state.requests.get(&self.id).is_some_and(|request| request.taken.is_none()) {
            state.remove(&self.id);
        }
    }
}

fn mark_key(until: UnixMillis, id: RequestId) -> Bytes {
    [REQUEST_PREFIX.as_bytes(), &until.0.to_be_bytes(), &id.0].concat().into()
}

fn read_mark(key: &[u8], value: &[u8]) -> Option<(RequestId, Remembered, Taken)> {
    let key = key.strip_prefix(REQUEST_PREFIX.as_bytes())?;
    let (until, id) = key.split_first_chunk()?;
    let (body, value) = value.split_first_chunk()?;
    let (sender, mut value) = value.split_first_chunk()?;
    let taken = Taken { items: value.try_get_u64().ok()?, until: UnixMillis(u64::from_be_bytes(*until)) };
    let remembered = Remembered { body: *body, sender: SenderId(*sender), taken: Some(taken) };
    Some((RequestId(id.try_into().ok()?), remembered, taken))
}

/// A source is another one when it registers again, and the same one when its secrets are replaced.
fn request_id(sender: &Sender, key: &RequestKey) -> RequestId {
    RequestId(half(match sender {
        Sender::Registered { source, .. } => {
            let registered_at = source.registered_at.0.to_be_bytes();
            hash::sha256(&[
                b"request of a source",
                &registered_at,
                source.node_id.as_str().as_bytes(),
                b"\n",
                key.0.as_bytes(),
            ])
        }
        Sender::Unregistered(address) => of_address(b"request of an address", *address, key.0.as_bytes()),
    }))
}

fn sender_id(sender: &Sender) -> SenderId {
    let (hash, registered) = match sender {
        Sender::Registered { source, .. } => (hash::sha256(&[b"source", source.node_id.as_str().as_bytes()]), true),
        Sender::Unregistered(address) => (of_address(b"address", sender_network(*address), b""), false),
    };
    let mut id = half::<8>(hash);
    let [first, ..] = &mut id;
    *first = if registered { *first | SenderId::REGISTERED } else { *first & !SenderId::REGISTERED };
    SenderId(id)
}

fn of_address(label: &[u8], address: IpAddr, more: &[u8]) -> [u8; 32] {
    match address {
        IpAddr::V4(address) => hash::sha256(&[label, b"4", &address.octets(), more]),
        IpAddr::V6(address) => hash::sha256(&[label, b"6", &address.octets(), more]),
    }
}

/// The beginning of a hash: enough to tell apart what is not made to collide, and whose maker would only hurt itself.
fn half<const N: usize>(hash: [u8; 32]) -> [u8; N] {
    hash.first_chunk().copied().unwrap_or([0; N])
}

fn mismatch() -> Problem {
    let detail = "another body was sent with this Idempotency-Key: make up a new key for each request";
    Problem::new(422, "idempotency-mismatch", "Idempotency-Key used for something else", detail)
}

fn under_way() -> Refusal {
    let detail = "a request with this Idempotency-Key is being taken; ask again in a moment";
    Refusal::later(Problem::new(409, "idempotency-under-way", "request under way", detail), UNDER_WAY_RETRY)
}

fn full(status: u16, code: &'static str, wait: Duration) -> Refusal {
    let detail = "no more requests with an Idempotency-Key are remembered; send it later, or without one";
    Refusal::later(Problem::new(status, code, "too many requests with an Idempotency-Key", detail), wait)
}

#[cfg(test)]
mod tests;
