//! The last items, and what their scores follow from: kept as they are, explained when somebody asks.

use super::{
    Inputs, Scoring,
    explain::{ExplainError, Explanation},
};
use crate::config::ActiveConfig;
use aups_core::ItemId;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

/// Most items that are kept.
pub const ITEMS_MAX: usize = 4_096;
/// Most that their JSON comes to, in bytes.
pub const JSON_BYTES_MAX: usize = 8 << 20;

/// The last items that a NOS has taken.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    items: VecDeque<Sample>,
    json_bytes: usize,
}

/// An item and what its scores follow from. Holds no copy of the item: its JSON is the one that waits to be published.
#[derive(Debug)]
struct Sample {
    id: ItemId,
    json: Bytes,
    inputs: Inputs,
    config_version: u64,
    scoring: Arc<Scoring>,
}

impl Recent {
    /// Keeps an item for a while; forgets the oldest ones. Costs a lock and, once there are many, letting go of one.
    pub(crate) fn keep(&self, id: ItemId, json: Bytes, inputs: Inputs, config: &ActiveConfig) {
        let (config_version, scoring) = (config.version, Arc::clone(&config.scoring));
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.json_bytes += json.len();
        kept.items.push_back(Sample { id, json, inputs, config_version, scoring });
        while kept.items.len() > ITEMS_MAX || kept.json_bytes > JSON_BYTES_MAX {
            let Some(oldest) = kept.items.pop_front() else { break };
            kept.json_bytes -= oldest.json.len();
        }
    }

    /// Why an item has the scores that it has; `None`: it was never here, or is here no more.
    pub fn explain(&self, id: ItemId) -> Option<Result<Explanation, ExplainError>> {
        let (json, inputs, config_version, scoring) = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let sample = kept.items.iter().rev().find(|sample| sample.id == id)?;
            (sample.json.clone(), sample.inputs, sample.config_version, Arc::clone(&sample.scoring))
        };
        Some(Explanation::new(&json, &inputs, config_version, &scoring))
    }
}

#[cfg(test)]
mod tests;
