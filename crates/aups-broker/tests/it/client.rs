//! A gate with a handful of users, and clients that say what came.

use aups_broker::{Broker, BrokerSettings, Connect, Gate, Outgoing, Refusal, Verdict};
use rumqttc_v5::{
    AsyncClient, BrokerSessionResumePolicy, ConnAck, ConnectReturnCode, ConnectionError, Event, LastWill, MqttOptions,
    Packet, PubAckReason, Publish, PublishOptions, QoS, SessionMode, SubscribeReasonCode,
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Long enough for a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Users with the password `pw`. Each may subscribe below `data/` until that is closed, and publish on `up/<user>`; those who are
/// banned may do nothing any more.
#[derive(Debug, Default)]
pub(crate) struct Realm {
    banned: Mutex<BTreeSet<String>>,
    data_closed: AtomicBool,
}

impl Realm {
    pub(crate) fn ban(&self, user: &str) {
        self.banned.lock().unwrap().insert(user.to_owned());
    }

    pub(crate) fn close_data(&self) {
        self.data_closed.store(true, Ordering::SeqCst);
    }

    fn knows(&self, user: &str) -> bool {
        !self.banned.lock().unwrap().contains(user)
    }
}

impl Gate for Realm {
    fn connect(&self, connect: &Connect<'_>) -> Result<(), Refusal> {
        let user = connect.user.ok_or(Refusal::Anonymous)?;
        let sound = self.knows(user) && connect.password == Some(b"pw");
        if sound { Ok(()) } else { Err(Refusal::BadCredentials) }
    }

    fn subscribe(&self, user: &str, filter: &str) -> Verdict {
        let filter = filter.strip_prefix("$share/group/").unwrap_or(filter);
        let open = !self.data_closed.load(Ordering::SeqCst);
        if open && self.knows(user) && filter.starts_with("data/") { Verdict::Allow } else { Verdict::Deny }
    }

    fn publish(&self, user: &str, topic: &str) -> Verdict {
        if self.knows(user) && topic == format!("up/{user}") { Verdict::Allow } else { Verdict::Deny }
    }
}

pub(crate) fn settings(data_dir: Option<&Path>) -> BrokerSettings {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    BrokerSettings { listen, data_dir: data_dir.map(Path::to_owned), ..BrokerSettings::default() }
}

pub(crate) async fn broker() -> Broker {
    Broker::start(settings(None), Arc::new(Realm::default())).await.unwrap()
}

pub(crate) fn outgoing(topic: &str, payload: &str) -> Outgoing {
    Outgoing {
        topic: topic.to_owned(),
        payload: payload.to_owned().into(),
        content_type: "application/aups+json",
        retain: false,
        at_most_once: false,
    }
}

/// Waits for what must come soon.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes in time")
}

/// How to connect.
#[derive(Debug, Clone)]
pub(crate) struct As {
    pub(crate) id: &'static str,
    pub(crate) user: Option<&'static str>,
    pub(crate) password: &'static str,
    /// A session that outlives its connections.
    pub(crate) persistent: bool,
    pub(crate) will: Option<&'static str>,
}

impl As {
    pub(crate) const fn user(user: &'static str) -> Self {
        Self { id: user, user: Some(user), password: "pw", persistent: false, will: None }
    }

    pub(crate) const fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    pub(crate) const fn id(mut self, id: &'static str) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn options(&self, address: SocketAddr) -> MqttOptions {
        let mut options = MqttOptions::new(self.id, (address.ip().to_string(), address.port()));
        if let Some(user) = self.user {
            options.set_credentials(user, self.password);
        }
        if self.persistent {
            options.set_session_mode(SessionMode::Persistent);
            // A client that was restarted and has forgotten what it had.
            options.set_broker_session_resume_policy(BrokerSessionResumePolicy::AllowBrokerOnly);
            options.set_session_expiry_interval(Some(3_600));
        }
        if let Some(topic) = self.will {
            options.set_last_will(LastWill::new(topic, "farewell", QoS::AtLeastOnce, false, None));
        }
        options
    }
}

/// An MQTT 5 client.
#[derive(Debug)]
pub(crate) struct Client {
    requests: AsyncClient,
    packets: mpsc::Receiver<Packet>,
    polling: JoinHandle<()>,
    reading: watch::Sender<bool>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, who: &As) -> Result<(Self, ConnAck), ConnectReturnCode> {
        let (client, mut events) = AsyncClient::builder(who.options(address)).capacity(100).build();
        let answer = loop {
            match soon(events.poll()).await {
                Ok(Event::Incoming(Packet::ConnAck(answer))) => break answer,
                Ok(_) => {}
                Err(ConnectionError::ConnectionRefused(code)) => return Err(code),
                Err(error) => panic!("{error}"),
            }
        };
        let (send, packets) = mpsc::channel(100_000);
        let reading = watch::Sender::new(true);
        let mut may_read = reading.subscribe();
        let polling = tokio::spawn(async move {
            while may_read.wait_for(|reading| *reading).await.is_ok()
                && let Ok(event) = events.poll().await
            {
                if let Event::Incoming(packet) = event {
                    send.send(packet).await.unwrap();
                }
            }
        });
        Ok((Self { requests: client, packets, polling, reading }, answer))
    }

    /// The next packet of a kind.
    async fn await_packet<T>(&mut self, wanted: impl Fn(Packet) -> Option<T>) -> T {
        loop {
            let packet = soon(self.packets.recv()).await.expect("the connection stands");
            if let Some(packet) = wanted(packet) {
                return packet;
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.requests.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        let answer = |packet| if let Packet::SubAck(answer) = packet { Some(answer) } else { None };
        self.await_packet(answer).await.return_codes.remove(0)
    }

    pub(crate) async fn publish(&mut self, topic: &str) -> PubAckReason {
        self.requests.publish(topic, "text", PublishOptions::new(QoS::AtLeastOnce)).await.unwrap();
        let answer = |packet| if let Packet::PubAck(answer) = packet { Some(answer) } else { None };
        self.await_packet(answer).await.reason
    }

    pub(crate) async fn message(&mut self) -> Publish {
        self.await_packet(|packet| if let Packet::Publish(message) = packet { Some(message) } else { None }).await
    }

    pub(crate) async fn text(&mut self) -> String {
        String::from_utf8(self.message().await.payload.to_vec()).unwrap()
    }

    /// The texts that come until one does.
    pub(crate) async fn texts_until(&mut self, last: &str) -> Vec<String> {
        let mut texts = Vec::new();
        loop {
            let text = self.text().await;
            if text == last {
                return texts;
            }
            texts.push(text);
        }
    }

    /// Waits until the broker closes the connection.
    pub(crate) async fn closed(mut self) {
        while soon(self.packets.recv()).await.is_some() {}
    }

    /// Stays connected and takes nothing more from its socket.
    pub(crate) fn stop_reading(&self) {
        self.reading.send_replace(false);
    }

    /// Goes without a word, as a client does that loses its network.
    pub(crate) async fn vanish(self) {
        self.polling.abort();
        let _ = self.polling.await;
    }
}
