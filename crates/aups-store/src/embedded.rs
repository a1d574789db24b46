//! The store in a directory.

use crate::{
    disk::{Disk, Layout, OpenError, Tables, blocking},
    store::{self, Change, Listed, Revision, Store, StoreError, Versioned},
    watch::{Changed, Feed, Watch},
};
use bytes::Bytes;
use fjall::{PersistMode, Readable as _};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

const LAYOUT: Layout<2> = Layout {
    format: "aups-store 1",
    upgraded: &[],
    keyspaces: ["items", "meta"],
    memtable_bytes: 2 << 20,
    cache_bytes: 2 << 20,
};
/// In the keyspace `meta`: the revision of the newest transaction, 8 bytes, big-endian.
const REVISION: &str = "revision";

/// A [`Store`] in a directory, for one process at a time. Every transaction is on disk before it is answered.
///
/// A read costs some ten microseconds (a thread of the blocking pool), a transaction one `fdatasync`; transactions are
/// done one after the other.
#[derive(Debug)]
pub struct Embedded(Arc<Shared>);

impl Embedded {
    /// Opens the directory, making it at first.
    pub async fn open(dir: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let dir = dir.into();
        let shared = blocking(move || Shared::open(dir)).await?;
        Ok(Self(Arc::new(shared)))
    }
}

impl Store for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, StoreError>> {
        let (shared, key) = (Arc::clone(&self.0), key.to_owned());
        blocking(move || shared.get(&key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Listed, StoreError>> {
        let (shared, prefix) = (Arc::clone(&self.0), prefix.to_owned());
        blocking(move || shared.list(&prefix)).boxed()
    }

    fn commit(&self, changes: Vec<Change>) -> BoxFuture<'_, Result<Revision, StoreError>> {
        let shared = Arc::clone(&self.0);
        blocking(move || shared.commit(&changes)).boxed()
    }

    fn watch(&self, prefix: &str, from: Revision) -> Watch {
        self.0.feed.watch(prefix, from)
    }
}

#[derive(Debug)]
struct Shared {
    disk: Disk<2>,
    writer: Mutex<Writer>,
    feed: Feed,
}

/// Held by the one transaction that is being done.
#[derive(Debug)]
struct Writer {
    revision: Revision,
    /// A write failed: what is on disk decides what was done, after the database was opened anew.
    stale: bool,
}

enum Failure {
    /// Not a byte was written.
    Refused(fjall::Error),
    /// The caller is told.
    Answered(StoreError),
}

impl Shared {
    fn open(dir: PathBuf) -> Result<Self, OpenError> {
        let disk = Disk::open(&dir, LAYOUT)?;
        let revision =
            disk.read(read_revision).map_err(|source| OpenError::Database { path: dir, source: Box::new(source) })?;
        let writer = Mutex::new(Writer { revision, stale: false });
        Ok(Self { disk, writer, feed: Feed::starting_at(revision) })
    }

    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let found = self.disk.read(|tables| {
            let [items, _] = &tables.keyspaces;
            items.get(key)
        });
        found.map_err(StoreError::io)?.map(|stored| decode(&stored)).transpose()
    }

    fn list(&self, prefix: &str) -> Result<Listed, StoreError> {
        let read = self.disk.read(|tables| {
            let snapshot = tables.db.snapshot();
            let [items, meta] = &tables.keyspaces;
            let pairs: Vec<_> =
                snapshot.prefix(items, prefix).map(fjall::Guard::into_inner).collect::<fjall::Result<_>>()?;
            Ok((pairs, decode_revision(snapshot.get(meta, REVISION)?.as_deref())))
        });
        let (pairs, revision) = read.map_err(StoreError::io)?;
        let item = |(key, stored): fjall::KvPair| {
            let key = std::str::from_utf8(&key).map_err(|_| StoreError::Corrupt { what: "a key of the store" })?;
            Ok((key.to_owned(), decode(&stored)?))
        };
        Ok((pairs.into_iter().map(item).collect::<Result<_, _>>()?, revision))
    }

