//! The bench harness: the chain with AUPS beside the same chain without it, a bare HTTP server, and the paper's stack.
//!
//! `flood` attacks a server while honest sources send. `run` starts all of them on loopback, loads one after the other in several rounds, and prints ratios. `bare` and
//! `plain` are the two contenders that live here: the chain without AUPS exists nowhere else.

mod bare;
mod contender;
mod flood;
mod load;
mod machine;
mod plain;
mod report;
mod run;
mod subscriber;

use clap::{Parser, Subcommand};

/// Times the chain with AUPS beside the same chain without it, a bare HTTP server, and the paper's stack
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start every contender, load them in turn, print the ratios
    Run(run::Run),
    /// Attack a server while honest sources send, and see whether they notice
    Flood(flood::Flood),
    /// Answer 202 to every POST, until killed
    Bare,
    /// HTTP in, normalise, score, publish in clear, until killed
    Plain(plain::Plain),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(run) => run.run().await,
        Command::Flood(flood) => flood.run().await,
        Command::Bare => bare::serve().await,
        Command::Plain(plain) => plain.serve().await,
    }
}
