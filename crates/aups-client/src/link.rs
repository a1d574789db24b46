//! The MQTT 5 session of a reader: one TCP connection, made again when it is lost. Knows nothing of keys or items.
//!
//! A task of its own polls the connection, so that keep-alives go out while the reader is busy. What arrives with QoS 1 is
//! acknowledged only when the reader is done with it, in the order of arrival (MQTT-4.6.0-2): the broker then holds back
//! what is more than the receive maximum, and nothing piles up here.

use crate::backoff::Backoff;
use aups_core::Filter;
use aups_envelope::message::MESSAGE_BYTES_MAX;
use aups_net::tls::{TlsError, Trust, certificate_fault};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use rumqttc::{
    AckMode, AsyncClient, Broker, ClientError, ConnectReturnCode, ConnectionError, DisconnectProperties,
    DisconnectReasonCode, EventLoop, ManualAck, MqttOptions, Packet, PersistedAckMode, PersistedSession, PubAck,
    Publish, PublishOptions, QoS, RetainForwardRule, SessionStore, SessionStoreError, SessionStoreKey, SubscribeFilter,
    SubscribeNoticeError, SubscribeReasonCode, TlsConfiguration, Transport,
};
use std::{
    collections::VecDeque,
    future::ready,
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::{sync::mpsc, task::JoinHandle};

/// Port of MQTT over TCP where the URL names none.
const PORT_DEFAULT: u16 = 1883;
/// The same over TLS.
const TLS_PORT_DEFAULT: u16 = 8883;
/// Largest packet that the reader takes: the largest sealed message, with its topic and properties.
const PACKET_BYTES_MAX: u32 = (4 << 20) + (64 << 10);
const _: () = assert!(PACKET_BYTES_MAX as usize > MESSAGE_BYTES_MAX);
/// Events between the poller and the reader.
const EVENTS_QUEUED_MAX: usize = 64;
/// Answers to key requests between the poller and the reader, who asks for one at a time; more are dropped.
const ANSWERS_QUEUED_MAX: usize = 16;
/// First and last wait before the connection is made again.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// How long a farewell to the broker may take.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// What the MQTT session needs to know.
pub(crate) struct LinkSettings<'a> {
    pub(crate) url: &'a str,
    /// Whom to take for the broker at an `mqtts://` URL.
    pub(crate) trust: &'a Trust,
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) client_id: String,
    pub(crate) keep_alive: Duration,
    /// How long the broker keeps the session, with what comes for it, while the reader is away.
    pub(crate) session_expiry: Duration,
    /// Most QoS 1 messages under way and not yet acknowledged.
    pub(crate) receive_max: NonZeroU16,
    /// Where the answers to key requests come.
    pub(crate) answers_on: &'a str,
}

/// Why there is no MQTT session.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The identity file names a broker in a way that this version does not know.
    #[error("`{0}` does not name a broker: use mqtt://host:port or mqtts://host:port")]
    Url(String),
    /// There is a broker, and it cannot show that it is the right one; or the authorities to know it by cannot be used.
    #[error("the broker at {url} cannot be trusted: {fault}")]
    Certificate {
        /// Where.
        url: String,
        /// What its certificate lacks, and what to do.
        fault: String,
    },
    /// Nobody answers, or not in MQTT 5.
    #[error(
        "no MQTT 5 broker answers at {url}: {reason}; see that it runs and that the address in the identity is right"
    )]
    Unreachable {
        /// Where.
        url: String,
        /// What came in place of an answer.
        reason: String,
    },
    /// The broker does not take these credentials; trying again would change nothing.
    #[error(
        "the broker at {url} refuses {username} ({reason}): the reader was removed or enrolled again elsewhere; enrol again"
    )]
    Refused {
        /// Where.
        url: String,
        /// Who.
        username: String,
        /// The broker's reason code.
        reason: String,
    },
}

/// What happens on the MQTT session, in order.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A message.
    Publish(Delivery),
    /// Connected again. Whether the broker still had the session.
    Up { session_present: bool },
    /// Not connected any more; the poller tries again.
    Down { reason: String },
    /// The broker does not take these credentials any more. Nothing follows.
    Refused(ConnectError),
}

