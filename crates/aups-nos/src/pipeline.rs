//! From the backlog to the broker: PEP, seal, publish, acknowledge; one worker, in order.
//!
//! Batches are published one after the other, several of them before the first is acknowledged. An entry leaves the
//! backlog for good when its batch and all before it were acknowledged. Until then its sealed bytes are kept: what the
//! broker lost is sent again as it was, so that a reader sees a duplicate and no gap.
//!
//! What can be taken no further is [given up](dead_letters), so that it holds up nobody: a record that is no item, an item
//! that cannot be sealed, and one that the broker refuses when it is alone, time after time. A batch that it refuses is
//! published again one by one.
//!
//! What the broker retains is sealed anew when keys or policies changed, between batches, so that a newer item of the
//! topic never comes before it.

pub(crate) mod backlog;
pub(crate) mod dead_letters;

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
    trace::ITEM,
    usage::Usage,
};
use aups_core::{Clock, ItemId, NosId, ScopeSpec, Topic};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_policy::Pdp;
use aups_store::DeadLetter;
use backlog::{Backlog, Taken};
use bytes::Bytes;
use dead_letters::DeadReason;
use std::{
    collections::{HashMap, VecDeque},
    future::{pending, ready},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::watch, time};
use tracing::{Level, debug, enabled, error, warn};

/// Most entries that are sealed and published together: under 1 ms of work.
const BATCH_ENTRIES_MAX: usize = 256;
/// Most batches that are published and not yet acknowledged.
const BATCHES_IN_FLIGHT_MAX: usize = 8;
/// So often the broker may refuse a batch before it is published one by one, and then a single message before it is given up:
/// some seconds, in which somebody who changes the broker's rights comes to an end.
const REFUSALS_MAX: u32 = 6;
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
    /// Batches that were published.
    batches: u64,
    /// How often the broker has refused the oldest batch in flight.
    refusals: u32,
    clock: Arc<dyn Clock>,
    /// Given up, and not yet on disk.
    dead: Vec<DeadLetter>,
    /// One for each reason, so that an ordinary one does not hide another.
    withheld_logs: HashMap<&'static str, BoundedLog>,
    trouble_log: BoundedLog,
    meters: Meters,
}

/// Metrics that every batch moves. To look one up costs as much as to seal something, so each is looked up once.
struct Meters {
    published: metrics::Counter,
    backlog_items: metrics::Gauge,
    batches_in_flight: metrics::Gauge,
    publish_latency: metrics::Histogram,
}

impl Meters {
    fn new() -> Self {
        Self {
            published: metrics::counter!("aups_items_published_total"),
            backlog_items: metrics::gauge!("aups_backlog_items"),
            batches_in_flight: metrics::gauge!("aups_batches_in_flight"),
            publish_latency: metrics::histogram!("aups_publish_latency_seconds"),
        }
    }
}

/// A batch that was handed to the sink.
struct Flight {
    /// How many there were.
    count: u64,
    /// Those that are handed over again when they are not acknowledged.
    messages: Vec<Outgoing>,
    /// What the messages carry, one for one; empty: retained messages.
    items: Vec<Carried>,
    receipt: Receipt,
    number: u64,
    attempts: u32,
    /// How far the backlog is done with it; `None`: retained messages, which came from no backlog.
    through: Option<u64>,
}

/// An item on its way.
#[derive(Debug)]
struct Carried {
    id: ItemId,
    json: Bytes,
}

/// Messages that go together.
#[derive(Debug, Default)]
struct Batch {
    messages: Vec<Outgoing>,
    items: Vec<Carried>,
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
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) sources: Arc<Sources>,
    pub(crate) config: ConfigInForce,
    pub(crate) changes: Changes,
}

