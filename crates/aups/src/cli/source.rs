//! `aups source`: the things that send, and the tokens by which they may register.

use super::{
    admin::{ServerArgs, Token},
    failure::Failure,
    terminal,
};
use aups_core::{NodeId, UnixMillis};
use clap::{Args, Subcommand};
use serde::Deserialize;

/// Invite, list and remove the things that send
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(long_about = "Invite, list and remove the things that send.\n\nA source registers itself with `POST \
/registration`. Where the server listens on loopback alone this is open; elsewhere it takes a claim token as Bearer, \
which `invite` makes.")]
pub(crate) struct Source {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  TOKEN=$(aups source invite)
  curl http://127.0.0.1:8080/registration -o sensor1.json \\
    -H \"Authorization: Bearer $TOKEN\" --json '{\"NodeId\":\"sensor1\",
    \"NodeType\":\"sensor\",\"CommunicationMode\":\"discrete\"}'
  aups source list
  aups source remove sensor1";

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a one-time claim token, alone
    Invite,
    /// List all that are registered
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Remove one: its credential is worth nothing from then on
    Remove {
        /// Its NodeId
        node: NodeId,
    },
}

/// A registered source, as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    node_id: String,
    node_type: String,
    communication_mode: String,
    registered_at: UnixMillis,
}

impl Source {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::Invite => {
                let Token { token } = admin.post("/v1/sources/invite").await?;
                terminal::line(&token)
            }
            Action::List { json } => admin.print_list("/v1/sources", json, sources_table).await,
            Action::Remove { node } => {
                admin.delete(&format!("/v1/sources/{node}")).await?;
                terminal::line(&format!("removed source {node}"))
            }
        }
    }
}

fn sources_table(sources: Vec<Listed>) -> String {
    let rows: Vec<_> = sources
        .into_iter()
        .map(|source| [source.node_id, source.node_type, source.communication_mode, source.registered_at.to_string()])
        .collect();
    terminal::table(&["NODE", "TYPE", "MODE", "REGISTERED"], &rows)
}
