//! What a reader knows and decides, without any I/O: messages, answers and the time go in; events and key requests come out.
//!
//! A message whose key is here is opened at once. One whose key is not here waits ([`hold`]) while its key is asked for,
//! and with it all later ones of its topic; other topics go on. At most one key request is under way; what is wanted
//! meanwhile goes into the next.

mod hold;
mod prefetch;
mod remembered;
mod skew;

pub(crate) use hold::HoldLimits;

use crate::{
    Event, Identity, Minimum, RejectReason, Status,
    backoff::Backoff,
    error::chain,
    link::Ticket,
    server::{Answer, ServerError},
};
use aups_core::{Item, KeyId, PublisherSlot, Topic, UnixMillis, limits::WANTED_KEYS_MAX};
use aups_envelope::{
    accept::{Acceptance, AcceptanceLimits, Accepted, Arrival, KeyRing, Memory, Outcome, Rejection},
    key_request::{Freshness, KeyRequest, KeyResponseError, OpenedResponse, Wanted, open_key_response},
    random,
};
use bytes::Bytes;
use hold::{Hold, Pushed};
use prefetch::Prefetch;
use remembered::Remembered;
use serde_json::value::RawValue;
use skew::Skew;
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

/// How long a denial holds: so long a new right may take to show, and so often an unreadable key is asked for again.
const DENIED_FOR: Duration = Duration::from_secs(30);
/// Most scopes whose next key is asked for ahead of time; of more, the first message of an epoch waits for its key.
const SCOPES_IN_USE_MAX: usize = 16_384;
/// Most denials remembered.
const DENIED_MAX: usize = 4_096;
/// Most publishers remembered as not listed.
const UNLISTED_MAX: usize = 1_024;
/// Least time between two key requests: the 20 a second that every server allows (DESIGN section 7).
const REQUEST_INTERVAL_MIN: Duration = Duration::from_millis(50);
/// First and last wait after a request that failed.
const RETRY_WAITS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// Room for the keys of one request, as they are written: with the rest, and in base64url, they stay below the 16 KiB of a
/// request.
const WANTED_BYTES_MAX: usize = 11 << 10;
/// Longest wait that a server may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// Most events that wait for the application, save those of QoS 1 messages, of which there may be as many more as messages
/// that wait for keys.
const OUTPUTS_MAX: usize = 1_024;

/// An instant by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For what the protocol compares with others' clocks.
    pub(crate) wall: UnixMillis,
    /// For waits: since the session began, never backwards.
    pub(crate) mono: Duration,
}

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) payload: Bytes,
    pub(crate) retain: bool,
    pub(crate) ticket: Ticket,
}

impl Message {
    fn is_same_as(&self, other: &Self) -> bool {
        self.retain == other.retain && self.payload == other.payload
    }
}

/// What comes out: an event for the application, a delivery that is done, or both.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) event: Option<Event>,
    pub(crate) done: Ticket,
    /// What is to be remembered of it.
    pub(crate) memory: Option<Memory>,
}

/// The settings of a session.
#[derive(Debug)]
pub(crate) struct SessionSettings {
    pub(crate) minimums: Vec<Minimum>,
    pub(crate) max_age: Duration,
    /// How much may wait for keys.
    pub(crate) hold: HoldLimits,
}

/// The state of a reader.
#[derive(Debug)]
pub(crate) struct Session {
    identity: Identity,
    minimums: Vec<Minimum>,
    ring: KeyRing,
    acceptance: Acceptance,
    hold: Hold,
    denied: Remembered<KeyId>,
    unlisted: Remembered<PublisherSlot>,
    prefetch: Prefetch,
    skew: Skew,
    asking: Option<Asking>,
    /// No request before, by the monotonic clock.
    ask_from: Duration,
    backoff: Backoff,
    outputs: VecDeque<Output>,
    outputs_max: usize,
    /// Bumps of the keys that came with the last answer.
    bumps: Vec<Memory>,
}

