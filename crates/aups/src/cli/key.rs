//! `aups key`: the paper's table of temporary keys, without the keys, and what administrators do to keys.

mod show;

use super::{
    admin::ServerArgs,
    failure::Failure,
    terminal::{self, counted},
};
use aups_core::{Filter, UnixMillis};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Look at the temporary keys; replace, close and destroy them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Look at the temporary keys: their ids, when they expire (val), who may have them (atb) and their \
state. The keys themselves are never shown.\n\nKeys change by themselves. By hand they are rotated (new ones from now \
on; what was sealed stays readable), marked as compromised (never handed out again; new ones from now on), or destroyed (a \
scope with all its keys; nobody who does not hold a key already can open what was sealed)."
)]
pub(crate) struct Key {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups key list
  aups key list --json | jq -r '.[] | select(.state == \"active\") | .keyId'
  aups key show KEYID             a key, who may have it, and where it is used
  aups key show SCOPE             a scope, its bumps and its newest keys
  aups key rotate --topic 'data/s1/#'
  aups key compromise KEYID       somebody has it who should not
  aups key destroy SCOPE --yes";

#[derive(Debug, Subcommand)]
enum Action {
    /// List keyId, val, atb and state
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Show everything about a key or a scope, but the key
    Show {
        /// A key, or a scope as `aups key show KEYID` names it
        #[arg(value_name = "KEYID|SCOPE", value_parser = id)]
        id: String,
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
    /// Replace keys from now on; what was sealed stays readable
    #[command(group = clap::ArgGroup::new("which").required(true))]
    Rotate {
        /// The scope, or the scope of this key
        #[arg(value_name = "KEYID|SCOPE", value_parser = id, group = "which")]
        id: Option<String>,
        /// Every scope that was used on topics that this filter matches
        #[arg(long, value_name = "FILTER", group = "which")]
        topic: Option<Filter>,
        /// Every scope there is
        #[arg(long, group = "which")]
        all: bool,
        /// As JSON, for machines: the new bump of each scope
        #[arg(long)]
        json: bool,
    },
    /// Say that somebody has a key who should not: it is never handed out again
    Compromise {
        /// The key, or a scope for all its keys until now
        #[arg(value_name = "KEYID|SCOPE", value_parser = id)]
        id: String,
    },
    /// Destroy a scope with all its keys, past and to come
    Destroy {
        /// The scope, or the scope of this key
        #[arg(value_name = "KEYID|SCOPE", value_parser = id)]
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A key id or a scope id: 32 or 43 characters of base64url.
fn id(text: &str) -> Result<String, String> {
    let known = text.parse::<aups_core::KeyId>().is_ok() || text.parse::<aups_core::ScopeId>().is_ok();
    if known { Ok(text.to_owned()) } else { Err("a keyId has 32 characters, a scope 43: see aups key list".to_owned()) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    key_id: String,
    val: UnixMillis,
    atb: String,
    state: String,
}

#[derive(Deserialize)]
struct Rotated {
    bumps: BTreeMap<String, u16>,
}

impl Key {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::List { json } => admin.print_list("/v1/keys/list", json, keys_table).await,
            Action::Show { id, json } => show::show(&admin, &id, json).await,
            Action::Rotate { id, topic, json, .. } => {
                let Rotated { bumps } = match (id, topic) {
                    (Some(id), _) => admin.post(&format!("/v1/keys/{id}/rotate")).await?,
                    (None, topic) => {
                        let which = topic.map_or(json!({ "all": true }), |topic| json!({ "topic": topic }));
                        admin.send_json(Method::POST, "/v1/keys/rotate", &which).await?
                    }
                };
                let told = format!("rotated the keys of {}", counted(bumps.len(), "scope", "scopes"));
                terminal::line(&if json { json!(bumps).to_string() } else { told })
            }
            Action::Compromise { id } => {
                let _: Value = admin.post(&format!("/v1/keys/{id}/compromise")).await?;
                terminal::line(&format!("{id} is compromised: it is handed out to nobody any more"))
            }
            Action::Destroy { id, yes } => {
                let shown = show::get(&admin, &id).await?;
                if !yes {
                    terminal::note(&shown.in_brief());
                }
                let question = "Destroy this scope with all its keys? What was sealed under them, on all these topics, \
                                opens for nobody who does not hold its key already. This cannot be undone.";
                let scope = shown.scope();
                terminal::confirm(yes, question, &format!("the scope {scope} would be destroyed with all its keys"))?;
                admin.delete(&format!("/v1/keys/{id}")).await?;
                terminal::line(&format!("destroyed the scope {scope} with all its keys"))
            }
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
