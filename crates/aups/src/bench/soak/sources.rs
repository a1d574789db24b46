//! Sources at work: their readings are numbered, and a number is given up only when it was answered with 202.

use super::{
    board::{Board, NOMAD, STEADY, node_id},
    readers::KEEPER,
    stage::Stage,
};
use crate::{
    cli::failure::Failure,
    source::{Obstacle, Pace, Rate, Source},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// Most readings in one request.
const BATCH_READINGS_MAX: usize = 200;
/// How long the nomad sends before it is removed.
const NOMAD_STAY: Duration = Duration::from_secs(3);
/// How long what the nomad sent may be on its way.
const ARRIVAL_TIME_MAX: Duration = Duration::from_mins(5);

/// How a source sends what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// One reading per POST.
    Singles,
    /// All in one stream of lines.
    Lines,
}

/// All sources at work.
pub(super) struct Sources {
    at_work: JoinSet<Result<(), Failure>>,
    stop: Arc<AtomicBool>,
}

impl Sources {
    /// Lets them send at a rate that they keep together.
    pub(super) async fn start(stage: &Arc<Stage>, board: &Arc<Board>, rate: Rate) -> Result<Self, Failure> {
        let (mut at_work, stop) = (JoinSet::new(), Arc::new(AtomicBool::new(false)));
        let rate = rate.shared_by(STEADY + 1);
        for (place, manner) in (0..STEADY).zip([Manner::Singles, Manner::Lines].into_iter().cycle()) {
            let (board, stop) = (Arc::clone(board), Arc::clone(&stop));
            let source = Numbered { source: stage.register_source(&node_id(place)).await?, place, board };
            at_work.spawn(async move { source.send(manner, rate, || stop.load(Ordering::Relaxed)).await });
        }
        at_work.spawn(come_and_go(Arc::clone(stage), Arc::clone(board), rate, Arc::clone(&stop)));
        Ok(Self { at_work, stop })
    }

    /// Waits for a source to fail; for ever if none does.
    pub(super) async fn failed(&mut self) -> Failure {
        match self.at_work.join_next().await {
            Some(Ok(Err(failure))) => failure,
            ended => Failure::failed(format!("a source ended: {ended:?}")),
        }
    }

    /// Lets each come to the end of what it is doing.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.at_work.join_next().await {
            ended.map_err(|error| Failure::failed(format!("a source broke down: {error}")))??;
        }
        Ok(())
    }
}

/// Sends for a while, is removed once everything has arrived, is refused, and registers again under its name.
async fn come_and_go(stage: Arc<Stage>, board: Arc<Board>, rate: Rate, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let name = node_id(NOMAD);
    let is_over = || stop.load(Ordering::Relaxed);
    while !is_over() {
        let source = stage.register_source(&name).await?;
        let source = Numbered { source, place: NOMAD, board: Arc::clone(&board) };
        let removed_at = Instant::now() + NOMAD_STAY;
        source.send(Manner::Lines, rate, || is_over() || Instant::now() >= removed_at).await?;
        // What a source sent that is gone before it is published is withheld.
        source.until_arrived().await?;
        stage.remove_source(&name).await?;
        if source.source.send(&["0"]).await.is_ok() {
            return Err(Failure::failed("a source that was removed could still send"));
        }
        board.nomad_returned();
    }
    Ok(())
}

/// A source whose readings are numbers.
struct Numbered {
    source: Source,
    place: usize,
    board: Arc<Board>,
}

impl Numbered {
    async fn send(&self, manner: Manner, rate: Rate, is_over: impl Fn() -> bool) -> Result<(), Failure> {
        let mut pace = Pace::new(rate);
        while !is_over() {
            let due = pace.due(BATCH_READINGS_MAX).await;
            let together = if manner == Manner::Lines { due } else { 1 };
            for _ in 0..due / together {
                self.send_lines(together as u64).await?;
            }
            pace.went(due);
        }
        Ok(())
    }

    async fn send_lines(&self, readings: u64) -> Result<(), Failure> {
        let first = self.board.next_number(self.place);
        let lines: Vec<_> =
            (first..first + readings).map(|number| format!(r#"{{"name":"n","value":{number}}}"#)).collect();
        let sent = match lines.as_slice() {
            [line] => self.source.send_one(line).await,
            lines => self.source.send(lines).await,
        };
        sent.map_err(|untaken| match untaken.why {
            Obstacle::All(failure) => failure,
            Obstacle::Line { problem, .. } => Failure::answered(&problem),
        })?;
        self.board.taken(self.place, readings);
        Ok(())
    }

    async fn until_arrived(&self) -> Result<(), Failure> {
        let arrived = async {
            while self.board.opened(KEEPER, self.place) < self.board.next_number(self.place) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let lost = |_| Failure::failed("what a source sent before it was removed does not arrive");
        timeout(ARRIVAL_TIME_MAX, arrived).await.map_err(lost)
    }
}