/// The request under way.
#[derive(Debug)]
struct Asking {
    request: String,
    keys: BTreeSet<KeyId>,
    publishers: BTreeSet<PublisherSlot>,
    since: Duration,
    /// Whether the application knows that somebody answers in the NOS's name.
    told_of_forgery: bool,
}

/// What became of a message.
enum Attempt {
    /// Its events are out.
    Settled,
    /// It waits: for its key, or for the clock.
    Waits,
    /// It waits for its publisher to be listed.
    WaitsForPublisher(PublisherSlot),
}

impl Session {
    pub(crate) fn new(identity: Identity, settings: SessionSettings) -> Self {
        Self {
            identity,
            minimums: settings.minimums,
            ring: KeyRing::new(),
            acceptance: Acceptance::new(AcceptanceLimits { max_age: settings.max_age, ..AcceptanceLimits::default() }),
            hold: Hold::new(settings.hold),
            denied: Remembered::new(DENIED_FOR, DENIED_MAX),
            unlisted: Remembered::new(DENIED_FOR, UNLISTED_MAX),
            prefetch: Prefetch::new(SCOPES_IN_USE_MAX),
            skew: Skew::unknown(),
            asking: None,
            ask_from: Duration::ZERO,
            backoff: Backoff::new(RETRY_WAITS.0, RETRY_WAITS.1),
            outputs: VecDeque::new(),
            outputs_max: OUTPUTS_MAX + settings.hold.messages_max,
            bumps: Vec::new(),
        }
    }

    /// Remembers something of before a restart.
    pub(crate) fn remember(&mut self, memory: &Memory) {
        self.acceptance.remember(memory);
        self.ring.remember(memory);
    }

    /// All that is remembered.
    pub(crate) fn memories(&self) -> impl Iterator<Item = Memory> {
        self.acceptance.memories().chain(self.ring.memories())
    }

    /// The bumps of keys that came since this was last asked.
    pub(crate) fn take_bumps(&mut self) -> Vec<Memory> {
        std::mem::take(&mut self.bumps)
    }

    /// The broker is asked for subscriptions: it will send what it retained.
    pub(crate) fn on_subscribe(&mut self) {
        self.acceptance.begin_subscription();
    }

    /// Whether messages may be taken from the broker: else it has to wait. See [`Hold::has_room`].
    pub(crate) fn has_room(&self) -> bool {
        self.hold.has_room() && self.outputs.len() < self.outputs_max
    }

    /// A message came from the broker.
    pub(crate) fn on_message(&mut self, topic: Topic, message: Message, now: Now) {
        if message.payload.is_empty() {
            // The broker was told to forget what it retained (MQTT 5, section 3.3.1.3): nothing to open.
            self.outputs.push_back(Output { event: None, done: message.ticket, memory: None });
            return;
        }
        if message.ticket.is_none() && self.outputs.len() >= OUTPUTS_MAX {
            // QoS 0, and the application does not keep up: the topic's next message will tell the gap.
            return;
        }
        let publisher = if self.hold.holds(&topic) {
            None
        } else {
            match self.attempt(&topic, &message, now) {
                Attempt::Settled => return,
                Attempt::Waits => None,
                Attempt::WaitsForPublisher(publisher) => Some(publisher),
            }
        };
        let topic_if_full = topic.clone();
        match self.hold.push(topic, message, publisher) {
            Pushed::Held => {}
            Pushed::Again(ticket) => self.outputs.push_back(Output { event: None, done: ticket, memory: None }),
            Pushed::Full => self.tell(Event::Rejected { topic: topic_if_full, reason: RejectReason::HoldFull }),
        }
    }

    /// The answer to the request under way, or why there is none.
    pub(crate) fn on_answer(&mut self, answer: Result<Answer, ServerError>, now: Now) {
        let Some(asking) = self.asking.take() else { return };
        let read = self.read_answer(&asking, answer, now);
        self.conclude(&asking, read, now);
    }

