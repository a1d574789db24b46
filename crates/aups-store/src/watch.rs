//! Watching a store: the recent transactions, kept in memory, and those who follow them.

use crate::store::Revision;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Most transactions that a store remembers for watchers that fell behind.
pub const HISTORY_COMMITS_MAX: usize = 4_096;
/// Most bytes of keys and values that a store remembers for them.
pub const HISTORY_BYTES_MAX: usize = 4 << 20;

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A transaction, whole, as far as it lies under the watched prefix.
    Committed {
        /// Its revision: watch from here to go on after it.
        revision: Revision,
        /// What it changed.
        changes: Vec<Changed>,
    },
    /// The store no longer remembers what came after the revision asked for (or never knew it): list again, and watch
    /// from there. The last event of this watch.
    Lagged,
}

/// One key that a transaction changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: String,
    /// Its value from then on; none if it was removed.
    pub value: Option<Bytes>,
}

/// Follows the transactions under a prefix. Costs nothing while nothing is committed.
#[derive(Debug)]
pub struct Watch {
    history: Arc<History>,
    committed: watch::Receiver<Revision>,
    prefix: String,
    seen: Revision,
    lagged: bool,
}

impl Watch {
    /// The next transaction, as soon as there is one; none after [`Event::Lagged`] and when the store is gone.
    ///
    /// Cancel-safe: an event that was not returned comes next time.
    pub async fn next(&mut self) -> Option<Event> {
        while !self.lagged {
            self.committed.borrow_and_update();
            match self.history.after(self.seen, &self.prefix) {
                Found::Commit(commit) => {
                    self.seen = commit.revision;
                    return Some(commit.event(&self.prefix));
                }
                Found::NothingUntil(revision) => self.seen = revision,
                Found::Forgotten => {
                    self.lagged = true;
                    return Some(Event::Lagged);
                }
            }
            self.committed.changed().await.ok()?;
        }
        None
    }
}

/// A transaction as the history keeps it.
#[derive(Debug)]
struct Commit {
    revision: Revision,
    changes: Vec<Changed>,
}

impl Commit {
    fn touches(&self, prefix: &str) -> bool {
        self.changes.iter().any(|change| change.key.starts_with(prefix))
    }

    fn event(&self, prefix: &str) -> Event {
        let changes = self.changes.iter().filter(|change| change.key.starts_with(prefix)).cloned().collect();
        Event::Committed { revision: self.revision, changes }
    }

    fn bytes(&self) -> usize {
        self.changes.iter().map(|change| change.key.len() + change.value.as_ref().map_or(0, Bytes::len)).sum()
    }
}

enum Found {
    Commit(Arc<Commit>),
    NothingUntil(Revision),
    Forgotten,
}

/// The publishing end: what a store keeps beside its data. Dropping it ends every watch.
#[derive(Debug)]
pub(crate) struct Feed {
    history: Arc<History>,
    committed: watch::Sender<Revision>,
}

impl Feed {
    /// A feed that knows nothing of what happened up to `revision`.
    pub(crate) fn starting_at(revision: Revision) -> Self {
        let recent = Recent { floor: revision, top: revision, commits: VecDeque::new(), bytes: 0 };
        Self { history: Arc::new(History(Mutex::new(recent))), committed: watch::Sender::new(revision) }
    }

    /// Tells watchers of a transaction. Called in the order of revisions.
    pub(crate) fn publish(&self, revision: Revision, changes: Vec<Changed>) {
        self.history.push(Commit { revision, changes });
        self.committed.send_replace(revision);
    }

    /// Forgets everything: transactions up to `revision` may have been missed.
    pub(crate) fn forget_until(&self, revision: Revision) {
        *self.history.lock() = Recent { floor: revision, top: revision, commits: VecDeque::new(), bytes: 0 };
        self.committed.send_replace(revision);
    }

    pub(crate) fn watch(&self, prefix: &str, from: Revision) -> Watch {
        Watch {
            history: Arc::clone(&self.history),
            committed: self.committed.subscribe(),
            prefix: prefix.to_owned(),
            seen: from,
            lagged: false,
        }
    }
}

#[derive(Debug)]
struct History(Mutex<Recent>);

#[derive(Debug)]
struct Recent {
    /// Everything after this revision is here.
    floor: Revision,
    /// The newest revision.
    top: Revision,
    commits: VecDeque<Arc<Commit>>,
    bytes: usize,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Recent> {
        // Nothing panics while it is held; if it did, what is in there is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, commit: Commit) {
        let mut recent = self.lock();
        recent.top = commit.revision;
        recent.bytes += commit.bytes();
        recent.commits.push_back(Arc::new(commit));
        while recent.commits.len() > HISTORY_COMMITS_MAX || recent.bytes > HISTORY_BYTES_MAX {
            let Some(oldest) = recent.commits.pop_front() else { break };
            recent.floor = oldest.revision;
            recent.bytes -= oldest.bytes();
        }
    }

    fn after(&self, seen: Revision, prefix: &str) -> Found {
        let recent = self.lock();
        // A revision ahead of ours was given by another history of this store: a backup was restored.
        if seen < recent.floor || seen > recent.top {
            return Found::Forgotten;
        }
        let first = recent.commits.partition_point(|commit| commit.revision <= seen);
        match recent.commits.iter().skip(first).find(|commit| commit.touches(prefix)) {
            Some(commit) => Found::Commit(Arc::clone(commit)),
            None => Found::NothingUntil(recent.top),
        }
    }
}
