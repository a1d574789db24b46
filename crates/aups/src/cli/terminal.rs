//! Standard output and standard error: lines, tables and colours, the last only where a person looks at them.

use super::failure::Failure;
use std::io::{self, IsTerminal as _, Write as _};

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

/// Rows in columns, each as wide as its widest cell, below their headings. No rows: the headings alone.
pub(crate) fn table<R: AsRef<[String]>>(headings: &[&str], rows: &[R]) -> String {
    let mut widths: Vec<_> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<_> = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![padded(&mut headings.iter().copied())];
    lines.extend(rows.iter().map(|row| padded(&mut row.as_ref().iter().map(String::as_str))));
    lines.join("\n")
}

#[cfg(test)]
mod tests;
