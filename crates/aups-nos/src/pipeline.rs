//! From the backlog to the broker: PEP, seal, publish, acknowledge; one worker, in order.
//!
//! Batches are published one after the other, several of them before the first is acknowledged. An entry leaves the
//! backlog for good when its batch and all before it were acknowledged. Until then its sealed bytes are kept: what the
//! broker lost is sent again as it was, so that a reader sees a duplicate and no gap.
//!
//! What the broker retains is sealed anew when keys or policies changed, between batches, so that a newer item of the
//! topic never comes before it.

pub(crate) mod backlog;

use crate::{
    accept::Entry,
    bounded_log::BoundedLog,
    config::{ActiveConfig, Config, ConfigInForce},
    notify::notification,
    pep::{NotPermitted, Pep, Withheld},
    publish::{Outgoing, Qos, Receipt, Sink, SinkError},
    retained::{Last, Retained},
    seal::{CONTENT_TYPE, Opened, SealedUnder, Sealer},
    sources::Sources,
    usage::Usage,
};
use aups_core::{NosId, ScopeSpec, Topic};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_policy::Pdp;
use backlog::{Backlog, Taken};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time};
use tracing::{error, warn};

/// Most entries that are sealed and published together: under 1 ms of work.
const BATCH_ENTRIES_MAX: usize = 256;
/// Most batches that are published and not yet acknowledged.
const BATCHES_IN_FLIGHT_MAX: usize = 8;
/// Waits before something is tried again: the first, and the longest of those that double.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// The same trouble is logged once in so long.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// The worker.
pub(crate) struct Pipeline {
    nos: NosId,
    backlog: Arc<Backlog>,
    pep: Pep,
    sealer: Sealer,
    sink: Arc<dyn Sink>,
    usage: Arc<Usage>,
    sources: Arc<Sources>,
    config: ConfigInForce,
    /// The document by which it publishes now: it changes between batches.
    active: Arc<ActiveConfig>,
    retained: Retained,
    changes: Changes,
    in_flight: VecDeque<Flight>,
    retry: Backoff,
    /// One for each reason, so that an ordinary one does not hide another.
    withheld_logs: HashMap<&'static str, BoundedLog>,
    trouble_log: BoundedLog,
}

/// A batch that was handed to the sink.
struct Flight {
    /// How many there were.
    count: u64,
    /// Those that are handed over again when they are not acknowledged.
    messages: Vec<Outgoing>,
    receipt: Receipt,
    /// How far the backlog is done with it; `None`: retained messages, which came from no backlog.
    through: Option<u64>,
}

/// A message and what it was sealed under.
struct Published {
    message: Outgoing,
    under: SealedUnder,
    scope: Arc<ScopeSpec>,
}

/// Tells when something is to be sealed otherwise than before.
#[derive(Debug)]
pub(crate) struct Changes {
    policies: watch::Receiver<Arc<Pdp>>,
    revisions: watch::Receiver<u64>,
    marked: watch::Receiver<u64>,
}

impl Changes {
    pub(crate) fn new(policies: watch::Receiver<Arc<Pdp>>, ktm: &dyn KeysTopicsManager, sources: &Sources) -> Self {
        Self { policies, revisions: ktm.revisions(), marked: sources.marked() }
    }

    async fn changed(&mut self) {
        tokio::select! {
            Ok(()) = self.policies.changed() => {}
            Ok(()) = self.revisions.changed() => {}
            Ok(()) = self.marked.changed() => {}
            else => pending().await,
        }
    }
}

/// What the worker works with.
pub(crate) struct PipelineParts {
    pub(crate) nos: NosId,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) pep: Pep,
    pub(crate) sealer: Sealer,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) config: ConfigInForce,
    pub(crate) changes: Changes,
}

impl Pipeline {
    pub(crate) fn new(parts: PipelineParts) -> Self {
        let PipelineParts { nos, backlog, pep, sealer, sink, usage, sources, mut config, changes } = parts;
        let active = Arc::clone(&config.borrow_and_update());
        let retained = Retained::new(active.config.retain.clone());
        Self {
            nos,
            backlog,
            pep,
            sealer,
            sink,
            usage,
            sources,
            config,
            active,
            retained,
            changes,
            in_flight: VecDeque::with_capacity(BATCHES_IN_FLIGHT_MAX),
            retry: Backoff::default(),
            withheld_logs: HashMap::new(),
            trouble_log: BoundedLog::every(LOG_EVERY),
        }
    }

