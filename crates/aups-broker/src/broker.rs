//! The broker: starting, publishing, ending sessions, stopping.

use crate::{
    barrier::Barrier,
    engine::Engine,
    flow::Flow,
    gate::{Gate, GateKeeper, Verdict},
    kept::{self, Kept},
    presence::Presence,
    settings::{BrokerLimits, BrokerSettings},
};
use aups_net::Listener;
use bytes::Bytes;
use mqtt5::{
    QoS,
    broker::{DynamicStorage, StorageBackend as _, router::MessageRouter, storage::ClientSession},
    packet::publish::PublishPacket,
};
use std::{
    fmt,
    fs::DirBuilder,
    future::Future,
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{broadcast, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep},
};

/// How long messages have to reach those who are connected before the broker stops. A connection that is told to end may do so with
/// messages before it, and those of QoS 0 are nowhere else; when they are out, the crate does not tell.
const LINGER: Duration = Duration::from_millis(500);

/// Why a broker did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The address is taken, or not ours.
    #[error("the MQTT broker cannot start on {listen}: choose another address, or stop what has it")]
    Start {
        /// Where it was to listen.
        listen: SocketAddr,
        /// What the system or the crate said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Another process has the data directory.
    #[error("{} is in use by another process: stop that first, or choose another data directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The disk, the rights on it, or a file system without hard links.
    #[error("cannot use {} for the broker's sessions and queues", path.display())]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A message of this process.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The topic name.
    pub topic: String,
    /// The payload; shared, not copied, on its way to clients in memory mode.
    pub payload: Bytes,
    /// The MQTT 5 content type.
    pub content_type: &'static str,
    /// Whether the broker keeps it for clients that subscribe later.
    pub retain: bool,
    /// QoS 0 instead of 1: it is kept for no client that is away.
    pub at_most_once: bool,
}

impl From<Outgoing> for PublishPacket {
    fn from(message: Outgoing) -> Self {
        let qos = if message.at_most_once { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        Self::new(message.topic, message.payload, qos)
            .with_retain(message.retain)
            .with_content_type(message.content_type.to_owned())
    }
}

/// Resolves when a batch can no longer be lost to a kill, and may leave the sender's durable queue: at once in memory
/// mode, within some 200 ms on disk. Not before the disk takes writes again, and never if the broker ended first.
#[derive(Debug)]
pub struct Delivered(Option<oneshot::Receiver<()>>);

impl Future for Delivered {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            None => Poll::Ready(()),
            Some(released) => match Pin::new(released).poll(context) {
                Poll::Ready(Ok(())) => Poll::Ready(()),
                // The broker ended: what is not known to be safe is not said to be.
                Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
            },
        }
    }
}

/// What the broker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Clients connected.
    pub clients: usize,
    /// Sessions, those of clients that are away included.
    pub sessions: usize,
    /// Sessions for which so many messages wait that the oldest are dropped.
    pub full_queues: usize,
    /// Different topics and filters subscribed to.
    pub filters: usize,
    /// Topics with a retained message.
    pub retained: usize,
    /// Messages of this process that may yet be lost to a kill.
    pub unreleased: usize,
}

