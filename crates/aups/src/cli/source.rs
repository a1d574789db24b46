//! `aups source`: the things that send, and the tokens by which they may register.

use super::{
    admin::{ServerArgs, Token},
    attribute,
    failure::Failure,
    private_file::PrivateFile,
    terminal,
};
use aups_core::{NodeId, UnixMillis};
use clap::{ArgGroup, Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Invite, mark, list, rotate and remove the things that send
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Invite, mark, list, rotate and remove the things that send.\n\nA source registers itself with `POST \
/registration`. Where the server listens on loopback alone this is open; elsewhere it takes a claim token as Bearer, \
which `invite` makes.\n\nPolicies may ask for the labels and tags that you give a source (resource.labels, \
resource.getTag)."
)]
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
  aups source set sensor1 --label lobby,calibrated --tag owner=cnr
  aups source list
  aups source rotate sensor1 --out sensor1.json
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
    /// Say what policies may ask of one; what is not named stays
    Set(Set),
    /// Give one other secrets: those of before are worth nothing from then on
    Rotate {
        /// Its NodeId
        node: NodeId,
        /// Write them to this file, for nobody else to read; else they are printed
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Remove one: its credential is worth nothing from then on
    Remove {
        /// Its NodeId
        node: NodeId,
    },
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true)))]
struct Set {
    /// Its NodeId
    node: NodeId,
    /// Labels, separated by commas (repeatable); those given replace those of before
    #[arg(long = "label", value_name = "LABEL", group = "change")]
    labels: Vec<String>,
    /// A tag (repeatable); those given replace those of before
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = attribute::tag, group = "change")]
    tags: Vec<(String, String)>,
    /// To have no label
    #[arg(long, conflicts_with = "labels", group = "change")]
    no_labels: bool,
    /// To have no tag
    #[arg(long, conflicts_with = "tags", group = "change")]
    no_tags: bool,
}

#[derive(Serialize)]
struct Marked {
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<BTreeMap<String, String>>,
}

impl Set {
    fn marked(&self) -> Marked {
        let labels = self.labels.iter().flat_map(|labels| attribute::set(labels)).collect();
        Marked {
            labels: (self.no_labels || !self.labels.is_empty()).then_some(labels),
            tags: (self.no_tags || !self.tags.is_empty()).then(|| self.tags.iter().cloned().collect()),
        }
    }
}

/// A registered source, as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    node_id: String,
    node_type: String,
    communication_mode: String,
    encryption_scheme: String,
    registered_at: UnixMillis,
    labels: Vec<String>,
    tags: BTreeMap<String, String>,
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
            Action::Set(set) => {
                let path = format!("/v1/sources/{}", set.node);
                let listed: Listed = admin.send_json(Method::PATCH, &path, &set.marked()).await?;
                terminal::line(&sources_table(vec![listed]))
            }
            Action::Rotate { node, out } => {
                let path = format!("/v1/sources/{node}/rotate");
                let Some(out) = out else {
                    let secrets: Value = admin.post(&path).await?;
                    return terminal::line(&secrets.to_string());
                };
                // Made before anything is changed: secrets that cannot be written are lost.
                let file = PrivateFile::create(out)?;
                let secrets: Value = admin.post(&path).await?;
                let out = file.keep(secrets.to_string().as_bytes())?;
                terminal::line(&format!("rotated source {node}: its secrets are in {}", out.display()))
            }
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
        .map(|source| {
            let tags: Vec<_> = source.tags.iter().map(|(name, text)| format!("{name}={text}")).collect();
            [
                source.node_id,
                source.node_type,
                source.communication_mode,
                source.encryption_scheme,
                source.registered_at.to_string(),
                source.labels.join(","),
                tags.join("; "),
            ]
        })
        .collect();
    terminal::table(&["NODE", "TYPE", "MODE", "SCHEME", "REGISTERED", "LABELS", "TAGS"], &rows)
}
