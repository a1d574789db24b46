//! A reader's identity on disk: one JSON file that only its owner may read.

use crate::{ServerError, SystemClock};
use aups_core::{Clock as _, ReaderKind, RealmId, Sub};
use aups_envelope::{
    bearer::Bearer,
    identity::{IdentityError, IdentityFile},
    random,
};
use aups_net::tls::{Authorities, Trust};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Largest identity file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Who a reader is: its name, its realm, where server and broker are, and its secret keys.
#[derive(Debug)]
pub struct Identity {
    pub(crate) file: IdentityFile,
}

/// Why an identity was not read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityFileError {
    /// There is a file already, and it is kept: it may be the only copy of somebody's keys.
    #[error("{} exists and is not overwritten: choose another name or move it away", .0.display())]
    Exists(PathBuf),
    /// Others than its owner may read it: whoever could, can read and ask as this reader.
    #[error("{path} can be read by others (mode {mode:04o}): chmod 600 {path}, and enrol again if somebody may have done so", path = .path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Larger than any identity.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes: it is no identity file", .0.display())]
    TooLarge(PathBuf),
    /// Not what `aups enrol` writes.
    #[error("{} is not an identity file as `aups enrol` writes it", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
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

impl Identity {
    /// A Bearer token of now, good for one request within a minute.
    pub fn bearer(&self) -> String {
        let IdentityFile { realm, sub, signing_key, .. } = &self.file;
        Bearer { aud: *realm, sub: sub.clone(), iat: SystemClock.now(), jti: random() }.sign(signing_key)
    }

    /// Reads a file that [`Identity::save`] or `aups enrol` wrote. Blocks for as long as a small file takes.
    ///
    /// Refuses a file that others than its owner may read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, IdentityFileError> {
        let path = path.as_ref();
        let io = |source| IdentityFileError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        refuse_loose(path, &file.metadata().map_err(io)?)?;
        // Room for all of it at once: a buffer that grows leaves copies of keys behind in freed memory.
        let mut json = Vec::with_capacity(8 << 10);
        let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut json).map_err(io)?;
        let json = aups_envelope::SecretBytes::from_vec(json);
        if read as u64 > FILE_BYTES_MAX {
            return Err(IdentityFileError::TooLarge(path.into()));
        }
        IdentityFile::from_json(json.expose())
            .map(|file| Self { file })
            .map_err(|source| IdentityFileError::Content { path: path.into(), source })
    }

    /// Writes a new file with mode 0600, on disk when it returns. Never overwrites. Blocks for as long as that takes.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), IdentityFileError> {
        ReservedFile::create(path)?.write(self)
    }

    /// The reader's name.
    pub fn sub(&self) -> &Sub {
        &self.file.sub
    }

    /// User or app.
    pub fn kind(&self) -> ReaderKind {
        self.file.kind
    }

    /// The realm that it reads in.
    pub fn realm(&self) -> RealmId {
        self.file.realm
    }

    /// The URL of the server that gives keys.
    pub fn server(&self) -> &str {
        &self.file.server
    }

    /// Whom this reader takes for its server and broker: the authorities that its realm named when it enrolled, else the
    /// system's.
    pub fn trust(&self) -> Result<Trust, ServerError> {
        Ok(match &self.file.ca {
            Some(ca) => Trust::Only(Authorities::from_pem(ca.as_bytes())?),
            None => Trust::System,
        })
    }

    /// The URL of the broker.
    pub fn broker(&self) -> &str {
        &self.file.mqtt.url
    }
}

#[cfg(unix)]
fn refuse_loose(path: &Path, metadata: &fs::Metadata) -> Result<(), IdentityFileError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o7777;
    let for_others = mode & 0o077;
    if for_others == 0 { Ok(()) } else { Err(IdentityFileError::Loose { path: path.into(), mode }) }
}

#[cfg(not(unix))]
fn refuse_loose(_: &Path, _: &fs::Metadata) -> Result<(), IdentityFileError> {
    Ok(())
}

/// A new file for an identity, empty so far: made before a token is used up, so that its identity has a place.
/// Removed when dropped unwritten.
#[derive(Debug)]
pub struct ReservedFile {
    path: PathBuf,
    file: File,
    written: bool,
}

impl ReservedFile {
    /// Makes the file, with mode 0600. Refuses one that exists.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, IdentityFileError> {
        let path = path.as_ref();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(file) => Ok(Self { path: path.into(), file, written: false }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(IdentityFileError::Exists(path.into())),
            Err(source) => Err(IdentityFileError::Io { path: path.into(), source }),
        }
    }

    /// Writes the identity; it is on disk when this returns.
    pub fn write(mut self, identity: &Identity) -> Result<(), IdentityFileError> {
        let json = identity.file.to_json();
        let written = self.file.write_all(json.expose()).and_then(|()| self.file.sync_all());
        written.map_err(|source| IdentityFileError::Io { path: self.path.clone(), source })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for ReservedFile {
    fn drop(&mut self) {
        if !self.written {
            // Nothing is lost by leaving an empty file behind, were it not to go.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
