//! The two users: with AUPS readers of the SDK, which ask for keys and open; without it plain subscribers.

use super::trace::Trace;
use crate::{
    bench::contender::{Contender, Login, Subscription},
    cli::failure::Failure,
};
use anyhow::Context as _;
use aups_client::{Event, Identity, Reader, ReaderOptions};
use rumqttc::{AsyncClient, Broker, EventLoop, Incoming, MqttOptions, QoS, SubscribeFilter};
use serde::Deserialize;
use tokio::task::JoinSet;

/// Their names.
pub(super) const USERS: [&str; 2] = ["user1", "user2"];
/// Requests to the broker that have not left yet.
const REQUESTS_QUEUED_MAX: usize = 16;
/// Largest packet that is taken.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// Both at work. They leave when this is dropped.
pub(super) struct Users {
    at_work: JoinSet<Failure>,
    /// A session ends with the last of its clients.
    _clients: Vec<AsyncClient>,
}

impl Users {
    /// Connects and subscribes them.
    pub(super) async fn start(contender: &mut Contender, trace: &Trace) -> Result<Self, Failure> {
        let subscription = contender.subscription().cloned().context("nothing is published")?;
        let (mut at_work, mut clients) = (JoinSet::new(), Vec::new());
        let identities = contender.take_identities();
        if identities.is_empty() {
            for user in 0..USERS.len() {
                let (client, events) = subscribe(&subscription, user).await?;
                clients.push(client);
                at_work.spawn(read_plain(events, user, trace.clone()));
            }
        }
        for (user, identity) in identities.into_iter().enumerate() {
            let reader = connect(identity, subscription.filter).await?;
            at_work.spawn(read(reader, user, trace.clone()));
        }
        Ok(Self { at_work, _clients: clients })
    }

    /// Waits for one to end; for ever if none does.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.at_work.join_next().await {
            Some(Ok(failure)) => failure,
            broken => Failure::failed(format!("a user broke down: {broken:?}")),
        }
    }
}

async fn connect(identity: Identity, filter: &str) -> Result<Reader, Failure> {
    let reader = Reader::connect(identity, ReaderOptions::default()).await?;
    reader.subscribe(&[filter]).await?;
    Ok(reader)
}

async fn read(mut reader: Reader, user: usize, trace: Trace) -> Failure {
    loop {
        match reader.next().await {
            Some(Event::Item { item, .. }) => {
                if let Some(number) = item.data.further("number").and_then(|number| number.get().parse().ok()) {
                    trace.arrived(user, number);
                }
            }
            Some(event @ (Event::Denied { .. } | Event::Rejected { .. } | Event::Ended(_))) => {
                return Failure::failed(format!("a user that may read everything does not: {event:?}"));
            }
            Some(_) => {}
            None => return Failure::failed("a user ended"),
        }
    }
}

/// A session with QoS 1, as a reader's.
async fn subscribe(subscription: &Subscription, user: usize) -> anyhow::Result<(AsyncClient, EventLoop)> {
    let Subscription { broker, filter, login } = subscription;
    let name = format!("aups-bench-{}-{user}", std::process::id());
    let mut options = MqttOptions::new(name, Broker::tcp(broker.ip().to_string(), broker.port()));
    options.set_clean_start(true).set_max_packet_size(Some(PACKET_BYTES_MAX));
    if let Some(Login { username, password }) = login {
        options.set_credentials(username, password.clone());
    }
    let (client, mut events) = AsyncClient::builder(options).capacity(REQUESTS_QUEUED_MAX).build();
    client.try_subscribe_many([SubscribeFilter::new(*filter, QoS::AtLeastOnce)]).context("cannot subscribe")?;
    loop {
        let event = events.poll().await.with_context(|| format!("no session with the broker at {broker}"))?;
        if matches!(event, rumqttc::Event::Incoming(Incoming::SubAck(_))) {
            return Ok((client, events));
        }
    }
}

/// An item that was published in clear, as far as it concerns us.
#[derive(Deserialize)]
struct Published {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    number: u64,
}

async fn read_plain(mut events: EventLoop, user: usize, trace: Trace) -> Failure {
    loop {
        match events.poll().await {
            Ok(rumqttc::Event::Incoming(Incoming::Publish(publish))) => {
                if let Ok(Published { data }) = serde_json::from_slice(&publish.payload) {
                    trace.arrived(user, data.number);
                }
            }
            Ok(_) => {}
            Err(error) => return Failure::failed(format!("a user lost the broker: {error}")),
        }
    }
}
