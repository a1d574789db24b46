//! A broker elsewhere, as a [`Sink`]: MQTT 5, or 3.1.1 where the broker speaks no other.
//!
//! One client lives exactly as long as one connection. When the connection breaks, every message without an
//! acknowledgement fails with it, and the pipeline sends the same sealed bytes again over the next one: nothing that the
//! broker lost is taken for delivered, and nothing overtakes. (A client that lived on would replay by itself, but report
//! what a restarted broker forgot while later messages are already on their way.)

use super::{Outgoing, Qos, Receipt, Sink, SinkError};
use crate::{
    KeyRequests,
    config::{ConfigInForce, Will},
};
use aups_core::{NosId, limits::KEY_REQUEST_BYTES_MAX, topic::KEY_REQUESTS};
use aups_envelope::SecretBytes;
use aups_net::tls::{TlsError, Trust, certificate_fault};
use axum::http::uri::{Authority, Uri};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use rumqttc as v5;
use rumqttc_v4 as v4;
use rustls::ClientConfig;
use std::{fmt, io, mem, str::FromStr, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle, time};
use tracing::{info, warn};

/// Messages that wait in the client for the broker's window.
const REQUESTS_MAX: usize = 1_024;
/// Messages that await their acknowledgement at once; a broker may ask for fewer.
const IN_FLIGHT_MAX: u16 = 1_024;
/// Largest packet that goes out: a 1 MiB body as an item, sealed, in base64, with room.
const PACKET_BYTES_MAX: usize = 4 << 20;
/// Largest packet that comes in: a key request with its topic and properties. A broker drops larger ones.
const INCOMING_BYTES_MAX: u32 = 32 << 10;
const _: () = assert!(INCOMING_BYTES_MAX as usize >= 2 * KEY_REQUEST_BYTES_MAX);
/// Key requests that a broker sends ahead of their acknowledgement.
const RECEIVE_MAX: u16 = 64;
/// The NOSs of a realm share the requests of its readers, where the broker can share.
const SHARED_GROUP: &str = "nos";
/// Between two signs of life, in seconds.
const KEEP_ALIVE_S: u16 = 30;
/// Waits between attempts to connect: the first, and the longest of those that double.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(10);

/// Where a broker is and who we are there: `mqtt://[user[:password]@]host[:port]`, or `mqtts://` for TLS.
pub struct BrokerUrl {
    host: String,
    port: u16,
    tls: bool,
    credentials: Option<(String, Arc<SecretBytes>)>,
}

/// A text that is no broker URL. Whoever configured it is at fault. The text is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BrokerUrlError {
    /// Another form.
    #[error(
        "a broker is given as mqtt://[user[:password]@]host[:port] or mqtts://..., with what is special in user and password as %XX"
    )]
    Form,
}

impl FromStr for BrokerUrl {
    type Err = BrokerUrlError;

    fn from_str(text: &str) -> Result<Self, BrokerUrlError> {
        let uri: Uri = text.parse().map_err(|_| BrokerUrlError::Form)?;
        let (tls, port_default) = match uri.scheme_str() {
            Some("mqtt") => (false, 1_883),
            Some("mqtts") => (true, 8_883),
            _ => return Err(BrokerUrlError::Form),
        };
        let authority = uri.authority().ok_or(BrokerUrlError::Form)?;
        let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if host_and_port == authority.host() => port_default,
            None => return Err(BrokerUrlError::Form),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(BrokerUrlError::Form);
        }
        Ok(Self { host: host.into(), port, tls, credentials: credentials(authority)? })
    }
}

impl BrokerUrl {
    /// Host and port.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

fn credentials(authority: &Authority) -> Result<Option<(String, Arc<SecretBytes>)>, BrokerUrlError> {
    let Some((user_info, _)) = authority.as_str().rsplit_once('@') else { return Ok(None) };
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let user = String::from_utf8(percent_decode(user)?).map_err(|_| BrokerUrlError::Form)?;
    Ok(Some((user, Arc::new(SecretBytes::from_vec(percent_decode(password)?)))))
}

/// RFC 3986 section 2.1.
fn percent_decode(text: &str) -> Result<Vec<u8>, BrokerUrlError> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let value = digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        decoded.push(value.ok_or(BrokerUrlError::Form)?);
    }
    Ok(decoded)
}

