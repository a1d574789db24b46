//! `aups bench`: what the system promises, measured on this machine.

mod keys;
mod load;
mod memory;
mod output;
mod paper;
mod revocation;
mod scale;
mod sending;
mod soak;

use super::{
    failure::Failure,
    stop::Stop,
    terminal::{self, Stream},
};
use aups_core::parse_duration;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// Measure what the system promises, on this machine
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Measure what the system promises, on this machine.\n\nEach measurement starts servers of its own on free \
ports, works them over real HTTP and MQTT, prints what came out, and leaves nothing behind. Exit code 1 if a promise is not kept."
)]
pub(crate) struct Bench {
    #[command(subcommand)]
    what: What,
}

const EXAMPLES: &str = "\
Examples:
  aups bench revocation                     200 revocations at 500 items/s
  aups bench revocation --rate 1000 --json
  aups bench load --duration 4s --rounds 5  beside its yardsticks
  aups bench load --batch 100 --contenders with,without --json
  aups bench load --rate 2000 --arrivals poisson --durability disk
  aups bench scale topics                   cost with 6 to 100,000 topics
  aups bench scale readers --at 2,1000 --csv readers.csv
  aups bench keys                           what one core answers
  aups bench revocation --broker mqtt://127.0.0.1:1884
                                            a Mosquitto that takes anybody
  aups bench paper                          the paper's experiment, 2 minutes
  aups bench memory                         100,000 topics, 10,000 readers
  aups bench soak                           an hour, keys of 5 seconds";

#[derive(Debug, Subcommand)]
enum What {
    Revocation(revocation::Revocation),
    Load(Box<load::Load>),
    Scale(scale::Scale),
    Keys(keys::Keys),
    Paper(paper::Paper),
    Memory(memory::Memory),
    Soak(soak::Soak),
}

impl Bench {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen()?;
        match self.what {
            What::Revocation(revocation) => unless(&mut stop, Box::pin(revocation.run())).await,
            What::Load(load) => unless(&mut stop, Box::pin(load.run())).await,
            What::Scale(scale) => unless(&mut stop, Box::pin(scale.run())).await,
            What::Keys(keys) => unless(&mut stop, Box::pin(keys.run())).await,
            What::Paper(paper) => unless(&mut stop, Box::pin(paper.run())).await,
            What::Memory(memory) => unless(&mut stop, Box::pin(memory.run())).await,
            What::Soak(soak) => Box::pin(soak.run(&mut stop)).await,
        }
    }
}

/// Works, unless that is to be stopped: dropped where it stands, a server takes its directory with it.
async fn unless(stop: &mut Stop, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        done = work => done,
        () = stop.asked() => Err(Failure::failed("stopped before the end")),
    }
}

/// Prints a report; fails with what must not be.
fn tell(report: &str, faults: &[String]) -> Result<(), Failure> {
    terminal::line(report)?;
    if faults.is_empty() { Ok(()) } else { Err(Failure::failed(faults.join("\n"))) }
}

/// A bar where a person looks, over so many steps.
fn progress(steps: u64, what: &str) -> ProgressBar {
    if !Stream::Stderr.is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{msg}} {{wide_bar}} {{pos}} of {{len}} {what}, {{eta}} left"));
    let bar = ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.enable_steady_tick(TICK);
    bar
}

/// How often a bar is drawn where nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// A time of at least a second.
fn time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(time) if time >= Duration::from_secs(1) => Ok(time),
        Ok(_) => Err("not a second or more".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn from_to<const LEAST: usize, const MOST: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (LEAST..=MOST).contains(number));
    number.ok_or_else(|| format!("use a whole number from {LEAST} to {MOST}"))
}
