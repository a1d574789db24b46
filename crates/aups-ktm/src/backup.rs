//! Backups: everything in the store as of one revision, with the keyring that unwraps it, sealed under a passphrase.
//!
//! ```text
//! aups-backup 1 ⏎
//! {"created":…,"revision":…,"items":…,"passphrase":{salt and cost},"check":"…"} ⏎
//! frames: u32 length ‖ chunk wrapped under the passphrase's key; bound to the header, its number, and whether it is the last
//! chunks: first the keyring (u32 count, then u32 version ‖ 32 bytes each), then items (u32 length ‖ key ‖ u32 length ‖ value)
//! ```
//!
//! A restored realm goes on beside what the lost one did after the backup, so nothing that counts may come again: bumps,
//! incarnations and slots jump ahead by [`AHEAD`].

use crate::{
    custody::{CustodyError, KekProvider, Keyring, Passphrase},
    error::KtmError,
    link::history,
    publisher,
    scope::{self, ScopeRecord},
    scopes,
};
use aups_core::UnixMillis;
use aups_envelope::{
    Kek, Secret, SecretBytes, b64,
    passphrase::{PassphraseCost, SALT_BYTES, passphrase_key},
    random, sha256,
};
use aups_store::{Change, Expect, Revision, Store, Versioned};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    io::{self, BufRead, Read as _},
    path::Path,
    vec,
};
use thiserror::Error;

/// How far bumps, incarnations and slots jump at a restore: more than may have been given between backup and loss.
pub const AHEAD: u16 = 256;

const MAGIC: &str = "aups-backup 1";

/// A chunk is full at so many bytes, or so many items: one transaction of a store.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_ITEMS: usize = 4_096;

/// Longest line at the head, in bytes.
const HEADER_BYTES_MAX: u64 = 4_096;

/// Largest frame, in bytes: a full chunk, one value of the greatest length more, and what wrapping adds.
const FRAME_BYTES_MAX: usize = CHUNK_BYTES + aups_store::store::VALUE_BYTES_MAX + (64 << 10);

/// The version of the passphrase's key, which wraps nothing else.
const PASSPHRASE_VERSION: u32 = 0;

