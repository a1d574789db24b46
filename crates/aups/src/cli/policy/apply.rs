//! `aups policy apply`: files become the set in force.

use super::{Files, fault, text::PolicyText};
use crate::cli::{admin::Admin, failure::Failure, http::with_query, terminal};
use clap::Args;
use reqwest::Method;
use serde::Deserialize;

/// Replace the whole set; returns when every connected NOS uses it
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    /// Why: kept with the version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    comment: String,
    /// Only if this version is still in force
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

/// A set that is in force.
#[derive(Deserialize)]
pub(super) struct Applied {
    version: u64,
    policies: usize,
}

impl Apply {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let text = PolicyText::read(&self.files.files)?;
        let path = with_query("/v1/policies", &[("comment", &self.comment)]);
        let applied: Result<Applied, _> =
            admin.send_text(Method::PUT, &path, text.source().to_owned(), self.if_version).await?;
        applied.map_err(|problem| fault::tell_answer(&text, &problem))?.print()
    }
}

impl Applied {
    /// Scripts read this line: the word stays the same for one policy.
    pub(super) fn print(&self) -> Result<(), Failure> {
        terminal::line(&format!("version {}: {} policies", self.version, self.policies))
    }
}
