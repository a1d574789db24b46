//! Items that could be taken no further, and were set aside so that they hold up nobody.
//!
//! Each was answered 202. It waits on disk, beside the queue, for somebody who finds out why, and then publishes it after
//! all or gives it up. What policies withhold is none of these: that is as it should be.

use super::backlog::{Backlog, NotTaken};
use crate::accept::{Entry, RestoreError};
use aups_core::{Item, UnixMillis};
use aups_store::{DeadLetter, QueueError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use thiserror::Error;

/// Most letters that are listed at once.
pub const LISTED_MAX: usize = 1_000;

/// Why an item was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadReason {
    /// What the queue kept is no item, or no topic can be made for it.
    Unreadable,
    /// It cannot be sealed.
    Unsealable,
    /// The broker refused it, alone and again and again.
    Refused,
}

impl DeadReason {
    const fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Unsealable => "unsealable",
            Self::Refused => "refused",
        }
    }
}

/// What is known of an item that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obituary {
    /// Why.
    pub reason: DeadReason,
    /// The same in words.
    pub detail: String,
    /// When.
    pub at: UnixMillis,
    /// The item's id, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    /// Where it was to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

/// An item that was given up, as an administrator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dead {
    /// Its number among the dead letters.
    pub id: u64,
    /// Bytes of the record.
    pub bytes: usize,
    /// What is known of it.
    #[serde(flatten)]
    pub about: Option<Obituary>,
}

/// Why a dead letter was not replayed, listed or discarded.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// It is no item: it can only be discarded.
    #[error("it is no item, and never becomes one: look at it, then discard it")]
    NoItem(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// This NOS takes nothing now.
    #[error("not now: {0}; it stays where it is, try again later")]
    NotTaken(String),
    /// The disk's fault.
    #[error("the dead letters cannot be read or written")]
    Storage(#[from] QueueError),
}

/// What a dead letter is made of.
pub(super) fn letter(reason: DeadReason, detail: String, at: UnixMillis, record: Bytes) -> DeadLetter {
    metrics::counter!("aups_items_given_up_total", "reason" => reason.code()).increment(1);
    let item: Option<Item> = serde_json::from_slice(&record).ok();
    let (item_id, node_id) = item.map(|item| (item.id.to_string(), item.source.node_id.into())).unzip();
    let about = Obituary { reason, detail, at, item_id, node_id, topic: None };
    DeadLetter { about: encode(&about), record }
}

/// The same with the topic.
pub(super) fn letter_of(reason: DeadReason, detail: String, at: UnixMillis, record: Bytes, topic: &str) -> DeadLetter {
    let DeadLetter { about, record } = letter(reason, detail, at, record);
    let topic = Some(topic.to_owned());
    let about = read(&about).map_or(about, |about| encode(&Obituary { topic, ..about }));
    DeadLetter { about, record }
}

fn encode(about: &Obituary) -> Bytes {
    // Texts in memory: this does not fail.
    serde_json::to_vec(about).unwrap_or_default().into()
}

fn read(about: &[u8]) -> Option<Obituary> {
    serde_json::from_slice(about).ok()
}

fn view(id: u64, letter: &DeadLetter) -> Dead {
    Dead { id, bytes: letter.record.len(), about: read(&letter.about) }
}

/// The dead letters of a NOS.
#[derive(Debug, Clone)]
pub struct DeadLetters(Arc<Backlog>);

impl DeadLetters {
    pub(crate) const fn new(backlog: Arc<Backlog>) -> Self {
        Self(backlog)
    }

    /// Those after a number, the oldest first, at most [`LISTED_MAX`]. Reads their records.
    pub async fn list(&self, after: Option<u64>) -> Result<Vec<Dead>, DeadLetterError> {
        let Some(queue) = self.0.queue() else { return Ok(Vec::new()) };
        let letters = queue.dead_letters(after, LISTED_MAX).await?;
        Ok(letters.iter().map(|(id, letter)| view(*id, letter)).collect())
    }

    /// One, with its record: an item in JSON, **in clear**, unless it is none.
    pub async fn get(&self, id: u64) -> Result<Option<(Dead, Bytes)>, DeadLetterError> {
        let Some(queue) = self.0.queue() else { return Ok(None) };
        let letter = queue.dead_letter(id).await?;
        Ok(letter.map(|letter| (view(id, &letter), letter.record)))
    }

    /// Puts an item into the queue again, under its own id, to be decided about, sealed and published as any other; then
    /// gives the letter up. `false` if there is none.
    pub async fn replay(&self, id: u64) -> Result<bool, DeadLetterError> {
        let Some((_, record)) = self.get(id).await? else { return Ok(false) };
        let no_item = |error: RestoreError| DeadLetterError::NoItem(Box::new(error));
        let entry = Entry::restore(record, &self.0.config().topics).map_err(no_item)?;
        let taken = self.0.append(vec![entry], Vec::new()).await;
        taken.map_err(|(why, _): (NotTaken, _)| DeadLetterError::NotTaken(why.to_string()))?;
        self.discard(id).await?;
        Ok(true)
    }

    /// Gives one up for good. `false` if there is none.
    pub async fn discard(&self, id: u64) -> Result<bool, DeadLetterError> {
        match self.0.queue() {
            Some(queue) => Ok(queue.discard(id).await?),
            None => Ok(false),
        }
    }
}
