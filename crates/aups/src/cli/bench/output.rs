//! Where the figures of a bench go.

use crate::cli::{failure::Failure, terminal};
use clap::Args;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// In which forms figures are wanted.
#[derive(Debug, Args)]
pub(super) struct Output {
    /// Write the figures of every load to this file
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write the JSON to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Output {
    /// Prints the figures, and writes the files that are wanted.
    pub(super) fn tell(
        self,
        figures: &Value,
        text: impl FnOnce() -> String,
        write_csv: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.csv.map_or(Ok(()), |file| write_csv(&file))?;
        if let Some(file) = self.out {
            let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
            let written = folder.and_then(|()| fs::write(&file, format!("{figures:#}\n")));
            written.map_err(|error| Failure::failed(format!("cannot write {}: {error}", file.display())))?;
        }
        terminal::line(&if self.json { figures.to_string() } else { text() })
    }
}
