//! The file of the first token, which only its owner reads.

use super::{Digest, text};
use anyhow::{Context as _, bail};
use aups_envelope::Secret;
use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};
use tempfile::NamedTempFile;

/// Shortest text that is taken for a token.
const TOKEN_BYTES_MIN: usize = 32;

/// Where the first token is.
#[derive(Debug)]
pub(super) struct TokenFile(PathBuf);

/// A file with a new token, complete and on disk, but not yet in the place of the old one.
#[derive(Debug)]
pub(super) struct Prepared<'a> {
    file: NamedTempFile,
    place: &'a TokenFile,
}

impl TokenFile {
    pub(super) const fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// Reads the token, or makes one if there is no file.
    pub(super) fn open(&self) -> anyhow::Result<Digest> {
        let path = self.0.display();
        if !self.0.exists() {
            let made = self.prepare(&Secret::random()).and_then(Prepared::put_in_place);
            made.with_context(|| format!("cannot write {path}"))?;
        }
        let mode = fs::metadata(&self.0)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{path} may be read by others; make it private: chmod 600 {path}");
        }
        let text = fs::read_to_string(&self.0).with_context(|| format!("cannot read {path}"))?;
        let token = text.trim();
        if token.len() < TOKEN_BYTES_MIN {
            bail!("{path} holds no token; delete it and start again to get a new one");
        }
        Ok(Digest::of(token.as_bytes()))
    }

    /// Writes a token beside the file.
    pub(super) fn prepare(&self, secret: &Secret<32>) -> io::Result<Prepared<'_>> {
        // Made with mode 0600.
        let mut file = NamedTempFile::with_prefix_in(".admin.token-", self.dir()?)?;
        writeln!(file, "{}", text(secret))?;
        file.as_file().sync_all()?;
        Ok(Prepared { file, place: self })
    }

    /// Takes the file away, if somebody has not done so already.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.sync_dir()
    }

    fn dir(&self) -> io::Result<&std::path::Path> {
        self.0.parent().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(self.dir()?)?.sync_all()
    }
}

impl Prepared<'_> {
    /// Replaces the old file at once.
    pub(super) fn put_in_place(self) -> io::Result<()> {
        self.file.persist(&self.place.0)?;
        self.place.sync_dir()
    }
}
