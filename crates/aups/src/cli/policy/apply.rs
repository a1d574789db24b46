//! `aups policy apply`: files become the set in force.

use super::{Files, compare, fault, retroactive, test, text::PolicyText};
use crate::cli::{admin::Admin, failure::Failure, http::with_query, terminal, versions::NewVersion};
use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use std::path::PathBuf;

/// Replace the whole set; returns when every connected NOS uses it
#[derive(Debug, Args)]
pub(super) struct Apply {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    version: NewVersion,
    /// Show who would gain and lose what, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Also destroy the keys of what was sealed before, on topics of which somebody loses something
    #[arg(long)]
    retroactive: bool,
    /// Destroy without asking
    #[arg(long, requires = "retroactive")]
    yes: bool,
    /// Apply only if these expectations hold: see `aups policy test`
    #[arg(long, num_args = 1.., value_name = "FILE")]
    tests: Vec<PathBuf>,
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
        if !self.tests.is_empty() {
            test::before_apply(&self.tests, &text, admin).await?;
        }
        if self.dry_run {
            return compare::print(&compare::ask(&text, admin).await?);
        }
        let mut if_version = self.version.if_version;
        let scopes = if self.retroactive {
            // What is listed is what this version meant.
            if_version = if_version.or(retroactive::active_version(admin).await?);
            retroactive::superseded(&compare::ask(&text, admin).await?, admin).await?
        } else {
            Vec::new()
        };
        if !scopes.is_empty() {
            retroactive::confirm(&scopes, self.yes)?;
        }
        let path = with_query("/v1/policies", &[("comment", &self.version.comment)]);
        let applied: Result<Applied, _> =
            admin.send_text(Method::PUT, &path, text.source().to_owned(), if_version).await?;
        applied.map_err(|problem| fault::tell_answer(&text, &problem))?.print()?;
        if self.retroactive { retroactive::destroy(&scopes, admin).await } else { Ok(()) }
    }
}

impl Applied {
    /// Scripts read this line: the word stays the same for one policy.
    pub(super) fn print(&self) -> Result<(), Failure> {
        terminal::line(&format!("version {}: {} policies", self.version, self.policies))
    }
}
