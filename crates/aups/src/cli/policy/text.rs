//! Several files read as one policy text, whose lines find back to their files.

use crate::cli::failure::Failure;
use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// One policy text, and where its lines came from.
#[derive(Debug)]
pub(super) struct PolicyText {
    source: String,
    parts: Vec<Part>,
}

/// One file's lines.
#[derive(Debug)]
struct Part {
    name: String,
    /// The first of its lines in the whole text, from 1.
    first_line: usize,
}

impl PolicyText {
    /// Reads files, `-` being standard input, and puts them together.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Failure> {
        let mut text = Self { source: String::new(), parts: Vec::new() };
        for file in files {
            let (name, bytes) = if file == Path::new("-") {
                let mut bytes = Vec::new();
                ("standard input".to_owned(), io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
            } else {
                (file.display().to_string(), fs::read(file))
            };
            let bytes = bytes.map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
            let part = String::from_utf8(bytes).map_err(|error| {
                Failure::input_refused(format!("{name}: byte {} is not UTF-8", error.utf8_error().valid_up_to()))
            })?;
            text.append(name, &part);
        }
        Ok(text)
    }

    /// A text that comes from elsewhere.
    pub(super) fn of(name: &str, source: &str) -> Self {
        let mut text = Self { source: String::new(), parts: Vec::new() };
        text.append(name.to_owned(), source);
        text
    }

    fn append(&mut self, name: String, part: &str) {
        if !self.source.is_empty() && !self.source.ends_with('\n') {
            self.source.push('\n');
        }
        self.parts.push(Part { name, first_line: self.source.lines().count() + 1 });
        self.source.push_str(part);
    }

    /// The whole text.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// A line of the whole text, from 1.
    pub(super) fn line(&self, line: usize) -> Option<&str> {
        self.source.lines().nth(line.checked_sub(1)?)
    }

    /// The file of a line of the whole text, and which of the file's lines it is.
    pub(super) fn place(&self, line: usize) -> (&str, usize) {
        match self.parts.iter().rev().find(|part| part.first_line <= line) {
            Some(part) => (&part.name, line - part.first_line + 1),
            None => ("policies", line),
        }
    }
}

#[cfg(test)]
pub(super) fn of_parts(parts: &[(&str, &str)]) -> PolicyText {
    let mut text = PolicyText { source: String::new(), parts: Vec::new() };
    for (name, part) in parts {
        text.append((*name).to_owned(), part);
    }
    text
}

#[cfg(test)]
mod tests;
