//! `aups config check`: whether a document would be taken, found out here.

use super::document::Document;
use crate::cli::{failure::Failure, terminal};
use aups_nos::{ActiveConfig, Config};
use clap::Args;
use std::path::PathBuf;

/// Check a file without a server; changes nothing
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The document: JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let document = Document::read(&self.file)?;
        let config = Config::from_json(document.text.as_bytes()).map_err(|error| document.tell(&[error]))?;
        ActiveConfig::new(0, config).map_err(|errors| document.tell(&errors))?;
        terminal::line("this document would be taken")
    }
}
