//! `aups bench paper`.

use super::{progress, tell, time};
use crate::{
    bench::{
        contender::{Kind, Programs},
        paper::{self, Plan},
    },
    cli::{failure::Failure, terminal::note},
    settings::Durability,
};
use clap::Args;
use reqwest::Url;
use std::{path::PathBuf, time::Duration};

/// The evaluation of the paper, made again: latency, processor and memory
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "The evaluation of the paper (its section V), made again.\n\nSix sources post 10 and then 20 packets a second \
over HTTP, two users get them over MQTT, without AUPS and with it: four runs, each with a server of its own. Prints the paper's \
tables beside ours, and writes into the folder: latency.svg, latency.png, cpu.svg, cpu.png (box plots, the paper's figures 6 and \
7), latency.csv, cpu.csv (raw data, as it comes), paper.json. Fails if a packet is refused or does not reach a user; that a \
figure aimed at is missed is told."
)]
pub(super) struct Paper {
    /// How long each of the four runs takes, as in 30s or 24h (the paper's)
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    duration: Duration,
    /// How long a key is used, in whole seconds
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    life: Duration,
    /// What a 202 means: in memory, as in the paper, or on disk
    #[arg(long, value_enum, default_value_t = Durability::Memory)]
    durability: Durability,
    /// Publish to this broker, which must let anybody do anything; no embedded one starts
    #[arg(long, value_name = "URL")]
    broker: Option<Url>,
    /// Repeats the packets of another run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The folder for figures and raw data; what is there under the same names is written over
    #[arg(long, value_name = "DIR", default_value = "aups-bench-paper")]
    out: PathBuf,
    /// The program `aups-bench`, which has the chain without AUPS [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    harness: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups bench paper
  aups bench paper --duration 24h --out day
  aups bench paper --durability disk --json
  aups bench paper --broker mqtt://127.0.0.1:1884";

impl Paper {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Self { duration, life, durability, broker, seed, out, harness, json } = self;
        let programs = Programs::look(harness, None)?;
        let missing = programs.missing(Kind::Without);
        if let Some(why) = missing {
            note(&format!("with AUPS alone: {why}"));
        }
        let plan = Plan { duration, life, durability, broker, seed, out, compares: missing.is_none() };
        let bar = progress(plan.seconds(), "seconds");
        let report = paper::run(plan, &programs, &bar).await;
        bar.finish_and_clear();
        let report = report?;
        tell(&if json { report.json().to_string() } else { report.text() }, &report.faults())
    }
}
