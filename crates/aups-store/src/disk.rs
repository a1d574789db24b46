//! A directory of ours on disk: locked for one process, of a known format, holding a fjall database that can be opened
//! anew after the disk failed.

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::Duration,
};
use thiserror::Error;
use tokio::task;

/// How long to wait for the lock: a killed predecessor may still be dying.
const LOCK_ATTEMPTS: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Threads that flush and compact. Not one: fjall's only worker would wait for itself when its queue of requests is full.
const WORKERS: usize = 2;
/// Open files kept for reading tables.
const OPEN_FILES_MAX: usize = 64;
/// Size of all journals above which fjall flushes what holds the oldest; fjall's least.
const JOURNALS_BYTES: u64 = 64 << 20;

const FORMAT_FILE: &str = "format";
const FORMAT_FILE_NEW: &str = "format.new";
const LOCK_FILE: &str = "lock";
const DATABASE_DIR: &str = "db";
/// Written by fjall as the last step of making a database.
const DATABASE_COMPLETE: &str = "version";

/// Why a directory could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process: stop that first, or choose another data directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It holds another format, or something that is not ours.
    #[error("{} holds {found}, and this program reads and writes {expected:?}: run the program that wrote it, or choose another data directory", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What this program reads and writes.
        expected: &'static str,
    },
    /// The disk, or the rights on it.
    #[error("cannot open {}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database in it.
    #[error("cannot open the database in {}; if the disk is well, restore a backup", path.display())]
    Database {
        /// The directory.
        path: PathBuf,
        /// What fjall said.
        source: Box<fjall::Error>,
    },
}

/// What lies in a directory, and how much memory it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout<const N: usize> {
    /// Name and version of the format.
    pub format: &'static str,
    /// Older formats that lack nothing but keyspaces: what they hold is read as it is, and marked as the newer format.
    pub upgraded: &'static [&'static str],
    /// The keyspaces, in the order of [`Tables::keyspaces`].
    pub keyspaces: [&'static str; N],
    /// Bytes of recent writes kept in memory per keyspace before they become a table.
    pub memtable_bytes: u64,
    /// Bytes of table blocks kept in memory.
    pub cache_bytes: u64,
}

/// An open database.
pub(crate) struct Tables<const N: usize> {
    pub db: Database,
    pub keyspaces: [Keyspace; N],
}

/// The directory. Dropping it unlocks.
pub(crate) struct Disk<const N: usize> {
    path: PathBuf,
    layout: Layout<N>,
    /// None between a failed attempt to open anew and the next.
    tables: RwLock<Option<Tables<N>>>,
    _lock: File,
}

impl<const N: usize> std::fmt::Debug for Disk<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disk").field("path", &self.path).field("layout", &self.layout).finish_non_exhaustive()
    }
}

impl<const N: usize> Disk<N> {
    /// Opens the directory, making it at first. Blocks: for seconds if another process has it or a long journal is replayed.
    pub(crate) fn open(path: &Path, layout: Layout<N>) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_owned(), source };
        create_private_dir(path).map_err(failed)?;
        let lock = lock(path)?;
        check_format(path, layout.format, layout.upgraded)?;
        let tables = open_tables(path, layout)?;
        Ok(Self { path: path.to_owned(), layout, tables: RwLock::new(Some(tables)), _lock: lock })
    }

    /// Reads. What was answered as written is seen, also while the disk refuses to write.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Tables<N>) -> fjall::Result<T>) -> fjall::Result<T> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        read(tables.as_ref().ok_or(fjall::Error::Poisoned)?)
    }

    /// Writes a batch; with [`PersistMode::SyncData`] it is on disk before this returns. After an error it is unknown
    /// whether the batch was written, but for [`fjall::Error::Poisoned`]: it was not. Either way nothing more is written
    /// before [`Disk::reopen`].
    pub(crate) fn write(
        &self,
        durability: PersistMode,
        fill: impl FnOnce(&mut OwnedWriteBatch, &[Keyspace; N]),
    ) -> fjall::Result<()> {
        self.read(|tables| {
            let mut batch = tables.db.batch().durability(Some(durability));
            fill(&mut batch, &tables.keyspaces);
            batch.commit()
        })
    }

    /// Opens the database anew. fjall refuses to write for ever after a write failed, so that nobody trusts a page
    /// cache that the disk did not take; what is on disk decides then.
    pub(crate) fn reopen(&self) -> Result<(), OpenError> {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        *tables = None;
        *tables = Some(open_tables(&self.path, self.layout)?);
        Ok(())
    }
}

/// Runs on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels such a task; it polls nobody again.
            Err(_) => std::future::pending().await,
        },
    }
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let file = File::options().create(true).truncate(false).write(true).open(path.join(LOCK_FILE)).map_err(failed)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(OpenError::Locked { path: path.to_owned() })
}

/// Refuses what another version wrote, but for formats that can be upgraded; marks an empty directory as ours.
fn check_format(path: &Path, format: &'static str, upgraded: &[&str]) -> Result<(), OpenError> {
    let failed = |source| OpenError::Io { path: path.to_owned(), source };
    let refused = |found: String| OpenError::Format { path: path.to_owned(), found, expected: format };
    match fs::read_to_string(path.join(FORMAT_FILE)) {
        Ok(text) if text.trim_end() == format => Ok(()),
        Ok(text) if upgraded.contains(&text.trim_end()) => {
            tracing::info!(path = %path.display(), from = text.trim_end(), to = format, "the directory is upgraded");
            write_format(path, format).map_err(failed)
        }
        Ok(text) => Err(refused(format!("the format {:?}", text.trim_end()))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(refused("an unreadable format".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for entry in fs::read_dir(path).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                if name != LOCK_FILE && name != FORMAT_FILE_NEW {
                    return Err(refused(format!("{} and no format file", name.display())));
                }
            }
            write_format(path, format).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn write_format(path: &Path, format: &str) -> io::Result<()> {
    let new = path.join(FORMAT_FILE_NEW);
    let mut file = File::create(&new)?;
    writeln!(file, "{format}")?;
    file.sync_all()?;
    fs::rename(new, path.join(FORMAT_FILE))?;
    File::open(path)?.sync_all()
}

fn open_tables<const N: usize>(path: &Path, layout: Layout<N>) -> Result<Tables<N>, OpenError> {
    let database = path.join(DATABASE_DIR);
    // fjall cannot go on where a kill interrupted it in making a database. Nothing was ever answered from that one.
    let interrupted = database.exists() && !database.join(DATABASE_COMPLETE).exists();
    if interrupted {
        fs::remove_dir_all(&database).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    }
    open_database(&database, layout)
        .map_err(|source| OpenError::Database { path: path.to_owned(), source: Box::new(source) })
}

fn open_database<const N: usize>(path: &Path, layout: Layout<N>) -> fjall::Result<Tables<N>> {
    let db = Database::builder(path)
        .cache_size(layout.cache_bytes)
        .worker_threads(WORKERS)
        .max_cached_files(Some(OPEN_FILES_MAX))
        .max_journaling_size(JOURNALS_BYTES)
        .open()?;
    let options = || KeyspaceCreateOptions::default().max_memtable_size(layout.memtable_bytes);
    let mut keyspaces = Vec::with_capacity(N);
    for name in layout.keyspaces {
        keyspaces.push(db.keyspace(name, options)?);
    }
    let keyspaces = keyspaces.try_into().map_err(|_| fjall::Error::Unrecoverable)?;
    Ok(Tables { db, keyspaces })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests;