/// A message as it came from the broker.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) publish: Publish,
    connection: u64,
}

/// Names a delivery that awaits its acknowledgement; none where none is owed (QoS 0).
pub(crate) type Ticket = Option<u64>;

/// The MQTT session.
#[derive(Debug)]
pub(crate) struct Link {
    client: AsyncClient,
    events: mpsc::Receiver<LinkEvent>,
    poller: JoinHandle<()>,
    /// Counts connections and their losses: an acknowledgement must not leave on another one than its message came on.
    connection: Arc<AtomicU64>,
    unacknowledged: Unacknowledged,
}

impl Link {
    /// Connects; the first attempt decides. Later losses are mended without end, save for a refusal of the credentials.
    ///
    /// What comes on the topic of answers comes on a channel of its own: messages that wait for keys do not hold it up.
    pub(crate) async fn connect(settings: &LinkSettings<'_>) -> Result<(Self, mpsc::Receiver<Bytes>), ConnectError> {
        let (client, mut event_loop) =
            AsyncClient::builder(options(settings)?).capacity(requests_queued_max(settings.receive_max)).build();
        let target = Target { url: settings.url.into(), username: settings.username.into() };
        loop {
            match event_loop.poll().await {
                Ok(rumqttc::Event::Incoming(Packet::ConnAck(_))) => break,
                Ok(_) => {}
                Err(error) => return Err(target.error(&error)),
            }
        }
        let connection = Arc::new(AtomicU64::new(0));
        let (sender, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let (answer_sender, answers) = mpsc::channel(ANSWERS_QUEUED_MAX);
        let poller = Poller {
            event_loop,
            events: sender,
            answers_on: settings.answers_on.into(),
            answers: answer_sender,
            client: client.clone(),
            target,
            connection: Arc::clone(&connection),
        };
        let poller = tokio::spawn(poller.run());
        Ok((Self { client, events, poller, connection, unacknowledged: Unacknowledged::default() }, answers))
    }

    /// The next thing that happens; `None` after a refusal. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<LinkEvent> {
        let event = self.events.recv().await;
        if let Some(LinkEvent::Up { .. }) = &event {
            self.unacknowledged.forget();
        }
        event
    }

    /// Notes a delivery; its ticket goes to [`Link::done`] when the reader has taken it.
    pub(crate) fn taken(&mut self, delivery: &Delivery) -> Ticket {
        (delivery.publish.qos == QoS::AtLeastOnce)
            .then(|| self.unacknowledged.push(delivery.connection, delivery.publish.pkid))
    }

