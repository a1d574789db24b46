//! `aups bench memory`.

use super::{from_to, progress, time};
use crate::{
    bench::{
        contender::Programs,
        memory::{self, Plan},
    },
    cli::{failure::Failure, terminal},
    settings::Durability,
};
use clap::Args;
use std::time::Duration;

/// What a server takes of the memory, and what it does where that is scarce
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "What a server takes of the memory, and what it does where that is scarce.\n\nResident memory after the start, \
with 6 topics, with many, and with many registered readers, each of a server of its own. Then how much servers take with and \
without a limit on their data (RLIMIT_DATA, Linux), in turns: a server that needs more than the limit ends, and so does the bench."
)]
pub(super) struct Memory {
    /// Topics, each of which has an item
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = from_to::<7, 10_000_000>)]
    topics: usize,
    /// Registered readers
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = from_to::<1, 1_000_000>)]
    readers: usize,
    /// The limit in mebibytes
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = from_to::<1, 1_000_000>)]
    limit: usize,
    /// How long each load takes
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = time)]
    duration: Duration,
    /// How often servers with and without the limit are loaded
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = from_to::<1, 1_000>)]
    rounds: usize,
    /// What a 202 means
    #[arg(long, value_enum, default_value_t = Durability::Memory)]
    durability: Durability,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups bench memory
  aups bench memory --topics 1000000 --readers 1000
  aups bench memory --limit 32 --durability disk --json";

impl Memory {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { topics, readers, limit, duration, rounds, durability, json } = self;
        let plan = Plan { topics, readers, limit_bytes: (limit as u64) << 20, duration, rounds, durability };
        let bar = progress(plan.steps(), "steps");
        let report = memory::run(plan, &Programs::look(None, None)?, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        terminal::line(&if json { report.json().to_string() } else { report.text() })
    }
}
