//! A reader at work: the MQTT session, the key requests and the state between them, in a task of its own.

use crate::{
    ConnectError, Event, Identity, KeysOver, Minimum, ServerError, SystemClock,
    link::{Delivery, Link, LinkEvent, LinkSettings},
    server::{Answer, Server},
    session::{HoldLimits, Message, Now, Output, Session, SessionSettings},
    state::{StateError, StateFile},
    ways::{Way, Ways},
};
use aups_core::{
    Clock, Filter, Sub, Topic,
    limits::FRESH_AGE_DEFAULT,
    topic::{KEY_ANSWERS, KEY_REQUESTS, TopicError},
};
use aups_envelope::{b64, hash};
use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use rumqttc::{SubscribeNoticeError, SubscribeReasonCode};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    num::NonZeroU16,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::Instant,
};

/// Events between the reader's task and the application.
const EVENTS_QUEUED_MAX: usize = 64;
/// Subscriptions asked for and not yet taken by the task.
const COMMANDS_QUEUED_MAX: usize = 8;
/// Most bytes of messages that wait for keys.
const HOLD_BYTES_MAX: usize = 32 << 20;
/// As many messages as a broker usually sends ahead, and few enough to hold in memory when they are large.
const RECEIVE_MAX_DEFAULT: NonZeroU16 = NonZeroU16::new(256).unwrap();
/// How long the answer to a request over MQTT may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long after a failure the state is written again.
const STATE_RETRY: Duration = Duration::from_secs(1);
/// Path of key requests on the server.
const KEYS_PATH: &str = "/v1/keys";

/// How a reader reads. The default suits most.
#[derive(Debug, Clone)]
pub struct ReaderOptions {
    /// Scores that an item must reach to become an event. Default: none.
    pub min: Vec<Minimum>,
    /// How old a fresh item may be. Default: 60 s.
    pub max_age: Duration,
    /// How long the broker keeps the session, and QoS 1 messages for it, while the connection is down. Default: 1 h.
    pub session_expiry: Duration,
    /// Longest silence on the connection before its loss is noticed. Whole seconds; default: 30 s.
    pub keep_alive: Duration,
    /// Most messages taken from the broker and not yet by the application; they may wait for keys. Default: 256.
    pub receive_max: NonZeroU16,
    /// Which way keys are asked for. Default: HTTP, and MQTT while the server cannot be reached.
    pub keys_over: KeysOver,
    /// Where to keep what the reader remembers, so that nothing comes twice and nothing is rolled back over a restart. The
    /// session at the broker is then kept as well when the reader ends. Default: nowhere.
    ///
    /// An event counts as dealt with when the next one is asked for, or the reader is closed: only then is it written down,
    /// and acknowledged to the broker.
    pub state: Option<PathBuf>,
    /// What time it is. Default: the machine's clock.
    pub clock: Arc<dyn Clock>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            min: Vec::new(),
            max_age: FRESH_AGE_DEFAULT,
            session_expiry: Duration::from_hours(1),
            keep_alive: Duration::from_secs(30),
            receive_max: RECEIVE_MAX_DEFAULT,
            keys_over: KeysOver::default(),
            state: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why a reader does not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReaderError {
    /// No MQTT session.
    #[error(transparent)]
    Broker(#[from] ConnectError),
    /// The server that gives keys cannot be asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// What the reader remembers cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why a subscription is not there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The caller's text is not a filter.
    #[error("`{filter}` is not a topic filter")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// The broker refuses these; those that are not named are subscribed.
    #[error("{}", .0.iter().map(FilterRefused::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<FilterRefused>),
    /// The connection was lost before the broker answered, or the reader has ended.
    #[error("the connection to the broker was lost before it answered: subscribe again")]
    Disconnected,
}

/// A filter that the broker does not let this reader subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRefused {
    /// The filter.
    pub filter: Filter,
    /// The broker's reason.
    pub reason: RefusalReason,
}

/// Why a filter was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The policies give this reader no such right.
    NotAuthorised,
    /// The broker has no shared subscriptions.
    NoSharedSubscriptions,
    /// The broker has reached a limit.
    Quota,
    /// Anything else.
    Other,
}