    /// Acknowledges a delivery as soon as all that came before it are done.
    pub(crate) fn done(&mut self, ticket: Ticket) {
        let Some(ticket) = ticket else { return };
        self.unacknowledged.done(ticket);
        while let Some((connection, packet_id)) = self.unacknowledged.pop_done() {
            if connection == self.connection.load(Ordering::Acquire) {
                // The queue has room for all of them: it is closed only if the connection is.
                let _ = self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(packet_id, None)));
            }
        }
    }

    /// Asks for subscriptions: one verdict per filter, in order. Retained messages come with a new subscription only, so
    /// that subscribing again after a reconnection is harmless.
    pub(crate) fn subscribe(
        &self,
        filters: &[Filter],
    ) -> Result<impl Future<Output = Result<Vec<SubscribeReasonCode>, SubscribeNoticeError>> + Send + use<>, ClientError>
    {
        let filters = filters.iter().map(|filter| {
            let mut filter = SubscribeFilter::new(filter.as_str(), QoS::AtLeastOnce);
            filter.retain_forward_rule = RetainForwardRule::OnNewSubscribe;
            filter
        });
        let notice = self.client.try_subscribe_many_tracked(filters)?;
        Ok(async move { Ok(notice.wait_async().await?.return_codes) })
    }

    /// Asks for the answers to key requests, at QoS 0: then they are sent also to a reader that may be sent nothing else.
    pub(crate) fn subscribe_answers(
        &self,
        topic: &str,
    ) -> Result<impl Future<Output = Result<Vec<SubscribeReasonCode>, SubscribeNoticeError>> + Send + use<>, ClientError>
    {
        let notice = self.client.try_subscribe_tracked(topic, QoS::AtMostOnce)?;
        Ok(async move { Ok(notice.wait_async().await?.return_codes) })
    }

    /// Publishes a key request. It leaves with the next connection if there is none.
    pub(crate) fn ask(&self, topic: &str, request: String) -> Result<(), ClientError> {
        self.client.try_publish(topic, request, PublishOptions::at_least_once())
    }

    /// Says farewell; unless the session is kept, so that the broker drops it: its client id is not used again then.
    pub(crate) async fn close(mut self, session_expiry: Duration) {
        let properties = DisconnectProperties {
            session_expiry_interval: Some(seconds(session_expiry)),
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        };
        let _ = self.client.try_disconnect_now_with_properties(DisconnectReasonCode::NormalDisconnection, properties);
        // Take what the poller still has to say, or it waits for us and the farewell waits for it.
        let drained = async { while self.events.recv().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL_MAX, drained).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

/// Requests to the broker that have not left yet: room for more acknowledgements than the reader may owe, also to a broker
/// that sends more than the receive maximum, and for subscriptions.
const fn requests_queued_max(receive_max: NonZeroU16) -> usize {
    2_048 + 8 * receive_max.get() as usize
}

fn options(settings: &LinkSettings<'_>) -> Result<MqttOptions, ConnectError> {
    let wrong = || ConnectError::Url(settings.url.into());
    let url = reqwest::Url::parse(settings.url).map_err(|_| wrong())?;
    let (port_default, tls) = match url.scheme() {
        "mqtt" => (PORT_DEFAULT, None),
        "mqtts" => (TLS_PORT_DEFAULT, Some(settings.trust.client_config(&[]))),
        _ => return Err(wrong()),
    };
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let mut options = MqttOptions::new(&settings.client_id, Broker::tcp(host, url.port().unwrap_or(port_default)));
    if let Some(tls) = tls {
        let fault = |error: TlsError| ConnectError::Certificate { url: settings.url.into(), fault: error.to_string() };
        let tls = TlsConfiguration::Rustls(Arc::new(tls.map_err(fault)?));
        options.set_transport(Transport::tls_with_config(tls));
    }
    options
        .set_credentials(settings.username, settings.password.to_owned())
        .set_keep_alive(u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX))
        .set_clean_start(false)
        .set_session_expiry_interval(Some(seconds(settings.session_expiry)))
        .set_receive_maximum(Some(settings.receive_max.get()))
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_ack_mode(AckMode::Manual)
        .set_session_store(NothingUnderWay);
    Ok(options)
}

/// A session that a program before this one had at the broker is gone on with: of what that program sent nothing is under way,
/// for a key request whose answer nobody waits for need not arrive, and filters are subscribed anew.
#[derive(Debug)]
struct NothingUnderWay;

type StoreFuture<'a, T> = BoxFuture<'a, Result<T, SessionStoreError>>;