/// Why a backup cannot be restored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file is something else.
    #[error("this is no backup of AUPS, or of a later version")]
    NotABackup,
    /// Another passphrase than at the backup.
    #[error("the passphrase does not open this backup")]
    Passphrase,
    /// The file is not whole.
    #[error("the backup is cut off: copy the file again")]
    Truncated,
    /// The file was changed, or the disk lost something of it.
    #[error("the backup is damaged: take another one")]
    Damaged,
    /// It cannot be read.
    #[error("the backup cannot be read")]
    Io(#[from] io::Error),
    /// What was in it could not be put in its place.
    #[error(transparent)]
    Ktm(#[from] KtmError),
}

/// The versions of a KEK, in clear: only ever inside a chunk.
pub(crate) type Versions = Vec<(u32, Secret<32>)>;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    created: UnixMillis,
    revision: Revision,
    items: usize,
    passphrase: Cost,
    /// Nothing, wrapped: tells a wrong passphrase from a damaged file.
    check: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Cost {
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The key of a backup's passphrase, and what it is bound to.
#[derive(Debug)]
struct Sealing {
    key: Kek,
    header_hash: [u8; 32],
}

impl Sealing {
    fn aad(&self, number: u64, last: bool) -> Vec<u8> {
        [b"backup", &self.header_hash[..], &number.to_be_bytes(), &[u8::from(last)]].concat()
    }
}

const CHECK: &[u8] = b"backup check";

/// A backup that is being made, piece by piece: the head, then the frames. The items are those of one revision.
#[derive(Debug)]
pub struct Backup {
    /// The revision of the store that it is of.
    pub revision: Revision,
    /// How many items it has.
    pub items: usize,
    head: Option<Vec<u8>>,
    sealing: Sealing,
    number: u64,
    keyring: Option<SecretBytes>,
    rest: vec::IntoIter<(String, Versioned)>,
    ended: bool,
}

impl Backup {
    /// Takes the memory and the time of the passphrase's cost; blocks.
    pub(crate) fn new(
        (items, revision): (Vec<(String, Versioned)>, Revision),
        versions: &Versions,
        passphrase: &SecretBytes,
        cost: PassphraseCost,
        now: UnixMillis,
    ) -> Result<Self, KtmError> {
        Passphrase::check(passphrase)?;
        let salt = random::<SALT_BYTES>();
        let key = passphrase_key(passphrase, &salt, cost).map_err(|_| CustodyError::Cost)?;
        let key = Kek::new(PASSPHRASE_VERSION, key);
        let PassphraseCost { memory_kib, passes, lanes } = cost;
        let header = Header {
            created: now,
            revision,
            items: items.len(),
            passphrase: Cost { salt: b64::encode(&salt), memory_kib, passes, lanes },
            check: b64::encode(&key.wrap(CHECK, b"")),
        };
        let line = serde_json::to_vec(&header)
            .map_err(|source| KtmError::Record { key: "the head of the backup".to_owned(), source })?;
        let sealing = Sealing { key, header_hash: sha256(&[&line]) };
        let head = [MAGIC.as_bytes(), b"\n", &line, b"\n"].concat();
        let keyring = Some(encode_versions(versions));
        let count = items.len();
        let rest = items.into_iter();
        Ok(Self { revision, items: count, head: Some(head), sealing, number: 0, keyring, rest, ended: false })
    }

    fn chunk(&mut self) -> SecretBytes {
        if let Some(keyring) = self.keyring.take() {
            return keyring;
        }
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        for (key, item) in self.rest.by_ref().take(CHUNK_ITEMS) {
            push(&mut chunk, key.as_bytes());
            push(&mut chunk, &item.value);
            if chunk.len() >= CHUNK_BYTES {
                break;
            }
        }
        SecretBytes::from_vec(chunk)
    }
}

impl Iterator for Backup {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if self.ended {
            return None;
        }
        let chunk = self.chunk();
        self.ended = self.rest.as_slice().is_empty();
        let wrapped = self.sealing.key.wrap(&self.sealing.aad(self.number, self.ended), chunk.expose());
        self.number += 1;
        let mut frame = Vec::with_capacity(4 + wrapped.len());
        push(&mut frame, &wrapped);
        Some(frame)
    }
}

fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

fn encode_versions(versions: &Versions) -> SecretBytes {
    let mut bytes = Vec::with_capacity(4 + versions.len() * 36);
    bytes.extend_from_slice(&u32::try_from(versions.len()).unwrap_or(u32::MAX).to_be_bytes());
    for (version, key) in versions {
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(key.expose());
    }
    SecretBytes::from_vec(bytes)
}

fn decode_versions(chunk: &[u8]) -> Option<Versions> {
    let (count, rest) = chunk.split_first_chunk().map(|(count, rest)| (u32::from_be_bytes(*count), rest))?;
    let (each, left) = rest.as_chunks::<36>();
    let versions = each.iter().map(|one| {
        let (version, key) = one.split_first_chunk()?;
        Some((u32::from_be_bytes(*version), Secret::from_slice(key)?))
    });
    let versions: Option<Versions> = versions.collect();
    versions.filter(|versions| left.is_empty() && !versions.is_empty() && versions.len() == count as usize)
}

/// Takes a text or value off the front.
fn pull<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = from.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(taken)
}

/// A backup that is being restored.
#[derive(Debug)]
pub struct Restore<R> {
    from: R,
    sealing: Sealing,
    number: u64,
    items: usize,
    /// Where the backup was taken.
    pub created: UnixMillis,
    versions: Versions,
    ended: bool,
}

impl<R: BufRead> Restore<R> {
    /// Reads the head and the keyring. Blocks for as long as the passphrase is worked on.
    pub fn begin(mut from: R, passphrase: &SecretBytes) -> Result<Self, BackupError> {
        if line(&mut from)? != MAGIC.as_bytes() {
            return Err(BackupError::NotABackup);
        }
        let header_line = line(&mut from)?;
        let header: Header = serde_json::from_slice(&header_line).map_err(|_| BackupError::NotABackup)?;
        let Cost { salt, memory_kib, passes, lanes } = header.passphrase;
        let salt = b64::decode_array(&salt).map_err(|_| BackupError::Damaged)?;
        let key = passphrase_key(passphrase, &salt, PassphraseCost { memory_kib, passes, lanes });
        let key = Kek::new(PASSPHRASE_VERSION, key.map_err(|_| BackupError::Damaged)?);
        let check = b64::decode(&header.check).map_err(|_| BackupError::Damaged)?;
        key.unwrap(CHECK, &check).map_err(|_| BackupError::Passphrase)?;
        let sealing = Sealing { key, header_hash: sha256(&[&header_line]) };
        let (items, created) = (header.items, header.created);
        let mut restore = Self { from, sealing, number: 0, items, created, versions: Vec::new(), ended: false };
        let keyring = restore.chunk()?;
        restore.versions = decode_versions(keyring.expose()).ok_or(BackupError::Damaged)?;
        Ok(restore)
    }