/// Without the password.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "mqtts" } else { "mqtt" }, self.address())
    }
}

/// Without the password.
impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A broker elsewhere. Connects in the background and again whenever the connection breaks, until it is dropped.
#[derive(Debug)]
pub struct RemoteBroker {
    connection: watch::Receiver<Option<Client>>,
    task: JoinHandle<()>,
    will: JoinHandle<()>,
}

impl RemoteBroker {
    /// Starts to connect. `trust`: whom to take for a broker at an `mqtts://` URL. `nos` names the client at the broker.
    /// `key_requests` gets those that readers publish there. `config` says which last will the connection has.
    pub fn connect(
        url: BrokerUrl,
        trust: &Trust,
        nos: &NosId,
        key_requests: KeyRequests,
        config: ConfigInForce,
    ) -> Result<Self, TlsError> {
        let (announce, connection) = watch::channel(None);
        let tls = url.tls.then(|| trust.client_config(&[])).transpose()?.map(Arc::new);
        let will = tokio::spawn(renew_will(config.clone(), connection.clone(), nos.clone()));
        let link = Link { url, tls, nos: nos.clone(), announce, key_requests, config };
        Ok(Self { connection, task: tokio::spawn(link.run()), will })
    }

    /// Waits until there is a connection.
    pub async fn wait_connected(&self) {
        // Fails only when the task has ended, which it does not before `self` is dropped.
        let _ = self.connection.clone().wait_for(Option::is_some).await;
    }
}

impl Drop for RemoteBroker {
    fn drop(&mut self) {
        // Without a word to the broker, which then says by the last will that this NOS is gone.
        self.task.abort();
        self.will.abort();
    }
}

impl Sink for RemoteBroker {
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let client = self.connection.borrow().clone();
        Box::pin(async move {
            let client = client.ok_or_else(|| SinkError::Unreachable("no connection".into()))?;
            client.publish(batch).await
        })
    }

    fn send(&self, message: Outgoing) -> BoxFuture<'static, ()> {
        if let Some(client) = self.connection.borrow().as_ref() {
            client.send(message);
        }
        Box::pin(std::future::ready(()))
    }

    fn connected(&self) -> bool {
        self.connection.borrow().is_some()
    }
}

/// The client of one connection.
#[derive(Debug, Clone)]
enum Client {
    V5(v5::AsyncClient),
    V4(v4::AsyncClient),
}

impl Client {
    async fn publish(self, batch: Vec<Outgoing>) -> Result<Receipt, SinkError> {
        match self {
            Self::V5(client) => publish_v5(&client, batch).await,
            Self::V4(client) => publish_v4(&client, batch).await,
        }
    }

    /// Not if too much waits already: at QoS 0 nobody counts on it.
    fn send(&self, message: Outgoing) {
        self.publish_if_room(Outgoing { qos: Qos::AtMostOnce, ..message });
    }

    fn publish_if_room(&self, message: Outgoing) {
        let Outgoing { topic, payload, content_type, retain, qos } = message;
        let sent = match self {
            Self::V5(client) => {
                let properties =
                    v5::PublishProperties { content_type: Some(content_type.into()), ..Default::default() };
                let options = v5_options(qos).retain(retain).properties(properties);
                client.try_publish(topic.as_str(), payload, options).is_ok()
            }
            Self::V4(client) => {
                let options = v4_options(qos).retain(retain);
                client.try_publish(topic.as_str(), payload, options).is_ok()
            }
        };
        if !sent {
            warn!(%topic, "no room for a message to the broker");
        }
    }

    /// Ends the connection in order; what is under way is published before. Another one follows.
    fn end(&self) {
        let ended = match self {
            Self::V5(client) => client.try_disconnect().is_ok(),
            Self::V4(client) => client.try_disconnect().is_ok(),
        };
        if !ended {
            warn!("no room to end the connection: the last will stays as it was until the next one");
        }
    }

