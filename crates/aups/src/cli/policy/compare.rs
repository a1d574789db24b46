//! `aups policy diff`: who would gain and lose what.

use super::{Files, fault, text::PolicyText};
use crate::cli::{admin::Admin, failure::Failure, terminal};
use aups_policy::Diff;
use clap::Args;
use indicatif::ProgressBar;
use reqwest::Method;
use std::time::Duration;

/// Show who would gain and lose what if the files were applied; changes nothing
#[derive(Debug, Args)]
pub(super) struct Compare {
    #[command(flatten)]
    files: Files,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

impl Compare {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let diff = ask(&PolicyText::read(&self.files.files)?, admin).await?;
        if self.json { terminal::line(&serde_json::json!(diff).to_string()) } else { print(&diff) }
    }
}

/// What would change if this set replaced the one in force.
pub(super) async fn ask(text: &PolicyText, admin: &Admin) -> Result<Diff, Failure> {
    // Shows that something goes on, where somebody looks.
    let waiting = ProgressBar::new_spinner().with_message("comparing for all readers and topics");
    waiting.enable_steady_tick(Duration::from_millis(200));
    let answer = admin.send_text(Method::POST, "/v1/policies/diff", text.source().to_owned(), None).await;
    waiting.finish_and_clear();
    answer?.map_err(|problem| fault::tell_answer(text, &problem))
}

pub(super) fn print(diff: &Diff) -> Result<(), Failure> {
    terminal::line(&diff.to_string())
}
