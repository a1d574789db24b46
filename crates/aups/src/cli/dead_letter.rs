//! `aups dead-letter`: items that could be taken no further.

use super::{
    admin::{Admin, ServerArgs},
    failure::Failure,
    terminal,
};
use aups_core::UnixMillis;
use clap::{ArgGroup, Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;

/// Look at items that could not be published, replay or discard them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(long_about = "Look at items that could not be published, replay or discard them.\n\nAn item that cannot be \
sealed, that the broker refuses again and again, or that cannot be read back from the queue is set aside, so that it \
holds up nothing. Each NOS has its own: name it with --server. What policies withhold is not among them.")]
pub(crate) struct DeadLetter {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups dead-letter list
  aups dead-letter show 3            with the item in clear; recorded
  aups dead-letter replay 3          into the queue again, same item id
  aups dead-letter replay --all
  aups dead-letter discard 3 4";

#[derive(Debug, Subcommand)]
enum Action {
    /// List them, the oldest first
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Show one with its item, in clear, as JSON
    Show {
        /// Its number
        id: u64,
    },
    /// Publish after all: decided about, sealed and published as any other
    Replay(Which),
    /// Give up for good
    Discard(Which),
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true)))]
struct Which {
    /// Their numbers
    #[arg(group = "which", value_name = "ID")]
    ids: Vec<u64>,
    /// All that there are
    #[arg(long, group = "which")]
    all: bool,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

/// As the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    id: u64,
    bytes: usize,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    detail: String,
    at: Option<UnixMillis>,
    #[serde(default)]
    item_id: String,
    #[serde(default)]
    topic: String,
}

impl DeadLetter {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::List { json: true } => terminal::line(&Value::Array(all(&admin).await?).to_string()),
            Action::List { json: false } => {
                let letters = all(&admin).await?.into_iter().filter_map(|letter| serde_json::from_value(letter).ok());
                terminal::line(&letters_table(letters))
            }
            Action::Show { id } => {
                let letter: Value = admin.get(&format!("/v1/dead-letters/{id}")).await?;
                terminal::line(&format!("{letter:#}"))
            }
            Action::Replay(which) => {
                let ids = which.ids(&admin).await?;
                for id in &ids {
                    let _: Value = admin.post(&format!("/v1/dead-letters/{id}/replay")).await?;
                }
                which.tell("replayed", &ids)
            }
            Action::Discard(which) => {
                let ids = which.ids(&admin).await?;
                for id in &ids {
                    admin.delete(&format!("/v1/dead-letters/{id}")).await?;
                }
                which.tell("discarded", &ids)
            }
        }
    }
}

impl Which {
    async fn ids(&self, admin: &Admin) -> Result<Vec<u64>, Failure> {
        if !self.all {
            return Ok(self.ids.clone());
        }
        Ok(all(admin).await?.iter().filter_map(|letter| letter.get("id")?.as_u64()).collect())
    }

    fn tell(&self, done: &str, ids: &[u64]) -> Result<(), Failure> {
        terminal::line(&if self.json {
            serde_json::json!({ done: ids }).to_string()
        } else {
            format!("{done} {}", terminal::counted(ids.len(), "dead letter", "dead letters"))
        })
    }
}

/// All of them: the server tells some at a time.
async fn all(admin: &Admin) -> Result<Vec<Value>, Failure> {
    let mut letters: Vec<Value> = admin.list("/v1/dead-letters").await?;
    loop {
        let Some(last) = letters.last().and_then(|letter| letter.get("id")?.as_u64()) else { return Ok(letters) };
        let more: Vec<Value> = admin.list(&format!("/v1/dead-letters?after={last}")).await?;
        if more.is_empty() {
            return Ok(letters);
        }
        letters.extend(more);
    }
}

fn letters_table(letters: impl Iterator<Item = Listed>) -> String {
    let row = |letter: Listed| {
        let at = letter.at.map(|at| at.to_string()).unwrap_or_default();
        let detail = terminal::harmless(&letter.detail);
        [letter.id.to_string(), at, letter.reason, letter.topic, letter.item_id, letter.bytes.to_string(), detail]
    };
    let rows: Vec<_> = letters.map(row).collect();
    terminal::table(&["ID", "AT", "REASON", "TOPIC", "ITEM", "BYTES", "DETAIL"], &rows)
}
