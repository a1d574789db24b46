//! Senders that do harm again and again are kept out for a while: refused before anything is done for them.
//!
//! What a sender does wrong gives it points, half of which are forgiven in a while. At so many it is in quarantine, each time
//! for twice as long as the time before. A registered source answers for what it sends with its credential, an address
//! (IPv6: a /64) for all else: who shares an address with a sender that guesses credentials goes on with its own.
//!
//! Kept in memory: a restart forgives everybody, and each NOS has its own.

use crate::config::{ConfigError, ConfigInForce};
use aups_core::{Clock, NodeId, UnixMillis, id::NameError};
use aups_net::sender_network;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{Semaphore, SemaphorePermit, broadcast},
    task::JoinHandle,
    time::{self, Instant},
};

/// Most senders of each kind of which something is known, about 200 bytes each. Those beyond them
/// are throttled by their quotas alone: nobody is kept out for what others do.
const SENDERS_MAX: usize = 65_536;
/// How often it is looked whose time is over.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Most changes that wait for somebody who follows them.
const CHANGES_MAX: usize = 1_024;
/// Most answers that are held back at a time; more are given at once.
pub(crate) const LATE_ANSWERS_MAX: usize = 1_024;
/// Points below which nothing is left to forgive.
const FORGIVEN_BELOW: f64 = 0.5;
/// Longest quarantine, in seconds.
pub const QUARANTINE_SECONDS_MAX: u32 = 30 * 24 * 3_600;
/// Longest reason that is given by hand, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// A good body takes away so many points of malformed ones: more than one in five malformed is too many.
const GOOD_POINTS: f64 = 0.25;

/// When senders are kept out, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct QuarantineRules {
    /// Whether what senders do puts them in; `false`: administrators alone do.
    pub enabled: bool,
    /// A sender with so many points is put in.
    pub threshold: u32,
    /// Seconds in which half of the points are forgiven.
    pub half_life_seconds: u32,
    /// Seconds of the first quarantine; each further one is twice as long.
    pub first_seconds: u32,
    /// Seconds of the longest.
    pub longest_seconds: u32,
    /// After so many seconds outside, one quarantine less counts for the length of the next.
    pub forget_seconds: u32,
    /// What each offence costs.
    pub points: Points,
}

/// Points for each offence; 0: it is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Points {
    /// A request over the sender's own quota.
    pub over_quota: u32,
    /// A credential that is none, or a sealed body that its key did not seal.
    pub wrong_credential: u32,
    /// A claim token that is none.
    pub claim_token: u32,
    /// A sealed body that came before.
    pub replay: u32,
    /// A body that is not taken; each good one gives a quarter of a point back.
    pub malformed: u32,
}

impl Default for QuarantineRules {
    fn default() -> Self {
        Self {
            enabled: true,
            threshold: 300,
            half_life_seconds: 30,
            first_seconds: 10,
            longest_seconds: 3_600,
            forget_seconds: 3_600,
            points: Points::default(),
        }
    }
}

impl Default for Points {
    fn default() -> Self {
        Self { over_quota: 1, wrong_credential: 2, claim_token: 10, replay: 1, malformed: 1 }
    }
}

impl QuarantineRules {
    pub(crate) fn check(&self, errors: &mut Vec<ConfigError>) {
        let mut wrong = |member: &str, message: String| {
            errors.push(ConfigError { pointer: format!("/quarantine/{member}"), message });
        };
        for (member, seconds) in [
            ("halfLifeSeconds", self.half_life_seconds),
            ("firstSeconds", self.first_seconds),
            ("longestSeconds", self.longest_seconds),
            ("forgetSeconds", self.forget_seconds),
        ] {
            if !(1..=QUARANTINE_SECONDS_MAX).contains(&seconds) {
                wrong(member, format!("it is from 1 to {QUARANTINE_SECONDS_MAX} seconds"));
            }
        }
        if self.threshold == 0 {
            wrong("threshold", "it is at least 1".into());
        }
        if self.longest_seconds < self.first_seconds {
            wrong("longestSeconds", "it is not less than firstSeconds".into());
        }
    }

    fn points_of(&self, offence: Offence) -> f64 {
        f64::from(match offence {
            Offence::OverQuota => self.points.over_quota,
            Offence::WrongCredential => self.points.wrong_credential,
            Offence::ClaimToken => self.points.claim_token,
            Offence::Replay => self.points.replay,
            Offence::Malformed => self.points.malformed,
        })
    }

    /// How long the n-th quarantine is, from 1.
    fn length(&self, times: u32) -> Duration {
        let doubled = 1_u32.checked_shl(times.saturating_sub(1)).unwrap_or(u32::MAX);
        Duration::from_secs(self.first_seconds.saturating_mul(doubled).min(self.longest_seconds).into())
    }
}

