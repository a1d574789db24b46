//! `aups score verify`: computes scores again, without a server.

use super::{parse, read};
use crate::cli::{
    failure::Failure,
    terminal::{self, counted},
};
use aups_nos::analyse::explain::{Difference, VerifyError};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

/// Compute scores again from what an explanation says; no server is asked
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Compute scores again from what an explanation says of the item, its arrival, its history and the rules; no \
server is asked. Exits with 1 and names each score that comes to something else, with 4 if the file is no explanation.\n\nThat \
the item came as the explanation says, it cannot know: keep explanations where nobody else writes."
)]
pub(super) struct Verify {
    /// What `aups score explain --json` printed; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// As JSON, for machines
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups score verify why.json
  aups score explain ID --json | aups score verify -";

impl Verify {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (name, text) = read(&self.file)?;
        let explanation = parse(&name, &text)?;
        let differences = explanation.verify().map_err(|error| refused(&name, &error))?;
        if self.json {
            let listed: Vec<_> = differences
                .iter()
                .map(|one| json!({ "score": one.score, "part": one.part, "said": one.said, "computed": one.computed }))
                .collect();
            terminal::line(&json!({ "verified": listed.is_empty(), "differences": listed }).to_string())?;
        } else if differences.is_empty() {
            let scores = counted(explanation.scores.len(), "score", "scores");
            terminal::line(&format!("{scores} of item {} are what they should be", explanation.item.id))?;
        } else {
            terminal::line(&table(&differences))?;
        }
        if differences.is_empty() { Ok(()) } else { Err(differing(&name, &differences)) }
    }
}

fn table(differences: &[Difference]) -> String {
    let row = |one: &Difference| [one.score.to_string(), one.part.to_owned(), one.said.clone(), one.computed.clone()];
    let rows: Vec<_> = differences.iter().map(row).collect();
    terminal::table(&["score", "of", "said", "computed"], &rows)
}

fn differing(name: &str, differences: &[Difference]) -> Failure {
    let mut scores: Vec<_> = differences.iter().map(|one| one.score.as_str()).collect();
    scores.dedup();
    let error = format!(
        "in {name}, {} does not follow from the rest: {}",
        counted(scores.len(), "score", "scores"),
        scores.join(", ")
    );
    Failure::failed(error).help("the file was changed after it was written, or comes from another version of aups")
}

fn refused(name: &str, error: &VerifyError) -> Failure {
    let mut told = format!("{name} cannot be computed again: {error}");
    if let VerifyError::Rules(errors) = error {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        told = format!("{told}: {}", errors.join("; "));
    }
    Failure::input_refused(terminal::harmless(&told))
}
