//! The versions of the key-encryption key, in a small file outside the store.

use super::{CustodyError, file, is_in_use, provider::Held, provider::KekProvider};
use crate::error::KtmError;
use aups_envelope::{Kek, Secret, WrapError, b64};
use aups_store::Store;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};
use tokio::{sync::Mutex, task::spawn_blocking};

/// Most versions that are kept at once. There is one, and another for each destruction after which what remains could not be
/// wrapped anew yet.
const VERSIONS_MAX: usize = 16;

/// Largest keyring file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

const FORMAT: &str = "aups-keyring 1";

/// The version of the provider's key, which wraps the others and nothing else.
const PROVIDER_VERSION: u32 = 0;

/// The versions of the KEK: the one that wraps, and while what lies under earlier ones is wrapped anew, those too.
///
/// In a file, each wrapped under the provider's key. To destroy something: begin a version, delete it,
/// wrap anew what remains, retire the versions before. A kill at any step leaves a keyring that
/// unwraps whatever is there; more than one version in it says that there is something to wrap anew.
///
/// Cheap to clone: all clones are one keyring.
#[derive(Debug, Clone)]
pub struct Keyring(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    versions: RwLock<Versions>,
    changing: Mutex<()>,
    /// `None`: for tests, and stores in memory.
    file: Option<KeyringFile>,
}

/// INVARIANT: never empty; the last one wraps.
type Versions = Vec<Arc<Version>>;

#[derive(Debug)]
struct Version {
    key: Secret<32>,
    kek: Kek,
}

impl Version {
    fn new(version: u32, key: Secret<32>) -> Arc<Self> {
        Arc::new(Self { kek: Kek::new(version, key.duplicate()), key })
    }
}

#[derive(Debug)]
struct KeyringFile {
    path: PathBuf,
    provider: Kek,
    held: Held,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: String,
    held: Held,
    /// The newest last.
    versions: Vec<WrittenVersion>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenVersion {
    version: u32,
    /// Wrapped under the provider's key, as base64url.
    key: String,
}

impl Keyring {
    /// Takes up the keyring of this file, or makes it for a store that nobody has used yet. Blocks: for start-up.
    pub async fn open(
        path: impl Into<PathBuf>,
        provider: &dyn KekProvider,
        store: &dyn Store,
    ) -> Result<Self, KtmError> {
        let path = path.into();
        file::finish_replace(&path).map_err(|source| io_error(&path, source))?;
        if !path.exists() {
            if is_in_use(store).await? {
                return Err(CustodyError::Missing { path }.into());
            }
            make(&path, provider, &vec![Version::new(1, Secret::random())])?;
        }
        Ok(read(path, provider)?)
    }

    /// Makes a keyring with the versions of a backup. Blocks.
    pub(crate) fn restore(
        path: &Path,
        provider: &dyn KekProvider,
        versions: Vec<(u32, Secret<32>)>,
    ) -> Result<Self, CustodyError> {
        let versions: Versions = versions.into_iter().map(|(version, key)| Version::new(version, key)).collect();
        make(path, provider, &versions)?;
        read(path.to_owned(), provider)
    }

    /// Copies of all versions, for a backup.
    pub(crate) fn duplicates(&self) -> Vec<(u32, Secret<32>)> {
        self.versions().iter().map(|version| (version.kek.version(), version.key.duplicate())).collect()
    }

    /// A keyring that is kept nowhere, with this first version.
    pub fn in_memory(key: Secret<32>) -> Self {
        Self(Arc::new(Shared {
            versions: RwLock::new(vec![Version::new(1, key)]),
            changing: Mutex::default(),
            file: None,
        }))
    }

    fn versions(&self) -> RwLockReadGuard<'_, Versions> {
        self.0.versions.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wraps under the newest version.
    pub(crate) fn wrap(&self, aad: &[u8], secret: &[u8]) -> Vec<u8> {
        let newest = self.versions().last().map(Arc::clone);
        newest.map(|version| version.kek.wrap(aad, secret)).unwrap_or_default()
    }

    /// Unwraps under the version that it was wrapped under.
    pub(crate) fn unwrap<const N: usize>(&self, aad: &[u8], wrapped: &[u8]) -> Result<Secret<N>, WrapError> {
        let version = Kek::version_of(wrapped).ok_or(WrapError::TooShort(wrapped.len()))?;
        let versions = self.versions();
        let held = versions.iter().rev().find(|held| held.kek.version() == version).map(Arc::clone);
        let newest = versions.last().map_or(PROVIDER_VERSION, |newest| newest.kek.version());
        drop(versions);
        held.ok_or(WrapError::Version { wrapped: version, held: newest })?.kek.unwrap_array(aad, wrapped)
    }