impl fmt::Display for FilterRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.reason {
            RefusalReason::NotAuthorised => {
                "no policy lets this reader subscribe it; `aups topics` lists what it may subscribe"
            }
            RefusalReason::NoSharedSubscriptions => "this broker has no shared subscriptions",
            RefusalReason::Quota => "the broker's limit of subscriptions is reached",
            RefusalReason::Other => "the broker gives no reason; `aups topics` lists what may be subscribed",
        };
        write!(f, "the broker refuses `{}`: {why}", self.filter)
    }
}

impl From<SubscribeReasonCode> for RefusalReason {
    fn from(code: SubscribeReasonCode) -> Self {
        match code {
            // An MQTT 3.1.1 broker behind a bridge knows only the plain failure.
            SubscribeReasonCode::NotAuthorized | SubscribeReasonCode::Failure => Self::NotAuthorised,
            SubscribeReasonCode::SharedSubscriptionsNotSupported => Self::NoSharedSubscriptions,
            SubscribeReasonCode::QuotaExceeded => Self::Quota,
            _ => Self::Other,
        }
    }
}

/// A reader: connected, asking for keys by itself, and telling what comes.
///
/// Dropped, it says farewell to the broker in the background; [`Reader::close`] waits for that.
#[derive(Debug)]
pub struct Reader {
    commands: mpsc::Sender<Command>,
    events: mpsc::Receiver<Event>,
    /// How many events the application has dealt with.
    taken: watch::Sender<u64>,
    /// Of how many the state file had its turn: they are in it, or the application is told that they are not.
    settled: watch::Receiver<u64>,
    returned: u64,
    task: JoinHandle<()>,
}

