//! What the paper measured (section V): one NOS on a Raspberry Pi with a database and a Mosquitto, for 24 hours.

use super::Kind;

/// Latency from reception to the broker, in milliseconds. The paper tells what AUPS adds; with AUPS is the sum.
pub(super) const fn latency_millis(kind: Kind, rate: u32) -> Option<f64> {
    match (kind, rate) {
        (Kind::Without, 10) => Some(3.5),
        (Kind::Without, 20) => Some(4.0),
        (Kind::With, 10) => Some(5.5),
        (Kind::With, 20) => Some(6.0),
        _ => None,
    }
}

/// What AUPS adds, in milliseconds.
pub(super) const ADDED_MILLIS: f64 = 2.0;
/// Three queries of the database.
pub(super) const QUERIES_MILLIS: f64 = 2.4;
pub(super) const ENCRYPTION_MILLIS: f64 = 0.5;
/// A call of the Keys Topics Manager.
pub(super) const KTM_MILLIS: f64 = 3.2;
/// Below this.
pub(super) const MEMORY_MEGABYTES: f64 = 7.5;
/// Of it, AUPS.
pub(super) const MEMORY_SHARE_PERCENT: f64 = 8.0;
