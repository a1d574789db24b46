//! Sources that publish all the time.

use crate::{
    cli::failure::Failure,
    source::{Obstacle, Pace, Rate, Source},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::task::JoinSet;

/// Most readings in one request.
const BATCH_READINGS_MAX: usize = 200;

/// All sources at work.
pub(super) struct Load {
    at_work: JoinSet<Result<usize, Failure>>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Lets them send at a rate that they keep together.
    pub(super) fn start(sources: Vec<Source>, rate: Rate) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rate = rate.shared_by(sources.len());
        let at_work = sources.into_iter().map(|source| send(source, rate, Arc::clone(&stop))).collect();
        Self { at_work, stop }
    }

    /// Waits for a source to fail; for ever if none does.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.at_work.join_next().await {
            Some(Ok(Err(failure))) => failure,
            ended => Failure::failed(format!("a source ended: {ended:?}")),
        }
    }

    /// Stops them: how many readings were taken.
    pub(super) async fn stop(mut self) -> Result<usize, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let mut taken = 0;
        while let Some(ended) = self.at_work.join_next().await {
            taken += ended.map_err(|error| Failure::failed(format!("a source broke down: {error}")))??;
        }
        Ok(taken)
    }
}

/// Sends until it is stopped: how many readings were taken.
async fn send(source: Source, rate: Rate, stop: Arc<AtomicBool>) -> Result<usize, Failure> {
    let mut pace = Pace::new(rate);
    let mut taken = 0;
    while !stop.load(Ordering::Relaxed) {
        let due = pace.due(BATCH_READINGS_MAX).await;
        let lines: Vec<_> = (taken..taken + due).map(|value| format!(r#"{{"value":{value}}}"#)).collect();
        taken += source.send(&lines).await.map_err(|untaken| match untaken.why {
            Obstacle::All(failure) => failure,
            Obstacle::Line { problem, .. } => Failure::answered(&problem),
        })?;
        pace.went(due);
    }
    Ok(taken)
}
