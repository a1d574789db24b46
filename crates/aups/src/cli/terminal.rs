//! Standard output and standard error: lines, tables and colours, the last only where a person looks at them.

use super::failure::Failure;
use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    iter,
};

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// What was asked for.
    Stdout,
    /// What is said about it.
    Stderr,
}

impl Stream {
    /// Whether a person looks at it.
    pub(crate) fn is_terminal(self) -> bool {
        match self {
            Self::Stdout => io::stdout().is_terminal(),
            Self::Stderr => io::stderr().is_terminal(),
        }
    }

    /// Whether colours are wanted (`NO_COLOR`: no-color.org).
    pub(crate) fn is_coloured(self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        self.is_terminal() && !unwanted
    }
}

/// Writes a line to standard output. That the reader has gone is not a panic.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Writes a text to standard output, as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// Writes a line to standard error. That nobody reads it changes nothing.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Asks a person whether something is meant that cannot be undone; a script says so with `--yes`. `what` would be done.
pub(crate) fn confirm(yes: bool, question: &str, what: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !Stream::Stderr.is_terminal() {
        let error = format!("{what}; nothing was changed");
        return Err(Failure::input_refused(error).help("say --yes if that is meant"));
    }
    note(&format!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Failure::failed("nothing was changed")) }
}

/// A text that others wrote, without what would steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}

/// Colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// The colours that suit a stream.
    pub(crate) fn of(stream: Stream) -> Self {
        Self { on: stream.is_coloured() }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) const fn plain() -> Self {
        Self { on: false }
    }

    /// What went wrong.
    pub(crate) fn red(self, text: &str) -> String {
        self.with("1;31", text)
    }

    /// What is good.
    pub(crate) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    /// What deserves a look.
    pub(crate) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    /// A place, or advice.
    pub(crate) fn cyan(self, text: &str) -> String {
        self.with("36", text)
    }

    /// A heading.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    /// What matters less.
    pub(crate) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// So many of something.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Rows in columns, each as wide as its widest cell, below their headings. Nothing is shown as `-`; no rows are shown as
/// the headings alone.
pub(crate) fn table<R: AsRef<[String]>>(headings: &[&str], rows: &[R]) -> String {
    let headings: Vec<_> = headings.iter().map(ToString::to_string).collect();
    let rows = rows.iter().map(|row| {
        row.as_ref().iter().map(|cell| if cell.is_empty() { "-".to_owned() } else { harmless(cell) }).collect()
    });
    let lines: Vec<Vec<String>> = iter::once(headings).chain(rows).collect();
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let chars = |line: &Vec<String>, column| line.get(column).map_or(0, |cell: &String| cell.chars().count());
    let widths: Vec<_> =
        (0..columns).map(|column| lines.iter().map(|line| chars(line, column)).max().unwrap_or_default()).collect();
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            let cells: Vec<_> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
