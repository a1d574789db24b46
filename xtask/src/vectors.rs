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

/// What is in `testvectors/`, by path.
fn files() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![command::root().join("testvectors")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(&path)?;
                files.insert(path, bytes);
            }
        }
    }
    Ok(files)
}
