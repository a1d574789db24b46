//! Custody of the key-encryption key (KEK), the one secret that does not lie in the store, and of signing keys, which lie there
//! wrapped under it.

use crate::{
    error::KtmError,
    records::{RACES_MAX, Records, Wrapped, put},
};
use aups_core::NosId;
use aups_envelope::{Kek, Secret, SecretBytes, SigningKey, VerifyingKey, b64, random};
use aups_store::{Expect, Store};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use thiserror::Error;

/// Length of a KEK file: the key itself, raw.
pub const KEK_BYTES: usize = 32;

/// The version of a KEK that lies in a file.
const FILE_VERSION: u32 = 1;

/// Owner may read; nobody may write, nor anybody else read.
const MODE: u32 = 0o400;

/// A KEK file that is not taken. The administrator is at fault, or the disk.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// Others than its owner may read or write it.
    #[error(
        "{} can be read or changed by others (mode {mode:04o}): run `chmod 0400 {}`, and if anybody may have read it, \
         begin anew in an empty data directory",
        path.display(),
        path.display()
    )]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not of the right length.
    #[error("{} is not a key-encryption key: it has {found} bytes, a key has {KEK_BYTES}; restore it from your copy", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// How many bytes it has; at most one more than it should have is counted.
        found: usize,
    },
    /// A directory, a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system says no.
    #[error("the key-encryption key file {} cannot be read or made", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
}

/// The KEK of a file; if there is none, a new one of random bytes, readable by its owner alone.
///
/// The file appears whole or not at all, and is on disk before anything is wrapped under it. Blocks: for start-up.
/// Keep a copy elsewhere: without the file nothing in the store can be unwrapped.
pub fn kek_file(path: impl AsRef<Path>) -> Result<Kek, CustodyError> {
    let path = path.as_ref();
    let failed = |source| CustodyError::Io { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => read(&file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path).map_err(failed)?;
            read(&File::open(path).map_err(failed)?, path)
        }
        Err(error) => Err(failed(error)),
    }
}

fn read(file: &File, path: &Path) -> Result<Kek, CustodyError> {
    let failed = |source| CustodyError::Io { path: path.to_owned(), source };
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o7777;
    if !metadata.is_file() {
        return Err(CustodyError::NotAFile { path: path.to_owned() });
    }
    if mode & 0o077 != 0 {
        return Err(CustodyError::Loose { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::with_capacity(KEK_BYTES + 1);
    let found = file.take(KEK_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let bytes = SecretBytes::from_vec(bytes);
    let key = Secret::from_slice(bytes.expose()).ok_or(CustodyError::Length { path: path.to_owned(), found })?;
    Ok(Kek::new(FILE_VERSION, key))
}

/// Makes the file beside its place, and puts it there by a link, which replaces nothing: of two that start at once, both
/// go on with the key of the first.
fn make(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = directory.join(format!(".kek-{}", b64::encode(&random::<9>())));
    let made = fill(&aside).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // Whether or not it could be made, nothing stays beside it; the first fault counts.
    let removed = fs::remove_file(&aside);
    made.and(removed)?;
    File::open(directory)?.sync_all()
}

fn fill(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(Secret::<KEK_BYTES>::random().expose())?;
    file.sync_all()
}

/// The Ed25519 key that a NOS signs with, kept beside the KTM's own secrets: made at the first start, then always the same.
///
/// For a NOS in the KTM's process. [`KtmError::WrongKek`] if the store was made with another KEK.
pub async fn nos_signing_key(store: Arc<dyn Store>, kek: &Kek, nos: &NosId) -> Result<SigningKey, KtmError> {
    signing_key(&Records::new(store), kek, &format!("nos/signing-key/{nos}")).await
}

/// A signing key at rest: its seed wrapped, and bound to the public key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigningKeyRecord {
    public_key: VerifyingKey,
    seed: Wrapped,
}

/// The signing key of a record; at the first start, a new one.
pub(crate) async fn signing_key(records: &Records, kek: &Kek, key: &str) -> Result<SigningKey, KtmError> {
    check_fit(records, kek).await?;
    for _ in 0..RACES_MAX {
        if let Some((record, _)) = records.get::<SigningKeyRecord>(key).await? {
            let seed = record.seed.unwrap(kek, key, &[record.public_key.as_bytes()])?;
            return Ok(SigningKey::from_seed(seed));
        }
        let made = SigningKey::generate();
        let public_key = made.public();
        let seed = Wrapped::wrap(kek, key, &[public_key.as_bytes()], &made.seed());
        // If another instance is faster, its key is the one.
        if records.commit(vec![put(key, &SigningKeyRecord { public_key, seed }, Expect::Absent)?]).await?.is_some() {
            tracing::info!(record = key, public_key = %public_key, "made a signing key");
            return Ok(made);
        }
    }
    Err(KtmError::Contended { key: key.to_owned() })
}

const SENTINEL: &str = "ktm/kek";

/// What tells at the start whether a KEK fits the store: random bytes of no use, wrapped under it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentinelRecord {
    sentinel: Wrapped,
}

/// Refuses a KEK that is not the one of this store. At the first start it becomes that.
pub(crate) async fn check_fit(records: &Records, kek: &Kek) -> Result<(), KtmError> {
    for _ in 0..RACES_MAX {
        if let Some((record, _)) = records.get::<SentinelRecord>(SENTINEL).await? {
            return record.sentinel.unwrap(kek, SENTINEL, &[]).map(drop).map_err(|_| KtmError::WrongKek);
        }
        let record = SentinelRecord { sentinel: Wrapped::wrap(kek, SENTINEL, &[], &Secret::random()) };
        if records.commit(vec![put(SENTINEL, &record, Expect::Absent)?]).await?.is_some() {
            return Ok(());
        }
    }
    Err(KtmError::Contended { key: SENTINEL.to_owned() })
}

#[cfg(test)]
mod tests;