    /// The version that wraps.
    pub fn newest_version(&self) -> u32 {
        self.versions().last().map_or(PROVIDER_VERSION, |newest| newest.kek.version())
    }

    /// Whether something may lie under an earlier version still.
    pub(crate) fn has_earlier(&self) -> bool {
        self.versions().len() > 1
    }

    /// Whether there is no room for another version before what lies under earlier ones was wrapped anew.
    pub(crate) fn is_full(&self) -> bool {
        self.versions().len() >= VERSIONS_MAX
    }

    /// Makes a version that wraps from now on; what there is still unwraps. On disk when this returns.
    pub(crate) async fn begin_version(&self) -> Result<(), CustodyError> {
        let _one_at_a_time = self.0.changing.lock().await;
        let mut versions = self.versions().clone();
        versions.push(Version::new(self.newest_version().saturating_add(1), Secret::random()));
        self.replace(versions).await
    }

    /// Destroys the versions before this one: in memory, and on disk, where the file's old bytes are overwritten.
    pub(crate) async fn retire_before(&self, version: u32) -> Result<(), CustodyError> {
        let _one_at_a_time = self.0.changing.lock().await;
        let versions: Versions = self.versions().iter().filter(|held| held.kek.version() >= version).cloned().collect();
        if versions.is_empty() { Ok(()) } else { self.replace(versions).await }
    }

    async fn replace(&self, versions: Versions) -> Result<(), CustodyError> {
        let shared = Arc::clone(&self.0);
        let done = spawn_blocking(move || {
            if let Some(file) = &shared.file {
                let bytes = file.write(&versions);
                file::replace(&file.path, &bytes).map_err(|source| io_error(&file.path, source))?;
            }
            *shared.versions.write().unwrap_or_else(PoisonError::into_inner) = versions;
            Ok(())
        });
        let stopping = |path: Option<&KeyringFile>| CustodyError::Io {
            path: path.map(|file| file.path.clone()).unwrap_or_default(),
            source: io::Error::other("the program is stopping"),
        };
        done.await.unwrap_or_else(|_| Err(stopping(self.0.file.as_ref())))
    }
}

impl KeyringFile {
    fn write(&self, versions: &Versions) -> Vec<u8> {
        let versions = versions.iter().map(|version| WrittenVersion {
            version: version.kek.version(),
            key: b64::encode(&self.provider.wrap(&aad(version.kek.version()), version.key.expose())),
        });
        let written = Written { format: FORMAT.to_owned(), held: self.held.clone(), versions: versions.collect() };
        // Texts and numbers: nothing that JSON could not say.
        serde_json::to_vec(&written).unwrap_or_default()
    }
}

fn make(path: &Path, provider: &dyn KekProvider, versions: &Versions) -> Result<(), CustodyError> {
    let (key, held) = provider.make()?;
    let file = KeyringFile { path: path.to_owned(), provider: Kek::new(PROVIDER_VERSION, key), held };
    file::make(path, &file.write(versions)).map_err(|source| io_error(path, source))
}

fn read(path: PathBuf, provider: &dyn KekProvider) -> Result<Keyring, CustodyError> {
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|source| io_error(&path, source))?;
    let damaged = || CustodyError::Damaged { path: path.clone() };
    let written: Written = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if written.format != FORMAT || written.versions.is_empty() {
        return Err(damaged());
    }
    let key = provider.find(&written.held)?.ok_or_else(|| CustodyError::OtherProvider {
        path: path.clone(),
        held: written.held.name(),
        given: provider.name(),
    })?;
    let provider_key = Kek::new(PROVIDER_VERSION, key);
    let versions = written.versions.iter().map(|written| {
        let wrapped = b64::decode(&written.key).map_err(|_| damaged())?;
        let key = provider_key.unwrap_array(&aad(written.version), &wrapped);
        let key = key.map_err(|_| CustodyError::DoesNotOpen { path: path.clone(), given: provider.name() })?;
        Ok(Version::new(written.version, key))
    });
    let versions = RwLock::new(versions.collect::<Result<Versions, CustodyError>>()?);
    let file = KeyringFile { path, provider: provider_key, held: written.held };
    Ok(Keyring(Arc::new(Shared { versions, changing: Mutex::default(), file: Some(file) })))
}

fn aad(version: u32) -> Vec<u8> {
    [&b"keyring"[..], &version.to_be_bytes()].concat()
}

fn io_error(path: &Path, source: io::Error) -> CustodyError {
    CustodyError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