impl Reader {
    /// Connects to the broker that the identity names. Needs a Tokio runtime.
    ///
    /// The first attempt decides; a connection that is lost later is made again without end, and the broker keeps what
    /// is published meanwhile with QoS 1.
    pub async fn connect(identity: Identity, options: ReaderOptions) -> Result<Self, ReaderError> {
        let trust = identity.trust()?;
        let server = Server::new(&identity.file.server, &trust)?;
        let mqtt = &identity.file.mqtt;
        let key_topics = KeyTopics::of(identity.sub());
        let settings = SessionSettings {
            minimums: options.min,
            max_age: options.max_age,
            // Once what the broker may send before the first acknowledgement, twice that with QoS 0, and something to spare.
            hold: HoldLimits { messages_max: 4 * usize::from(options.receive_max.get()), bytes_max: HOLD_BYTES_MAX },
        };
        let mut memories = Vec::new();
        let state = match &options.state {
            Some(path) => Some(StateFile::open(path, &identity, |memory| memories.push(memory.clone()))?),
            None => None,
        };
        let made_up = || format!("aups-{}", b64::encode(&hash::random::<12>()));
        let (link, key_answers) = Link::connect(&LinkSettings {
            url: &mqtt.url,
            trust: &trust,
            username: &mqtt.username,
            password: &mqtt.password,
            client_id: state.as_ref().map_or_else(made_up, |state| state.client_id().to_owned()),
            keep_alive: options.keep_alive,
            session_expiry: options.session_expiry,
            receive_max: options.receive_max,
            answers_on: &key_topics.answers,
        })
        .await?;
        let (commands, commands_in) = mpsc::channel(COMMANDS_QUEUED_MAX);
        let (events_out, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let mut session = Session::new(identity, settings);
        for memory in &memories {
            session.remember(memory);
        }
        drop(memories);
        let (taken, taken_in) = watch::channel(0);
        // Without a state there is nothing to wait for.
        let (settled_out, settled) = watch::channel(if state.is_some() { 0 } else { u64::MAX });
        let mut task = Task {
            session,
            state,
            session_expiry: options.session_expiry,
            taken: taken_in,
            settled: settled_out,
            given: 0,
            pending: VecDeque::new(),
            unwritten: false,
            server,
            link,
            ways: Ways::new(options.keys_over),
            key_topics,
            key_answers,
            answers_verdict: None.into(),
            answers_refused: false,
            clock: options.clock,
            started: Instant::now(),
            commands: commands_in,
            events: events_out,
            filters: BTreeSet::new(),
            ended: false,
            verdicts: FuturesUnordered::new(),
            answer: None.into(),
        };
        task.subscribe_answers();
        Ok(Self { commands, events, taken, settled, returned: 0, task: tokio::spawn(task.run()) })
    }

    /// Subscribes, and waits for the broker's word on each filter. After a reconnection the filters are subscribed again.
    pub async fn subscribe<F: AsRef<str>>(&self, filters: &[F]) -> Result<(), SubscribeError> {
        let filters = filters.iter().map(|filter| parse_filter(filter.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if filters.is_empty() {
            return Ok(());
        }
        let (reply, verdict) = oneshot::channel();
        let command = Command { filters, reply };
        self.commands.send(command).await.map_err(|_| SubscribeError::Disconnected)?;
        verdict.await.map_err(|_| SubscribeError::Disconnected)?
    }

    /// The next event; `None` after [`Event::Ended`]. Cancel safe. Who does not call it holds the broker back, and
    /// nothing is lost of what is published with QoS 1.
    ///
    /// To ask for the next one is to have dealt with the one before: with a [state file](ReaderOptions::state) that is
    /// written down first, so that of an application that is killed only what it was dealing with comes again.
    pub async fn next(&mut self) -> Option<Event> {
        let returned = self.returned;
        self.taken.send_replace(returned);
        // A task that has ended writes no more, and has left its last events.
        let _ = self.settled.wait_for(|settled| *settled >= returned).await;
        let event = self.events.recv().await;
        self.returned += u64::from(event.is_some());
        event
    }

    /// Ends the connection to the broker, and the session there unless there is a [state file](ReaderOptions::state); takes a
    /// second at most. The last event counts as dealt with.
    pub async fn close(self) {
        let Self { commands, events, taken, returned, task, .. } = self;
        taken.send_replace(returned);
        drop((commands, events));
        let _ = task.await;
    }
}

fn parse_filter(text: &str) -> Result<Filter, SubscribeError> {
    text.parse().map_err(|source| SubscribeError::Filter { filter: text.into(), source })
}

/// Subscribe these, and tell.
#[derive(Debug)]
struct Command {
    filters: Vec<Filter>,
    reply: oneshot::Sender<Result<(), SubscribeError>>,
}

/// The broker's word on filters, and whom to tell; nobody, where they were subscribed before.
struct Verdict {
    filters: Vec<Filter>,
    codes: Result<Vec<SubscribeReasonCode>, SubscribeNoticeError>,
    reply: Option<oneshot::Sender<Result<(), SubscribeError>>>,
}

/// Where a reader asks for keys over MQTT, and where it is answered.
struct KeyTopics {
    requests: String,
    answers: String,
}

impl KeyTopics {
    fn of(sub: &Sub) -> Self {
        Self { requests: format!("{KEY_REQUESTS}{sub}"), answers: format!("{KEY_ANSWERS}{sub}") }
    }
}

/// Moves things between the network and the [`Session`], which decides.
struct Task {
    session: Session,
    state: Option<StateFile>,
    session_expiry: Duration,
    /// How many events the application has dealt with.
    taken: watch::Receiver<u64>,
    /// Of how many the state file had its turn.
    settled: watch::Sender<u64>,
    /// How many it was given.
    given: u64,
    /// What was given and is not yet written down and acknowledged, each with the number of its event. Bounded by the messages
    /// that the broker sends ahead.
    pending: VecDeque<(u64, Output)>,
    /// Whether the last attempt to write failed, and the application knows.
    unwritten: bool,
    server: Server,
    link: Link,
    ways: Ways,
    key_topics: KeyTopics,
    key_answers: mpsc::Receiver<Bytes>,
    /// The broker's word on the topic of answers.
    answers_verdict: OptionFuture<BoxFuture<'static, Result<Vec<SubscribeReasonCode>, SubscribeNoticeError>>>,
    answers_refused: bool,
    clock: Arc<dyn Clock>,
    started: Instant,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<Event>,
    /// What is subscribed.
    filters: BTreeSet<Filter>,
    /// Whether the broker refused this reader for good.
    ended: bool,
    verdicts: FuturesUnordered<BoxFuture<'static, Verdict>>,
    /// The end of the key request under way: the answer over HTTP, or that none came over MQTT.
    answer: OptionFuture<BoxFuture<'static, (Way, Result<Answer, ServerError>)>>,
}

impl Task {
    async fn run(mut self) {
        while self.step().await {}
        self.settle_taken();
        let keep = if self.state.is_some() { self.session_expiry } else { Duration::ZERO };
        self.link.close(keep).await;
    }

    /// One thing that happens. False at the end.
    async fn step(&mut self) -> bool {
        let now = self.now();
        if let Some(request) = self.session.next_request(now) {
            self.ask(request, now);
        }
        let wake = self.session.wake_at(now).map(|wake| self.started + wake);
        let wake = OptionFuture::from(wake.map(tokio::time::sleep_until));
        tokio::select! {
            open = async { self.events.reserve().await.is_ok() }, if self.session.has_output() => {
                if !open {
                    return false;
                }
                self.hand_out();
            }
            // Brokers there are that send more than the receive maximum (Mosquitto 2.0.11). Those wait for TCP; if for long,
            // they end the connection for want of keep-alives, and send again on the next one.
            event = self.link.next(), if !self.ended && self.session.has_room() => match event {
                Some(event) => self.on_link(event),
                None => self.ended = true,
            },
            Some((way, answer)) = &mut self.answer => {
                self.answer = None.into();
                let now = self.now();
                if matches!(answer, Err(ServerError::Unreachable { .. } | ServerError::Silent { .. } | ServerError::NoAnswersHere { .. })) {
                    self.ways.failed(way, now.mono);
                }
                self.session.on_answer(answer, now);
            }
            Some(body) = self.key_answers.recv() => {
                let now = self.now();
                if self.session.on_answer_message(&self.key_topics.answers, &body, now) {
                    self.answer = None.into();
                }
            }
            Some(verdict) = &mut self.answers_verdict => {
                self.answers_verdict = None.into();
                let taken = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                self.answers_refused = verdict.is_ok_and(|codes| !codes.iter().all(taken));
            }
            Ok(()) = self.taken.changed(), if self.state.is_some() => self.settle_taken(),
            () = tokio::time::sleep(STATE_RETRY), if self.unwritten => self.settle_taken(),
            Some(verdict) = self.verdicts.next() => self.on_verdict(verdict),
            command = self.commands.recv() => match command {
                Some(command) => self.subscribe(command.filters, Some(command.reply)),
                None => return false,
            },
            Some(()) = wake => {}
        }
        !self.ended || self.session.has_output()
    }

    /// Sends a key request on its way.
    fn ask(&mut self, request: String, now: Now) {
        let way = self.ways.next(now.mono);
        let topic = || self.key_topics.answers.clone();
        let answer = match way {
            Way::Http => {
                let server = self.server.clone();
                async move { server.post_jose(KEYS_PATH, request).await }.boxed()
            }
            Way::Mqtt if self.answers_refused => {
                let refused = ServerError::NoAnswersHere { topic: topic() };
                async move { Err(refused) }.boxed()
            }
            Way::Mqtt => {
                let silent = ServerError::Silent { topic: topic() };
                if let Err(error) = self.link.ask(&self.key_topics.requests, request) {
                    tracing::warn!(%error, "could not publish a key request");
                }
                async move {
                    tokio::time::sleep(ANSWER_TIME_MAX).await;
                    Err(silent)
                }
                .boxed()
            }
        };
        self.answer = Some(async move { (way, answer.await) }.boxed()).into();
    }

    /// Asks the broker for answers to key requests, where any may come that way.
    fn subscribe_answers(&mut self) {
        if !self.ways.may_use_mqtt() {
            return;
        }
        match self.link.subscribe_answers(&self.key_topics.answers) {
            Ok(verdict) => self.answers_verdict = Some(verdict.boxed()).into(),
            Err(error) => tracing::warn!(%error, "could not ask the broker for answers to key requests"),
        }
    }

    /// Hands out what there is room for, and lets the broker know what is done.
    fn hand_out(&mut self) {
        while let Ok(room) = self.events.try_reserve() {
            let Some(output) = self.session.next_output() else { return };
            let Output { event, done, memory } = output;
            if let Some(event) = event {
                room.send(event);
                self.given += 1;
            }
            if self.state.is_some() {
                self.pending.push_back((self.given, Output { event: None, done, memory }));
            } else {
                self.link.done(done);
            }
        }
        self.settle_taken();
    }

    /// Writes down what the application has dealt with, and only then acknowledges it: what a kill leaves between is sent again
    /// by the broker, and known.
    fn settle_taken(&mut self) {
        let bumps = self.session.take_bumps();
        let Some(state) = &mut self.state else { return };
        let taken = *self.taken.borrow_and_update();
        let count = self.pending.partition_point(|(number, _)| *number <= taken);
        let of_messages = self.pending.iter().take(count).filter_map(|(_, output)| output.memory.as_ref());
        let written = state
            .append(bumps.iter().chain(of_messages))
            .and_then(|()| if state.is_long() { state.fold(self.session.memories()) } else { Ok(()) });
        self.settled.send_replace(taken);
        if let Err(error) = written {
            if !std::mem::replace(&mut self.unwritten, true) {
                self.session.tell(Event::StateUnwritten { reason: error.to_string() });
            }
            return;
        }
        self.unwritten = false;
        for (_, output) in self.pending.drain(..count) {
            self.link.done(output.done);
        }
    }

    fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Publish(delivery) => self.on_delivery(delivery),
            LinkEvent::Down { reason } => self.session.tell(Event::Disconnected { reason }),
            LinkEvent::Up { session_present } => {
                self.session.tell(Event::Reconnected { session_present });
                self.subscribe_answers();
                // Also where the broker has the session: it may have dropped a filter that is not permitted any more, and
                // only the answer to a subscription tells.
                self.subscribe(self.filters.iter().cloned().collect(), None);
            }
            LinkEvent::Refused(error) => self.session.tell(Event::Ended(error)),
        }
    }

    fn on_delivery(&mut self, delivery: Delivery) {
        let ticket = self.link.taken(&delivery);
        let publish = delivery.publish;
        let Some(topic) = std::str::from_utf8(&publish.topic).ok().and_then(|topic| topic.parse::<Topic>().ok()) else {
            tracing::warn!(topic = ?publish.topic, "dropped a message of a topic longer or deeper than any NOS has");
            self.link.done(ticket);
            return;
        };
        let now = self.now();
        self.session.on_message(topic, Message { payload: publish.payload, retain: publish.retain, ticket }, now);
    }

    /// Asks the broker for subscriptions. `reply`: whom to tell; nobody, where they are known from before.
    fn subscribe(&mut self, filters: Vec<Filter>, reply: Option<oneshot::Sender<Result<(), SubscribeError>>>) {
        if filters.is_empty() {
            return;
        }
        self.session.on_subscribe();
        match self.link.subscribe(&filters) {
            Ok(codes) => {
                let verdict = async move { Verdict { filters, codes: codes.await, reply } };
                self.verdicts.push(verdict.boxed());
            }
            Err(error) => {
                tracing::warn!(%error, "could not ask the broker for subscriptions");
                if let Some(reply) = reply {
                    // Nobody waits for it any more: then nobody needs it.
                    let _ = reply.send(Err(SubscribeError::Disconnected));
                }
            }
        }
    }

    fn on_verdict(&mut self, verdict: Verdict) {
        let Verdict { filters, codes, reply } = verdict;
        let result = match codes {
            Ok(codes) if codes.len() == filters.len() => self.settle(filters, codes),
            // The next connection subscribes what is known; who asked for more is told to ask again.
            Ok(_) | Err(_) => Err(SubscribeError::Disconnected),
        };
        match (reply, result) {
            (Some(reply), result) => _ = reply.send(result),
            (None, Err(SubscribeError::Refused(refused))) => {
                for refused in refused {
                    self.session.tell(Event::Unsubscribed(refused));
                }
            }
            (None, _) => {}
        }
    }

    /// Notes what is subscribed now and what is not.
    fn settle(&mut self, filters: Vec<Filter>, codes: Vec<SubscribeReasonCode>) -> Result<(), SubscribeError> {
        let mut refused = Vec::new();
        for (filter, code) in filters.into_iter().zip(codes) {
            if let SubscribeReasonCode::Success(_) = code {
                self.filters.insert(filter);
            } else {
                self.filters.remove(&filter);
                refused.push(FilterRefused { filter, reason: code.into() });
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(SubscribeError::Refused(refused)) }
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.now(), mono: self.started.elapsed() }
    }
}

#[cfg(test)]
mod tests;
