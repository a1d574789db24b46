//! `aups config get`: the document in force.

use super::document::{Document, pretty};
use crate::cli::{admin::Admin, failure::Failure, terminal};
use clap::Args;

/// Print the document in force, with all that it leaves to defaults
#[derive(Debug, Args)]
#[command(disable_version_flag = true)]
pub(super) struct Get {
    /// Another version: see `aups config versions`; 0 is what the settings say
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// On one line, for machines
    #[arg(long)]
    json: bool,
}

impl Get {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let text = Document::of_server(self.version, admin).await?;
        if self.json { terminal::line(&text) } else { terminal::text(&pretty(&text)) }
    }
}
