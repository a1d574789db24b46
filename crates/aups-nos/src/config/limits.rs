//! How much a NOS keeps, as far as that may change while it runs.

use super::ConfigError;
use crate::settings::BacklogLimits;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How much a NOS keeps. A lower limit throws nothing away: what is there already stays, and nothing more is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Most items in memory between 202 and the broker's acknowledgement.
    pub backlog_items_max: usize,
    /// Most bytes of their JSON. In disk mode the rest waits on disk.
    pub backlog_bytes_max: usize,
    /// How long a stream of lines waits for room before it is refused, in milliseconds.
    pub backlog_wait_max_ms: u32,
    /// Most registered sources.
    pub sources_max: usize,
    /// Most scopes per first topic level; what would need one more is withheld.
    pub scopes_per_level_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let BacklogLimits { items_max, bytes_max, wait_max } = BacklogLimits::default();
        Self {
            backlog_items_max: items_max,
            backlog_bytes_max: bytes_max,
            backlog_wait_max_ms: u32::try_from(wait_max.as_millis()).unwrap_or(u32::MAX),
            sources_max: 1_000_000,
            scopes_per_level_max: 10_000,
        }
    }
}

/// How high each may be: at 2 KB of memory for an item or a source, and as much for a scope, what a large machine has.
const ITEMS_HIGHEST: usize = 10_000_000;
const BYTES_HIGHEST: usize = 64 << 30;
const WAIT_HIGHEST_MS: usize = 600_000;
const SOURCES_HIGHEST: usize = 100_000_000;
const SCOPES_HIGHEST: usize = 100_000;

impl Limits {
    pub(super) fn check(&self, errors: &mut Vec<ConfigError>) {
        let wait_ms = usize::try_from(self.backlog_wait_max_ms).unwrap_or(usize::MAX);
        for (name, value, highest) in [
            ("backlogItemsMax", self.backlog_items_max, ITEMS_HIGHEST),
            ("backlogBytesMax", self.backlog_bytes_max, BYTES_HIGHEST),
            ("backlogWaitMaxMs", wait_ms, WAIT_HIGHEST_MS),
            ("sourcesMax", self.sources_max, SOURCES_HIGHEST),
            ("scopesPerLevelMax", self.scopes_per_level_max, SCOPES_HIGHEST),
        ] {
            if !(1..=highest).contains(&value) {
                let message = format!("{value} is not between 1 and {highest}");
                errors.push(ConfigError { pointer: format!("/limits/{name}"), message });
            }
        }
    }

    /// Those of the backlog.
    pub(crate) fn backlog(&self) -> BacklogLimits {
        BacklogLimits {
            items_max: self.backlog_items_max,
            bytes_max: self.backlog_bytes_max,
            wait_max: Duration::from_millis(self.backlog_wait_max_ms.into()),
        }
    }
}
