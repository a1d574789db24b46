//! A sensor: sends its column of the file, hour by hour.

use super::{board::Board, weather::Hour};
use crate::{
    cli::failure::Failure,
    source::{Obstacle, Pace, Rate, Source},
};
use aups_client::SystemClock;
use aups_core::Clock as _;
use std::sync::Arc;

/// Most readings in one request.
const BATCH_READINGS_MAX: usize = 200;

/// Sends all hours, in order, at a rate.
pub(super) async fn send(
    source: Source,
    sensor: usize,
    hours: Arc<Vec<Hour>>,
    rate: Rate,
    board: Arc<Board>,
) -> Result<(), Failure> {
    let mut pace = Pace::new(rate);
    let mut rest = hours.as_slice();
    while !rest.is_empty() {
        let due = pace.due(BATCH_READINGS_MAX).await.min(rest.len());
        let (batch, later) = rest.split_at(due);
        let now = SystemClock.now();
        let lines: Vec<_> = batch.iter().filter_map(|hour| hour.line(sensor, now)).collect();
        board.sending(sensor, batch.len());
        let taken = source.send(&lines).await.map_err(|untaken| match untaken.why {
            Obstacle::All(failure) => failure,
            Obstacle::Line { problem, .. } => Failure::answered(&problem),
        })?;
        board.sent(sensor, taken);
        pace.went(due);
        rest = later;
    }
    Ok(())
}
