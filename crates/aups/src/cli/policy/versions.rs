//! `aups policy list`, `show` and `rollback`: the versions that are kept.

use super::apply::Applied;
use crate::cli::{
    admin::Admin,
    failure::Failure,
    http::with_query,
    terminal,
    versions::{self, NewVersion},
};
use clap::Args;
use reqwest::Method;
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
    #[command(flatten)]
    version: NewVersion,
}

impl List {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        admin.print_list("/v1/policies/versions", self.json, versions::table_of_policies).await
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
        let body = json!({ "version": self.number, "comment": self.version.comment });
        let applied: Applied =
            admin.send_json_if(Method::POST, "/v1/policies/rollback", &body, self.version.if_version).await?;
        applied.print()
    }
}
