//! `aups bench soak`.

use super::{progress, tell, time};
use crate::{
    bench::soak::{self, Plan},
    cli::{
        failure::Failure,
        stop::Stop,
        terminal::{Stream, note},
    },
    settings::Durability,
    source::Rate,
};
use clap::Args;
use std::time::Duration;

/// Long under load while keys change: nothing lost, nobody let in, no growth
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Long under load while keys change all the time.\n\nFive sources post numbered readings, singly and in \
streams; one of them is removed and registered again, over and over. Three readers may read, one of whom leaves and comes \
back; two others get the same messages and ask for their keys in vain. Fails if an accepted reading was not opened by \
everybody who may read it, or twice; if somebody who may read was refused; if somebody else opened anything; if the \
server's memory grew in the second half of the run (by the line of least squares, more than 5 % and 2 MiB; judged from 10 \
minutes on). Ctrl-C ends it early, with the report so far."
)]
pub(super) struct Soak {
    /// How long, as in 90s, 20m or 24h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    duration: Duration,
    /// Readings per second of all sources together, or max: as fast as it goes
    #[arg(long, value_name = "R", default_value = "500")]
    rate: Rate,
    /// How long a key is used, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    life: Duration,
    /// What a 202 means
    #[arg(long, value_enum, default_value_t)]
    durability: Durability,
    /// How often to look at the server's memory
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    every: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups bench soak
  aups bench soak --duration 24h --rate 200 --every 1m
  aups bench soak --duration 2m --life 1s --durability memory --json";

impl Soak {
    pub(super) async fn run(self, stop: &mut Stop) -> Result<(), Failure> {
        let Self { duration, rate, life, durability, every, json } = self;
        let bar = progress(duration.as_secs(), "seconds");
        let is_shown = Stream::Stderr.is_terminal();
        let show = |progress: &soak::Progress| {
            if is_shown {
                bar.set_position(progress.elapsed.as_secs());
                bar.set_message(progress.to_string());
            } else {
                note(&progress.to_string());
            }
        };
        let report = soak::run(Plan { duration, rate, life, durability, every }, stop.asked(), show).await;
        bar.finish_and_clear();
        let report = report?;
        tell(&if json { report.json().to_string() } else { report.text() }, &report.faults())
    }
}
