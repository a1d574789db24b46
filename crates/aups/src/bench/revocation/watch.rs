//! What comes out of the broker, and who could open it.

use super::{
    Draws,
    reader::{Reader, Way},
    wire::{Delivery, Session},
};
use crate::cli::failure::Failure;
use aups_core::{KeyId, UnixMillis};
use aups_envelope::{Header, SealedMessage};
use std::{collections::HashMap, pin::pin, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// Deliveries that were not looked at yet.
pub(super) const DELIVERIES_QUEUED_MAX: usize = 65_536;
/// How long anything may take before the measurement is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// A reader that loses its right.
pub(super) struct Trial {
    pub(super) reader: Reader,
    /// It opened something under the keys that it holds.
    pub(super) has_opened: bool,
    left: Option<Instant>,
    answered: Option<(Instant, UnixMillis)>,
    shut_out: Option<Instant>,
}

impl Trial {
    pub(super) const fn of(reader: Reader) -> Self {
        Self { reader, has_opened: false, left: None, answered: None, shut_out: None }
    }

    /// The request that takes its right away is sent.
    pub(super) const fn leaves(&mut self, at: Instant) {
        self.left = Some(at);
    }

    /// The request was answered. From then on nothing may be sealed that it can open.
    pub(super) fn answered(&mut self, at: Instant, by_clock: UnixMillis) {
        self.answered = Some((at, by_clock));
        self.reader.is_removed = self.reader.way == Way::Removal;
    }

    pub(super) const fn is_shut_out(&self) -> bool {
        self.shut_out.is_some()
    }

    /// From the request to its answer.
    pub(super) fn until_answered(&self) -> Option<Duration> {
        Some(self.answered?.0.saturating_duration_since(self.left?))
    }

    /// From the request to the first message that it could not open.
    pub(super) fn until_shut_out(&self) -> Option<Duration> {
        Some(self.shut_out?.saturating_duration_since(self.left?))
    }

    /// Tries a message of its scope.
    fn judge(&mut self, delivery: &Delivery, message: &SealedMessage<'_>, findings: &mut Findings) {
        let opened = self.reader.opens(&delivery.topic, message);
        if self.left.is_none() {
            self.has_opened |= opened;
            return;
        }
        let observed = delivery.to.is_none();
        if !opened && observed && self.shut_out.is_none() {
            self.shut_out = Some(delivery.arrived);
        }
        let sealed_after = self.answered.is_some_and(|(_, answered)| message.header().ts > answered);
        // To the observer, messages come in the order in which they were sealed.
        findings.opened_after += u64::from(opened && (sealed_after || observed && self.is_shut_out()));
        findings.tried_after += u64::from(observed && sealed_after);
        findings.delivered_after += u64::from(!observed && sealed_after);
    }
}

/// What was found over all.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Messages sealed after an answer, each tried by everybody who had left its scope.
    pub(super) tried_after: u64,
    /// Of these, opened. Must be 0.
    pub(super) opened_after: u64,
    /// Keys that ex-readers were given. Must be 0.
    pub(super) given_after: usize,
    /// Messages sealed after an answer that the broker still delivered to the ex-reader's own session.
    pub(super) delivered_after: u64,
    /// How often a scope's key was replaced before its time.
    pub(super) bumps: u64,
    /// Of these, without a reader lost. Must be 0.
    pub(super) bumps_for_nothing: u64,
}

/// A scope as the messages show it.
#[derive(Debug, Default)]
struct Scope {
    latest: Option<KeyId>,
    bumps: u64,
    revocations: u64,
}

/// Looks at everything that the broker delivers.
pub(super) struct Watch {
    deliveries: mpsc::Receiver<Delivery>,
    to: mpsc::Sender<Delivery>,
    /// The scope of each topic.
    topics: HashMap<String, usize>,
    scopes: HashMap<usize, Scope>,
    /// Readers that have lost their right and not got it again.
    ex_readers: Vec<Trial>,
    observed: usize,
    findings: Findings,
    observer: Option<Session>,
}

impl Watch {
    pub(super) fn new(topics: HashMap<String, usize>) -> Self {
        let (to, deliveries) = mpsc::channel(DELIVERIES_QUEUED_MAX);
        let (scopes, findings) = (HashMap::new(), Findings::default());
        Self { deliveries, to, topics, scopes, ex_readers: Vec::new(), observed: 0, findings, observer: None }
    }

    /// By whom all ciphertext is seen.
    pub(super) fn observe_by(&mut self, session: Session) {
        self.observer = Some(session);
    }

    /// Where sessions send what is delivered to them.
    pub(super) fn sender(&self) -> mpsc::Sender<Delivery> {
        self.to.clone()
    }

