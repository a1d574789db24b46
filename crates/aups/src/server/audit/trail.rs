//! The trail on disk: JSON lines in files that are named by the number of their first line. Each line has the SHA-256 of
//! the line before, without its line feed, as `prev`; the first of all has zeros. The chain goes on from file to file.

use super::Event;
use anyhow::{Context as _, bail};
use aups_core::UnixMillis;
use aups_envelope::{b64, sha256};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// From this size on, a file gets no further line.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// What a kill or a power failure can tear is at most one group of lines.
const TORN_BYTES_MAX: usize = 1 << 20;
/// Digits of a file's name, so that names sort as numbers do.
const NAME_DIGITS: usize = 12;
const EXTENSION: &str = "jsonl";

/// Puts what was written to a file on the disk.
pub(super) type Sync = Box<dyn Fn(&File) -> io::Result<()> + Send>;

/// A line as it is written.
#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    prev: &'a str,
    at: UnixMillis,
    #[serde(flatten)]
    event: &'a Event,
}

/// What of a line its place in the chain is known by.
#[derive(Deserialize)]
struct Link {
    number: u64,
    prev: String,
}

/// Up to where the trail goes: the newest line's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    number: u64,
    hash: [u8; 32],
}

impl Head {
    /// Before the first line.
    const NONE: Self = Self { number: 0, hash: [0; 32] };

    /// With one more line, if it follows. What came before the oldest file that is kept is unknown.
    fn followed_by(before: Option<Self>, line: &[u8]) -> Option<Self> {
        let link: Link = serde_json::from_slice(line).ok()?;
        let follows = before.is_none_or(|head| link.number == head.number + 1 && link.prev == b64::encode(&head.hash));
        follows.then(|| Self { number: link.number, hash: sha256(&[line]) })
    }
}

/// The end of the trail, where lines are added.
pub(super) struct Trail {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// How much of the file is known to be on disk; what is beyond was never answered.
    synced: u64,
    /// Whether something may be beyond.
    torn: bool,
    head: Head,
    file_bytes_max: u64,
    sync: Sync,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("path", &self.path).field("head", &self.head).finish_non_exhaustive()
    }
}

impl Trail {
    /// Opens the trail in a directory, which is made if it is not there. What a kill left of a group of lines is cut off,
    /// and a line says so; damage that no kill explains is an error.
    pub(super) fn open(dir: &Path, now: UnixMillis) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        check_private(dir, "700")?;
        let files = files(dir)?;
        let path = files.last().map_or_else(|| file_path(dir, 1), |(_, path)| path.clone());
        let before = match files.as_slice() {
            [] | [(1, _)] => Some(Head::NONE),
            [_] => None,
            [.., (_, previous), _] => walk(previous, None)?.head,
        };
        let file = open_file(&path)?;
        check_private(&path, "600")?;
        let Walked { head, whole, torn } = walk(&path, before)?;
        let Some(head) = head else {
            bail!("{} has no line and the files before it are missing: put them back", path.display());
        };
        sync_dir(dir)?;
        let mut trail = Self {
            dir: dir.to_owned(),
            path,
            file,
            synced: whole,
            torn: torn > 0,
            head,
            file_bytes_max: FILE_BYTES_MAX,
            sync: Box::new(File::sync_data),
        };
        if torn > 0 {
            let file = trail.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            trail.append(now, [&Event::Repaired { file, bytes: torn }].into_iter())?;
        }
        Ok(trail)
    }

    /// The number of the newest line; 0 before the first.
    pub(super) const fn newest(&self) -> u64 {
        self.head.number
    }

    /// Adds a line for each event and gives the number of the first; all are on disk when this returns. If it fails, none
    /// is in the trail, and it may be tried again.
    pub(super) fn append<'a>(&mut self, at: UnixMillis, events: impl Iterator<Item = &'a Event>) -> io::Result<u64> {
        self.check_place()?;
        if self.torn {
            self.file.set_len(self.synced)?;
            self.torn = false;
        }
        if self.synced >= self.file_bytes_max {
            self.next_file()?;
        }
        let mut head = self.head;
        let mut lines = Vec::new();
        for event in events {
            let line = Line { number: head.number + 1, prev: &b64::encode(&head.hash), at, event };
            let line = serde_json::to_vec(&line)?;
            head = Head { number: head.number + 1, hash: sha256(&[&line]) };
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        self.torn = true;
        self.file.write_all(&lines)?;
        (self.sync)(&self.file)?;
        self.torn = false;
        self.synced += lines.len() as u64;
        let first = self.head.number + 1;
        self.head = head;
        Ok(first)
    }

    /// Goes on in a new file.
    fn next_file(&mut self) -> io::Result<()> {
        let path = file_path(&self.dir, self.head.number + 1);
        let file = open_file(&path)?;
        // One that an earlier attempt left has no line that was answered.
        file.set_len(0)?;
        sync_dir(&self.dir)?;
        (self.path, self.file, self.synced) = (path, file, 0);
        Ok(())
    }

    /// Whether the file is still where the next start looks for it: lines in a file that was removed would be lost.
    fn check_place(&self) -> io::Result<()> {
        let (there, ours) = (fs::metadata(&self.path), self.file.metadata()?);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "{} was moved, removed or replaced; put it back, or stop the server, keep what there is, and start again",
            self.path.display()
        )))
    }
}

/// The lines with numbers above `after` and up to `newest`, at most `limit`, as they are on disk.
pub(super) fn lines(dir: &Path, after: u64, newest: u64, limit: usize) -> io::Result<Vec<Box<RawValue>>> {
    let files = files(dir)?;
    let from = files.iter().rposition(|(first, _)| *first <= after.saturating_add(1)).unwrap_or_default();
    let mut found = Vec::new();
    for (first, path) in files.get(from..).unwrap_or_default() {
        if found.len() >= limit || *first > newest {
            break;
        }
        let text = fs::read_to_string(path)?;
        // Lines of a file are numbered without a gap.
        let lines = (*first..=newest).zip(text.lines()).filter(|(number, _)| *number > after);
        for (_, line) in lines.take(limit - found.len()) {
            found.push(RawValue::from_string(line.to_owned())?);
        }
    }
    Ok(found)
}

/// How far a file holds.
struct Walked {
    /// After its last whole line.
    head: Option<Head>,
    /// Bytes of whole lines.
    whole: u64,
    /// Bytes after them.
    torn: u64,
}

/// Follows the chain through a file.
fn walk(path: &Path, before: Option<Head>) -> anyhow::Result<Walked> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (mut head, mut whole, mut number) = (before, 0, 1_u64);
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
        let Some(next) = Head::followed_by(head, line) else {
            let is_line = serde_json::from_slice::<Link>(line).is_ok();
            if is_line || rest.len() > TORN_BYTES_MAX {
                bail!(
                    "line {number} of {} was changed, or lines before it are missing. Move this file to a place of \
                     evidence and start again: the trail goes on from the file before",
                    path.display()
                );
            }
            break;
        };
        (head, number, rest) = (Some(next), number + 1, after);
        whole += end as u64 + 1;
    }
    Ok(Walked { head, whole, torn: rest.len() as u64 })
}

/// The files of a trail with the number of the first line of each, oldest first.
fn files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
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

fn file_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0NAME_DIGITS$}.{EXTENSION}"))
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn check_private(path: &Path, mode: &str) -> anyhow::Result<()> {
    if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
        bail!("{0} may be read by others; make it private: chmod {mode} {0}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
