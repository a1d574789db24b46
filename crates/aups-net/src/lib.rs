//! Connections: [listeners](Listener) that strangers reach, and [TLS](tls) on both ends.
//!
//! A listener bounds what one peer, and all of them, can hold: connections in all and per address, and the time that a TLS
//! handshake may take. What is spoken on a connection is the caller's.
//!
//! # Metrics
//!
//! | name | counts |
//! | --- | --- |
//! | `aups_listener_connections_total{listener}` | connections that were let in |
//! | `aups_listener_refused_total{listener,reason}` | connections that were not: `full` (too many in all), `address` (too many of one address), `clear` (no TLS on a port that speaks it), `handshake` (TLS failed), `handshake-slow` |
#![warn(missing_docs)]

mod listener;
mod places;
pub mod tls;

pub use listener::{Listener, ListenerLimits, ListenerSettings, Stream};
pub use places::{NoPlace, Place, Places, sender_network};