    /// Somebody who is to lose a right in this way: of those who never had it, or of those who have lost it.
    pub(super) fn next_reader(
        &mut self,
        fresh: &mut Vec<Reader>,
        way: Way,
        draws: &mut Draws,
    ) -> Result<Reader, Failure> {
        if let Some(place) = fresh.iter().position(|reader| reader.way == way) {
            return Ok(fresh.swap_remove(place));
        }
        let such: Vec<usize> =
            self.ex_readers.iter().zip(0..).filter(|(trial, _)| trial.reader.way == way).map(|(_, at)| at).collect();
        let drawn = usize::try_from(draws.below(such.len() as u64)).unwrap_or_default();
        let at =
            such.get(drawn).ok_or_else(|| Failure::failed("there are too few readers: at least one for each way"))?;
        Ok(self.ex_readers.swap_remove(*at).reader)
    }

    /// A reader is out; what comes is tried with its keys all the same.
    pub(super) fn goes_on(&mut self, trial: Trial) {
        self.scopes.entry(trial.reader.scope).or_default().revocations += 1;
        self.ex_readers.push(trial);
    }

    /// Keys that somebody was given who must not have any.
    pub(super) const fn given_to_ex_reader(&mut self, keys: usize) {
        self.findings.given_after += keys;
    }

    /// Looks while something is done.
    pub(super) async fn during<T>(&mut self, mut current: Option<&mut Trial>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(delivery) = self.deliveries.recv() => self.see(&delivery, current.as_deref_mut()),
            }
        }
    }

    /// Looks until something is so of the reader.
    pub(super) async fn until(
        &mut self,
        trial: &mut Trial,
        what: &str,
        so: impl Fn(&Trial) -> bool,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        while !so(trial) {
            let Ok(Some(delivery)) = timeout(PATIENCE, self.deliveries.recv()).await else {
                return Err(nothing_comes());
            };
            self.see(&delivery, Some(trial));
            if started.elapsed() > PATIENCE {
                return Err(Failure::failed(format!("it takes more than {PATIENCE:?} until {what}")));
            }
        }
        Ok(())
    }

    /// Looks until so many messages were observed.
    pub(super) async fn until_seen(&mut self, published: usize) -> Result<(), Failure> {
        while self.observed < published {
            let Ok(Some(delivery)) = timeout(PATIENCE, self.deliveries.recv()).await else {
                return Err(nothing_comes());
            };
            self.see(&delivery, None);
        }
        Ok(())
    }

    /// The key that the newest message of a scope was sealed under; waits for the first.
    pub(super) async fn key_in_use(&mut self, scope: usize) -> Result<KeyId, Failure> {
        loop {
            if let Some(key_id) = self.scopes.get(&scope).and_then(|scope| scope.latest) {
                return Ok(key_id);
            }
            let Ok(Some(delivery)) = timeout(PATIENCE, self.deliveries.recv()).await else {
                return Err(nothing_comes());
            };
            self.see(&delivery, None);
        }
    }

    /// All that was found.
    pub(super) fn into_findings(self) -> Findings {
        let scopes = self.scopes.values();
        let bumps = scopes.clone().map(|scope| scope.bumps).sum();
        let bumps_for_nothing = scopes.map(|scope| scope.bumps.saturating_sub(scope.revocations)).sum();
        Findings { bumps, bumps_for_nothing, ..self.findings }
    }

    fn see(&mut self, delivery: &Delivery, current: Option<&mut Trial>) {
        let Some(scope) = self.topics.get(&delivery.topic).copied() else { return };
        let Ok(message) = SealedMessage::parse(&delivery.payload) else { return };
        if delivery.to.is_none() {
            self.observed += 1;
            self.scopes.entry(scope).or_default().see(message.header());
        }
        let concerned = self.ex_readers.iter_mut().chain(current);
        let concerned = concerned.filter(|trial| trial.reader.scope == scope);
        for trial in concerned.filter(|trial| delivery.to.as_deref().is_none_or(|to| to == trial.reader.sub())) {
            trial.judge(delivery, &message, &mut self.findings);
        }
    }
}

impl Scope {
    fn see(&mut self, header: &Header) {
        let key_id = header.key_id;
        let replaced = |before: KeyId| (before.scope_tag(), before.bump()) != (key_id.scope_tag(), key_id.bump());
        self.bumps += u64::from(self.latest.is_some_and(replaced));
        self.latest = Some(key_id);
    }
}

fn nothing_comes() -> Failure {
    Failure::failed(format!("nothing has come out of the broker for {PATIENCE:?}"))
}
