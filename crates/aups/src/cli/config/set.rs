//! `aups config set`: a file becomes the document in force.

use super::document::{Answer, Document, print_version};
use crate::cli::{admin::Admin, failure::Failure, versions::NewVersion};
use clap::Args;
use std::path::PathBuf;

/// Replace the whole document; returns when every connected NOS uses it
#[derive(Debug, Args)]
pub(super) struct Set {
    /// The document: JSON; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    version: NewVersion,
}

impl Set {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let document = Document::read(&self.file)?;
        match document.set(&self.version.comment, self.version.if_version, admin).await? {
            Answer::InForce(version) => print_version(version),
            Answer::Refused(problem) => Err(document.refused(&problem)),
        }
    }
}
