//! `cargo xtask vectors`: writes `testvectors/` from the code, or checks that the code still writes the same.

use crate::command::{self, cargo};
use anyhow::{Context as _, Result, bail};
use std::{collections::BTreeMap, fs, path::PathBuf};

/// Writes the vectors again.
pub(crate) fn write() -> Result<()> {
    command::run(&mut cargo(&["run", "--quiet", "--locked", "-p", "aups-envelope", "--example", "vectors"]))
}

/// Writes them and fails if one of them changed: a change of a vector is a change of the protocol.
pub(crate) fn check() -> Result<()> {
    let before = files()?;
    write()?;
    let after = files()?;
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let changed: Vec<String> =
        names.filter(|name| before.get(*name) != after.get(*name)).map(|name| name.display().to_string()).collect();
    if !changed.is_empty() {
        bail!(
            "the code writes other vectors than testvectors/ held: {}; other implementations rely on them. \
             If the change is meant, commit the files and say it in CHANGELOG.md",
            changed.join(", ")
        );
    }
    println!("testvectors/ is what the code writes: {} files", after.len());
    Ok(())
}

/// What is in `testvectors/`, by name.
fn files() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let folder = command::root().join("testvectors");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    paths
        .into_iter()
        .filter(|path| path.is_file())
        .map(|path| Ok((path.file_name().map(PathBuf::from).unwrap_or_default(), fs::read(path)?)))
        .collect()
}
