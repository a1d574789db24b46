//! `aups score`: why an item has its scores.

mod explain;
mod verify;

use super::{admin::ServerArgs, failure::Failure};
use aups_nos::analyse::explain::Explanation;
use clap::{Args, Subcommand};
use explain::Explain;
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};
use verify::Verify;

/// Say why an item has its scores
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Say why an item has its scores for security and quality: what went into each, by which rule.\n\nThe NOS that \
took an item knows it for a while (its last 4,096 items). What it says can be kept, and computed again without a server."
)]
pub(crate) struct Score {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups score explain 01890a5d-ac96-774b-bcce-b302099a8057
  aups score explain 01890a5d-ac96-774b-bcce-b302099a8057 --json > why.json
  aups score verify why.json";

#[derive(Debug, Subcommand)]
enum Action {
    Explain(Explain),
    Verify(Verify),
}

impl Score {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Explain(explain) => explain.run(server).await,
            Action::Verify(verify) => verify.run(),
        }
    }
}

/// A file, or standard input for `-`, and what to call it.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let (name, text) = if file == Path::new("-") {
        let mut text = String::new();
        ("standard input".to_owned(), io::stdin().lock().read_to_string(&mut text).map(|_| text))
    } else {
        (file.display().to_string(), fs::read_to_string(file))
    };
    let text = text.map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
    Ok((name, text))
}

fn parse(name: &str, text: &str) -> Result<Explanation, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::input_refused(format!("{name} is no explanation of scores: {error}"))
            .help("keep what `aups score explain ID --json` prints")
    })
}