impl Pipeline {
    pub(crate) fn new(parts: PipelineParts) -> Self {
        let PipelineParts { nos, backlog, pep, sealer, sink, usage, clock, sources, mut config, changes } = parts;
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
            refusals: 0,
            clock,
            dead: Vec::new(),
            batches: 0,
            withheld_logs: HashMap::new(),
            trouble_log: BoundedLog::every(LOG_EVERY),
            meters: Meters::new(),
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
        for (record, error) in taken.unreadable {
            let why = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            self.dead.push(dead_letters::letter(DeadReason::Unreadable, why.clone(), self.clock.now(), record));
            self.withhold(&Withheld::Unreadable(why), None);
        }
        let first_taken = taken.entries.first().map(|entry| entry.taken);
        let count = taken.entries.len();
        let mut batch = Batch { messages: Vec::with_capacity(count), items: Vec::with_capacity(count) };
        for entry in taken.entries {
            self.seal_with_notifications(entry, &mut batch).await;
        }
        self.usage.write().await;
        self.bury().await;
        self.fly(batch, Some(taken.through)).await;
        if let Some(taken) = first_taken {
            self.meters.publish_latency.record(taken.elapsed());
        }
    }

    /// Seals an entry, and right after it what policies demand to be said of it elsewhere. What is said is an item as any
    /// other, for whom policies let read it; nothing is said of it in turn.
    async fn seal_with_notifications(&mut self, entry: Entry, batch: &mut Batch) {
        let published = match self.permit_and_seal(&entry).await {
            Ok(published) => published,
            Err(withheld) => return self.withhold_or_give_up(&withheld, &entry),
        };
        let scope = Arc::clone(&published.scope);
        let mut told = Vec::new();
        for topic in &scope.obligations.notify {
            match notification(&entry, topic, &self.nos) {
                Ok(notification) => told.push(notification),
                Err(error) => self.withhold(&Withheld::Unsealable(error.to_string()), Some(&entry)),
            }
        }
        self.keep(entry, published, batch);
        for notification in told {
            match self.permit_and_seal(&notification).await {
                Ok(published) => {
                    metrics::counter!("aups_notifications_total").increment(1);
                    self.keep(notification, published, batch);
                }
                Err(withheld) => self.withhold_or_give_up(&withheld, &notification),
            }
        }
    }

    fn keep(&mut self, entry: Entry, published: Published, batch: &mut Batch) {
        batch.items.push(Carried { id: entry.item.id, json: entry.json.clone() });
        if published.message.retain {
            self.retained.keep(Last { entry, under: Some(published.under), only: None });
        }
        batch.messages.push(published.message);
    }

    /// Hands messages over to the sink.
    async fn fly(&mut self, batch: Batch, through: Option<u64>) {
        let Batch { messages, items } = batch;
        self.batches += 1;
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let flight = Flight { count, messages, items, receipt: lost(), number: self.batches, attempts: 0, through };
        self.in_flight.push_back(flight);
        if let Some(flight) = self.in_flight.back_mut() {
            flight.hand_over(&*self.sink).await;
        }
        self.show_depth();
    }

    /// Puts what was given up on disk. Not before that is what follows published, and so acknowledged.
    async fn bury(&mut self) {
        while !self.dead.is_empty() {
            match self.backlog.bury(self.dead.clone()).await {
                Ok(()) => self.dead.clear(),
                Err(error) => {
                    if let Some(more) = self.trouble_log.next() {
                        error!(
                            error = &error as &dyn std::error::Error,
                            more, "dead letters cannot be written; trying again"
                        );
                    }
                    self.retry.wait().await;
                }
            }
        }
    }

