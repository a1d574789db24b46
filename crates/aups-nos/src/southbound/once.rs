//! What is taken once: kept in one commit with what tells a copy of it later.

use super::idempotency::UnderWay;
use crate::{
    accept::Entry,
    pipeline::backlog::{Backlog, NotTaken},
    sources::sealing::Raised,
};
use aups_store::Mark;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;
use tracing::{debug, warn};

/// How often the disk is asked what it kept of an append that it failed over.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// By what a copy will be known; by nothing, for most.
#[derive(Debug, Default)]
pub(super) struct Once {
    request: Option<UnderWay>,
    place: Option<Raised>,
}

impl Once {
    pub(super) fn of_request(request: UnderWay) -> Self {
        Self { request: Some(request), place: None }
    }

    pub(super) fn of_place(request: Option<UnderWay>, place: Raised) -> Self {
        Self { request, place: Some(place) }
    }

    /// Takes entries, all or none.
    pub(super) async fn keep(self, backlog: &Arc<Backlog>, entries: Vec<Entry>) -> Result<(), NotTaken> {
        if self.request.is_none() && self.place.is_none() {
            return backlog.append(entries, Vec::new()).await.map_err(|(why, _)| why);
        }
        let backlog = Arc::clone(backlog);
        // Goes on when the sender hangs up: it will ask again, and what was kept must be known then.
        let kept = tokio::spawn(async move { self.append(&backlog, entries).await });
        kept.await.unwrap_or(Err(NotTaken::Stopping))
    }

    async fn append(self, backlog: &Arc<Backlog>, entries: Vec<Entry>) -> Result<(), NotTaken> {
        let items = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let marks = self.marks(items);
        match backlog.append(entries, marks.clone()).await {
            Ok(()) => {
                self.taken(items);
                Ok(())
            }
            Err((why, _)) => {
                match why {
                    NotTaken::Disk => {
                        self.place.iter().for_each(Raised::doubt);
                        tokio::spawn(self.settle(Arc::downgrade(backlog), marks, items));
                    }
                    // Without the entries the mark would say what is not so.
                    NotTaken::Full | NotTaken::Stopping | NotTaken::Failing => self.forget(backlog, items).await,
                }
                Err(why)
            }
        }
    }

    fn marks(&self, items: u64) -> Vec<Mark> {
        let of_request = self.request.as_ref().map(|request| request.mark(items));
        of_request.into_iter().chain(self.place.as_ref().map(Raised::mark)).collect()
    }

    fn taken(self, items: u64) {
        let Self { request, place } = self;
        place.into_iter().for_each(Raised::keep);
        if let Some(request) = request {
            request.taken(items);
        }
    }

    /// The disk failed over it: once it is well again it tells whether it was taken. Until then a copy is put off.
    async fn settle(self, backlog: Weak<Backlog>, marks: Vec<Mark>, items: u64) {
        let Some((key, value)) = marks.into_iter().next() else { return };
        loop {
            sleep(LOOK_AGAIN_AFTER).await;
            let Some(backlog) = backlog.upgrade() else { return };
            if !backlog.takes() {
                continue;
            }
            match backlog.marks(&key).await {
                // Of a place a higher one may be there: then this one counts no more, taken or not.
                Ok(kept) if kept.iter().any(|kept| kept.0 == key && kept.1 >= value) => return self.taken(items),
                Ok(_) => return,
                Err(error) => debug!(error = &error as &dyn std::error::Error, "the disk does not tell yet"),
            }
        }
    }

    async fn forget(&self, backlog: &Backlog, items: u64) {
        let Some((key, _)) = self.request.as_ref().map(|request| request.mark(items)) else { return };
        if let Err(error) = backlog.remove_marks(vec![key]).await {
            warn!(error = &error as &dyn std::error::Error, "the mark of a request that was not taken may stay");
        }
    }
}