    fn commit(&self, changes: &[Change]) -> Result<Revision, StoreError> {
        store::check(changes)?;
        // A panic leaves the revision as it was and the database whole.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.stale {
            self.recover(&mut writer)?;
        }
        let written = match self.write(&mut writer, changes) {
            // Work in the background failed some time ago; the disk may be well again.
            Err(Failure::Refused(_)) => {
                self.recover(&mut writer)?;
                self.write(&mut writer, changes)
            }
            other => other,
        };
        match written {
            Ok(changed) => {
                // Under the lock, so that watchers see revisions in order.
                self.feed.publish(writer.revision, changed);
                Ok(writer.revision)
            }
            Err(Failure::Refused(error)) => Err(StoreError::io(error)),
            Err(Failure::Answered(error)) => Err(error),
        }
    }

    /// Writes a transaction if its expectations hold; what it changed.
    fn write(&self, writer: &mut Writer, changes: &[Change]) -> Result<Vec<Changed>, Failure> {
        let mut changed = Vec::with_capacity(changes.len());
        for change in changes {
            let found = self.get(change.key()).map_err(Failure::Answered)?.map(|item| item.revision);
            if !change.expect().holds(found) {
                return Err(Failure::Answered(StoreError::Conflict { key: change.key().to_owned() }));
            }
            match change {
                Change::Put { key, value, .. } => {
                    changed.push(Changed { key: key.clone(), value: Some(value.clone()) });
                }
                Change::Delete { key, .. } if found.is_some() => {
                    changed.push(Changed { key: key.clone(), value: None });
                }
                Change::Delete { .. } => {}
            }
        }
        let revision = writer.revision + 1;
        let written = self.disk.write(PersistMode::SyncData, |batch, [items, meta]| {
            for Changed { key, value } in &changed {
                match value {
                    Some(value) => batch.insert(items, key.as_str(), encode(revision, value)),
                    None => batch.remove(items, key.as_str()),
                }
            }
            batch.insert(meta, REVISION, revision.to_be_bytes());
        });
        match written {
            Ok(()) => {
                writer.revision = revision;
                Ok(changed)
            }
            Err(error) => {
                writer.stale = true;
                tracing::error!(%error, "the store could not write; it will open its database anew");
                Err(match error {
                    fjall::Error::Poisoned => Failure::Refused(error),
                    error => Failure::Answered(StoreError::io(error)),
                })
            }
        }
    }

    /// Opens the database anew and takes what is on disk as the truth. Watchers who may have missed something list again.
    fn recover(&self, writer: &mut Writer) -> Result<(), StoreError> {
        writer.stale = true;
        self.disk.reopen().map_err(StoreError::io)?;
        writer.revision = self.disk.read(read_revision).map_err(StoreError::io)?;
        writer.stale = false;
        self.feed.forget_until(writer.revision);
        tracing::info!(revision = writer.revision, "the store opened its database anew");
        Ok(())
    }
}

fn read_revision(tables: &Tables<2>) -> fjall::Result<Revision> {
    let [_, meta] = &tables.keyspaces;
    Ok(decode_revision(meta.get(REVISION)?.as_deref()))
}

fn decode_revision(stored: Option<&[u8]>) -> Revision {
    stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// As stored: the revision, 8 bytes, big-endian, then the value.
fn encode(revision: Revision, value: &[u8]) -> Vec<u8> {
    [&revision.to_be_bytes(), value].concat()
}

fn decode(stored: &[u8]) -> Result<Versioned, StoreError> {
    let (revision, value) = stored.split_first_chunk().ok_or(StoreError::Corrupt { what: "a value of the store" })?;
    Ok(Versioned { value: Bytes::copy_from_slice(value), revision: u64::from_be_bytes(*revision) })
}

#[cfg(test)]
mod tests;