/// An MQTT 3.1.1 and 5 broker in this process. Dropping it stops it; [`Broker::shutdown`] also waits.
pub struct Broker {
    address: SocketAddr,
    limits: BrokerLimits,
    gate: Arc<dyn Gate>,
    router: Arc<MessageRouter>,
    storage: Arc<DynamicStorage>,
    flow: Arc<Flow>,
    /// None in memory mode.
    barrier: Option<Barrier>,
    stop: broadcast::Sender<()>,
    serving: Mutex<Option<JoinHandle<mqtt5::Result<()>>>>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Broker {
    /// Starts a broker. When it returns, the sessions of the last run have their subscriptions and queues again, so that
    /// what is published now reaches them, and clients are served.
    pub async fn start(settings: BrokerSettings, gate: Arc<dyn Gate>) -> Result<Self, BrokerError> {
        let failed =
            |source: Box<dyn std::error::Error + Send + Sync>| BrokerError::Start { listen: settings.listen, source };
        let kept = match &settings.data_dir {
            Some(dir) => Some(restore(dir).await?),
            None => None,
        };
        let limits = settings.limits.clone();
        let presence = Arc::new(Presence::new(Flow::new(limits.ahead_max, limits.reader_rate_min), Arc::clone(&gate)));
        let listener = Listener::bind(settings.listen, settings.to_listener()).await;
        let listener = listener.map_err(|error| failed(error.into()))?;
        let address = listener.local_addr();
        let config = settings.to_config().with_event_handler(Arc::clone(&presence) as _);
        let engine = Engine::new(config).await.map_err(|error| failed(error.into()))?;
        let (router, storage, stop) = (Arc::clone(&engine.router), Arc::clone(&engine.storage), engine.stop());
        let barrier = match (kept, &settings.data_dir) {
            (Some(kept), Some(dir)) => {
                let barrier = Barrier::start(Arc::clone(&storage), kept, limits.unreleased_max).await;
                Some(barrier.map_err(|source| BrokerError::DataDir { path: dir.clone(), source })?)
            }
            _ => None,
        };
        presence.attend(Arc::clone(&storage), barrier.as_ref().map(Barrier::stir));
        engine.recover().await.map_err(|error| failed(error.into()))?;
        let keeper = Arc::new(GateKeeper { gate: Arc::clone(&gate), storage: Arc::clone(&storage) });
        let serving = tokio::spawn(engine.serve(listener, keeper));
        let serving = Mutex::new(Some(serving));
        let flow = Arc::clone(&presence.flow);
        let broker = Self { address, limits, gate, router, storage, flow, barrier, stop, serving };
        if let Some(dir) = &settings.data_dir {
            let forgotten = broker.forget_orphans(dir).await;
            forgotten.map_err(|source| BrokerError::DataDir { path: dir.clone(), source })?;
        }
        Ok(broker)
    }

    /// Where it listens.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Publishes a batch at QoS 1, in order. Waits while [`BrokerLimits::unreleased_max`] messages are unreleased, and
    /// while [`BrokerLimits::ahead_max`] wait for a connected reader that acknowledges [`BrokerLimits::reader_rate_min`].
    ///
    pub async fn publish(&self, messages: Vec<Outgoing>) -> Delivered {
        self.flow.wait().await;
        let room = match &self.barrier {
            Some(barrier) => match barrier.reserve(messages.len()).await {
                Some(room) => Some((barrier, room)),
                None => return Delivered::never(),
            },
            None => None,
        };
        metrics::counter!("aups_broker_messages_total").increment(messages.len() as u64);
        for message in messages {
            // The time is up at once: what a client is too slow for goes to its queue.
            self.router.route_message_with_deadline(&message.into(), None, Instant::now()).await;
        }
        Delivered(room.map(|(barrier, room)| barrier.release_when_safe(room)))
    }

    /// Publishes a message at QoS 0, whatever it says: to those who are connected, past what waits for them.
    pub async fn send(&self, message: Outgoing) {
        metrics::counter!("aups_broker_messages_total").increment(1);
        let packet = PublishPacket { qos: QoS::AtMostOnce, ..PublishPacket::from(message) };
        self.router.route_message_with_deadline(&packet, None, Instant::now()).await;
    }

    /// Ends all sessions of a user: its connections are closed, its subscriptions and whatever waits for it are gone, on
    /// disk too. It may connect again if the gate lets it, and begins anew. Answers with the number of sessions.
    ///
    /// Call it after the gate has changed its mind.
    pub async fn kick(&self, user: &str) -> usize {
        self.end_sessions(|session| session.user_id.as_deref() == Some(user)).await
    }

    /// Asks the gate again about every subscription, and [ends](Self::kick) the sessions that hold one which their user may no
    /// longer have. Answers with the number of sessions.
    ///
    /// Call it after the gate has changed its mind about many. Asks once for each session and filter.
    pub async fn review(&self) -> usize {
        self.end_sessions(|session| {
            let user = session.user_id.as_deref().unwrap_or_default();
            session.subscriptions.keys().any(|filter| self.gate.subscribe(user, filter) == Verdict::Deny)
        })
        .await
    }

    /// Messages that are retained, with their topics.
    pub async fn retained(&self) -> Vec<(String, Bytes)> {
        let retained = self.storage.get_retained_messages("#").await.unwrap_or_else(|error| {
            tracing::error!(%error, "the broker could not read what it retains");
            Vec::new()
        });
        retained.into_iter().map(|(topic, message)| (topic, message.payload.into())).collect()
    }

    /// What it is doing. Looks at every session.
    pub async fn stats(&self) -> Stats {
        let clients = self.storage.session_client_ids().await.unwrap_or_default();
        let full = |client: &&String| self.storage.queue_handle(client).count() >= self.limits.queued_messages_max;
        Stats {
            clients: self.router.client_count().await,
            sessions: clients.len(),
            full_queues: clients.iter().filter(full).count(),
            filters: self.router.topic_count().await,
            retained: self.router.retained_count().await,
            unreleased: self.barrier.as_ref().map_or(0, Barrier::unreleased),
        }
    }

    /// Stops: lets what was published reach those who are connected, tells them, writes what waits for them, releases what was
    /// published. Does nothing the second time. Takes half a second longer if anybody is connected.
    pub async fn shutdown(&self) {
        let serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(serving) = serving else { return };
        if self.router.client_count().await > 0 {
            sleep(LINGER).await;
        }
        // Nobody to be told: it has stopped.
        let _ = self.stop.send(());
        match serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the broker ended with an error"),
            Err(error) => tracing::error!(%error, "the broker failed"),
        }
        if let Some(barrier) = &self.barrier {
            barrier.finish().await;
        }
    }

