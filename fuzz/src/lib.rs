//! What reads bytes that anybody may send, as functions of bytes: each must not panic, and must not take what nobody made.
//!
//! One list for two drivers: libFuzzer (`cargo xtask fuzz`, `libfuzzer/`) and seeded mutations in every test run
//! (`tests/seeded.rs`). A target that finds something wrong panics.
#![warn(missing_docs)]
#![expect(clippy::expect_used, reason = "what a target makes itself must be as it made it")]

mod fixture;
mod jose;
mod message;
#[cfg(feature = "nos")]
mod nos;
#[cfg(feature = "policy")]
mod policy;
mod source;
#[cfg(feature = "nos")]
mod southbound;
mod text;
mod wrapped;

/// A reader of foreign bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its program in `libfuzzer/`.
    pub name: &'static str,
    /// Feeds it. Panics if it does what it must not.
    pub run: fn(&[u8]),
    /// What mutation begins with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "message", run: message::run, seeds: message::seeds },
    Target { name: "item", run: message::run_item, seeds: message::item_seeds },
    Target { name: "source", run: source::run, seeds: source::seeds },
    Target { name: "key_request", run: jose::key_request, seeds: jose::key_request_seeds },
    Target { name: "key_response", run: jose::key_response, seeds: jose::key_response_seeds },
    Target { name: "grants", run: jose::grants, seeds: jose::grants_seeds },
    Target { name: "certificate", run: jose::certificate, seeds: jose::certificate_seeds },
    Target { name: "enrol_request", run: jose::enrol_request, seeds: jose::enrol_request_seeds },
    Target { name: "enrolled", run: jose::enrolled, seeds: jose::enrolled_seeds },
    Target { name: "bearer", run: jose::bearer, seeds: jose::bearer_seeds },
    Target { name: "identity_file", run: jose::identity_file, seeds: jose::identity_file_seeds },
    Target { name: "wrapped", run: wrapped::run, seeds: wrapped::seeds },
    Target { name: "text", run: text::run, seeds: text::seeds },
    #[cfg(feature = "nos")]
    Target { name: "json", run: nos::run, seeds: nos::seeds },
    #[cfg(feature = "nos")]
    Target { name: "data", run: southbound::data, seeds: nos::seeds },
    #[cfg(feature = "nos")]
    Target { name: "lines", run: southbound::lines, seeds: southbound::lines_seeds },
    #[cfg(feature = "nos")]
    Target { name: "registration", run: southbound::registration, seeds: southbound::registration_seeds },
    #[cfg(feature = "nos")]
    Target { name: "sealed", run: southbound::sealed, seeds: southbound::sealed_seeds },
    #[cfg(feature = "nos")]
    Target { name: "idempotency", run: southbound::idempotency, seeds: southbound::idempotency_seeds },
    #[cfg(feature = "nos")]
    Target { name: "config", run: southbound::config, seeds: southbound::config_seeds },
    #[cfg(feature = "nos")]
    Target { name: "configured", run: southbound::configured, seeds: southbound::configured_seeds },
    #[cfg(feature = "policy")]
    Target { name: "policy", run: policy::run, seeds: policy::seeds },
];

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
