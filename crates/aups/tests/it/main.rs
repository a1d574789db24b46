//! The program end to end: every test starts its own services on port 0 and speaks to them as a user would, with `aups`
//! itself, with stock `mosquitto_sub` and `mosquitto_pub`, with plain HTTP, and with a reader built on the envelope alone.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod administration;
mod administrators;
mod apart;
mod apps;
mod backup;
mod bench;
mod chain;
mod cli;
mod config;
mod crash;
mod dead_letters;
mod disk;
mod full_disk;
mod key_requests;
mod keys;
mod mappings;
mod memory;
mod metrics;
mod nothing_lost;
mod other_broker;
mod paper;
mod policies;
mod program;
mod quarantine;
mod raw_http;
mod readers;
mod retroactive;
mod revocation;
mod scores;
mod secrets;
mod soak;
mod sources;
mod southbound;
mod tls;
