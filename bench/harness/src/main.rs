//! The bench harness: what is only ever measured against. `bare` and `plain` are contenders of `aups bench load`, a bare HTTP server and the chain
//! without AUPS, which exists nowhere else; `flood` attacks a server while honest sources send.

mod bare;
mod flood;
mod flooded;
mod plain;

use clap::{Parser, Subcommand};

/// The same as that of AUPS.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What AUPS is measured against
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
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
        Command::Flood(flood) => flood.run().await,
        Command::Bare => bare::serve().await,
        Command::Plain(plain) => plain.serve().await,
    }
}
