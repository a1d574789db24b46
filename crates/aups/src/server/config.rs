//! The configuration of a realm's NOSs: numbered versions of one document, kept, and one of them in force.
//!
//! Records: those of [`Versions`], and `config/active` holds the active document with its number: what NOSs follow.
//! Version 0 is what the command line and the settings file say, with the defaults. A document is kept with all of its
//! members, so that a default which another program has does not change what an administrator saw.

mod changes;
mod followed;

use super::{
    policies::blocking,
    versions::{Reason, Version, Versions, VersionsError},
};
use aups_core::Clock;
use aups_nos::{ActiveConfig, Config, ConfigError, ConfigInForce};
use aups_store::Store;
use bytes::Bytes;
pub(crate) use changes::{ConfigChange, changes};
pub(super) use followed::FollowedConfig;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

/// Largest document, in bytes of JSON.
pub(crate) const CONFIG_BYTES_MAX: usize = 1 << 20;

const KIND: &str = "config";
/// What NOSs follow.
pub(super) const ACTIVE_KEY: &str = "config/active";

/// Why the configuration did not change, or is not to be had.
#[derive(Debug, Error)]
pub(crate) enum ConfigAdminError {
    #[error("the configuration is refused")]
    Refused(Vec<ConfigError>),
    #[error(transparent)]
    Version(#[from] VersionsError),
    #[error(
        "this program refuses the configuration in force, version {number}, which another one took: {first}; start the \
         program that took it and set one that both take"
    )]
    Inadmissible { number: u64, first: ConfigError },
    #[error("what the settings say is no configuration: {first}")]
    Initial { first: ConfigError },
}

/// A version with its document.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) version: Version,
    /// JSON, with all members.
    pub(crate) text: Arc<str>,
}

/// The versions of a realm's configuration.
#[derive(Debug)]
pub(crate) struct Configuration {
    versions: Versions,
    /// One change at a time.
    changes: Mutex<()>,
    /// The document of version 0.
    initial: Arc<str>,
    active: RwLock<Arc<Document>>,
    in_force: watch::Sender<Arc<ActiveConfig>>,
}

impl Configuration {
    /// Reads the active version. `initial` is in force while nothing was administered.
    pub(crate) async fn open(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        initial: Config,
    ) -> Result<Self, ConfigAdminError> {
        let versions = Versions::new(KIND, store, Arc::clone(&clock));
        let (initial_text, _) = admit_config(0, initial.clone()).await.map_err(|errors| match errors {
            ConfigAdminError::Refused(errors) => ConfigAdminError::Initial { first: first(errors) },
            error => error,
        })?;
        let (version, text) = match versions.active().await? {
            Some(stored) => stored,
            None => (Version::first(clock.now()), Arc::clone(&initial_text)),
        };
        let (_, active) =
            admit(version.number, text.to_string()).await.map_err(|error| inadmissible(version.number, error))?;
        if version.number > 0 && active.config.retain != initial.retain && !initial.retain.is_empty() {
            tracing::warn!(
                version = version.number,
                "`retain` of the command line or the settings file is not used: the configuration in force says what is \
                 retained; see `aups config get`"
            );
        }
        show(&active);
        let (in_force, _) = watch::channel(Arc::new(active));
        let active = RwLock::new(Arc::new(Document { version, text }));
        Ok(Self { versions, changes: Mutex::new(()), initial: initial_text, active, in_force })
    }

    /// The configuration in force, and every later one.
    pub(crate) fn in_force(&self) -> ConfigInForce {
        self.in_force.subscribe()
    }

    /// The active version.
    pub(crate) fn active(&self) -> Arc<Document> {
        Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The versions that are kept, oldest first, without their documents.
    pub(crate) async fn versions(&self) -> Result<Vec<Version>, VersionsError> {
        self.versions.list().await
    }

    /// The document of a version.
    pub(crate) async fn text(&self, number: u64) -> Result<Arc<str>, VersionsError> {
        if number == 0 { Ok(Arc::clone(&self.initial)) } else { self.versions.text(number).await }
    }

    /// A document with all of its members, if it would be taken.
    pub(crate) async fn candidate(&self, text: String) -> Result<Arc<str>, ConfigAdminError> {
        admit(0, text).await.map(|(text, _)| text)
    }

    /// Replaces the whole document. When this returns, every NOS of this process takes what comes by the new one. The
    /// document that is in force already gets no new version.
    pub(crate) async fn apply(&self, text: String, reason: Reason) -> Result<Arc<Document>, ConfigAdminError> {
        let _change = self.changes.lock().await;
        self.replace(text, reason).await
    }

    /// Puts the document of an earlier version in force again, as a new version.
    pub(crate) async fn restore(&self, number: u64, reason: Reason) -> Result<Arc<Document>, ConfigAdminError> {
        let _change = self.changes.lock().await;
        let text = self.text(number).await?;
        self.replace(text.to_string(), Reason { restores: Some(number), ..reason }).await
    }

    /// The caller holds `changes`.
    async fn replace(&self, text: String, reason: Reason) -> Result<Arc<Document>, ConfigAdminError> {
        let before = self.active();
        let version = self.versions.following(&before.version, reason)?;
        let (text, active) = admit(version.number, text).await?;
        if *text == *before.text {
            return Ok(before);
        }
        self.versions.keep(&version, &text, record(version.number, &text)).await?;
        let document = Arc::new(Document { version, text });
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&document);
        show(&active);
        self.in_force.send_replace(Arc::new(active));
        Ok(document)
    }
}

/// Reads and checks a document, and writes it with all of its members. What is in it may take some CPU to compile.
async fn admit(number: u64, text: String) -> Result<(Arc<str>, ActiveConfig), ConfigAdminError> {
    let config = Config::from_json(text.as_bytes()).map_err(|error| ConfigAdminError::Refused(vec![error]))?;
    admit_config(number, config).await
}

async fn admit_config(number: u64, config: Config) -> Result<(Arc<str>, ActiveConfig), ConfigAdminError> {
    let checked = blocking(move || {
        let text = config.to_json();
        ActiveConfig::new(number, config).map(|active| (text.into(), active))
    });
    checked.await.map_err(ConfigAdminError::Refused)
}

/// What keeps the server from starting: its own store holds what it does not take.
fn inadmissible(number: u64, error: ConfigAdminError) -> ConfigAdminError {
    match error {
        ConfigAdminError::Refused(errors) => ConfigAdminError::Inadmissible { number, first: first(errors) },
        error => error,
    }
}

fn first(errors: Vec<ConfigError>) -> ConfigError {
    let nothing = || ConfigError { pointer: String::new(), message: "it is not valid".into() };
    errors.into_iter().next().unwrap_or_else(nothing)
}

/// The record that NOSs follow.
#[derive(Debug, Deserialize)]
struct Followed {
    version: u64,
    config: Box<RawValue>,
}

fn record(version: u64, text: &str) -> Bytes {
    format!(r#"{{"version":{version},"config":{text}}}"#).into()
}

/// Says in the metrics which version a NOS of this process works by.
#[expect(clippy::cast_precision_loss, reason = "a gauge")]
fn show(active: &ActiveConfig) {
    metrics::gauge!("aups_config_version").set(active.version as f64);
}

#[cfg(test)]
mod tests;
