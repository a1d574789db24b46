//! `aups audit tail`: the newest lines, and those that come.

use super::shown::{self, HEADINGS};
use crate::cli::{admin::ServerArgs, failure::Failure, terminal};
use clap::{Args, value_parser};
use serde_json::value::RawValue;
use std::time::Duration;

/// How often `--follow` asks for more.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);
/// Most lines that the server gives at once.
const LINES_MAX: u16 = 1_000;

/// Show the newest lines
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Tail {
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = value_parser!(u16).range(1..=i64::from(LINES_MAX)))]
    lines: u16,
    /// Go on as lines come, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// As JSON lines, byte by byte as the trail has them
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups audit tail -n 100 --json | jq 'select(.event == \"refused\")'
  aups audit tail --follow --json >> elsewhere.jsonl";

impl Tail {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let Self { lines, follow, json } = self;
        let admin = server.admin()?;
        let mut found: Vec<Box<RawValue>> = admin.list(&format!("/v1/audit?limit={lines}")).await?;
        let mut newest = 0;
        let mut is_first = true;
        loop {
            let parsed = shown::parse(&found)?;
            newest = parsed.last().map_or(newest, |line| line.number);
            let shown = match (json, is_first) {
                (true, _) => found.iter().map(|line| line.get()).collect::<Vec<_>>().join("\n"),
                (false, true) => terminal::table(&HEADINGS, &shown::rows(parsed)),
                (false, false) => shown::rows(parsed).iter().map(|row| row.join("  ")).collect::<Vec<_>>().join("\n"),
            };
            if !shown.is_empty() {
                terminal::line(&shown)?;
            }
            if !follow {
                return Ok(());
            }
            is_first = false;
            tokio::time::sleep(FOLLOW_EVERY).await;
            found = admin.list(&format!("/v1/audit?limit={LINES_MAX}&after={newest}")).await?;
        }
    }
}
