//! `aups key`: the paper's table of temporary keys, without the keys.

use super::{admin::ServerArgs, failure::Failure, terminal};
use aups_core::UnixMillis;
use clap::{Args, Subcommand};
use serde::Deserialize;

/// Look at the temporary keys
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Look at the temporary keys: their ids, when they expire (val), who may have them (atb) and their \
state. The keys themselves are never shown."
)]
pub(crate) struct Key {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups key list
  aups key list --json | jq -r '.[] | select(.state == \"active\") | .keyId'";

#[derive(Debug, Subcommand)]
enum Action {
    /// List keyId, val, atb and state
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key_id: String,
    val: UnixMillis,
    atb: String,
    state: String,
}

impl Key {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::List { json } => admin.print_list("/v1/keys/list", json, keys_table).await,
        }
    }
}

fn keys_table(keys: Vec<Row>) -> String {
    // The audience comes last: it may be long, and a residual of several policies has several lines.
    let rows: Vec<_> = keys
        .into_iter()
        .map(|key| {
            [key.key_id, key.val.to_string(), key.state, key.atb.split_whitespace().collect::<Vec<_>>().join(" ")]
        })
        .collect();
    terminal::table(&["KEYID", "VAL", "STATE", "ATB"], &rows)
}
