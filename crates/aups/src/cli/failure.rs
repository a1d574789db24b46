//! What ends a command early: what a person is told, and the exit code that a script sees.

mod client;

use super::terminal::{Paint, Stream, harmless, note};
use aups_core::Problem;
use std::{fmt::Write as _, io, process::ExitCode};

/// Why a command did not do all that was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read our standard output has gone: there is nobody to tell.
    OutputClosed,
    /// Something to tell.
    Told {
        /// What a script sees.
        exit: Exit,
        /// What was wrong, and where.
        error: String,
        /// What to do.
        help: Option<String>,
    },
}

/// The exit codes of a command that was understood and failed. Wrong usage (2) is told by the argument parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// It failed.
    Failed = 1,
    /// The server, the broker or a policy said no.
    Denied = 3,
    /// A policy, a configuration or a registration was refused.
    InputRefused = 4,
}

impl Exit {
    /// What an HTTP status means to a script.
    const fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            400 | 409 | 412 | 413 | 415 | 422 => Self::InputRefused,
            _ => Self::Failed,
        }
    }
}

impl Failure {
    /// It failed.
    pub(crate) fn failed(error: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Failed, error: error.into(), help: None }
    }

    /// It was denied.
    pub(crate) fn denied(error: impl Into<String>) -> Self {
        Self::Told { exit: Exit::Denied, error: error.into(), help: None }
    }

    /// The input was refused.
    pub(crate) fn input_refused(error: impl Into<String>) -> Self {
        Self::Told { exit: Exit::InputRefused, error: error.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn help(mut self, what_to_do: impl Into<String>) -> Self {
        if let Self::Told { help, .. } = &mut self {
            *help = Some(what_to_do.into());
        }
        self
    }

    /// What a server answered instead of what was asked for; its `detail` is shown as it is.
    pub(crate) fn answered(problem: &Problem) -> Self {
        let mut error = if problem.detail.is_empty() {
            format!("{} (HTTP {})", problem.title, problem.status)
        } else {
            problem.detail.to_string()
        };
        let mut place = Vec::new();
        place.extend(problem.member.as_ref().map(|member| format!("member `{member}`")));
        place.extend(problem.line.map(|line| format!("line {line}")));
        place.extend(problem.column.map(|column| format!("column {column}")));
        if !place.is_empty() {
            // Writing to a String does not fail.
            let _ = write!(error, " ({})", place.join(", "));
        }
        Self::Told { exit: Exit::of_status(problem.status), error, help: None }
    }

    /// Tells it on standard error.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::OutputClosed => ExitCode::SUCCESS,
            Self::Told { exit, error, help } => {
                let paint = Paint::of(Stream::Stderr);
                // It may quote what others wrote.
                let lines: Vec<_> = error.lines().map(harmless).collect();
                note(&format!("{} {}", paint.red("error:"), lines.join("\n")));
                if let Some(help) = help {
                    note(&format!("  {} {help}", paint.cyan("help:")));
                }
                ExitCode::from(*exit as u8)
            }
        }
    }
}

impl From<anyhow::Error> for Failure {
    /// The whole chain on one line: each link says only what it knows.
    fn from(error: anyhow::Error) -> Self {
        Self::failed(format!("{error:#}"))
    }
}

/// What went wrong with our own standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::failed(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests;
