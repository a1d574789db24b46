//! How items are published.

use super::{ActiveConfig, Config, ConfigError};
use crate::{
    publish::{Outgoing, Qos},
    topic::Topics,
};
use aups_core::{Filter, NosId, Topic};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Most filters in `retain`, and most rules in `qos`: each item is compared with all of them.
const RULES_MAX: usize = 1_000;

/// At which QoS items are published on matching topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QosRule {
    /// Of topics.
    pub filter: Filter,
    /// 0 or 1. At 0 an item leaves the durable queue when it was handed to the broker, acknowledged or not.
    pub qos: Qos,
}

/// What the topic of a will stands for: the name of the NOS.
const NOS_ID: &str = "{nosId}";

/// The MQTT last will of each NOS: `online` as long as it is connected, `offline` when it is not. It says nothing of items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Will {
    /// A topic with `{nosId}` in it.
    pub topic: String,
    /// 0 or 1.
    #[serde(default = "at_least_once")]
    pub qos: Qos,
    /// Whether the broker keeps it for later subscribers.
    #[serde(default = "kept")]
    pub retain: bool,
}

const fn at_least_once() -> Qos {
    Qos::AtLeastOnce
}

const fn kept() -> bool {
    true
}

impl Will {
    /// What is published while the NOS is there.
    pub fn online(&self, nos: &NosId) -> Option<Outgoing> {
        self.message(nos, "online")
    }

    /// What is published when it is gone.
    pub fn offline(&self, nos: &NosId) -> Option<Outgoing> {
        self.message(nos, "offline")
    }

    /// Makes the broker forget what it keeps of this will.
    pub fn cleared(&self, nos: &NosId) -> Option<Outgoing> {
        self.message(nos, "").filter(|message| message.retain)
    }

    fn message(&self, nos: &NosId, says: &'static str) -> Option<Outgoing> {
        let topic = self.topic.replace(NOS_ID, nos.as_str()).parse().ok()?;
        let payload = Bytes::from_static(says.as_bytes());
        Some(Outgoing { topic, payload, content_type: "text/plain", retain: self.retain, qos: self.qos })
    }

    /// What is wrong with its topic, if anything: it must be a NOS's own, and no item's.
    fn fault(&self, topics: &Topics) -> Option<String> {
        let longest = "n".repeat(NOS_ID_CHARS_MAX);
        let first = self.topic.split('/').next().unwrap_or_default();
        let fault = if !self.topic.contains(NOS_ID) {
            format!("it has no {NOS_ID}, so that all NOSs would have one topic")
        } else if first.is_empty() || first.contains('{') || first == "aups" || first.starts_with('$') {
            "it must start with a fixed level such as `status/`, other than `aups` and what starts with `$`".into()
        } else if topics.first_levels().iter().any(|level| level == first) {
            format!("items are published below `{first}`: it must start with another level")
        } else if let Err(error) = self.topic.replace(NOS_ID, &longest).parse::<Topic>() {
            error.to_string()
        } else if self.topic.replace(NOS_ID, "").contains(['{', '}']) {
            format!("it may hold {NOS_ID} and no other name in braces")
        } else {
            return None;
        };
        Some(fault)
    }
}

/// Longest name of a NOS.
const NOS_ID_CHARS_MAX: usize = 64;

pub(super) fn check(config: &Config, topics: &Topics, errors: &mut Vec<ConfigError>) {
    if let Some(message) = config.will.as_ref().and_then(|will| will.fault(topics)) {
        errors.push(ConfigError { pointer: "/will/topic".into(), message });
    }
    for (name, count) in [("retain", config.retain.len()), ("qos", config.qos.len())] {
        if count > RULES_MAX {
            let message = format!("{count} are too many: at most {RULES_MAX} are taken; use wildcards");
            errors.push(ConfigError { pointer: format!("/{name}"), message });
        }
    }
}

impl ActiveConfig {
    /// At which QoS items are published on a topic.
    pub(crate) fn qos_of(&self, topic: &Topic) -> Qos {
        let rule = self.config.qos.iter().find(|rule| rule.filter.matches(topic));
        rule.map_or(Qos::AtLeastOnce, |rule| rule.qos)
    }
}
