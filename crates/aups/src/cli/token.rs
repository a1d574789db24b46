//! `aups token`: who administers, each with a token of its own.

use super::{
    admin::{ServerArgs, Token as Shown},
    failure::Failure,
    terminal,
};
use aups_core::{TokenName, UnixMillis, parse_duration};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// Give each administrator and script a token of its own
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Give each administrator and script a token of its own.\n\nThe first start makes the token `admin`, in \
admin.token in the data directory. Each token may do everything; the audit trail says which one did what. A token is shown \
when it is made and never again."
)]
pub(crate) struct Token {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups token add ci --expires 90d > ci.token
  aups policy list --admin-token-file ci.token
  aups token rotate ci --grace 10m > ci.token   scripts can follow meanwhile
  aups token rotate admin                       rewrites admin.token as well
  aups token remove ci";

#[derive(Debug, Subcommand)]
enum Action {
    /// Make one; prints the token, alone
    Add {
        /// Its name, as the audit trail shows it
        name: TokenName,
        /// When it ends, from now: 30m, 12h, 90d [default: when it is removed]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        expires: Option<String>,
    },
    /// List all with their ends and when they were last used
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// End one at once
    Remove {
        /// Its name
        name: TokenName,
    },
    /// Make a new secret for one, with the same life again; prints it, alone
    Rotate {
        /// Its name
        name: TokenName,
        /// How long the old secret goes on, at most 1h [default: not at all]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        grace: Option<String>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    name: TokenName,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<String>,
}

/// A token as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: TokenName,
    created: UnixMillis,
    expires: Option<UnixMillis>,
    last_used: Option<UnixMillis>,
    previous_ends: Option<UnixMillis>,
}

impl Token {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::Add { name, expires } => {
                let add = Add { name, expires_in: expires };
                let Shown { token } = admin.send_json(Method::POST, "/v1/tokens", &add).await?;
                terminal::line(&token)
            }
            Action::List { json } => admin.print_list("/v1/tokens", json, tokens_table).await,
            Action::Remove { name } => {
                admin.delete(&format!("/v1/tokens/{name}")).await?;
                terminal::line(&format!("removed token {name}"))
            }
            Action::Rotate { name, grace } => {
                let query = grace.map_or_else(String::new, |grace| format!("?grace={grace}"));
                let Shown { token } = admin.post(&format!("/v1/tokens/{name}/rotate{query}")).await?;
                terminal::line(&token)
            }
        }
    }
}

/// A duration that the server will understand, as it was written.
fn duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn tokens_table(tokens: Vec<Listed>) -> String {
    let time = |time: Option<UnixMillis>| time.map_or_else(String::new, |time| time.to_string());
    let rows: Vec<_> = tokens
        .into_iter()
        .map(|token| {
            let created = token.created.to_string();
            [token.name.to_string(), created, time(token.expires), time(token.last_used), time(token.previous_ends)]
        })
        .collect();
    terminal::table(&["NAME", "CREATED", "EXPIRES", "LAST USED", "OLD SECRET ENDS"], &rows)
}
