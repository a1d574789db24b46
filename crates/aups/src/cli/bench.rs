//! `aups bench`: what the system promises, measured on this machine.

use super::{
    failure::Failure,
    stop::Stop,
    terminal::{self, Stream},
};
use crate::{
    bench::revocation::{self, Plan},
    source::Rate,
};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

/// Measure what the system promises, on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Measure what the system promises, on this machine.\n\nEach measurement starts a private instance on free \
ports, works it over real HTTP and MQTT, prints what came out, and leaves nothing behind. Exit code 1 if a promise is not kept."
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  aups bench revocation                     200 revocations at 500 items/s
  aups bench revocation --rate 1000 --json
  aups bench revocation --broker mqtt://127.0.0.1:1884
                                            a Mosquitto that takes anybody";

#[derive(Debug, Subcommand)]
enum What {
    Revocation(Revocation),
}

/// How soon somebody who loses a right can open nothing more
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "How soon somebody who loses a right can open nothing more.\n\nUnder load, readers that hold the current and \
the next key lose their right: an attribute is changed, a group is left, the reader is removed, in turns. The clock runs from \
the administrator's request to the first message that no key of the ex-reader opens. Fails if p99 is 1 s or more, if anything \
sealed after the answer can be opened, or if keys are replaced of scopes that lost nobody."
)]
struct Revocation {
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

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        // Dropped where it stands, the instance takes its directory with it.
        tokio::select! {
            done = async { match self.what { What::Revocation(revocation) => revocation.run().await } } => done,
            () = stop.asked() => Err(Failure::failed("stopped before the end")),
        }
    }
}

impl Revocation {
    async fn run(self) -> Result<(), Failure> {
        let Self { revocations, rate, topics, scopes, readers, broker, seed, json } = self;
        if scopes > topics {
            return Err(Failure::input_refused(format!("{scopes} scopes need as many topics, not {topics}")));
        }
        let bar = progress(revocations);
        let plan = Plan { revocations, rate, topics, scopes, readers, broker, seed };
        let report = revocation::run(plan, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        terminal::line(&if json { report.json().to_string() } else { report.text() })?;
        match report.faults() {
            faults if faults.is_empty() => Ok(()),
            faults => Err(Failure::failed(faults.join("\n"))),
        }
    }
}

/// A bar where a person looks.
fn progress(revocations: usize) -> ProgressBar {
    if !Stream::Stderr.is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos} of {len} revocations, {eta} left");
    ProgressBar::new(revocations as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn from_to<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("use a whole number from {LEAST} to {MOST}"))
}
