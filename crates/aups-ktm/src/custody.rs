//! Custody of the key-encryption key (KEK), the one secret that does not lie in the store, and of signing keys, which lie there
//! wrapped under it.
//!
//! ```text
//! provider (a file, the environment, a passphrase) ──wraps──▶ keyring file: the KEK's versions ──wrap──▶ secrets in the store
//! ```
//!
//! The provider's key stays the same; the KEK gets a new version whenever something is destroyed. What remains is wrapped anew
//! and the version before is destroyed, so that what was destroyed cannot be unwrapped from what the store still has
//! of it on disk: see [`Keyring`].

mod file;
mod keyring;
mod provider;

pub use file::KEK_BYTES;
pub use keyring::Keyring;
pub use provider::{Environment, KekFile, KekProvider, Passphrase};

use crate::{
    error::KtmError,
    records::{RACES_MAX, Records, Wrapped, put},
};
use aups_core::NosId;
use aups_envelope::{Secret, SigningKey, SourceMaster, VerifyingKey, passphrase::PASSPHRASE_CHARS_MIN};
use aups_store::{Expect, Store};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, sync::Arc};
use thiserror::Error;

/// What holds the KEK and is not taken, or a keyring that is not. The administrator is at fault, or the disk.
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
    /// The value in the environment is no key.
    #[error("the key-encryption key in the environment is not base64url of {KEK_BYTES} bytes (43 characters)")]
    Environment,
    /// Too easily guessed.
    #[error("a passphrase has {PASSPHRASE_CHARS_MIN} characters at least: take several random words")]
    PassphraseShort,
    /// What is written beside a keyring about its passphrase is no cost, or no salt.
    #[error("what the keyring says about its passphrase is out of range: restore a backup")]
    Cost,
    /// The keyring was made with another kind of provider.
    #[error("the keyring {} is held by {held}, and this start says {given}: start with --kek {held}", path.display())]
    OtherProvider {
        /// The keyring file.
        path: PathBuf,
        /// What it is held by.
        held: &'static str,
        /// What was said.
        given: &'static str,
    },
    /// Another key or passphrase than the keyring was made with.
    #[error("the {given} does not open the keyring {}: give the one that it was made with", path.display())]
    DoesNotOpen {
        /// The keyring file.
        path: PathBuf,
        /// What was given.
        given: &'static str,
    },
    /// The keyring is not there, though the store was made with one.
    #[error(
        "the keyring {} is missing, and without it nothing in the store can be unwrapped: put your copy of it back \
         (if it is lost, so is every key; begin anew in an empty data directory)",
        path.display()
    )]
    Missing {
        /// The keyring file.
        path: PathBuf,
    },
    /// The keyring is there and cannot be understood.
    #[error("the keyring {} is damaged, or written by a later version: restore a backup", path.display())]
    Damaged {
        /// The keyring file.
        path: PathBuf,
    },
}

/// Where the signing keys of NOSs lie.
pub(crate) const NOS_SIGNING_KEYS: &str = "nos/signing-key/";

/// The Ed25519 key that a NOS signs with, kept beside the KTM's own secrets: made at the first start, then always the same.
///
/// For a NOS in the KTM's process. [`KtmError::WrongKek`] if the store was made with another KEK.
pub async fn nos_signing_key(store: Arc<dyn Store>, keyring: &Keyring, nos: &NosId) -> Result<SigningKey, KtmError> {
    signing_key(&Records::new(store), keyring, &format!("{NOS_SIGNING_KEYS}{nos}")).await
}

/// Where the masters lie from which NOSs derive the secrets of their sources.
pub(crate) const SOURCE_MASTERS: &str = "nos/source-master/";

/// What a NOS derives the secrets of its sources from: made at the first start, then always the same.
///
/// [`KtmError::WrongKek`] if the store was made with another KEK.
pub async fn source_master(store: Arc<dyn Store>, keyring: &Keyring, nos: &NosId) -> Result<SourceMaster, KtmError> {
    let (records, key) = (Records::new(store), format!("{SOURCE_MASTERS}{nos}"));
    check_fit(&records, keyring).await?;
    for _ in 0..RACES_MAX {
        if let Some((record, _)) = records.get::<SourceMasterRecord>(&key).await? {
            return record.master.unwrap(keyring, &key, &[]).map(SourceMaster::new);
        }
        let made = Secret::random();
        let record = SourceMasterRecord { master: Wrapped::wrap(keyring, &key, &[], &made) };
        // If another instance is faster, its master is the one.
        if records.commit(vec![put(&key, &record, Expect::Absent)?]).await?.is_some() {
            return Ok(SourceMaster::new(made));
        }
    }
    Err(KtmError::Contended { key })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceMasterRecord {
    master: Wrapped,
}

/// A signing key at rest: its seed wrapped, and bound to the public key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SigningKeyRecord {
    public_key: VerifyingKey,
    seed: Wrapped,
}

/// The signing key of a record; at the first start, a new one.
pub(crate) async fn signing_key(records: &Records, keyring: &Keyring, key: &str) -> Result<SigningKey, KtmError> {
    check_fit(records, keyring).await?;
    for _ in 0..RACES_MAX {
        if let Some((record, _)) = records.get::<SigningKeyRecord>(key).await? {
            let seed = record.seed.unwrap(keyring, key, &[record.public_key.as_bytes()])?;
            return Ok(SigningKey::from_seed(seed));
        }
        let made = SigningKey::generate();
        let public_key = made.public();
        let seed = Wrapped::wrap(keyring, key, &[public_key.as_bytes()], &made.seed());
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
pub(crate) async fn check_fit(records: &Records, keyring: &Keyring) -> Result<(), KtmError> {
    for _ in 0..RACES_MAX {
        if let Some((record, _)) = records.get::<SentinelRecord>(SENTINEL).await? {
            return record.sentinel.unwrap(keyring, SENTINEL, &[]).map(drop).map_err(|_| KtmError::WrongKek);
        }
        let record = SentinelRecord { sentinel: Wrapped::wrap(keyring, SENTINEL, &[], &Secret::random()) };
        if records.commit(vec![put(SENTINEL, &record, Expect::Absent)?]).await?.is_some() {
            return Ok(());
        }
    }
    Err(KtmError::Contended { key: SENTINEL.to_owned() })
}

/// Whether somebody made something with this store.
async fn is_in_use(store: &dyn Store) -> Result<bool, KtmError> {
    Ok(store.get(SENTINEL).await?.is_some())
}

#[cfg(test)]
mod tests;