    /// Waits while the KTM has trouble: nothing may overtake, and nothing goes out without it.
    async fn permit_and_seal(&mut self, entry: &Entry) -> Result<Published, Withheld> {
        loop {
            let sealed = match self.pep.permit(entry).await {
                Ok(permitted) => {
                    debug!(target: ITEM, id = %entry.item.id, scope = %permitted.scope().id, "permitted");
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
        let messages: Vec<_> = to_clear.map(|topic| outgoing(&topic, Bytes::new(), true)).collect();
        let mut batch = Batch { messages, items: Vec::new() };
        for _ in batch.messages.len()..BATCH_ENTRIES_MAX {
            let Some(mut last) = self.retained.next_stale() else { break };
            let (message, under) = self.reseal(&last).await;
            batch.messages.extend(message);
            last.under = under;
            self.retained.keep(last);
        }
        if !batch.messages.is_empty() {
            self.fly(batch, None).await;
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
        self.refusals = 0;
        if let Some(flight) = self.in_flight.pop_front() {
            flight.trace("acknowledged");
            match flight.through {
                Some(through) => {
                    self.backlog.acknowledge_through(through);
                    self.meters.published.increment(flight.count);
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
        if matches!(error, SinkError::Refused(_)) {
            self.refusals += 1;
        }
        if self.refusals >= REFUSALS_MAX {
            self.isolate(error).await;
        }
        loop {
            self.retry.wait().await;
            if self.sink.connected() {
                break;
            }
        }
        for flight in &mut self.in_flight {
            flight.hand_over(&*self.sink).await;
        }
    }

    /// The broker refused something of the oldest batch, too often to be by chance: finds out what, and gives that up.
    async fn isolate(&mut self, why: &SinkError) {
        self.refusals = 0;
        let Some(refused) = self.in_flight.pop_front() else { return };
        let Flight { messages, items, number, attempts, through, .. } = refused;
        if messages.len() > 1 {
            warn!(batch = number, messages = messages.len(), "the broker refuses a batch; publishing it one by one");
            self.retry = Backoff::default();
            let mut items = items.into_iter();
            let singles: Vec<_> = messages.into_iter().map(|message| (message, items.next())).collect();
            let last = singles.len() - 1;
            for (index, (message, item)) in singles.into_iter().enumerate().rev() {
                let through = through.filter(|_| index == last);
                let (messages, items) = (vec![message], item.into_iter().collect());
                self.in_flight.push_front(Flight {
                    count: 1,
                    messages,
                    items,
                    receipt: lost(),
                    number,
                    attempts,
                    through,
                });
            }
            return;
        }
        for (message, item) in messages.iter().zip(&items) {
            error!(id = %item.id, topic = %message.topic, attempts, error = why as &dyn std::error::Error, "given up: see aups dead-letter list");
            let (now, json) = (self.clock.now(), item.json.clone());
            self.dead.push(dead_letters::letter_of(
                DeadReason::Refused,
                why.to_string(),
                now,
                json,
                message.topic.as_str(),
            ));
        }
        self.bury().await;
        if let Some(through) = through {
            self.backlog.acknowledge_through(through);
        }
        self.retry = Backoff::default();
    }

    /// What policies withhold is gone, as it should be; what cannot be sealed is set aside.
    fn withhold_or_give_up(&mut self, withheld: &Withheld, entry: &Entry) {
        if let Withheld::Unsealable(why) = withheld {
            let (now, json) = (self.clock.now(), entry.json.clone());
            let letter = dead_letters::letter_of(DeadReason::Unsealable, why.clone(), now, json, entry.topic.as_str());
            self.dead.push(letter);
        }
        debug!(target: ITEM, id = %entry.item.id, reason = withheld.code(), "withheld");
        self.withhold(withheld, Some(entry));
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
        self.meters.backlog_items.set(self.backlog.unacknowledged() as f64);
        self.meters.batches_in_flight.set(self.in_flight.len() as f64);
    }
}

fn outgoing(topic: &Topic, payload: Bytes, retain: bool) -> Outgoing {
    Outgoing { topic: topic.clone(), payload, content_type: CONTENT_TYPE, retain, qos: Qos::AtLeastOnce }
}

impl Flight {
    /// Publishes what there is, and leaves what is to be handed over again if the receipt fails. A failure here shows as a
    /// receipt that failed.
    async fn hand_over(&mut self, sink: &dyn Sink) {
        self.attempts = self.attempts.saturating_add(1);
        self.trace("published");
        self.receipt = if self.messages.is_empty() {
            Box::pin(ready(Ok(())))
        } else {
            match sink.publish(self.messages.clone()).await {
                Ok(receipt) => {
                    self.forget_at_most_once();
                    receipt
                }
                Err(error) => Box::pin(ready(Err(error))),
            }
        };
    }

    fn forget_at_most_once(&mut self) {
        let again = |message: &Outgoing| message.qos == Qos::AtLeastOnce;
        let mut of_items = self.messages.iter().map(again);
        self.items.retain(|_| of_items.next().unwrap_or(true));
        self.messages.retain(again);
    }

    fn trace(&self, what: &'static str) {
        if enabled!(target: ITEM, Level::DEBUG) {
            for item in &self.items {
                debug!(target: ITEM, id = %item.id, batch = self.number, attempt = self.attempts, "{what}");
            }
        }
    }
}

/// The receipt of what was not handed over yet.
fn lost() -> Receipt {
    Box::pin(pending())
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
