//! The trail on disk: JSON lines in files. Each line has the SHA-256 of the line before, without its line feed, as `prev`;
//! the first of all has zeros. The chain goes on from file to file. Every so often a line is a checkpoint: what the realm
//! signed of all lines before it.

use super::{
    Event,
    chain::{Head, Link, Signer, Told},
    files::{file_path, files, name},
};
use anyhow::{Context as _, bail};
use aups_core::UnixMillis;
use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

/// From this size on, a file gets no further line but a checkpoint.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// What a kill or a power failure can tear is at most one group of lines.
const TORN_BYTES_MAX: usize = 2 << 20;
/// Most lines that are synced as one.
pub(super) const GROUP_LINES_MAX: usize = 1_024;
/// A group takes no further lines from so many bytes on.
pub(super) const GROUP_BYTES_MAX: usize = 512 << 10;
/// Lines that have no checkpoint after them: from so many on, the group that has the last gets one.
pub(super) const CHECKPOINT_LINES_MAX: u64 = 1_000;
/// How old the newest checkpoint is when lines get another one.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_mins(1);

/// Puts what was written to a file on the disk.
pub(super) type Sync = Box<dyn Fn(&File) -> io::Result<()> + Send>;

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
    signer: Arc<OnceLock<Signer>>,
    signed: Signed,
    file_bytes_max: u64,
    sync: Sync,
}

/// How far the trail is signed.
#[derive(Debug, Clone, Default)]
struct Signed {
    /// The newest checkpoint.
    newest: Option<String>,
    /// Lines after it.
    lines_since: u64,
    /// When it was made, if that was in this run.
    at: Option<UnixMillis>,
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trail").field("path", &self.path).field("head", &self.head).finish_non_exhaustive()
    }
}

impl Trail {
    /// Opens the trail in a directory, which is made if it is not there. What a kill left of a group of lines is cut off,
    /// and a line says so; damage that no kill explains is an error.
    pub(super) fn open(dir: &Path, now: UnixMillis, signer: Arc<OnceLock<Signer>>) -> anyhow::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        check_private(dir, "700")?;
        let files = files(dir)?;
        let path = files.last().map_or_else(|| file_path(dir, 1), |(_, path)| path.clone());
        let mut before = Walked::default();
        match files.as_slice() {
            [] | [(1, _)] => before.head = Some(Head::NONE),
            [_] => {}
            [.., (_, previous), _] => before = walk(previous, before)?,
        }
        let file = open_file(&path)?;
        check_private(&path, "600")?;
        let Walked { head, signed, whole, torn } = walk(&path, before)?;
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
            signer,
            signed,
            file_bytes_max: FILE_BYTES_MAX,
            sync: Box::new(File::sync_data),
        };
        if torn > 0 {
            let file = name(&trail.path);
            trail.append(now, &[Told::of(&Event::Repaired { file, bytes: torn })], false)?;
        }
        Ok(trail)
    }

    /// The number of the newest line; 0 before the first.
    pub(super) const fn newest(&self) -> u64 {
        self.head.number
    }

    /// The newest checkpoint.
    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.signed.newest.as_deref()
    }

    /// Adds a line for each event and gives the number of the first; all are on disk when this returns. A checkpoint
    /// follows if one is due, or if it is asked for and there is anything to sign. If it fails, none is in the trail, and it
    /// may be tried again.
    pub(super) fn append(&mut self, at: UnixMillis, events: &[Told], sign: bool) -> io::Result<u64> {
        let first = self.head.number + 1;
        let (mut head, mut signed) = (self.head, self.signed.clone());
        let mut lines = String::new();
        let mut add = |event: &Told, head: &mut Head| {
            let line = event.line(*head, at);
            *head = Head::after(head.number + 1, line.as_bytes());
            lines.push_str(&line);
            lines.push('\n');
            lines.len() as u64
        };
        let mut bytes = 0;
        for event in events {
            bytes = add(event, &mut head);
            signed.lines_since += 1;
        }
        let is_due = sign
            || signed.lines_since >= CHECKPOINT_LINES_MAX
            || signed.at.is_none_or(|signed_at| at.since(signed_at) >= CHECKPOINT_EVERY)
            || self.room_left() <= bytes;
        let is_due = is_due && signed.lines_since > 0;
        if let Some(checkpoint) = is_due.then(|| self.signature(head, at)).flatten() {
            add(&Told::of(&Event::Checkpoint { signed: checkpoint.clone() }), &mut head);
            signed = Signed { newest: Some(checkpoint), lines_since: 0, at: Some(at) };
        }
        if !lines.is_empty() {
            self.write(lines.as_bytes())?;
        }
        (self.head, self.signed) = (head, signed);
        Ok(first)
    }

    /// A checkpoint over everything up to a line.
    fn signature(&self, head: Head, at: UnixMillis) -> Option<String> {
        self.signer.get()?.sign(head, at)
    }

    /// How much the file in which the next line will be may still take.
    fn room_left(&self) -> u64 {
        match self.file_bytes_max.saturating_sub(self.synced) {
            0 => self.file_bytes_max,
            left => left,
        }
    }

    /// Puts lines on the disk.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.check_place()?;
        if self.torn {
            self.file.set_len(self.synced)?;
            self.torn = false;
        }
        if self.synced >= self.file_bytes_max {
            self.next_file()?;
        }
        self.torn = true;
        self.file.write_all(lines)?;
        (self.sync)(&self.file)?;
        self.torn = false;
        self.synced += lines.len() as u64;
        Ok(())
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

/// How far a file holds.
#[derive(Debug, Default)]
struct Walked {
    /// After its last whole line.
    head: Option<Head>,
    /// The checkpoints in it and before it.
    signed: Signed,
    /// Bytes of whole lines.
    whole: u64,
    /// Bytes after them.
    torn: u64,
}

/// Follows the chain through a file, from the end of the one before it.
fn walk(path: &Path, before: Walked) -> anyhow::Result<Walked> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Walked { mut head, mut signed, .. } = before;
    let (mut whole, mut number) = (0, 1_u64);
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let (line, after) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
        let link = Link::read(line);
        let Some(next) = link.as_ref().filter(|link| link.follows(head)) else {
            if link.is_some() || rest.len() > TORN_BYTES_MAX {
                bail!(
                    "line {number} of {} was changed, or lines before it are missing. Move this file to a place of \
                     evidence and start again: the trail goes on from the file before",
                    path.display()
                );
            }
            break;
        };
        signed.lines_since += 1;
        if let Some(checkpoint) = next.checkpoint() {
            signed = Signed { newest: Some(checkpoint.to_owned()), ..Signed::default() };
        }
        (head, number, rest) = (Some(Head::after(next.number, line)), number + 1, after);
        whole += end as u64 + 1;
    }
    Ok(Walked { head, signed, whole, torn: rest.len() as u64 })
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
