//! What a reader remembers, on disk: a snapshot, and behind it a line for each message since.
//!
//! A line is written before its message is acknowledged to the broker, without waiting for the disk: it survives a kill of
//! the process, not a failure of the machine. When the lines behind the snapshot have become more than it, a new file takes the
//! place of the old one at once. Each line begins with a hash of the rest, so that damage shows; a last line without an end is
//! one that a kill cut off, and is forgotten.

use crate::Identity;
use aups_core::{RealmId, Sub};
use aups_envelope::{accept::Memory, b64, hash, sha256};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead as _, BufReader, BufWriter, Seek as _, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The form of the file.
const VERSION: u32 = 1;
/// Largest file that is read. What is remembered is bounded; this is beyond it.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Longest line: the item ids of one topic, with room.
const LINE_BYTES_MAX: u64 = 128 << 10;
/// Lines behind the snapshot are not folded into a new one before they are so many bytes.
const JOURNAL_BYTES_MIN: u64 = 1 << 20;
/// Characters of the hash that a line begins with.
const HASH_CHARS: usize = 11;

/// Why a state file is not used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another reader of this machine has it open: two would acknowledge each other's messages.
    #[error("{} is in use by another reader: give each its own state file", .0.display())]
    InUse(PathBuf),
    /// It is somebody else's.
    #[error("{} is the state of {sub} in realm {realm}: give this reader a state file of its own", path.display())]
    OfAnother {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        sub: Sub,
        /// Where that one reads.
        realm: RealmId,
    },
    /// Not written by this version, or changed since.
    #[error("{} is damaged in line {line}, or no state file: move it away; the reader then begins anew, and may get again what it had", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
    /// Written by another version.
    #[error("{} has version {version}, this program writes {VERSION}: use the program that wrote it, or move the file away", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// The system did not let us.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The first line: whose state it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    version: u32,
    realm: RealmId,
    sub: Sub,
    /// Names the session at the broker, which outlives the program.
    client_id: String,
}

/// A state file at work.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    head: Head,
    file: File,
    /// Held as long as the file is in use.
    _lock: File,
    bytes: u64,
    snapshot_bytes: u64,
}

impl StateFile {
    /// Opens the state of a reader, or begins one, and tells what is in it.
    pub(crate) fn open(
        path: &Path,
        identity: &Identity,
        mut remember: impl FnMut(&Memory),
    ) -> Result<Self, StateError> {
        let failed = |source| StateError::Io { path: path.into(), source };
        let lock = private().create(true).write(true).open(beside(path, "lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StateError::InUse(path.into())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let client_id = format!("aups-{}", b64::encode(&hash::random::<12>()));
                let file = &identity.file;
                let head = Head { version: VERSION, realm: file.realm, sub: file.sub.clone(), client_id };
                let (file, bytes) = replace(path, &head, std::iter::empty()).map_err(failed)?;
                return Ok(Self { path: path.into(), head, file, _lock: lock, bytes, snapshot_bytes: bytes });
            }
            Err(source) => return Err(failed(source)),
        };
        let (head, bytes) = read(path, &file, identity, &mut remember)?;
        let mut file = file;
        file.set_len(bytes).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        Ok(Self { path: path.into(), head, file, _lock: lock, bytes, snapshot_bytes: bytes })
    }

    /// Names the session at the broker.
    pub(crate) fn client_id(&self) -> &str {
        &self.head.client_id
    }

    /// Writes down what is to be remembered. Fails whole: what is there of it then is taken back.
    pub(crate) fn append<'a>(&mut self, memories: impl IntoIterator<Item = &'a Memory>) -> io::Result<()> {
        let lines: Vec<u8> = memories.into_iter().flat_map(line).collect();
        let written = self.file.write_all(&lines);
        if written.is_ok() {
            self.bytes += lines.len() as u64;
        } else {
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::End(0))?;
        }
        written
    }

    /// Whether it is time for a new snapshot.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes - self.snapshot_bytes > self.snapshot_bytes.max(JOURNAL_BYTES_MIN)
    }

    /// Puts all that is remembered in the place of what was written so far.
    pub(crate) fn fold(&mut self, memories: impl Iterator<Item = Memory>) -> io::Result<()> {
        (self.file, self.bytes) = replace(&self.path, &self.head, memories)?;
        self.snapshot_bytes = self.bytes;
        Ok(())
    }
}

/// Reads the lines; answers with the first one and the length up to the last that is whole.
fn read(
    path: &Path,
    file: &File,
    identity: &Identity,
    remember: &mut impl FnMut(&Memory),
) -> Result<(Head, u64), StateError> {
    let damaged = |line| StateError::Damaged { path: path.into(), line };
    let failed = |source| StateError::Io { path: path.into(), source };
    if file.metadata().map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(damaged(0));
    }
    let mut lines = BufReader::new(file);
    let (mut head, mut bytes, mut number, mut text) = (None, 0, 0, Vec::new());
    loop {
        text.clear();
        number += 1;
        let read = io::Read::take(&mut lines, LINE_BYTES_MAX).read_until(b'\n', &mut text).map_err(failed)?;
        match (text.strip_suffix(b"\n"), &head) {
            // The end, or what a kill cut off.
            (None, Some(_)) if (read as u64) < LINE_BYTES_MAX => break,
            (None, _) => return Err(damaged(number)),
            (Some(whole), None) => {
                let read: Head = value(whole).ok_or_else(|| damaged(number))?;
                check(path, &read, identity)?;
                head = Some(read);
            }
            (Some(whole), Some(_)) => remember(&value(whole).ok_or_else(|| damaged(number))?),
        }
        bytes += read as u64;
    }
    head.map(|head| (head, bytes)).ok_or_else(|| damaged(1))
}

fn check(path: &Path, head: &Head, identity: &Identity) -> Result<(), StateError> {
    let Head { version, realm, sub, .. } = head.clone();
    let path = path.into();
    if version != VERSION {
        return Err(StateError::Version { path, version });
    }
    if (&realm, &sub) != (&identity.file.realm, &identity.file.sub) {
        return Err(StateError::OfAnother { path, sub, realm });
    }
    Ok(())
}

/// Writes a new file, and puts it in the place of the old one when it is on disk.
fn replace(path: &Path, head: &Head, memories: impl Iterator<Item = Memory>) -> io::Result<(File, u64)> {
    let new = beside(path, "new");
    let file = private().create(true).truncate(true).read(true).write(true).open(&new)?;
    let mut out = BufWriter::new(file);
    let mut bytes = 0;
    for line in std::iter::once(line(head)).chain(memories.map(|memory| line(&memory))) {
        bytes += line.len() as u64;
        out.write_all(&line)?;
    }
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir)?.sync_all()?;
    Ok((file, bytes))
}

/// For nobody else to look into.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and arrays of them: nothing that fails to serialise.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let mut line = hash_of(&json).into_bytes();
    line.push(b' ');
    line.extend(json);
    line.push(b'\n');
    line
}

fn value<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let (hash, json) = line.split_at_checked(HASH_CHARS)?;
    let json = json.strip_prefix(b" ")?;
    (hash == hash_of(json).as_bytes()).then(|| serde_json::from_slice(json).ok())?
}

fn hash_of(json: &[u8]) -> String {
    let mut text = b64::encode(&sha256(&[json]));
    text.truncate(HASH_CHARS);
    text
}

#[cfg(test)]
mod tests;