/// What a sender does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offence {
    OverQuota,
    WrongCredential,
    ClaimToken,
    Replay,
    Malformed,
}

impl Offence {
    /// What a refusal accuses its sender of, if of anything: neither our own troubles nor quotas that others share.
    pub(crate) fn of(status: u16, code: &str) -> Option<Self> {
        match (status, code) {
            (429, "quota") => Some(Self::OverQuota),
            (401, "claim-token") => Some(Self::ClaimToken),
            (401, _) => Some(Self::WrongCredential),
            (_, "replayed") => Some(Self::Replay),
            (400, "incomplete") => None,
            (400 | 413 | 415 | 422, _) => Some(Self::Malformed),
            _ => None,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::OverQuota => "over-quota",
            Self::WrongCredential => "wrong-credential",
            Self::ClaimToken => "claim-token",
            Self::Replay => "replay",
            Self::Malformed => "malformed",
        }
    }
}

/// Who answers for something: `source:NODE` or `address:IP`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// A registered source.
    Source(NodeId),
    /// Everybody at an address (IPv6: a /64) who does not prove to be a registered source.
    Address(IpAddr),
}

/// A text that names no sender.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PartyError {
    /// Neither form.
    #[error("say source:NODE or address:IP")]
    Form,
    /// The source's name is none.
    #[error(transparent)]
    Node(#[from] NameError),
    /// The address is none.
    #[error("`{0}` is not an IP address")]
    Address(String),
}

impl FromStr for Party {
    type Err = PartyError;
    fn from_str(text: &str) -> Result<Self, PartyError> {
        match text.split_once(':') {
            Some(("source", node)) => Ok(Self::Source(node.parse()?)),
            Some(("address", address)) => match address.parse() {
                Ok(address) => Ok(Self::Address(sender_network(address))),
                Err(_) => Err(PartyError::Address(address.chars().take(64).collect())),
            },
            _ => Err(PartyError::Form),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(node) => write!(f, "source:{node}"),
            Self::Address(address) => write!(f, "address:{address}"),
        }
    }
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The same, of a request: looked up without a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accused<'a> {
    Source(&'a NodeId),
    Address(IpAddr),
}

impl Accused<'_> {
    fn party(self) -> Party {
        match self {
            Self::Source(node) => Party::Source(node.clone()),
            Self::Address(address) => Party::Address(sender_network(address)),
        }
    }
}

/// A sender in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Who.
    pub who: Party,
    /// Since when.
    pub since: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// The offence that was one too many, or what an administrator said.
    pub reason: Box<str>,
    /// Which one it is of those that still count; 0: put in by hand.
    pub times: u32,
}

/// What happened to a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineChange {
    /// It is kept out from now on.
    Entered(Quarantined),
    /// It is let in again.
    Left {
        /// Who.
        who: Party,
        /// Whether an administrator let it out before its time.
        by_hand: bool,
    },
}

/// Who is kept out, and who may have to be.
#[derive(Debug)]
pub struct Quarantine {
    config: ConfigInForce,
    clock: Arc<dyn Clock>,
    /// How many records there are: while there is none, nothing is looked up.
    known: AtomicUsize,
    records: Mutex<Records>,
    changes: broadcast::Sender<QuarantineChange>,
    /// Room for answers that are held back.
    late_answers: Semaphore,
}

#[derive(Debug, Default)]
struct Records {
    sources: HashMap<NodeId, Record>,
    addresses: HashMap<IpAddr, Record>,
    inside: usize,
}

/// What is known of a sender.
#[derive(Debug)]
struct Record {
    /// Of malformed bodies, and of everything else.
    malformed: f64,
    points: f64,
    /// When the points were right.
    at: Instant,
    /// How often it was in, as far as that still counts, and since when it is out.
    times: u32,
    out_since: Instant,
    inside: Option<Inside>,
}

#[derive(Debug)]
struct Inside {
    until: Instant,
    told: Quarantined,
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { malformed: 0.0, points: 0.0, at: now, times: 0, out_since: now, inside: None }
    }

    /// Forgives what the time since forgives.
    fn age(&mut self, rules: &QuarantineRules, now: Instant) {
        let half_lives =
            now.saturating_duration_since(self.at).as_secs_f64() / f64::from(rules.half_life_seconds.max(1));
        let left = (-half_lives).exp2();
        (self.points, self.malformed, self.at) = (self.points * left, self.malformed * left, now);
        let forget = Duration::from_secs(rules.forget_seconds.max(1).into());
        while self.times > 0 && self.inside.is_none() && now.saturating_duration_since(self.out_since) >= forget {
            self.times -= 1;
            self.out_since += forget;
        }
    }

    fn is_forgiven(&self) -> bool {
        self.inside.is_none() && self.times == 0 && self.points + self.malformed < FORGIVEN_BELOW
    }

    /// How long it is still kept out.
    fn kept_out(&self, now: Instant) -> Option<Duration> {
        self.inside.as_ref().map(|inside| inside.until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }
}

