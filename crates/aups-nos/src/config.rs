//! What an administrator sets while the NOS runs: topics, scores, quotas, how items are published, limits. One document,
//! valid as a whole or not at all.

mod limits;
mod publishing;

use crate::{
    analyse::{Scoring, ScoringRules},
    normalise::{Mapping, Mappings},
    quarantine::QuarantineRules,
    rate::{Allowance, Rate},
    sources::SourceRecord,
    topic::{Topics, TopicsError},
};
use aups_core::{Filter, NodeId};
pub use limits::Limits;
pub use publishing::{QosRule, Will};
use serde::{Deserialize, Serialize};
use serde_path_to_error::{Path, Segment};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};
use thiserror::Error;
use tokio::sync::watch;

/// The document, as an administrator writes it. What it leaves out is as by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Topics of published items.
    pub topics: TopicTemplates,
    /// How payloads of certain forms become readings; the first that fits wins.
    pub mappings: Vec<Mapping>,
    /// Pointers to members that are dropped of readings that no mapping made.
    pub drop: Vec<String>,
    /// How items are scored.
    pub scores: ScoringRules,
    /// The broker keeps the last message of every topic that one of these filters matches, for later subscribers.
    pub retain: Vec<Filter>,
    /// At which QoS items are published; the first rule that matches the topic counts, and 1 if none does.
    pub qos: Vec<QosRule>,
    /// Says at the broker whether each NOS is there; `None`: nothing does.
    pub will: Option<Will>,
    /// How much sources may send.
    pub quotas: Quotas,
    /// When senders are kept out, and for how long.
    pub quarantine: QuarantineRules,
    /// How much a NOS keeps.
    pub limits: Limits,
}

impl Config {
    /// Reads a document of which it is known that it is JSON. What it says is not yet checked: see [`ActiveConfig::new`].
    pub fn from_json(text: &[u8]) -> Result<Self, ConfigError> {
        // An array would do as a list of members in their order, which nobody means.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(ConfigError { pointer: String::new(), message: "a configuration is a JSON object".into() });
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let config: Self = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| ConfigError { pointer: pointer(error.path()), message: error.inner().to_string() })?;
        json.end().map_err(|error| ConfigError { pointer: String::new(), message: error.to_string() })?;
        Ok(config)
    }

    /// The document with all of its members.
    pub fn to_json(&self) -> String {
        // Texts, numbers, lists and maps by name, which JSON always takes.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// As RFC 6901 writes it.
fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        // Writing to a String does not fail.
        let _ = match segment {
            Segment::Seq { index } => write!(pointer, "/{index}"),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                write!(pointer, "/{}", escaped(name))
            }
            Segment::Unknown => Ok(()),
        };
    }
    pointer
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

/// How much sources may send; what is `None` has no limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Quotas {
    /// What unregistered sources of one address (IPv6: /64) may send together. Registrations count as items.
    pub unregistered: Option<Allowance>,
    /// What a registered source may send.
    pub registered: Option<Allowance>,
    /// What a registered source of this type may send instead.
    pub node_types: BTreeMap<String, Option<Allowance>>,
    /// What this registered source may send instead.
    pub nodes: BTreeMap<NodeId, Option<Allowance>>,
    /// What all sources of one address (IPv6: /64) may send together, registered or not, besides.
    pub addresses: Option<Allowance>,
    /// What this NOS takes in all.
    pub total: Option<Allowance>,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            unregistered: Some(Allowance::items(Rate::per_second(100))),
            registered: None,
            node_types: BTreeMap::new(),
            nodes: BTreeMap::new(),
            addresses: None,
            total: None,
        }
    }
}

impl Quotas {
    /// What holds for a registered source.
    pub(crate) fn of(&self, source: &SourceRecord) -> Option<Allowance> {
        let of_node = (!self.nodes.is_empty()).then(|| self.nodes.get(&source.node_id)).flatten();
        let of_type = || (!self.node_types.is_empty()).then(|| self.node_types.get(&*source.node_type)).flatten();
        of_node.or_else(of_type).copied().unwrap_or(self.registered)
    }

    fn check(&self, errors: &mut Vec<ConfigError>) {
        if self.node_types.len() + self.nodes.len() > QUOTAS_MAX {
            let message = format!("there are more than {QUOTAS_MAX} types and nodes; give several nodes one type");
            errors.push(ConfigError { pointer: "/quotas".into(), message });
        }
        let fixed = [
            ("unregistered", self.unregistered),
            ("registered", self.registered),
            ("addresses", self.addresses),
            ("total", self.total),
        ];
        let fixed = fixed.into_iter().map(|(name, allowance)| (name.to_owned(), allowance));
        let types =
            self.node_types.iter().map(|(name, allowance)| (format!("nodeTypes/{}", escaped(name)), *allowance));
        let nodes =
            self.nodes.iter().map(|(name, allowance)| (format!("nodes/{}", escaped(name.as_str())), *allowance));
        for (name, allowance) in fixed.chain(types).chain(nodes) {
            let Some(Allowance { items, bytes }) = allowance else { continue };
            for (what, rate) in [("items", items), ("bytes", bytes)] {
                if rate.is_some_and(|rate| rate.per_second == 0 || rate.burst == 0) {
                    let message = "perSecond and burst are at least 1; null is no limit".into();
                    errors.push(ConfigError { pointer: format!("/quotas/{name}/{what}"), message });
                }
            }
        }
    }
}

/// Most quotas of types and nodes together.
const QUOTAS_MAX: usize = 10_000;

/// A member's name in a JSON Pointer (RFC 6901 section 3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
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
    /// The mappings.
    pub mappings: Mappings,
    /// How items are scored.
    pub scoring: Arc<Scoring>,
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
        config.quotas.check(&mut errors);
        config.quarantine.check(&mut errors);
        let mappings = Mappings::compile(&config.mappings, &config.drop, &mut errors);
        config.limits.check(&mut errors);
        publishing::check(&config, &topics, &mut errors);
        let scoring = Scoring::new(config.scores.clone()).unwrap_or_else(|wrong| {
            errors.extend(wrong);
            Scoring::default()
        });
        let scoring = Arc::new(scoring);
        if errors.is_empty() { Ok(Self { version, config, topics, mappings, scoring }) } else { Err(errors) }
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

#[cfg(test)]
mod tests;
