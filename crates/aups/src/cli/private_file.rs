//! Files with secrets, or with what a secret's use depends on: for their owner alone, and there as a whole or not at all.

use super::failure::Failure;
use anyhow::Context as _;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// A file that is being made beside the one whose place it takes. Goes away if it is not kept.
pub(crate) struct PrivateFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
}

impl PrivateFile {
    /// Begins to make a file: fails where none can be made.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Failure> {
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        // What a run that was killed left behind is nobody's.
        drop(fs::remove_file(&beside));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside);
        let file = made.with_context(|| format!("cannot make {}", beside.display()))?;
        Ok(Self { path, beside, file })
    }

    /// On disk, and in its place, when this returns.
    pub(crate) fn keep(mut self, bytes: &[u8]) -> Result<PathBuf, Failure> {
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        let kept = written.and_then(|()| fs::rename(&self.beside, &self.path)).and_then(|()| sync_dir(&self.path));
        kept.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        // Not there any more if it was kept.
        drop(fs::remove_file(&self.beside));
    }
}

/// The name of a file is on disk when its folder is.
fn sync_dir(path: &Path) -> std::io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(dir)?.sync_all()
}