impl SessionStore for NothingUnderWay {
    fn load<'a>(&'a self, key: &'a SessionStoreKey) -> StoreFuture<'a, Option<PersistedSession>> {
        let session = PersistedSession {
            format_version: 1,
            client_id: key.client_id().into(),
            clean_start: false,
            session_expiry_interval: None,
            outgoing_inflight_upper_limit: None,
            ack_mode: PersistedAckMode::Manual,
            last_pkid: 0,
            last_puback: 0,
            replay: Vec::new(),
            incoming_qos2: Vec::new(),
        };
        Box::pin(ready(Ok(Some(session))))
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> StoreFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> StoreFuture<'a, ()> {
        Box::pin(ready(Ok(())))
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Drives the connection until the link is dropped, closed or refused.
struct Poller {
    event_loop: EventLoop,
    events: mpsc::Sender<LinkEvent>,
    answers_on: String,
    answers: mpsc::Sender<Bytes>,
    client: AsyncClient,
    target: Target,
    connection: Arc<AtomicU64>,
}

impl Poller {
    async fn run(mut self) {
        let mut backoff = Backoff::new(RECONNECT_WAITS.0, RECONNECT_WAITS.1);
        let mut up = true;
        loop {
            let event = match self.event_loop.poll().await {
                Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) if publish.topic == self.answers_on => {
                    self.take_answer(publish);
                    continue;
                }
                Ok(rumqttc::Event::Incoming(Packet::Publish(publish))) => {
                    LinkEvent::Publish(Delivery { publish, connection: self.connection.load(Ordering::Relaxed) })
                }
                Ok(rumqttc::Event::Incoming(Packet::ConnAck(answer))) => {
                    self.connection.fetch_add(1, Ordering::Release);
                    backoff.reset();
                    up = true;
                    LinkEvent::Up { session_present: answer.session_present }
                }
                Ok(_) => continue,
                Err(ConnectionError::RequestsDone) => return,
                Err(error) => {
                    self.connection.fetch_add(1, Ordering::Release);
                    if let refused @ ConnectError::Refused { .. } = self.target.error(&error) {
                        // Nobody there to be told: the same end.
                        let _ = self.events.send(LinkEvent::Refused(refused)).await;
                        return;
                    }
                    if up && self.events.send(LinkEvent::Down { reason: error.to_string() }).await.is_err() {
                        return;
                    }
                    up = false;
                    tokio::select! {
                        () = self.events.closed() => return,
                        () = tokio::time::sleep(backoff.next_wait()) => continue,
                    }
                }
            };
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    /// A retained one is of a request that nobody waits for.
    fn take_answer(&self, publish: Publish) {
        if publish.qos == QoS::AtLeastOnce {
            // Room for it there is, or the connection is closed.
            let _ = self.client.try_manual_ack(ManualAck::PubAck(PubAck::new(publish.pkid, None)));
        }
        if !publish.retain {
            // Without room: the reader is asked for sixteen answers already, and waits for one.
            let _ = self.answers.try_send(publish.payload);
        }
    }
}

/// Whom we connect to and as whom, for the words of errors.
struct Target {
    url: String,
    username: String,
}

impl Target {
    fn error(&self, error: &ConnectionError) -> ConnectError {
        match error {
            ConnectionError::ConnectionRefused(code) if is_final(*code) => ConnectError::Refused {
                url: self.url.clone(),
                username: self.username.clone(),
                reason: format!("{code:?}"),
            },
            error if let Some(fault) = certificate_fault(error) => {
                ConnectError::Certificate { url: self.url.clone(), fault: fault.to_owned() }
            }
            error => ConnectError::Unreachable { url: self.url.clone(), reason: error.to_string() },
        }
    }
}

/// Whether a refusal would be the same tomorrow.
const fn is_final(code: ConnectReturnCode) -> bool {
    matches!(
        code,
        ConnectReturnCode::BadUserNamePassword
            | ConnectReturnCode::NotAuthorized
            | ConnectReturnCode::Banned
            | ConnectReturnCode::BadAuthenticationMethod
    )
}

/// Deliveries that await their acknowledgement, in the order of arrival.
#[derive(Debug, Default)]
struct Unacknowledged {
    /// Ticket of the front.
    first: u64,
    /// (connection, packet id, done)
    deliveries: VecDeque<(u64, u16, bool)>,
}

impl Unacknowledged {
    fn push(&mut self, connection: u64, packet_id: u16) -> u64 {
        self.deliveries.push_back((connection, packet_id, false));
        self.first + (self.deliveries.len() as u64 - 1)
    }

    fn done(&mut self, ticket: u64) {
        let place = ticket.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some((_, _, done)) = place.and_then(|place| self.deliveries.get_mut(place)) {
            *done = true;
        }
    }

    fn pop_done(&mut self) -> Option<(u64, u16)> {
        let (connection, packet_id, _) = self.deliveries.pop_front_if(|(_, _, done)| *done)?;
        self.first += 1;
        Some((connection, packet_id))
    }

    /// A new connection: the broker sends again what was not acknowledged, so the old tickets mean nothing.
    fn forget(&mut self) {
        self.first += self.deliveries.len() as u64;
        self.deliveries.clear();
    }
}

#[cfg(test)]
mod tests;