    /// Puts everything into an empty store, and makes its keyring. `progress` is told how many items of how many are done.
    ///
    /// If this fails, store and keyring are not to be used.
    pub async fn into_store(
        mut self,
        store: &dyn Store,
        keyring_file: &Path,
        provider: &dyn KekProvider,
        now: UnixMillis,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Restored, BackupError> {
        let (mut done, mut forgotten) = (0, HashSet::new());
        while !self.ended {
            let chunk = self.chunk()?;
            let mut rest = chunk.expose();
            let mut changes = Vec::new();
            while !rest.is_empty() {
                let item = pull(&mut rest).zip(pull(&mut rest)).ok_or(BackupError::Damaged)?;
                let key = str::from_utf8(item.0).map_err(|_| BackupError::Damaged)?;
                let value = ahead(key, item.1, now, &mut forgotten)?;
                changes.extend(value.map(|value| Change::put(key, value, Expect::Absent)));
                done += 1;
            }
            if !changes.is_empty() {
                store.commit(changes).await.map_err(KtmError::from)?;
            }
            progress(done, self.items);
        }
        if done != self.items || !self.from.fill_buf()?.is_empty() {
            return Err(BackupError::Damaged);
        }
        let keyring = Keyring::restore(keyring_file, provider, self.versions).map_err(KtmError::from)?;
        // What was in the backup is wrapped anew at the start: its KEK opens the realm of today no more.
        keyring.begin_version().await.map_err(KtmError::from)?;
        Ok(Restored { items: done, forgotten: forgotten.len() })
    }

    fn chunk(&mut self) -> Result<SecretBytes, BackupError> {
        let mut length = [0; 4];
        exactly(&mut self.from, &mut length)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(BackupError::Damaged);
        }
        let mut frame = vec![0; length];
        exactly(&mut self.from, &mut frame)?;
        let open = |last| Some((self.sealing.key.unwrap(&self.sealing.aad(self.number, last), &frame).ok()?, last));
        let (chunk, last) = open(false).or_else(|| open(true)).ok_or(BackupError::Damaged)?;
        (self.number, self.ended) = (self.number + 1, last);
        Ok(chunk)
    }
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// How many items there were.
    pub items: usize,
    /// Scopes so near the end of their bumps that they begin anew: what was sealed under them opens no more.
    pub forgotten: usize,
}

/// What stands in the restored store in the place of a value; `None`: nothing does.
fn ahead(
    key: &str,
    value: &[u8],
    now: UnixMillis,
    forgotten: &mut HashSet<String>,
) -> Result<Option<Vec<u8>>, KtmError> {
    if key.starts_with(scope::PREFIX) {
        let record: ScopeRecord =
            serde_json::from_slice(value).map_err(|source| KtmError::Record { key: key.to_owned(), source })?;
        let tag = scopes::tag_key(record.tag);
        let Some(record) = record.ahead(AHEAD, now) else {
            forgotten.insert(tag);
            return Ok(None);
        };
        let value = serde_json::to_vec(&record);
        return value.map(Some).map_err(|source| KtmError::Record { key: key.to_owned(), source });
    }
    // Revisions begin again: NOSs that live on are not to take them for those they know.
    if key == history::KEY {
        return Ok(None);
    }
    // Tags come after scopes in the order of keys.
    if forgotten.contains(key) {
        return Ok(None);
    }
    Ok(Some(publisher::ahead(key, value, AHEAD)?.unwrap_or_else(|| value.to_vec())))
}

/// A line of the head, without its end.
fn line(from: &mut impl BufRead) -> Result<Vec<u8>, BackupError> {
    let mut line = Vec::new();
    from.take(HEADER_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.pop() == Some(b'\n') { Ok(line) } else { Err(BackupError::NotABackup) }
}

fn exactly(from: &mut impl io::Read, bytes: &mut [u8]) -> Result<(), BackupError> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => BackupError::Truncated,
        _ => BackupError::Io(error),
    })
}

#[cfg(test)]
mod tests;