    /// Works until the backlog stops and everything in it was published and acknowledged.
    pub(crate) async fn run(mut self) {
        while let Err(error) = self.sealer.begin_session().await {
            self.wait_for_ktm(&error).await;
        }
        self.recall_retained().await;
        let mut stopped = false;
        while !(stopped && self.in_flight.is_empty()) {
            let may_take = !stopped && self.in_flight.len() < BATCHES_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                Some(receipt) = settled(&mut self.in_flight) => match receipt {
                    Ok(()) => self.acknowledge(),
                    Err(error) => self.send_again(&error).await,
                },
                // Before anything is taken: what comes after a change was answered is published by it.
                Ok(()) = self.config.changed() => self.take_up_config(),
                () = self.changes.changed(), if self.retained.is_used() => self.retained.look_again(),
                taken = self.backlog.take(BATCH_ENTRIES_MAX), if may_take => match taken {
                    Ok(Some(taken)) => {
                        self.publish(taken).await;
                        self.reseal_some().await;
                    }
                    Ok(None) => stopped = true,
                    Err(error) => {
                        if let Some(more) = self.trouble_log.next() {
                            error!(error = &error as &dyn std::error::Error, more, "nothing can be taken from the queue; trying again");
                        }
                        self.retry.wait().await;
                    }
                },
                () = ready(()), if may_take && self.retained.is_stale() => self.reseal_some().await,
            }
        }
    }

    fn take_up_config(&mut self) {
        self.active = Arc::clone(&self.config.borrow_and_update());
        let Config { retain, limits, .. } = &self.active.config;
        self.retained.set_filters(retain.clone());
        self.backlog.set_limits(limits.backlog());
        self.sources.set_registrations_max(limits.sources_max);
        self.pep.set_scopes_per_level_max(limits.scopes_per_level_max);
    }

    async fn publish(&mut self, taken: Taken) {
        self.sealer.begin_batch();
        for error in taken.unreadable {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            self.withhold(&Withheld::Unreadable(why), None);
        }
        let first_taken = taken.entries.first().map(|entry| entry.taken);
        let mut messages = Vec::with_capacity(taken.entries.len());
        for entry in taken.entries {
            self.seal_with_notifications(entry, &mut messages).await;
        }
        self.usage.write().await;
        self.fly(messages, Some(taken.through)).await;
        if let Some(taken) = first_taken {
            metrics::histogram!("aups_publish_latency_seconds").record(taken.elapsed());
        }
    }

    /// Seals an entry, and right after it what policies demand to be said of it elsewhere. What is said is an item as any
    /// other, for whom policies let read it; nothing is said of it in turn.
    async fn seal_with_notifications(&mut self, entry: Entry, messages: &mut Vec<Outgoing>) {
        let published = match self.permit_and_seal(&entry).await {
            Ok(published) => published,
            Err(withheld) => return self.withhold(&withheld, Some(&entry)),
        };
        let scope = Arc::clone(&published.scope);
        let mut told = Vec::new();
        for topic in &scope.obligations.notify {
            match notification(&entry, topic, &self.nos) {
                Ok(notification) => told.push(notification),
                Err(error) => self.withhold(&Withheld::Unsealable(error.to_string()), Some(&entry)),
            }
        }
        self.keep(entry, published, messages);
        for notification in told {
            match self.permit_and_seal(&notification).await {
                Ok(published) => {
                    metrics::counter!("aups_notifications_total").increment(1);
                    self.keep(notification, published, messages);
                }
                Err(withheld) => self.withhold(&withheld, Some(&notification)),
            }
        }
    }

    fn keep(&mut self, entry: Entry, published: Published, messages: &mut Vec<Outgoing>) {
        if published.message.retain {
            self.retained.keep(Last { entry, under: Some(published.under), only: None });
        }
        messages.push(published.message);
    }

    /// Hands messages over to the sink.
    async fn fly(&mut self, mut messages: Vec<Outgoing>, through: Option<u64>) {
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let receipt = hand_over(&*self.sink, &mut messages).await;
        self.in_flight.push_back(Flight { count, messages, receipt, through });
        self.show_depth();
    }

    /// Waits while the KTM has trouble: nothing may overtake, and nothing goes out without it.
    async fn permit_and_seal(&mut self, entry: &Entry) -> Result<Published, Withheld> {
        loop {
            let sealed = match self.pep.permit(entry).await {
                Ok(permitted) => {
                    let sealed = self.sealer.seal(&permitted).await;
                    sealed.map(|sealed| (sealed, Arc::clone(permitted.scope())))
                }
                Err(not_permitted) => Err(not_permitted),
            };
            match sealed {
                // Policies changed while a key was waited for: what the ones before permitted is not what is published now.
                Ok(_) if !self.pep.is_up_to_date() => {}
                Ok((sealed, scope)) => {
                    let qos = self.active.qos_of(&entry.topic);
                    let retain = self.retained.retains(&entry.topic);
                    let message = Outgoing { qos, ..outgoing(&entry.topic, sealed.payload, retain) };
                    return Ok(Published { message, under: sealed.under, scope });
                }
                Err(NotPermitted::Withheld(withheld)) => return Err(withheld),
                Err(NotPermitted::Ktm(error)) => self.wait_for_ktm(&error).await,
            }
        }
    }

    async fn wait_for_ktm(&mut self, error: &KtmError) {
        if let KtmError::UnknownScope(scope) = error {
            self.pep.forget(scope);
        }
        if let Some(more) = self.trouble_log.next() {
            error!(error = error as &dyn std::error::Error, more, "no keys from the KTM; publishing waits");
        }
        self.retry.wait().await;
        // Keys may have changed meanwhile.
        self.sealer.begin_batch();
    }

    /// Clears what the broker should not retain, and seals anew what would be sealed otherwise now: some topics, the others
    /// later.
    async fn reseal_some(&mut self) {
        if !self.retained.is_stale() {
            return;
        }
        self.sealer.begin_batch();
        let to_clear = std::iter::from_fn(|| self.retained.next_to_clear()).take(BATCH_ENTRIES_MAX);
        let mut messages: Vec<_> = to_clear.map(|topic| outgoing(&topic, Bytes::new(), true)).collect();
        for _ in messages.len()..BATCH_ENTRIES_MAX {
            let Some(mut last) = self.retained.next_stale() else { break };
            let (message, under) = self.reseal(&last).await;
            messages.extend(message);
            last.under = under;
            self.retained.keep(last);
        }
        if !messages.is_empty() {
            self.fly(messages, None).await;
        }
    }

    /// What is to be retained instead, if anything, and what that is sealed under.
    async fn reseal(&mut self, last: &Last) -> (Option<Outgoing>, Option<SealedUnder>) {
        let Last { entry, under, only } = last;
        let under = *under;
        // Nobody may read it any more: an empty message makes the broker forget it (MQTT 5, section 3.3.1.3).
        let cleared = || (under.map(|_| outgoing(&entry.topic, Bytes::new(), true)), None);
        loop {
            let sealed = match self.pep.permit(entry).await {
                Ok(permitted) if only.is_some_and(|only| only != permitted.scope().id) => return cleared(),
                Ok(permitted) => match self.sealer.would_seal_under(permitted.scope()).await {
                    Ok(now) if under == Some(now) => return (None, under),
                    Ok(_) => self.sealer.seal(&permitted).await,
                    Err(not_permitted) => Err(not_permitted),
                },
                Err(not_permitted) => Err(not_permitted),
            };
            match sealed {
                Ok(_) if !self.pep.is_up_to_date() => {}
                Ok(sealed) => return (Some(outgoing(&entry.topic, sealed.payload, true)), Some(sealed.under)),
                Err(NotPermitted::Withheld(_)) => return cleared(),
                Err(NotPermitted::Ktm(error)) => self.wait_for_ktm(&error).await,
            }
        }
    }

    /// Learns what the broker retained before this process began, and looks whether it is sealed as it would be now.
    async fn recall_retained(&mut self) {
        for (topic, payload) in self.sink.retained().await {
            let wanted = self.retained.wants(&topic);
            if wanted && !self.retained.retains(&topic) {
                continue;
            }
            let opened = loop {
                match self.sealer.open_own(&topic, &payload).await {
                    Ok(opened) => break opened,
                    Err(error) => self.wait_for_ktm(&error).await,
                }
            };
            // Another NOS's, or one that nobody can open any more.
            let Some(Opened { json, under, only }) = opened else { continue };
            if !wanted {
                self.retained.clear(topic);
                continue;
            }
            match Entry::published(json.into(), topic) {
                Ok(entry) => self.retained.keep(Last { entry, under: Some(under), only }),
                Err(error) => warn!(%error, "a retained message of ours is no item"),
            }
        }
        self.retained.look_again();
    }

    fn acknowledge(&mut self) {
        self.retry = Backoff::default();
        if let Some(flight) = self.in_flight.pop_front() {
            match flight.through {
                Some(through) => {
                    self.backlog.acknowledge_through(through);
                    metrics::counter!("aups_items_published_total").increment(flight.count);
                }
                None => metrics::counter!("aups_items_resealed_total").increment(flight.count),
            }
        }
        self.show_depth();
    }

    /// Hands everything over again that is in flight, in order.
    async fn send_again(&mut self, error: &SinkError) {
        if let Some(more) = self.trouble_log.next() {
            warn!(
                error = error as &dyn std::error::Error,
                more,
                batches = self.in_flight.len(),
                "not published; trying again"
            );
        }
        loop {
            self.retry.wait().await;
            if self.sink.connected() {
                break;
            }
        }
        for flight in &mut self.in_flight {
            flight.receipt = hand_over(&*self.sink, &mut flight.messages).await;
        }
    }

    fn withhold(&mut self, withheld: &Withheld, entry: Option<&Entry>) {
        metrics::counter!("aups_items_withheld_total", "reason" => withheld.code()).increment(1);
        if matches!(withheld, Withheld::PolicyFailed(_)) {
            metrics::counter!("aups_policy_errors_total").increment(1);
        }
        if let (Withheld::NobodyMayRead, Some(entry)) = (withheld, entry) {
            self.usage.note(&entry.topic, None, entry.item.source.registered);
        }
        let Some(more) = self.withheld_logs.entry(withheld.code()).or_insert(BoundedLog::every(LOG_EVERY)).next()
        else {
            return;
        };
        let topic = entry.map(|entry| entry.topic.as_str());
        if *withheld == Withheld::NobodyMayRead {
            warn!(topic, more, "withheld: {withheld}");
        } else {
            error!(topic, more, "withheld: {withheld}");
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn show_depth(&mut self) {
        self.pep.show_scopes();
        metrics::gauge!("aups_backlog_items").set(self.backlog.unacknowledged() as f64);
        metrics::gauge!("aups_batches_in_flight").set(self.in_flight.len() as f64);
    }
}

fn outgoing(topic: &Topic, payload: Bytes, retain: bool) -> Outgoing {
    Outgoing { topic: topic.clone(), payload, content_type: CONTENT_TYPE, retain, qos: Qos::AtLeastOnce }
}

/// Publishes a batch, and leaves in it what is to be handed over again if the receipt fails. A failure here shows as a
/// receipt that failed.
async fn hand_over(sink: &dyn Sink, messages: &mut Vec<Outgoing>) -> Receipt {
    if messages.is_empty() {
        return Box::pin(ready(Ok(())));
    }
    match sink.publish(messages.clone()).await {
        Ok(receipt) => {
            messages.retain(|message| message.qos == Qos::AtLeastOnce);
            receipt
        }
        Err(error) => Box::pin(ready(Err(error))),
    }
}

/// The receipt of the oldest batch in flight; `None`, at once, if there is none.
async fn settled(in_flight: &mut VecDeque<Flight>) -> Option<Result<(), SinkError>> {
    Some((&mut in_flight.front_mut()?.receipt).await)
}

/// Waits that double.
#[derive(Debug)]
struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(RETRY_FIRST)
    }
}

impl Backoff {
    async fn wait(&mut self) {
        time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_LONGEST);
    }
}

#[cfg(test)]
mod tests;