    /// Asks for the key requests of readers.
    fn subscribe(&self, filter: &str) {
        let asked = match self {
            Self::V5(client) => client.try_subscribe(filter, v5::QoS::AtLeastOnce).is_ok(),
            Self::V4(client) => client.try_subscribe(filter, v4::QoS::AtLeastOnce).is_ok(),
        };
        if !asked {
            warn!(filter, "no room for a subscription: key requests over this broker are not answered");
        }
    }
}

fn v5_options(qos: Qos) -> v5::PublishOptions {
    match qos {
        Qos::AtMostOnce => v5::PublishOptions::at_most_once(),
        Qos::AtLeastOnce => v5::PublishOptions::at_least_once(),
    }
}

fn v4_options(qos: Qos) -> v4::PublishOptions {
    match qos {
        Qos::AtMostOnce => v4::PublishOptions::at_most_once(),
        Qos::AtLeastOnce => v4::PublishOptions::at_least_once(),
    }
}

/// A last will is given when a connection begins: a new one needs a new connection. What the broker keeps of the old one
/// is cleared.
async fn renew_will(mut config: ConfigInForce, connection: watch::Receiver<Option<Client>>, nos: NosId) {
    let mut known = config.borrow_and_update().config.will.clone();
    while config.changed().await.is_ok() {
        let will = config.borrow_and_update().config.will.clone();
        if will == known {
            continue;
        }
        let old = mem::replace(&mut known, will);
        if let Some(client) = connection.borrow().as_ref() {
            if let Some(cleared) = old.and_then(|old| old.cleared(&nos)) {
                client.publish_if_room(cleared);
            }
            client.end();
        }
    }
}

async fn publish_v5(client: &v5::AsyncClient, batch: Vec<Outgoing>) -> Result<Receipt, SinkError> {
    let mut notices = Vec::with_capacity(batch.len());
    for Outgoing { topic, payload, content_type, retain, qos } in batch {
        let properties = v5::PublishProperties { content_type: Some(content_type.into()), ..Default::default() };
        if qos == Qos::AtMostOnce {
            let options = v5_options(qos).retain(retain).properties(properties);
            client.publish(topic.as_str(), payload, options).await.map_err(|_| connection_lost())?;
            continue;
        }
        let options = v5_options(qos).retain(retain).properties(properties);
        let notice = client.publish_tracked(topic.as_str(), payload, options).await;
        notices.push(notice.map_err(|_| connection_lost())?);
    }
    Ok(Box::pin(async move {
        for notice in notices {
            notice.wait_completion_async().await.map_err(|error| match error {
                v5::PublishNoticeError::V5PubAck(reason) => SinkError::Refused(format!("{reason:?}")),
                v5::PublishNoticeError::RetainNotSupported => SinkError::Refused(error.to_string()),
                _ => connection_lost(),
            })?;
        }
        Ok(())
    }))
}

async fn publish_v4(client: &v4::AsyncClient, batch: Vec<Outgoing>) -> Result<Receipt, SinkError> {
    let mut notices = Vec::with_capacity(batch.len());
    for Outgoing { topic, payload, retain, qos, .. } in batch {
        if qos == Qos::AtMostOnce {
            let options = v4_options(qos).retain(retain);
            client.publish(topic.as_str(), payload, options).await.map_err(|_| connection_lost())?;
            continue;
        }
        let options = v4_options(qos).retain(retain);
        let notice = client.publish_tracked(topic.as_str(), payload, options).await;
        notices.push(notice.map_err(|_| connection_lost())?);
    }
    Ok(Box::pin(async move {
        for notice in notices {
            notice.wait_async().await.map_err(|_| connection_lost())?;
        }
        Ok(())
    }))
}

/// Why there is no connection. What is wrong with a certificate is said so that something can be done about it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    certificate_fault(error).map_or_else(|| error.to_string(), str::to_owned)
}

