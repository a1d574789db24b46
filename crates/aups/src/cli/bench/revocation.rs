//! `aups bench revocation`.

use super::{EXAMPLES, from_to, progress, tell};
use crate::{
    bench::revocation::{self, Plan},
    cli::failure::Failure,
    source::Rate,
};
use clap::Args;

/// How soon somebody who loses a right can open nothing more
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "How soon somebody who loses a right can open nothing more.\n\nUnder load, readers that hold the current and \
the next key lose their right: an attribute is changed, a group is left, the reader is removed, in turns. The clock runs from \
the administrator's request to the first message that no key of the ex-reader opens. Fails if p99 is 1 s or more, if anything \
sealed after the answer can be opened, or if keys are replaced of scopes that lost nobody."
)]
pub(super) struct Revocation {
    /// How often a right is taken away
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = from_to::<1, 1_000_000>)]
    revocations: usize,
    /// Items per second that are published meanwhile, or max: as fast as it goes
    #[arg(long, value_name = "R", default_value = "500")]
    rate: Rate,
    /// Topics
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = from_to::<1, 10_000>)]
    topics: usize,
    /// Audiences, among which the topics are divided
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = from_to::<1, 10_000>)]
    scopes: usize,
    /// Readers that lose their right in turns, at least 3
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = from_to::<3, 10_000>)]
    readers: usize,
    /// Publish to this broker, which must let anybody subscribe; no embedded one starts
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Repeats the order of readers and the pauses of another run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Revocation {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { revocations, rate, topics, scopes, readers, broker, seed, json } = self;
        if scopes > topics {
            return Err(Failure::input_refused(format!("{scopes} scopes need as many topics, not {topics}")));
        }
        let bar = progress(revocations as u64, "revocations");
        let plan = Plan { revocations, rate, topics, scopes, readers, broker, seed };
        let report = revocation::run(plan, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        tell(&if json { report.json().to_string() } else { report.text() }, &report.faults())
    }
}
