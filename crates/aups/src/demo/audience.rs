//! A reader of the demo: notes on the board what it opens and what it is denied, until it has seen everything.

use super::{board::Board, station::Subscribed};
use crate::cli::failure::Failure;
use aups_client::Event;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long nothing may come once everything is sent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Reads until each reading that was sent was either opened or denied.
pub(super) async fn read(subscribed: Subscribed, place: usize, board: Arc<Board>) -> Result<(), Failure> {
    let Subscribed { name, mut reader } = subscribed;
    while board.missing(place) > 0 {
        let event = match timeout(SILENCE_MAX, reader.next()).await {
            Ok(event) => event.ok_or_else(|| Failure::failed(format!("reader {name} ended")))?,
            Err(_) if board.all_sent() => {
                return Err(Failure::failed(format!(
                    "reader {name} waits for {} readings that do not come",
                    board.missing(place)
                )));
            }
            Err(_) => continue,
        };
        match event {
            Event::Item { topic, item, .. } => board.opened(place, &topic, &item),
            Event::Denied { topic, .. } => board.denied(place, &topic),
            Event::Rejected { topic, reason } => {
                return Err(Failure::failed(format!("reader {name} rejects a message of {topic}: {reason}")));
            }
            Event::Ended(error) => return Err(Failure::failed(format!("reader {name}: {error}"))),
            // Reconnections, gaps and what comes twice: counted by nobody, and what is missing at the end shows.
            _ => {}
        }
    }
    reader.close().await;
    Ok(())
}
