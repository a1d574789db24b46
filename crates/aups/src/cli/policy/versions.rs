//! `aups policy list`, `show` and `rollback`: the versions that are kept.

use super::apply::Applied;
use crate::cli::{admin::Admin, failure::Failure, http::with_query, terminal};
use aups_core::UnixMillis;
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

/// List the versions that were applied, the oldest first
#[derive(Debug, Args)]
pub(super) struct List {
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Print the set in force, or an earlier version
#[derive(Debug, Args)]
pub(super) struct Show {
    /// A version of the list [default: the one in force]
    #[arg(value_name = "VERSION")]
    number: Option<u64>,
}

/// Put an earlier version in force again, as a new version
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// A version of the list; 0 is the empty set, by which nobody reads
    #[arg(value_name = "VERSION")]
    number: u64,
    /// Why: kept with the version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
    /// Only if this version is still in force
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

/// A version as the server lists it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    version: u64,
    policies: usize,
    applied_at: UnixMillis,
    author: String,
    #[serde(default)]
    comment: String,
    restores: Option<u64>,
    active: bool,
}

impl List {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        admin.print_list("/v1/policies/versions", self.json, table).await
    }
}

impl Show {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let number = self.number.map(|number| number.to_string());
        let query: Vec<_> = number.iter().map(|number| ("version", number.as_str())).collect();
        terminal::text(&admin.get_text(&with_query("/v1/policies", &query)).await?)
    }
}

impl Rollback {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let body = json!({ "version": self.number, "comment": self.comment });
        let applied: Applied =
            admin.send_json_if(Method::POST, "/v1/policies/rollback", &body, self.if_version).await?;
        applied.print()
    }
}

fn table(versions: Vec<Listed>) -> String {
    let rows: Vec<_> = versions
        .into_iter()
        .map(|listed| {
            let mark = if listed.active { " (active)" } else { "" };
            let restores = listed.restores.map(|version| format!("restores {version}"));
            let said = Some(listed.comment).filter(|comment| !comment.is_empty());
            [
                format!("{}{mark}", listed.version),
                listed.policies.to_string(),
                listed.applied_at.to_string(),
                listed.author,
                restores.into_iter().chain(said).collect::<Vec<_>>().join("; "),
            ]
        })
        .collect();
    terminal::table(&["VERSION", "POLICIES", "APPLIED", "AUTHOR", "COMMENT"], &rows)
}
