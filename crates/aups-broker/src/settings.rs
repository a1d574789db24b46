//! Where the broker listens, where it keeps what survives, and how much of anything it takes.

use aups_net::{ListenerLimits, ListenerSettings};
use mqtt5::broker::{BrokerConfig, StorageBackendType, StorageConfig};
use rustls::ServerConfig;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// How to run a broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// Where clients connect. Port 0 picks one. 127.0.0.1:1883 by default.
    pub listen: SocketAddr,
    /// TLS for that; none: in clear. By default none.
    pub tls: Option<Arc<ServerConfig>>,
    /// Where sessions, queues and retained messages are kept so that they survive a kill; none: in memory. By default none.
    pub data_dir: Option<PathBuf>,
    /// How much of anything.
    pub limits: BrokerLimits,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 1883));
        Self { listen, tls: None, data_dir: None, limits: BrokerLimits::default() }
    }
}

/// How much a broker takes.
#[derive(Debug, Clone)]
pub struct BrokerLimits {
    /// Connections at once. 10,000.
    pub clients_max: usize,
    /// Of those, from one address, or from one 64-bit prefix of IPv6. 1,024.
    pub clients_per_address_max: usize,
    /// Largest packet in either direction, in bytes; at most 268,435,455 (MQTT 5 section 3.1.2.11.4). 1 MiB.
    pub packet_bytes_max: usize,
    /// Filters per session. 100.
    pub subscriptions_per_client_max: usize,
    /// Messages that wait for a session whose client is away or slow; beyond, the oldest are dropped. 10,000.
    pub queued_messages_max: usize,
    /// Bytes of those, with about 200 per message added. Beyond, the oldest are dropped. 64 MiB.
    pub queued_bytes_max: usize,
    /// Messages that may wait for a connected reader before publishing waits for it. 64.
    pub ahead_max: usize,
    /// Messages per second that a connected reader must acknowledge to be waited for; a slower one is overrun, so that it
    /// slows down nobody further than this. 200.
    pub reader_rate_min: u32,
    /// Messages sent to a client and not acknowledged; a client may ask for fewer. 64.
    pub unacknowledged_max: u16,
    /// Topics with a retained message. 100,000.
    pub retained_max: usize,
    /// How long a session is kept after its client went. 7 days.
    pub session_expiry_max: Duration,
    /// Messages per second from one client; readers send key requests only. 1,000.
    pub client_messages_per_second_max: u32,
    /// Bytes per second from one client. 4 MiB.
    pub client_bytes_per_second_max: u64,
    /// Messages published in this process that are not yet safe from a kill; more wait. They are what may be sent twice
    /// after one, so this is less than the 1,024 item ids that a reader remembers per topic. 1,000.
    pub unreleased_max: u32,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            clients_max: 10_000,
            clients_per_address_max: 1_024,
            packet_bytes_max: 1 << 20,
            subscriptions_per_client_max: 100,
            queued_messages_max: 10_000,
            queued_bytes_max: 64 << 20,
            ahead_max: 64,
            reader_rate_min: 200,
            unacknowledged_max: 64,
            retained_max: 100_000,
            session_expiry_max: Duration::from_hours(7 * 24),
            client_messages_per_second_max: 1_000,
            client_bytes_per_second_max: 4 << 20,
            unreleased_max: 1_000,
        }
    }
}

/// Messages that wait to be written to the socket of one client and are not queued for its session: QoS 0, and those of
/// sessions that end with their connection.
const LANE_MESSAGES: usize = 1_024;
/// Messages that a client may send without waiting for their acknowledgement.
const RECEIVE_MAXIMUM: u16 = 64;
/// How often expired sessions and messages are looked for.
const CLEANUP_INTERVAL: Duration = Duration::from_mins(10);

/// How long a TLS handshake may take. After it, the crate gives a client 10 s for its CONNECT.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

impl BrokerSettings {
    pub(crate) fn to_listener(&self) -> ListenerSettings {
        let limits = ListenerLimits {
            connections_max: self.limits.clients_max,
            per_address_max: self.limits.clients_per_address_max,
            handshake_max: HANDSHAKE_MAX,
        };
        // MQTT has no word for a client that has not said which version it speaks.
        ListenerSettings { name: "mqtt", limits, tls: self.tls.clone(), full: b"", clear: b"" }
    }

    /// As the `mqtt5` crate wants it.
    pub(crate) fn to_config(&self) -> BrokerConfig {
        let limits = &self.limits;
        let (backend, base_dir) = match &self.data_dir {
            Some(dir) => (StorageBackendType::File, dir.clone()),
            None => (StorageBackendType::Memory, PathBuf::new()),
        };
        let storage = StorageConfig::new()
            .with_backend(backend)
            .with_base_dir(base_dir)
            .with_cleanup_interval(CLEANUP_INTERVAL)
            .with_max_queued_messages_per_client(limits.queued_messages_max)
            .with_max_queued_bytes_per_client(limits.queued_bytes_max);
        let mut config = BrokerConfig::default()
            .with_max_clients(limits.clients_max)
            .with_session_expiry(limits.session_expiry_max)
            .with_max_packet_size(limits.packet_bytes_max)
            .with_max_subscriptions_per_client(limits.subscriptions_per_client_max)
            .with_max_retained_messages(limits.retained_max)
            .with_max_retained_message_size(limits.packet_bytes_max)
            .with_client_channel_capacity(LANE_MESSAGES)
            .with_max_outbound_inflight(limits.unacknowledged_max)
            .with_storage(storage);
        config.topic_alias_maximum = 0;
        config.server_receive_maximum = Some(RECEIVE_MAXIMUM);
        config.max_message_rate_per_client = limits.client_messages_per_second_max;
        config.max_bandwidth_per_client = limits.client_bytes_per_second_max;
        // `$SYS` tells who is connected and how much is said.
        config.sys_topics_enabled = false;
        if self.data_dir.is_some() {
            // One at a time: what a client handler took from a queue and has not yet put in flight is on no disk.
            config.drain_batch = 1;
        }
        config
    }
}
