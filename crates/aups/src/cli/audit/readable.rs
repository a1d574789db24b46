//! `aups audit who-could-read`: the readers of a topic on a day.

use super::{access::Dated, search::time, source::SourceArgs};
use crate::{
    cli::{admin::ServerArgs, failure::Failure, terminal},
    server::audit::{
        Filter,
        replay::{EVENTS, Readable, Replay, ReplayError},
    },
};
use aups_core::{Topic, UnixMillis};
use clap::Args;
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// Show who could read a topic on a day, and when
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Show who could read a topic on a day: which readers with keys the policies of that day let read what was \
sealed then, and from when to when. Rules on time and address are shown as conditions. A reader who got the right later may \
have opened what was sealed on that day as well, as long as history lasts: `aups audit access NAME` shows what somebody \
really got."
)]
pub(super) struct WhoCouldRead {
    /// The topic
    #[arg(value_name = "TOPIC")]
    topic: Topic,
    /// The day (UTC)
    #[arg(long, value_name = "DAY", value_parser = time)]
    on: UnixMillis,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups audit who-could-read data/s1/temperature --on 2026-11-22
  aups audit who-could-read data/s1/temperature --on 2026-11-22 \\
      --files aups-data/audit --json";

impl WhoCouldRead {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let (from, to) = (self.on, self.on.plus(DAY));
        let mut replay = Replay::new(self.topic, from, to);
        let filter = Filter { event: Some(EVENTS.into()), until: Some(to), ..Filter::default() };
        self.source
            .open(server)?
            .each(&filter, |line| {
                let Dated { at, event } = serde_json::from_str(line.get()).map_err(|error| {
                    Failure::failed(format!("a line of the trail is not as expected: {error}: {}", line.get()))
                        .help("aups audit verify says whether the trail is whole")
                })?;
                replay.take(at, event).map_err(|error| failure(&error))?;
                Ok(true)
            })
            .await?;
        let readable = replay.finish().map_err(|error| failure(&error))?;
        if self.json {
            return terminal::line(&serde_json::json!(readable).to_string());
        }
        tell(&readable)
    }
}

fn failure(error: &ReplayError) -> Failure {
    Failure::failed(error.to_string())
}

fn tell(readable: &Readable) -> Result<(), Failure> {
    let rows: Vec<_> = readable
        .readers
        .iter()
        .map(|at| [at.sub.to_string(), at.kind.to_string(), at.from.to_string(), at.to.to_string(), at.may.clone()])
        .collect();
    terminal::line(&terminal::table(&["READER", "KIND", "FROM", "TO", "MAY READ"], &rows))?;
    if readable.known_since > readable.from {
        terminal::note(&format!("before {} nothing is known", readable.known_since));
    }
    for at in &readable.told_anew {
        terminal::note(&format!(
            "the server started at {at} after a kill: what changed just before may be told as of then"
        ));
    }
    Ok(())
}
