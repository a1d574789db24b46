//! `aups bench load`.

use super::{EXAMPLES, from_to, output::Output, progress, sending::Sending, time};
use crate::{
    bench::{
        contender::{Kind, Programs},
        load::{self, Plan},
        workload::Shape,
    },
    cli::{failure::Failure, terminal::note},
    source::Rate,
};
use clap::Args;
use reqwest::Url;
use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

/// How much a server takes, beside the same without AUPS and other yardsticks
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "How much a server takes, beside the same without AUPS and other yardsticks.\n\nEvery contender is a process of \
its own, so that what it takes of the machine is its alone; they are loaded in turn, round after round, so that what else the \
machine does hits all alike. `with` is this program; `without` and `bare` are in `aups-bench`, `paper-stack` is in bench/peers of the \
source tree: what is missing is told and left out.\n\nIn a closed loop (--rate max) each connection sends its next request when the \
one before was answered. At a rate requests come when they are due, whatever became of those before, and latency counts from then. \
Load and subscribers take processor time of the same machine."
)]
pub(super) struct Load {
    /// How long each load takes, as in 4s
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = time)]
    duration: Duration,
    /// How often each contender is loaded; figures are medians over the rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: u32,
    /// Readings per second in an open loop, or max: a closed loop
    #[arg(long, value_name = "R", default_value = "max")]
    rate: Rate,
    /// Readings in a request, one a line (NDJSON) [default: one, as JSON]
    #[arg(long, value_name = "N")]
    batch: Option<NonZeroUsize>,
    /// Registered sources
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = from_to::<1, 100_000>)]
    sources: usize,
    /// Topics, among which the readings of each source change [default: one for each source]
    #[arg(long, value_name = "N", value_parser = from_to::<1, 10_000_000>)]
    topics: Option<usize>,
    /// Audiences, among which the sources are divided
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = from_to::<1, 100_000>)]
    scopes: usize,
    /// Policies, one more than sources at least [default: that many]
    #[arg(long, value_name = "N", value_parser = from_to::<2, 1_000_000>)]
    policies: Option<usize>,
    /// Who gets all messages, in a load of its own; 0 leaves that out
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = from_to::<0, 1_000>)]
    subscribers: usize,
    /// Publish to this broker, which must let anybody do anything; no embedded one starts
    #[arg(long, value_name = "URL")]
    broker: Option<Url>,
    /// Who is loaded
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    #[arg(default_value = "with,without,bare,paper-stack")]
    contenders: Vec<Kind>,
    /// The program `aups-bench` [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    harness: Option<PathBuf>,
    /// The folder of paper-stack.js [default: bench/peers]
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    output: Output,
}

impl Load {
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let programs = Programs::look(self.harness.take(), self.peers.take())?;
        let (plan, output) = self.plan(&programs)?;
        let bar = progress(plan.loads(), "loads");
        let report = load::run(plan, &programs, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        output.tell(&report.json(), || report.text(), |file| report.write_csv(file))
    }

    fn plan(self, programs: &Programs) -> Result<(Plan, Output), Failure> {
        let shape = Shape {
            sources: self.sources,
            topics: self.topics.unwrap_or(self.sources),
            policies: self.policies.unwrap_or(self.sources + 1),
            scopes: self.scopes,
            key_life: self.sending.life,
            payload_bytes: self.sending.payload,
            seed: self.sending.seed,
        };
        let plan = Plan {
            contenders: present(self.contenders, programs, self.batch)?,
            rounds: self.rounds,
            requests: self.sending.requests(self.duration, self.rate, self.batch),
            shape,
            subscribers: self.subscribers,
            durability: self.sending.durability,
            broker: self.broker,
        };
        Ok((plan, self.output))
    }
}

/// Those that can run; says why of the others.
fn present(wanted: Vec<Kind>, programs: &Programs, batch: Option<NonZeroUsize>) -> Result<Vec<Kind>, Failure> {
    let mut present = Vec::new();
    for kind in wanted {
        let no_lines = (kind == Kind::PaperStack && batch.is_some()).then_some("it takes no lines of JSON (--batch)");
        match no_lines.or_else(|| programs.missing(kind)) {
            Some(why) => note(&format!("without `{}`: {why}", kind.name())),
            None if present.contains(&kind) => {}
            None => present.push(kind),
        }
    }
    if present.is_empty() { Err(Failure::failed("there is nothing to measure")) } else { Ok(present) }
}
