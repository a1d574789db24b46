//! The last items, and what their scores follow from: kept as they are, explained when somebody asks.

use super::{
    Inputs, Scoring,
    explain::{ExplainError, Explanation},
};
use crate::accept::Entry;
use aups_core::ItemId;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Most items that are kept.
pub const ITEMS_MAX: usize = 4_096;
/// Most items of a second that are kept: of a flood some stay for some seconds, rather than all for a moment.
pub const ITEMS_PER_SECOND_MAX: u32 = 1_000;
/// Most that their JSON comes to, in bytes.
pub const JSON_BYTES_MAX: usize = 8 << 20;

/// The last items that a NOS has taken.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    items: VecDeque<Sample>,
    json_bytes: usize,
    /// When the second began that is under way, and how many were kept in it.
    second: Option<(Instant, u32)>,
}

/// An item and what its scores follow from. Holds no copy of the item: its JSON is the one that waits to be published.
#[derive(Debug)]
struct Sample {
    id: ItemId,
    json: Bytes,
    basis: Basis,
}

/// What the scores of an item follow from besides the item itself.
#[derive(Debug)]
pub(crate) struct Basis {
    pub(crate) inputs: Inputs,
    pub(crate) config_version: u64,
    pub(crate) scoring: Arc<Scoring>,
}

impl Recent {
    /// Keeps items that were taken for a while, at most [`ITEMS_PER_SECOND_MAX`]; forgets the oldest ones. Costs a lock and, once there are many, letting go of as
    /// many. Takes what the scores follow from out of the entries.
    pub(crate) fn keep<'a>(&self, entries: impl IntoIterator<Item = &'a mut Entry>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            let Some(basis) = entry.basis.take().filter(|_| kept.has_room_at(entry.taken)) else { continue };
            kept.json_bytes += entry.json.len();
            kept.items.push_back(Sample { id: entry.item.id, json: entry.json.clone(), basis });
        }
        while kept.items.len() > ITEMS_MAX || kept.json_bytes > JSON_BYTES_MAX {
            let Some(oldest) = kept.items.pop_front() else { break };
            kept.json_bytes -= oldest.json.len();
        }
    }

    /// Why an item has the scores that it has; `None`: it was never here, or is here no more.
    pub fn explain(&self, id: ItemId) -> Option<Result<Explanation, ExplainError>> {
        let (json, inputs, config_version, scoring) = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let Sample { json, basis, .. } = kept.items.iter().rev().find(|sample| sample.id == id)?;
            (json.clone(), basis.inputs, basis.config_version, Arc::clone(&basis.scoring))
        };
        Some(Explanation::new(&json, &inputs, config_version, &scoring))
    }
}

impl Kept {
    /// Whether another item of the second under way is kept: then it counts.
    fn has_room_at(&mut self, now: Instant) -> bool {
        let (began, count) = self
            .second
            .filter(|(began, _)| now.saturating_duration_since(*began) < Duration::from_secs(1))
            .unwrap_or((now, 0));
        self.second = Some((began, count.saturating_add(1)));
        count < ITEMS_PER_SECOND_MAX
    }
}

#[cfg(test)]
mod tests;
