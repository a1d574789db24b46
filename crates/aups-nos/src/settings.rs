//! What a NOS is set up with: every limit by name, with its unit and its default. What is administered while it runs
//! stands in [`Config`](crate::Config).

use crate::rate::Rate;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a NOS is set up with. `NosSettings::default()` is what DESIGN says.
#[derive(Debug, Clone)]
pub struct NosSettings {
    /// How what comes in over HTTP was carried. It decides scores and nothing else.
    pub transport: Transport,
    /// Who may register a source.
    pub registration: Registration,
    /// What outlives the process, where there is an ingest queue.
    pub durability: Durability,
    /// Most (topic, scope) pairs that one session counts, each under 1 KB; then a new session starts.
    pub counters_max: usize,
    /// Key requests.
    pub key_service: KeyServiceLimits,
    /// Longest time that [`Nos::drain`](crate::Nos::drain) waits for the backlog to empty.
    pub drain_max: Duration,
}

impl Default for NosSettings {
    fn default() -> Self {
        Self {
            transport: Transport::Loopback,
            registration: Registration::Open,
            durability: Durability::Disk,
            counters_max: 1_000_000,
            key_service: KeyServiceLimits::default(),
            drain_max: Duration::from_secs(5),
        }
    }
}

/// How a request was carried on its way to this NOS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// It never left this machine: the listener takes loopback addresses only.
    Loopback,
    /// TLS.
    Tls,
    /// In clear over a network.
    Clear,
}

impl Transport {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Tls => "tls",
            Self::Clear => "clear",
        }
    }
}

/// Who may register a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Whoever can reach the listener: for loopback.
    Open,
    /// Who brings a one-time claim token ([`Sources::invite`](crate::Sources::invite)).
    Token,
}

/// What of that which was taken outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Items are on disk before they are answered with 202.
    Disk,
    /// Items are in memory only. What they leave behind, such as the sequence numbers of sources that seal, survives a
    /// kill, but not always the end of the machine.
    Memory,
}

/// How much may wait between 202 and the broker's acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BacklogLimits {
    /// Most items in memory.
    pub items_max: usize,
    /// Most bytes of item JSON in memory. In disk mode the rest waits on disk, as much as the ingest queue takes.
    pub bytes_max: usize,
    /// How long a stream of lines waits for room before it is refused.
    pub wait_max: Duration,
}

impl Default for BacklogLimits {
    fn default() -> Self {
        Self { items_max: 65_536, bytes_max: 64 << 20, wait_max: Duration::from_secs(10) }
    }
}

/// How many key requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyServiceLimits {
    /// Per address, before the requester is known (IPv6: per /64).
    pub address_rate: Rate,
    /// Per topic of key requests, before the requester is known: over MQTT there is no address. More is dropped in silence.
    pub topic_rate: Rate,
    /// Per reader, after its signature held.
    pub reader_rate: Rate,
    /// Most `jti` remembered; when all are younger than they must be kept, further requests are refused (503).
    pub jtis_max: usize,
}

impl Default for KeyServiceLimits {
    fn default() -> Self {
        Self {
            address_rate: Rate { per_second: 500, burst: 1_000 },
            topic_rate: Rate { per_second: 100, burst: 200 },
            reader_rate: Rate { per_second: 50, burst: 100 },
            jtis_max: 1_000_000,
        }
    }
}
