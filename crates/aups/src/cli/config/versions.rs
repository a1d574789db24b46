//! `aups config versions` and `rollback`: the versions that are kept.

use super::document::InForce;
use crate::cli::{admin::Admin, failure::Failure, versions};
use clap::Args;
use reqwest::Method;
use serde_json::json;

/// List the versions that were set, the oldest first
#[derive(Debug, Args)]
pub(super) struct Versions {
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Put an earlier version in force again, as a new version
#[derive(Debug, Args)]
pub(super) struct Rollback {
    /// A version of the list; 0 is what the settings say
    #[arg(value_name = "VERSION")]
    number: u64,
    /// Why: kept with the version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
    /// Only if this version is still in force
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

impl Versions {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        admin.print_list("/v1/config/versions", self.json, versions::table).await
    }
}

impl Rollback {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let body = json!({ "version": self.number, "comment": self.comment });
        let restored: InForce = admin.send_json_if(Method::POST, "/v1/config/rollback", &body, self.if_version).await?;
        restored.print()
    }
}
