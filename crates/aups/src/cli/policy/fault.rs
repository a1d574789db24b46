//! What is wrong with a policy set, found here or told by the server, at the lines of the files that it was read from.

use super::{report, text::PolicyText};
use crate::cli::{
    failure::Failure,
    terminal::{self, Paint, Stream, counted},
};
use aups_core::Problem;
use aups_policy::PolicyError;
use serde::Deserialize;

/// Shows every fault with its line; what remains to be told is how many there are.
pub(super) fn tell(text: &PolicyText, faults: &[PolicyError]) -> Failure {
    let paint = Paint::of(Stream::Stderr);
    for fault in faults {
        terminal::note(&format!("{}\n", report::render(fault, text, paint)));
    }
    Failure::input_refused(format!("{}; nothing was changed", counted(faults.len(), "fault", "faults")))
}

/// A fault as the server tells it.
#[derive(Deserialize)]
struct Told {
    line: usize,
    column: usize,
    message: String,
    help: String,
}

/// What the server said of a set; a problem that is not about the text is told as any other.
pub(super) fn tell_answer(text: &PolicyText, problem: &Problem) -> Failure {
    let told = problem.further.get("errors").map(Vec::<Told>::deserialize);
    let Some(Ok(told)) = told else { return Failure::answered(problem) };
    let faults: Vec<_> = told
        .into_iter()
        .map(|Told { line, column, message, help }| PolicyError { line, column, message, help })
        .collect();
    tell(text, &faults)
}