    fn conclude(&mut self, asking: &Asking, read: Result<OpenedResponse, Failure>, now: Now) {
        match read {
            Ok(response) if self.skew.is_too_far() => {
                // Fail closed: neither the times in the messages nor those of the keys can be judged. Ask again later.
                drop(response);
                self.ask_from = now.mono + self.backoff.next_wait();
            }
            Ok(response) => {
                self.take(asking, response, now);
                self.backoff.reset();
                self.open_what_waits(now);
            }
            Err(failure) => {
                let retry_in =
                    self.backoff.next_wait().max(failure.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
                self.ask_from = now.mono + retry_in;
                self.tell(Event::KeysUnavailable { reason: failure.reason, retry_in });
            }
        }
    }

    /// A message came where answers come. Whether it was the answer to the request under way; whatever else it was is ignored,
    /// for whoever may publish there must not be able to end the waiting for the right one.
    pub(crate) fn on_answer_message(&mut self, topic: &str, body: &[u8], now: Now) -> bool {
        let Some(asking) = self.asking.take() else { return false };
        let wrong = if body.starts_with(b"{") {
            match Answer::of_message(topic.into(), body, &asking.request) {
                Some(refusal) => {
                    let read = self.read_answer(&asking, Ok(refusal), now);
                    self.conclude(&asking, read, now);
                    return true;
                }
                None => None,
            }
        } else {
            match self.open_response(&asking, body, now) {
                Ok(response) => {
                    self.measure(&asking, response.now, now);
                    self.conclude(&asking, Ok(response), now);
                    return true;
                }
                // Of another session of the same reader, or of a request that is not waited for any more.
                Err(KeyResponseError::OtherRequest) => None,
                Err(error) => Some(chain(&error)),
            }
        };
        let asking = self.asking.insert(asking);
        if let Some(reason) = wrong
            && !std::mem::replace(&mut asking.told_of_forgery, true)
        {
            self.tell(Event::AnswerRejected { reason });
        }
        false
    }

    /// The next key request to post, if one is due and none is under way.
    pub(crate) fn next_request(&mut self, now: Now) -> Option<String> {
        if self.asking.is_some() || now.mono < self.ask_from {
            return None;
        }
        let want = self.wanted(now);
        if want.is_empty() {
            return None;
        }
        let keys = want.iter().map(|wanted| wanted.key_id).collect();
        let reader = &self.identity.file;
        let request = KeyRequest {
            aud: reader.realm,
            sub: reader.sub.clone(),
            freshness: Freshness::IssuedAt(now.wall),
            jti: random(),
            want,
        };
        let request = request.sign(&reader.signing_key);
        let publishers = self.hold.publishers().collect();
        self.ask_from = now.mono + REQUEST_INTERVAL_MIN;
        self.asking =
            Some(Asking { request: request.clone(), keys, publishers, since: now.mono, told_of_forgery: false });
        Some(request)
    }

    /// When [`Session::next_request`] may have something, if nothing else happens before.
    pub(crate) fn wake_at(&self, now: Now) -> Option<Duration> {
        if self.asking.is_some() {
            return None;
        }
        if self.hold.wants_any(|key_id| self.is_settled(key_id, now)) {
            return Some(self.ask_from);
        }
        let due = self.prefetch.next_due()?;
        Some((now.mono + due.since(now.wall)).max(self.ask_from))
    }

    /// The next thing to hand out, in order.
    pub(crate) fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether there is something to hand out.
    pub(crate) fn has_output(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// Hands out an event that ends no delivery. Dropped, unless it is the last, where a thousand wait for the application.
    pub(crate) fn tell(&mut self, event: Event) {
        if self.outputs.len() < OUTPUTS_MAX || matches!(event, Event::Ended(_)) {
            self.outputs.push_back(Output { event: Some(event), done: None, memory: None });
        }
    }

    /// The keys to ask for, as many as go into a request: those that messages wait for first, each once.
    fn wanted(&self, now: Now) -> Vec<Wanted> {
        let waiting = self.hold.wanted(|key_id| self.is_settled(key_id, now));
        let (mut keys, mut room, mut want) = (BTreeSet::new(), WANTED_BYTES_MAX, Vec::new());
        for (key_id, topic) in waiting.into_iter().chain(self.prefetch.due(now.wall)) {
            if keys.contains(&key_id) {
                continue;
            }
            match room.checked_sub(wanted_bytes(topic)) {
                Some(left) if want.len() < WANTED_KEYS_MAX => room = left,
                _ => break,
            }
            keys.insert(key_id);
            want.push(Wanted { key_id, topic: topic.as_str().into() });
        }
        want
    }

    /// Whether nothing needs to be asked about a key: it is here, or was denied a moment ago. While the clock is off,
    /// everything is asked again, for the answer tells the time.
    fn is_settled(&self, key_id: &KeyId, now: Now) -> bool {
        !self.skew.is_too_far() && (self.ring.get(key_id).is_some() || self.denied.contains(key_id, now.mono))
    }

    /// Opens a message if all that it needs is here.
    fn attempt(&mut self, topic: &Topic, message: &Message, now: Now) -> Attempt {
        if self.skew.is_too_far() {
            return Attempt::Waits;
        }
        let arrival =
            Arrival { topic: topic.as_str(), payload: &message.payload, retain: message.retain, now: now.wall };
        let event = match self.acceptance.accept(&arrival, &self.ring) {
            Ok(accepted) => return self.accepted(topic, message.ticket, accepted, now),
            Err(Rejection::UnknownKey(key_id)) if self.denied.contains(&key_id, now.mono) => {
                Event::Denied { topic: topic.clone(), key_id }
            }
            Err(Rejection::UnknownKey(_)) => return Attempt::Waits,
            Err(Rejection::UnknownPublisher(publisher)) if !self.unlisted.contains(&publisher, now.mono) => {
                return Attempt::WaitsForPublisher(publisher);
            }
            Err(Rejection::Duplicate) => Event::Duplicate { topic: topic.clone() },
            Err(Rejection::Stale | Rejection::RetainedNotNewer) => Event::Stale { topic: topic.clone() },
            Err(reason) => Event::Rejected { topic: topic.clone(), reason: reason.into() },
        };
        self.outputs.push_back(Output { event: Some(event), done: message.ticket, memory: None });
        Attempt::Settled
    }

    fn accepted(&mut self, topic: &Topic, ticket: Ticket, accepted: Accepted, now: Now) -> Attempt {
        self.note_use(topic, accepted.header.key_id, now);
        let memory = accepted.memory(topic.as_str());
        if let Some(gap) = accepted.gap {
            let event = Event::Gap { topic: topic.clone(), missed: gap.missed };
            self.outputs.push_back(Output { event: Some(event), done: None, memory: None });
        }
        let event = match read_item(accepted.plaintext) {
            Ok((item, json)) => self.minimums.iter().all(|minimum| minimum.is_met_by(&item)).then(|| Event::Item {
                topic: topic.clone(),
                item: Box::new(item),
                json,
                status: status(accepted.outcome),
            }),
            Err(reason) => Some(Event::Rejected { topic: topic.clone(), reason }),
        };
        self.outputs.push_back(Output { event, done: ticket, memory: Some(memory) });
        Attempt::Settled
    }

    fn note_use(&mut self, topic: &Topic, key_id: KeyId, now: Now) {
        if !self.prefetch.knows(&key_id)
            && let Some(entry) = self.ring.get(&key_id)
        {
            let has_next = self.ring.has_next(&key_id);
            self.prefetch.used(key_id, topic, &entry.terms, has_next, now.wall);
        }
    }

    /// Reads an answer and measures the clocks by it.
    fn read_answer(
        &mut self,
        asking: &Asking,
        answer: Result<Answer, ServerError>,
        now: Now,
    ) -> Result<OpenedResponse, Failure> {
        let answer = answer.map_err(|error| Failure { reason: chain(&error), retry_after: None })?;
        let (server_time, response) = match answer.status {
            // 403 is the same answer with every key denied (DESIGN section 7).
            200 | 403 => {
                let response = self.open_response(asking, &answer.body, now).map_err(|error| Failure {
                    reason: format!("the answer to a key request is not right: {}", chain(&error)),
                    retry_after: None,
                })?;
                (Some(response.now), Ok(response))
            }
            _ => {
                // A stale request is answered with the server's time. Nobody signed it: it is told, it opens nothing.
                let server_time =
                    answer.problem().and_then(|problem| problem.further.get("now")?.as_u64()).map(UnixMillis);
                let failure = Failure { reason: answer.refused().to_string(), retry_after: answer.retry_after };
                (server_time, Err(failure))
            }
        };
        if let Some(server_time) = server_time {
            self.measure(asking, server_time, now);
        }
        response
    }

    fn measure(&mut self, asking: &Asking, server_time: UnixMillis, now: Now) {
        let round_trip = now.mono.saturating_sub(asking.since);
        if let Some(ahead_ms) = self.skew.measure(now.wall, round_trip, server_time) {
            self.tell(Event::ClockSkew { ahead_ms, too_far: self.skew.is_too_far() });
        }
    }

    fn open_response(&self, asking: &Asking, body: &[u8], now: Now) -> Result<OpenedResponse, KeyResponseError> {
        let reader = &self.identity.file;
        open_key_response(asking.request.as_bytes(), body, &reader.realm_key, &reader.kem, now.wall)
    }

    /// Takes what an answer gives, and remembers what it does not.
    fn take(&mut self, asking: &Asking, response: OpenedResponse, now: Now) {
        for refused in &response.refused {
            tracing::warn!(nos = %response.nos.nos, reason = chain(refused), "did not take a part of an answer");
        }
        // Whoever answers is a publisher itself: an answer that lists none says nothing about the others.
        if !response.publishers.is_empty() {
            self.ring.list(response.publishers);
        }
        for entry in response.grants.keys.into_iter().chain(response.grants.next) {
            self.bumps.push(Memory::Bump { key_id: entry.key_id, from: entry.from });
            // Verified when the answer was opened.
            let _ = self.ring.insert(entry);
        }
        for key_id in &asking.keys {
            self.prefetch.answered(key_id);
            if response.grants.denied.contains(key_id) || self.ring.get(key_id).is_none() {
                self.denied.insert(*key_id, now.mono);
            }
        }
        for publisher in &asking.publishers {
            self.unlisted.insert(*publisher, now.mono);
        }
    }

    /// Opens what can be opened now, topic by topic, each up to its first message that has to wait further.
    fn open_what_waits(&mut self, now: Now) {
        for topic in self.hold.topics() {
            while let Some(held) = self.hold.pop(&topic) {
                match self.attempt(&topic, &held.message, now) {
                    Attempt::Settled => continue,
                    Attempt::Waits => self.hold.put_back(&topic, held, None),
                    Attempt::WaitsForPublisher(publisher) => self.hold.put_back(&topic, held, Some(publisher)),
                }
                break;
            }
        }
    }
}

/// Why a request brought nothing.
struct Failure {
    reason: String,
    retry_after: Option<Duration>,
}

/// What a wanted key takes in a request.
fn wanted_bytes(topic: &Topic) -> usize {
    const ALL_BUT_TOPIC: usize = r#"{"keyId":"","topic":},"#.len() + 32;
    // The quotes, and what JSON escapes, are part of it. Topics are short.
    ALL_BUT_TOPIC + serde_json::to_string(topic).map_or(0, |json| json.len())
}

const fn status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Fresh => Status::Fresh,
        Outcome::Late => Status::Late,
        Outcome::Retained => Status::Retained,
    }
}

fn read_item(plaintext: Vec<u8>) -> Result<(Item, Box<RawValue>), RejectReason> {
    let wrong = |error: &dyn std::error::Error| RejectReason::Item(error.to_string());
    let text = String::from_utf8(plaintext).map_err(|error| wrong(&error))?;
    let json = RawValue::from_string(text).map_err(|error| wrong(&error))?;
    let item = serde_json::from_str(json.get()).map_err(|error| wrong(&error))?;
    Ok((item, json))
}

#[cfg(test)]
mod tests;
