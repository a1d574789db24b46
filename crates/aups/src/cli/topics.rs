//! `aups topics`: what one may subscribe.

use super::{failure::Failure, terminal};
use aups_client::Identity;
use clap::Args;
use std::path::PathBuf;

/// List what one may subscribe
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "List the topic filters that a reader may subscribe, one a line. That a filter is listed does not mean \
that everything under it can be read: the keys decide each message."
)]
pub(crate) struct Topics {
    /// The identity file that `aups enrol` wrote
    #[arg(long = "as", value_name = "FILE")]
    identity: PathBuf,
    /// As a JSON array, for machines
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups topics --as alice.json
  aups topics --as alice.json | xargs -r -d '\\n' aups sub --as alice.json";

impl Topics {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let identity = Identity::load(&self.identity)?;
        let filters = aups_client::topics(&identity).await?;
        if self.json {
            return terminal::line(&serde_json::json!(filters).to_string());
        }
        for filter in &filters {
            terminal::line(filter.as_str())?;
        }
        if filters.is_empty() {
            terminal::note(&format!("no policy lets {} read anything: ask the administrator", identity.sub()));
        }
        Ok(())
    }
}
