//! What is known of the past after a restart, and what is forgotten of it while the NOS runs.

use super::{Idempotency, Southbound, idempotency::REQUEST_PREFIX};
use crate::{
    pipeline::backlog::Backlog,
    sources::{Sources, sealing::SESSION_PREFIX},
};
use aups_core::Clock;
use aups_store::QueueError;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

/// How often what is out of date is cleared away.
const CLEARED_EVERY: Duration = Duration::from_mins(1);

/// Goes on from what the run before kept.
pub(crate) async fn restore_marks(
    backlog: &Backlog,
    sources: &Sources,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Idempotency>, QueueError> {
    let idempotency = Arc::new(Idempotency::new(clock));
    let mut left_over = sources.restore_marks(backlog.marks(SESSION_PREFIX.as_bytes()).await?);
    left_over.extend(idempotency.restore(backlog.marks(REQUEST_PREFIX.as_bytes()).await?));
    if !left_over.is_empty() {
        backlog.remove_marks(left_over).await?;
    }
    Ok(idempotency)
}

/// Clears away the marks of requests that are long past and of keys that hold no more.
pub(crate) async fn clear_marks(southbound: Weak<Southbound>) {
    let mut ticks = interval(CLEARED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(southbound) = southbound.upgrade() else { return };
        let mut keys = southbound.sources.take_retired();
        keys.extend(southbound.idempotency.take_forgotten());
        if keys.is_empty() {
            continue;
        }
        if let Err(error) = southbound.backlog.remove_marks(keys).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "marks that are out of date are cleared away at the next start"
            );
        }
    }
}
