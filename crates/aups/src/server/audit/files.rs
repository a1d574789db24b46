//! The files of a trail: named by the number of their first line, so that names sort as numbers do.

use super::chain::{LINE_BYTES_MAX, Link};
use aups_core::UnixMillis;
use serde_json::value::RawValue;
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

/// Digits of a file's name.
const NAME_DIGITS: usize = 12;
const EXTENSION: &str = "jsonl";

/// The files of a trail with the number of the first line of each, oldest first.
pub(crate) fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let first = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let Some(first) = first.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
            files.push((first, path));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The file whose first line has this number.
pub(super) fn file_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0NAME_DIGITS$}.{EXTENSION}"))
}

/// A file's name without its folder.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Lines of a file, one at a time.
#[derive(Debug)]
pub(crate) struct Lines<R>(R);

impl Lines<BufReader<File>> {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(BufReader::with_capacity(256 << 10, File::open(path)?)))
    }
}

/// What is next in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line, without its line feed.
    Line,
    /// Bytes without a line feed after them, or more of them than a line has.
    Torn,
    /// Nothing more.
    End,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line into `line`, replacing what is there.
    pub(crate) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<Next> {
        line.clear();
        let read = (&mut self.0).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', line)?;
        Ok(match line.pop_if(|last| *last == b'\n') {
            Some(_) => Next::Line,
            None if read == 0 => Next::End,
            None => Next::Torn,
        })
    }
}

/// Up to where to look in one go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Lines with higher numbers.
    pub(crate) after: u64,
    /// The newest line that counts.
    pub(crate) newest: u64,
    /// Most lines that are found.
    pub(crate) found_max: usize,
    /// Most lines that are looked at.
    pub(crate) looked_max: usize,
}

/// What was found, and the number of the newest line that was looked at.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) lines: Vec<Box<RawValue>>,
    pub(crate) looked_to: u64,
}

/// The lines of a span that are wanted, as they are on disk.
pub(crate) fn find(dir: &Path, span: Span, mut is_wanted: impl FnMut(&str) -> bool) -> io::Result<Found> {
    let files = files(dir)?;
    let from = files.iter().rposition(|(first, _)| *first <= span.after.saturating_add(1)).unwrap_or_default();
    let mut found = Found { lines: Vec::new(), looked_to: span.after };
    let (mut looked, mut line) = (0, Vec::new());
    for (first, path) in files.get(from..).unwrap_or_default() {
        let mut lines = Lines::open(path)?;
        // Lines of a file are numbered without a gap.
        let mut number = *first;
        while found.lines.len() < span.found_max && looked < span.looked_max && number <= span.newest {
            if lines.next(&mut line)? != Next::Line {
                break;
            }
            if number > span.after {
                let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
                if is_wanted(text) {
                    found.lines.push(RawValue::from_string(text.to_owned())?);
                }
                found.looked_to = number;
                looked += 1;
            }
            number += 1;
        }
    }
    Ok(found)
}

/// The number of a line before which everything is older than a time: for whoever looks from there on.
pub(crate) fn before(dir: &Path, time: UnixMillis) -> io::Result<u64> {
    let files = files(dir)?;
    let mut line = Vec::new();
    let mut began_before = |path: &Path| -> io::Result<bool> {
        let next = Lines::open(path)?.next(&mut line)?;
        Ok(next == Next::Line && Link::read(&line).is_some_and(|link| link.at < time))
    };
    let mut before = 0;
    for (first, path) in &files {
        if !began_before(path)? {
            break;
        }
        before = first.saturating_sub(1);
    }
    Ok(before)
}