impl Records {
    fn len(&self) -> usize {
        self.sources.len() + self.addresses.len()
    }

    fn get(&mut self, who: Accused<'_>) -> Option<&mut Record> {
        match who {
            Accused::Source(node) => self.sources.get_mut(node),
            Accused::Address(address) => {
                let address = sender_network(address);
                self.addresses.get_mut(&address)
            }
        }
    }

    /// The record of a sender, made if there is none, and who it is of. `None`: there is no room for another.
    fn of(&mut self, who: Accused<'_>, now: Instant) -> Option<(Party, &mut Record)> {
        match who {
            Accused::Source(node) => {
                if self.sources.len() >= SENDERS_MAX && !self.sources.contains_key(node) {
                    return None;
                }
                let record = self.sources.entry(node.clone()).or_insert_with(|| Record::new(now));
                Some((who.party(), record))
            }
            Accused::Address(address) => {
                let address = sender_network(address);
                if self.addresses.len() >= SENDERS_MAX && !self.addresses.contains_key(&address) {
                    return None;
                }
                let record = self.addresses.entry(address).or_insert_with(|| Record::new(now));
                Some((Party::Address(address), record))
            }
        }
    }
}

impl Quarantine {
    fn new(config: ConfigInForce, clock: Arc<dyn Clock>) -> Self {
        let (changes, _) = broadcast::channel(CHANGES_MAX);
        let late_answers = Semaphore::new(LATE_ANSWERS_MAX);
        Self { config, clock, known: AtomicUsize::new(0), records: Mutex::default(), changes, late_answers }
    }

    /// Nobody is kept out yet; the task lets those in again whose time is over.
    pub(crate) fn start(config: ConfigInForce, clock: Arc<dyn Clock>) -> (Arc<Self>, JoinHandle<()>) {
        let quarantine = Arc::new(Self::new(config, clock));
        let releases = tokio::spawn(Arc::clone(&quarantine).keep());
        (quarantine, releases)
    }

