//! `aups bench scale`.

use super::{EXAMPLES, from_to, output::Output, progress, sending::Sending, time};
use crate::{
    bench::scale::{self, Axis, Plan},
    cli::failure::Failure,
    source::Rate,
};
use clap::Args;
use std::time::Duration;

/// What an item costs when there are more topics, policies or readers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "What an item costs when there are more topics, policies or readers.\n\nFor each number a server of its own \
is set up and loaded at a fixed rate, in an open loop: processor time of the server for an item, latency of a request from when it was \
due, and memory, before the load and after it."
)]
pub(super) struct Scale {
    /// Of what there is more and more
    #[arg(value_enum)]
    axis: Axis,
    /// How many each time, in order [default: up to 100,000 topics, 10,000 of others]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = from_to::<1, 1_000_000>)]
    at: Vec<usize>,
    /// How long each load takes, as in 10s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    duration: Duration,
    /// Readings per second in an open loop, or max: a closed loop
    #[arg(long, value_name = "R", default_value = "1000")]
    rate: Rate,
    #[command(flatten)]
    sending: Sending,
    #[command(flatten)]
    output: Output,
}

impl Scale {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { axis, at, duration, rate, sending, output } = self;
        let steps = if at.is_empty() { axis.steps().to_vec() } else { at };
        let bar = progress(steps.len() as u64, "servers");
        let plan = Plan {
            axis,
            steps,
            requests: sending.requests(duration, rate, None),
            key_life: sending.life,
            payload_bytes: sending.payload,
            seed: sending.seed,
            durability: sending.durability,
        };
        let report = scale::run(plan, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        output.tell(&report.json(), || report.text(), |file| report.write_csv(file))
    }
}
