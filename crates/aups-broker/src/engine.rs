//! The `mqtt5` crate's broker without its listeners: there a peer that stalls in its TLS handshake holds up everybody, a
//! certificate lives as long as the process, and connections count only once their clients have said who they are.

use aups_net::{Listener, Stream};
use mqtt5::broker::{
    AuthProvider, BrokerConfig, DynamicStorage, FileBackend, MemoryBackend, ResourceLimits, ResourceMonitor,
    StorageBackend as _, StorageBackendType, client_handler::ClientHandler, router::MessageRouter,
    storage::QueueLimits, sys_topics::BrokerStats, tls_acceptor::TlsStreamWrapper, transport::BrokerTransport,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::broadcast,
    time::{interval, sleep},
};

/// How long clients may take to go when the broker stops.
const STOP_MAX: Duration = Duration::from_secs(5);

/// How often the crate forgets clients' rates that are over.
const RATES_FORGOTTEN_EVERY: Duration = Duration::from_mins(1);

/// What the handlers of clients share.
pub(crate) struct Engine {
    config: Arc<BrokerConfig>,
    pub(crate) router: Arc<MessageRouter>,
    pub(crate) storage: Arc<DynamicStorage>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    stop: broadcast::Sender<()>,
}

impl Engine {
    /// With an empty router; what is on disk is read by [`recover`](Self::recover).
    pub(crate) async fn new(config: BrokerConfig) -> mqtt5::Result<Self> {
        config.validate()?;
        let kept = &config.storage_config;
        let limits = QueueLimits {
            max_messages: kept.max_queued_messages_per_client,
            max_bytes: kept.max_queued_bytes_per_client,
        };
        let storage = Arc::new(match kept.backend {
            StorageBackendType::File => {
                DynamicStorage::File(FileBackend::with_queue_limits(&kept.base_dir, limits).await?)
            }
            StorageBackendType::Memory => DynamicStorage::Memory(MemoryBackend::with_queue_limits(limits)),
        });
        let mut router = MessageRouter::with_storage(Arc::clone(&storage))
            .with_fallback_queue_limits(limits)
            .with_retained_limits(config.max_retained_messages, config.max_retained_message_size);
        if let Some(events) = &config.event_handler {
            router = router.with_event_handler(Arc::clone(events));
        }
        let monitor = ResourceMonitor::new(ResourceLimits {
            // The listener counts connections; what is left are the rates of a client.
            max_connections: usize::MAX,
            max_connections_per_ip: usize::MAX,
            max_connection_rate: u32::MAX,
            max_message_rate_per_client: config.max_message_rate_per_client,
            max_bandwidth_per_client: config.max_bandwidth_per_client,
            rate_limit_window: Duration::from_secs(1),
        });
        Ok(Self {
            config: Arc::new(config),
            router: Arc::new(router),
            storage,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(monitor),
            stop: broadcast::channel(1).0,
        })
    }

    /// Puts sessions, subscriptions and retained messages of the last run back.
    pub(crate) async fn recover(&self) -> mqtt5::Result<()> {
        let expiry = u32::try_from(self.config.session_expiry_interval.as_secs()).unwrap_or(u32::MAX);
        self.router.recover_sessions(expiry).await?;
        self.storage.cleanup_expired().await?;
        self.router.initialize().await
    }

    /// Tells it to stop.
    pub(crate) fn stop(&self) -> broadcast::Sender<()> {
        self.stop.clone()
    }

    /// Serves clients until it is told to stop; then they are told, and have a while to go.
    pub(crate) fn serve(
        self,
        listener: Listener,
        gate: Arc<dyn AuthProvider>,
    ) -> impl Future<Output = mqtt5::Result<()>> + Send {
        // Now, and not when it is first polled: it may be told before.
        let (mut told, mut told_too) = (self.stop.subscribe(), self.stop.subscribe());
        async move {
            let engine = Arc::new(self);
            let stop = async move { drop(told.recv().await) };
            let attending = Arc::clone(&engine);
            let serving = listener
                .serve(stop, move |stream, peer| Arc::clone(&attending).attend(stream, peer, Arc::clone(&gate)));
            let overdue = async {
                let _ = told_too.recv().await;
                sleep(STOP_MAX).await;
            };
            tokio::select! {
                () = serving => {}
                () = overdue => tracing::warn!("clients took too long to go; their connections are cut"),
                () = engine.keep_up() => {}
            }
            engine.storage.shutdown().await
        }
    }

    async fn attend(self: Arc<Self>, stream: Stream, peer: SocketAddr, gate: Arc<dyn AuthProvider>) {
        let transport = match stream {
            Stream::Plain(stream) => BrokerTransport::tcp(stream),
            Stream::Tls(stream) => BrokerTransport::tls(TlsStreamWrapper::new(*stream)),
        };
        let client = ClientHandler::new(
            transport,
            peer,
            Arc::clone(&self.config),
            Arc::clone(&self.router),
            gate,
            Some(Arc::clone(&self.storage)),
            Arc::clone(&self.stats),
            Arc::clone(&self.monitor),
            self.stop.subscribe(),
        );
        if let Err(error) = client.run().await {
            tracing::debug!(%peer, %error, "a client's connection ended");
        }
    }

    /// Forgets what has expired, for as long as it is polled.
    async fn keep_up(&self) {
        let mut rates = interval(RATES_FORGOTTEN_EVERY);
        let mut sessions = interval(self.config.storage_config.cleanup_interval);
        loop {
            tokio::select! {
                _ = rates.tick() => self.monitor.cleanup_expired_windows().await,
                _ = sessions.tick() => {
                    if let Err(error) = self.storage.cleanup_expired().await {
                        tracing::error!(%error, "the broker could not forget what has expired");
                    }
                    self.router.sweep_sessions().await;
                }
            }
        }
    }
}
