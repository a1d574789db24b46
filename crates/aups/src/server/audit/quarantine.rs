//! Who is kept out of the data path and let in again. Of a flood, some lines and the count of the rest.

use super::{Audit, Event};
use aups_nos::quarantine::{QuarantineChange, Quarantined};
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// Puts what happens into the trail, for as long as the quarantine is there.
pub(crate) async fn tell_quarantines(mut changes: Receiver<QuarantineChange>, audit: Arc<Audit>) {
    loop {
        match changes.recv().await {
            Ok(change) => audit.quarantine(&Event::from(change)),
            Err(RecvError::Lagged(lost)) => {
                tracing::warn!(lost, "the audit trail is behind: some who were kept out are not in it");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

impl From<QuarantineChange> for Event {
    fn from(change: QuarantineChange) -> Self {
        match change {
            QuarantineChange::Entered(Quarantined { who, until, reason, times, .. }) => {
                tracing::warn!(%who, %until, reason, times, "a sender is kept out");
                Self::Quarantined { who, until, reason: reason.into(), times }
            }
            QuarantineChange::Left { who, by_hand } => {
                tracing::info!(%who, by_hand, "a sender is let in again");
                Self::QuarantineLeft { who, by_hand }
            }
        }
    }
}