    /// Whether there is room for another answer that is held back, for as long as this is kept.
    pub(crate) fn late_answer(&self) -> Option<SemaphorePermit<'_>> {
        self.late_answers.try_acquire().ok()
    }

    /// Whether anything is known of a sender; or for how long it is still kept out. One load where nothing is known of
    /// anybody, else one look-up.
    pub(crate) fn check(&self, who: Accused<'_>) -> Result<bool, Duration> {
        if self.known.load(Ordering::Relaxed) == 0 {
            return Ok(false);
        }
        match self.records().get(who) {
            None => Ok(false),
            Some(record) => record.kept_out(Instant::now()).map_or(Ok(true), Err),
        }
    }

    /// Counts what a sender did wrong.
    pub(crate) fn offence(&self, who: Accused<'_>, offence: Offence) {
        let now = Instant::now();
        metrics::counter!("aups_offences_total", "offence" => offence.code()).increment(1);
        let config = Arc::clone(&self.config.borrow());
        let rules = &config.config.quarantine;
        let points = rules.points_of(offence);
        if !rules.enabled || points <= 0.0 {
            return;
        }
        let mut records = self.records();
        let Some((party, record)) = records.of(who, now) else { return };
        if record.kept_out(now).is_some() {
            return;
        }
        let left = record.leave(now).map(|told| told.who);
        record.age(rules, now);
        if offence == Offence::Malformed {
            record.malformed += points;
        } else {
            record.points += points;
        }
        let mut entered = None;
        if record.points + record.malformed >= f64::from(rules.threshold) {
            record.times = record.times.saturating_add(1);
            let (times, length) = (record.times, rules.length(record.times));
            entered = Some(self.enter(record, party, now, length, offence.code().into(), times));
            metrics::counter!("aups_quarantines_total", "reason" => offence.code()).increment(1);
        }
        records.inside = records.inside + usize::from(entered.is_some()) - usize::from(left.is_some());
        self.tell(records, left.map(|who| QuarantineChange::Left { who, by_hand: false }).into_iter().chain(entered));
    }

    /// Counts a good body of a sender of which something is known.
    pub(crate) fn good(&self, who: Accused<'_>) {
        if let Some(record) = self.records().get(who) {
            record.malformed = (record.malformed - GOOD_POINTS).max(0.0);
        }
    }

    /// Everybody who is kept out now, by name.
    pub fn list(&self) -> Vec<Quarantined> {
        let now = Instant::now();
        let records = self.records();
        let all = records.sources.values().chain(records.addresses.values());
        let inside = all.filter(|record| record.kept_out(now).is_some()).filter_map(|record| record.inside.as_ref());
        let mut listed: Vec<_> = inside.map(|inside| inside.told.clone()).collect();
        drop(records);
        listed.sort_unstable_by(|a, b| a.who.cmp(&b.who));
        listed
    }

    /// Keeps a sender out by an administrator's hand, for so many seconds (at most [`QUARANTINE_SECONDS_MAX`]). `None`: there
    /// is no room for another.
    pub fn put(&self, who: &Party, seconds: u32, reason: &str) -> Option<Quarantined> {
        let now = Instant::now();
        let accused = match who {
            Party::Source(node) => Accused::Source(node),
            Party::Address(address) => Accused::Address(*address),
        };
        let mut records = self.records();
        let (party, record) = records.of(accused, now)?;
        let was_inside = record.inside.is_some();
        if party != *who {
            return None;
        }
        let length = Duration::from_secs(seconds.min(QUARANTINE_SECONDS_MAX).into());
        let reason = reason.chars().take(REASON_CHARS_MAX).collect::<String>();
        let entered = self.enter(record, party, now, length, reason.into(), 0);
        metrics::counter!("aups_quarantines_total", "reason" => "by-hand").increment(1);
        records.inside += usize::from(!was_inside);
        let QuarantineChange::Entered(told) = entered.clone() else { return None };
        self.tell(records, [entered]);
        Some(told)
    }

    /// Lets a sender in again and forgets what it did. `false`: it was not kept out.
    pub fn release(&self, who: &Party) -> bool {
        let now = Instant::now();
        let mut records = self.records();
        let record = match who {
            Party::Source(node) => records.sources.remove(node),
            Party::Address(address) => records.addresses.remove(&sender_network(*address)),
        };
        let Some(record) = record else { return false };
        let was_kept_out = record.kept_out(now).is_some();
        let left = record.inside.map(|inside| QuarantineChange::Left { who: inside.told.who, by_hand: was_kept_out });
        records.inside -= usize::from(left.is_some());
        self.tell(records, left);
        was_kept_out
    }

    /// What happens from now on; of more than 1,024 changes that wait, the oldest are lost.
    pub fn follow(&self) -> broadcast::Receiver<QuarantineChange> {
        self.changes.subscribe()
    }

    /// Lets those in again whose time is over, and forgets who is forgiven, for as long as it runs.
    async fn keep(self: Arc<Self>) {
        let mut ticks = time::interval(SWEEP_EVERY);
        loop {
            ticks.tick().await;
            if self.known.load(Ordering::Relaxed) > 0 {
                self.sweep(Instant::now());
            }
        }
    }

    fn sweep(&self, now: Instant) {
        let config = Arc::clone(&self.config.borrow());
        let rules = &config.config.quarantine;
        let mut left = Vec::new();
        let mut records = self.records();
        let Records { sources, addresses, inside } = &mut *records;
        sweep(sources, rules, now, &mut left);
        sweep(addresses, rules, now, &mut left);
        *inside -= left.len();
        self.tell(records, left.into_iter().map(|who| QuarantineChange::Left { who, by_hand: false }));
    }

    fn enter(
        &self,
        record: &mut Record,
        who: Party,
        now: Instant,
        length: Duration,
        reason: Box<str>,
        times: u32,
    ) -> QuarantineChange {
        let since = self.clock.now();
        let told = Quarantined { who, since, until: since.plus(length), reason, times };
        (record.points, record.malformed) = (0.0, 0.0);
        record.inside = Some(Inside { until: now + length, told: told.clone() });
        QuarantineChange::Entered(told)
    }

    fn tell(&self, records: MutexGuard<'_, Records>, changes: impl IntoIterator<Item = QuarantineChange>) {
        self.known.store(records.len(), Ordering::Relaxed);
        metrics::gauge!("aups_quarantined_senders").set(u32::try_from(records.inside).unwrap_or(u32::MAX));
        drop(records);
        for change in changes {
            // Whether anybody follows or not.
            let _ = self.changes.send(change);
        }
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    /// Ends a quarantine whose time is over.
    fn leave(&mut self, now: Instant) -> Option<Quarantined> {
        let inside = self.inside.take_if(|inside| inside.until <= now)?;
        (self.out_since, self.at) = (inside.until, inside.until);
        Some(inside.told)
    }
}

fn sweep<K: Hash + Eq>(records: &mut HashMap<K, Record>, rules: &QuarantineRules, now: Instant, left: &mut Vec<Party>) {
    records.retain(|_, record| {
        left.extend(record.leave(now).map(|told| told.who));
        record.age(rules, now);
        !record.is_forgiven()
    });
}

#[cfg(test)]
mod tests;
