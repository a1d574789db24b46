//! What an administrator sets while the NOS runs: topics, scores, quotas, what is retained. One document, valid as a whole or
//! not at all.

use crate::{
    analyse::ScoringRules,
    rate::Rate,
    topic::{Topics, TopicsError},
};
use aups_core::Filter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// The document, as an administrator writes it. What it leaves out is as by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Topics of published items.
    pub topics: TopicTemplates,
    /// How items are scored.
    pub scores: ScoringRules,
    /// The broker keeps the last message of every topic that one of these filters matches, for later subscribers.
    pub retain: Vec<Filter>,
    /// How much sources may send.
    pub quotas: Quotas,
}

/// The templates of topics, for registered and unregistered sources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct TopicTemplates {
    /// Of registered sources.
    pub registered: String,
    /// Of all others.
    pub unregistered: String,
}

impl Default for TopicTemplates {
    fn default() -> Self {
        Self { registered: "data/{nodeId}/{name}".into(), unregistered: "unregistered/{nodeId}/{name}".into() }
    }
}

/// How much sources may send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Quotas {
    /// Items of unregistered sources, per address (IPv6: per /64).
    pub unregistered: Rate,
    /// Items of a registered source; `None` is no quota.
    pub registered: Option<Rate>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { unregistered: Rate::per_second(100), registered: None }
    }
}

/// What is wrong with a document. Its author is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{pointer}: {message}")]
pub struct ConfigError {
    /// Where, as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// A document that was found valid, ready to be used.
#[derive(Debug, Default)]
pub struct ActiveConfig {
    /// Which version of the document it is; 0 before there was any.
    pub version: u64,
    /// The document.
    pub config: Config,
    /// Topics of published items.
    pub topics: Topics,
}

impl ActiveConfig {
    /// Checks a document as a whole: everything that is wrong with it is told at once.
    pub fn new(version: u64, config: Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let TopicTemplates { registered, unregistered } = &config.topics;
        let topics = Topics::new(registered, unregistered).unwrap_or_else(|error| {
            errors.push(topics_error(&error));
            Topics::default()
        });
        if errors.is_empty() { Ok(Self { version, config, topics }) } else { Err(errors) }
    }
}

fn topics_error(error: &TopicsError) -> ConfigError {
    ConfigError { pointer: "/topics".into(), message: error.to_string() }
}

/// The document in force, and all later ones. What reads it once works by one and the same document from then on.
pub type ConfigInForce = watch::Receiver<Arc<ActiveConfig>>;

/// A document that stays in force.
pub fn fixed(config: Config) -> Result<ConfigInForce, Vec<ConfigError>> {
    Ok(watch::channel(Arc::new(ActiveConfig::new(0, config)?)).1)
}
