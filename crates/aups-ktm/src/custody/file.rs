//! The key-encryption key in a file of its own, and files of ours that appear whole or not at all.

use super::CustodyError;
use aups_envelope::{Secret, SecretBytes, b64, random};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Length of a KEK file: the key itself, raw.
pub const KEK_BYTES: usize = 32;

/// Owner may read; nobody may write, nor anybody else read.
const MODE: u32 = 0o400;

/// The key of a file; if there is none, a new one of random bytes, readable by its owner alone.
///
/// The file appears whole or not at all, and is on disk before anything is wrapped under it.
pub(super) fn read_or_make(path: &Path) -> Result<Secret<KEK_BYTES>, CustodyError> {
    let failed = |source| CustodyError::Io { path: path.to_owned(), source };
    match File::open(path) {
        Ok(file) => read(&file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(path, Secret::<KEK_BYTES>::random().expose()).map_err(failed)?;
            read(&File::open(path).map_err(failed)?, path)
        }
        Err(error) => Err(failed(error)),
    }
}

/// The key of a file that is there.
pub(super) fn read_existing(path: &Path) -> Result<Secret<KEK_BYTES>, CustodyError> {
    let file = File::open(path).map_err(|source| CustodyError::Io { path: path.to_owned(), source })?;
    read(&file, path)
}

fn read(file: &File, path: &Path) -> Result<Secret<KEK_BYTES>, CustodyError> {
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
    Secret::from_slice(bytes.expose()).ok_or(CustodyError::Length { path: path.to_owned(), found })
}

/// Makes the file beside its place, and puts it there by a link, which replaces nothing: of two that start at once, both
/// go on with the bytes of the first.
pub(super) fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = aside(path, &b64::encode(&random::<9>()));
    let made = fill(&aside, bytes).and_then(|()| match fs::hard_link(&aside, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // Whether or not it could be made, nothing stays beside it; the first fault counts.
    let removed = fs::remove_file(&aside);
    made.and(removed)?;
    sync_directory(path)
}

/// Puts other bytes in the place of a file at once, and overwrites what it held.
///
/// A kill at any step leaves the old file or the new one; what it leaves beside is done away with by [`finish_replace`].
/// That the old bytes are overwritten says what the file system is asked for: one that copies on write, or a disk that
/// spreads its wear, may keep them.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    finish_replace(path)?;
    let (new, old) = (aside(path, "new"), aside(path, "old"));
    fill(&new, bytes)?;
    fs::hard_link(path, &old)?;
    fs::rename(&new, path)?;
    sync_directory(path)?;
    finish_replace(path)
}

/// Does what a kill in the middle of [`replace`] left to be done.
pub(super) fn finish_replace(path: &Path) -> io::Result<()> {
    let (new, old) = (aside(path, "new"), aside(path, "old"));
    if_there(fs::remove_file(&new))?;
    let Some(mut replaced) = if_there(OpenOptions::new().read(true).open(&old))? else { return Ok(()) };
    if !same_file(&replaced, path)? {
        // Its mode forbids writing; it is ours, and about to go.
        fs::set_permissions(&old, fs::Permissions::from_mode(0o600))?;
        replaced = OpenOptions::new().write(true).open(&old)?;
        let length = usize::try_from(replaced.metadata()?.len()).unwrap_or(usize::MAX);
        replaced.write_all(&vec![0; length])?;
        replaced.sync_all()?;
    }
    fs::remove_file(&old)?;
    sync_directory(path)
}

/// Whether the file was not replaced yet, so that both names are the one file.
fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let (one, other) = (file.metadata()?, fs::metadata(path)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

fn if_there<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name beside a file, for what is not yet or no longer in its place.
fn aside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(format!(".{name}-{what}"))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