fn connection_lost() -> SinkError {
    SinkError::Unreachable("the connection broke before the acknowledgement".into())
}

/// The task behind a [`RemoteBroker`].
struct Link {
    url: BrokerUrl,
    tls: Option<Arc<ClientConfig>>,
    nos: NosId,
    announce: watch::Sender<Option<Client>>,
    key_requests: KeyRequests,
    config: ConfigInForce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    V5,
    V4,
}

/// How a connection ended.
struct Ended {
    error: String,
    connected: bool,
    /// Before the broker said anything that this version of the protocol understands.
    not_understood: bool,
}

impl Link {
    async fn run(self) {
        let mut protocol = Protocol::V5;
        let mut wait = RETRY_FIRST;
        loop {
            let ended = match protocol {
                Protocol::V5 => self.connection_v5().await,
                Protocol::V4 => self.connection_v4().await,
            };
            self.announce.send_replace(None);
            if ended.connected {
                wait = RETRY_FIRST;
            } else if ended.not_understood {
                protocol = if protocol == Protocol::V5 { Protocol::V4 } else { Protocol::V5 };
            }
            warn!(broker = %self.url, error = ended.error, ?protocol, wait_ms = wait.as_millis(), "no connection to the broker; trying again");
            time::sleep(wait).await;
            wait = (wait * 2).min(RETRY_LONGEST);
        }
    }

