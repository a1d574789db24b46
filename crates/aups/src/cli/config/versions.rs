//! `aups config versions` and `rollback`: the versions that are kept.

use super::document::InForce;
use crate::cli::{
    admin::Admin,
    failure::Failure,
    versions::{self, NewVersion},
};
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
    #[command(flatten)]
    version: NewVersion,
}

impl Versions {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        admin.print_list("/v1/config/versions", self.json, versions::table).await
    }
}

impl Rollback {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let body = json!({ "version": self.number, "comment": self.version.comment });
        let restored: InForce =
            admin.send_json_if(Method::POST, "/v1/config/rollback", &body, self.version.if_version).await?;
        restored.print()
    }
}
