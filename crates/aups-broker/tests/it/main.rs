//! The broker from outside: MQTT 3.1.1 and 5 clients against one in this process or in a child that is killed.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod client;
mod defence;
mod durability;
mod publishing;
mod revocation;
mod rights;