    async fn connection_v5(&self) -> Ended {
        let mut options = v5::MqttOptions::new(self.client_id(), (&*self.url.host, self.url.port));
        options.set_keep_alive(KEEP_ALIVE_S).set_clean_start(true).set_outgoing_inflight_upper_limit(IN_FLIGHT_MAX);
        options.set_max_packet_size(Some(INCOMING_BYTES_MAX)).set_receive_maximum(Some(RECEIVE_MAX));
        if let Some((user, password)) = &self.url.credentials {
            options.set_credentials(user, password.expose().to_vec());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(v5::Transport::tls_with_config(v5::TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let will = self.will();
        if let Some(Outgoing { topic, payload, qos, retain, .. }) = self.offline(will.as_ref()) {
            let qos = if qos == Qos::AtMostOnce { v5::QoS::AtMostOnce } else { v5::QoS::AtLeastOnce };
            options.set_last_will(v5::mqttbytes::v5::LastWill::new(topic.as_str(), payload, qos, retain, None));
        }
        let (client, mut events) = v5::AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        let (mut connected, mut shared) = (false, true);
        loop {
            match events.poll().await {
                Ok(v5::Event::Incoming(v5::Packet::ConnAck(answer))) => {
                    connected = true;
                    let client = Client::V5(client.clone());
                    shared = answer.properties.and_then(|told| told.shared_subscription_available) != Some(0);
                    client.subscribe(&key_request_filter(shared));
                    self.announce(client, Protocol::V5, will.as_ref());
                }
                Ok(v5::Event::Incoming(v5::Packet::SubAck(answer))) => {
                    let is_taken = |code: &_| matches!(code, v5::SubscribeReasonCode::Success(_));
                    match answer.return_codes.iter().all(is_taken) {
                        true => {}
                        false if mem::take(&mut shared) => {
                            Client::V5(client.clone()).subscribe(&key_request_filter(false));
                        }
                        false => self.cannot_subscribe(),
                    }
                }
                Ok(v5::Event::Incoming(v5::Packet::Publish(publish))) if !publish.retain => {
                    self.take(&publish.topic, publish.payload);
                }
                Ok(_) => {}
                Err(error) => {
                    let not_understood = !connected && v5_not_understood(&error);
                    return Ended { error: told(&error), connected, not_understood };
                }
            }
        }
    }

    async fn connection_v4(&self) -> Ended {
        let mut options = v4::MqttOptions::new(self.client_id(), (&*self.url.host, self.url.port));
        options.set_keep_alive(KEEP_ALIVE_S).set_clean_session(true).set_inflight(IN_FLIGHT_MAX);
        options.set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX);
        if let Some((user, password)) = &self.url.credentials {
            options.set_credentials(user, password.expose().to_vec());
        }
        if let Some(tls) = &self.tls {
            options.set_transport(v4::Transport::tls_with_config(v4::TlsConfiguration::Rustls(Arc::clone(tls))));
        }
        let will = self.will();
        if let Some(Outgoing { topic, payload, qos, retain, .. }) = self.offline(will.as_ref()) {
            let qos = if qos == Qos::AtMostOnce { v4::QoS::AtMostOnce } else { v4::QoS::AtLeastOnce };
            options.set_last_will(v4::LastWill::new(topic.as_str(), payload, qos, retain));
        }
        let (client, mut events) = v4::AsyncClient::builder(options).capacity(REQUESTS_MAX).build();
        let mut connected = false;
        loop {
            match events.poll().await {
                Ok(v4::Event::Incoming(v4::Packet::ConnAck(_))) => {
                    connected = true;
                    let client = Client::V4(client.clone());
                    client.subscribe(&key_request_filter(false));
                    self.announce(client, Protocol::V4, will.as_ref());
                }
                Ok(v4::Event::Incoming(v4::Packet::SubAck(answer))) => {
                    if answer.return_codes.contains(&v4::SubscribeReasonCode::Failure) {
                        self.cannot_subscribe();
                    }
                }
                Ok(v4::Event::Incoming(v4::Packet::Publish(publish))) if !publish.retain => {
                    self.take(&publish.topic, publish.payload);
                }
                Ok(_) => {}
                Err(error) => {
                    let not_understood = !connected && v4_not_understood(&error);
                    return Ended { error: told(&error), connected, not_understood };
                }
            }
        }
    }

    /// Whoever publishes there is not known: the request tells, and proves it.
    fn take(&self, topic: &[u8], payload: Bytes) {
        if let Ok(topic) = std::str::from_utf8(topic) {
            self.key_requests.offer(topic, payload);
        }
    }

    fn cannot_subscribe(&self) {
        warn!(
            broker = %self.url,
            "the broker refuses {KEY_REQUESTS}+ to this NOS: readers get keys over HTTP only; let it subscribe that, and \
             publish on aups/ks/+"
        );
    }

    fn client_id(&self) -> String {
        format!("aups-nos-{}", self.nos)
    }

    /// The last will that a connection has which begins now.
    fn will(&self) -> Option<Will> {
        self.config.borrow().config.will.clone()
    }

    fn offline(&self, will: Option<&Will>) -> Option<Outgoing> {
        will.and_then(|will| will.offline(&self.nos))
    }

    fn announce(&self, client: Client, protocol: Protocol, will: Option<&Will>) {
        if let Some(online) = will.and_then(|will| will.online(&self.nos)) {
            client.publish_if_room(online);
        }
        info!(broker = %self.url, ?protocol, "connected to the broker");
        self.announce.send_replace(Some(client));
    }
}

/// Where the key requests of readers come.
fn key_request_filter(shared: bool) -> String {
    if shared { format!("$share/{SHARED_GROUP}/{KEY_REQUESTS}+") } else { format!("{KEY_REQUESTS}+") }
}

/// A broker without MQTT 5 answers in the form of 3.1.1, which does not parse, or hangs up.
fn v5_not_understood(error: &v5::ConnectionError) -> bool {
    use v5::{ConnectReturnCode as Code, ConnectionError as Error};
    match error {
        Error::ConnectionRefused(code) => {
            matches!(code, Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion)
        }
        Error::MqttState(_) | Error::NotConnAck(_) => true,
        Error::Io(error) => hung_up(error),
        _ => false,
    }
}

fn v4_not_understood(error: &v4::ConnectionError) -> bool {
    use v4::{ConnectReturnCode as Code, ConnectionError as Error};
    match error {
        Error::ConnectionRefused(code) => *code == Code::RefusedProtocolVersion,
        Error::MqttState(_) | Error::NotConnAck(_) => true,
        Error::Io(error) => hung_up(error),
        _ => false,
    }
}

fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidData | UnexpectedEof)
}

#[cfg(test)]
mod tests;