    async fn end_sessions(&self, is_meant: impl Fn(&ClientSession) -> bool) -> usize {
        let mut ended = Vec::new();
        for client in self.storage.session_client_ids().await.unwrap_or_default() {
            let session = self.storage.get_session(&client).await.ok().flatten();
            if session.is_some_and(|session| is_meant(&session)) {
                self.end_session(&client).await;
                ended.push(client);
            }
        }
        let count = ended.len();
        metrics::counter!("aups_broker_sessions_ended_total").increment(count as u64);
        if let Some(barrier) = self.barrier.as_ref().filter(|_| count > 0)
            && let Err(error) = barrier.forget(ended).await
        {
            tracing::error!(%error, "sessions were ended, but the disk may yet hold messages of theirs");
        }
        count
    }

    /// The order matters: nothing more is routed to it, its connection ends, and what the connection had not delivered
    /// finds that the queue was emptied since.
    async fn end_session(&self, client: &str) {
        self.router.unregister_client(client).await;
        self.storage.queue_handle(client).clear(None);
        let removed = self.storage.remove_session(client).await;
        if let Err(error) = removed.and(self.storage.remove_all_inflight_messages(client).await) {
            tracing::error!(client, %error, "the broker could not remove a session from its disk");
        }
    }

    /// Empties queues that no session owns: those put back for a session that had ended.
    async fn forget_orphans(&self, data_dir: &Path) -> io::Result<()> {
        let queues = data_dir.join("queues");
        let mut orphans = blocking(move || kept::subdirectories(&queues)).await?;
        // After the directories: whoever connects meanwhile has a session before it has a queue.
        for client in self.storage.session_client_ids().await.unwrap_or_default() {
            orphans.remove(&client);
        }
        for client in &orphans {
            self.storage.queue_handle(client).clear(None);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.stop.send(());
    }
}

impl Delivered {
    fn never() -> Self {
        Self(Some(oneshot::channel().1))
    }
}

/// Makes the directory, for nobody else to look into, and puts back what a kill cut off.
async fn restore(dir: &Path) -> Result<Kept, BrokerError> {
    let path = dir.to_owned();
    let restored = blocking(move || {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        Kept::restore(&path)
    });
    restored.await.map_err(|source| {
        let path = dir.to_owned();
        if source.kind() == io::ErrorKind::WouldBlock {
            BrokerError::Locked { path }
        } else {
            BrokerError::DataDir { path, source }
        }
    })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}
