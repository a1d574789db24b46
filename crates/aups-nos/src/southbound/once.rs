//! What is taken once: kept in one commit with what tells a copy of it later.

use super::idempotency::UnderWay;
use crate::{
    accept::Entry,
    pipeline::backlog::{Backlog, NotTaken},
    sources::sealing::Raised,
};
use std::sync::Arc;

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

    async fn append(self, backlog: &Backlog, entries: Vec<Entry>) -> Result<(), NotTaken> {
        let Self { request, place } = self;
        let items = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        let request_mark = request.as_ref().map(|request| request.mark(items));
        let place_mark = place.as_ref().map(Raised::mark);
        let marks = request_mark.iter().chain(&place_mark).cloned().collect();
        match backlog.append(entries, marks).await {
            Ok(()) => {
                place.into_iter().for_each(Raised::keep);
                if let Some(request) = request {
                    request.taken(items);
                }
                Ok(())
            }
            Err((why, _)) => {
                match why {
                    // It may have been kept: what comes is to be above it.
                    NotTaken::Disk => place.into_iter().for_each(Raised::keep),
                    // Without the entries the mark would say what is not so.
                    NotTaken::Full | NotTaken::Stopping => forget(backlog, request_mark.map(|(key, _)| key)).await,
                }
                Err(why)
            }
        }
    }
}

async fn forget(backlog: &Backlog, key: Option<bytes::Bytes>) {
    let Some(key) = key else { return };
    if let Err(error) = backlog.remove_marks(vec![key]).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the mark of a request that was not taken stays");
    }
}
