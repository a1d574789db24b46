//! `aups bench keys`.

use super::{EXAMPLES, from_to, progress};
use crate::{
    bench::{
        contender::Programs,
        keys::{self, Plan},
    },
    cli::{failure::Failure, terminal},
};
use clap::Args;
use std::num::NonZeroUsize;

/// How many requests for keys one core answers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "How many requests for keys one core answers.\n\nReaders ask a server in a process of its own for the key of an \
item, from many addresses of this machine, for a server limits what it answers of one; what it takes of the processor for one \
answer says how many a core gives in a second. An answer is in the audit trail on disk before it is given, and requests that come \
at once share a write: the slower they come, the dearer each."
)]
pub(super) struct Keys {
    /// Requests
    #[arg(long, value_name = "N", default_value_t = 30_000, value_parser = from_to::<1, 10_000_000>)]
    requests: usize,
    /// Requests per second of all readers
    #[arg(long, value_name = "R", default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// Readers that ask in turn; a server answers 50 a second of each
    #[arg(long, value_name = "N", default_value = "120")]
    readers: NonZeroUsize,
    /// Connections, each from another address; a server answers 500 a second of one
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u8).range(1..))]
    connections: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Keys {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { requests, rate, readers, connections, json } = self;
        let programs = Programs::look(None, None)?;
        let bar = progress(requests as u64, "requests");
        let plan = Plan { requests, per_second: rate.into(), readers, connections };
        let report = keys::run(plan, &programs, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        terminal::line(&if json { report.json().to_string() } else { report.text() })?;
        report.fault().map_or(Ok(()), |fault| Err(Failure::failed(fault)))
    }
}
