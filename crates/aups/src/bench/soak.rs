//! Long under load, with keys that change all the time: nothing may be lost, nobody who may read refused, nobody else let in,
//! and memory must not grow.
//!
//! The server is a process of its own. Sources post numbered readings, one by one and in streams of lines; one source is
//! removed and registered again, over and over. Readers with rights note which numbers they opened, one of them leaves and
//! comes back; readers without rights get the same messages and ask for their keys.

mod board;
mod marks;
mod memory;
mod readers;
mod report;
mod sources;
mod stage;

use super::numbers::float;
use crate::{cli::failure::Failure, settings::Durability, source::Rate};
use board::Board;
use memory::Memory;
use readers::{READERS, Readers};
use report::{in_minutes, mebibytes};
use sources::Sources;
use stage::Stage;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

pub(crate) use report::Report;

/// What has not come for so long is lost.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// What is to be done.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) duration: Duration,
    /// Readings of all sources together.
    pub(crate) rate: Rate,
    /// How long a key is used.
    pub(crate) life: Duration,
    pub(crate) durability: Durability,
    /// How often memory is looked at.
    pub(crate) every: Duration,
}

/// What is shown while it goes on.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Since the start.
    pub(crate) elapsed: Duration,
    rss_bytes: u64,
    accepted: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { elapsed, rss_bytes, accepted } = self;
        let memory = mebibytes(float(*rss_bytes));
        write!(f, "{}: {accepted} readings accepted, memory {memory}", in_minutes(*elapsed))
    }
}

/// Goes on until the time is up or it is `stopped`; `show` is told how it goes.
pub(crate) async fn run(
    plan: Plan,
    stopped: impl Future<Output = ()>,
    show: impl Fn(&Progress),
) -> Result<Report, Failure> {
    let named: Vec<_> = READERS.iter().map(|part| (part.name, part.role)).collect();
    let (stage, identities) = Stage::open(&plan, &named).await?;
    let (stage, board) = (Arc::new(stage), Arc::new(Board::new(READERS.len())));
    let mut readers = Readers::start(identities, &board).await?;
    let mut sources = Sources::start(&stage, &board, plan.rate).await?;

    let (began, mut memory) = (Instant::now(), Memory::default());
    let look = async {
        let mut ticks = interval(plan.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (elapsed, rss_bytes) = (began.elapsed(), stage.rss_bytes()?);
            memory.note(elapsed, rss_bytes);
            show(&Progress { elapsed, rss_bytes, accepted: board.all_taken() });
        }
    };
    tokio::select! {
        () = sleep(plan.duration) => {}
        () = stopped => {}
        failure = sources.failed() => return Err(failure),
        failure = readers.failed() => return Err(failure),
        looked = look => return looked,
    }
    let took = began.elapsed();
    readers.all_stay();
    tokio::select! {
        stopped = sources.stop() => stopped?,
        failure = readers.failed() => return Err(failure),
    }
    tokio::select! {
        () = all_arrived(&board) => {}
        failure = readers.failed() => return Err(failure),
    }
    let report = Report::new(plan, took, &board, memory);
    drop(readers);
    Arc::into_inner(stage).ok_or_else(|| Failure::failed("a source is still at work"))?.close().await?;
    Ok(report)
}

/// Waits until every reader has opened what it may read, or nothing more comes.
async fn all_arrived(board: &Board) {
    let (mut before, mut changed) = (None, Instant::now());
    loop {
        let expected = |place: usize| READERS.get(place).map_or(0..0, |part| part.may_read.clone());
        let missing: u64 = (0..READERS.len())
            .flat_map(|reader| expected(reader).map(move |source| (reader, source)))
            .map(|(reader, source)| board.next_number(source).saturating_sub(board.opened(reader, source)))
            .sum();
        if missing == 0 || changed.elapsed() > SILENCE_MAX {
            return;
        }
        if before.replace(missing) != Some(missing) {
            changed = Instant::now();
        }
        sleep(Duration::from_millis(50)).await;
    }
}
