//! `cargo xtask vectors`: writes `testvectors/` from the code, or checks that the code still writes the same.

use crate::command::{self, cargo};
use anyhow::{Result, bail};

/// Writes the vectors again.
pub(crate) fn write() -> Result<()> {
    command::run(&mut cargo(&["run", "--quiet", "--locked", "-p", "aups-envelope", "--example", "vectors"]))
}

/// Writes them and fails if one of them changed: a change of a vector is a change of the protocol.
pub(crate) fn check() -> Result<()> {
    write()?;
    let changed = command::output(&mut command::program("git", &["status", "--porcelain", "--", "testvectors"]))?;
    if !changed.is_empty() {
        bail!(
            "the code writes other vectors than testvectors/ holds:\n{}\
             other implementations rely on them; if the change is meant, commit the files and say it in CHANGELOG.md",
            String::from_utf8_lossy(&changed)
        );
    }
    println!("testvectors/ is what the code writes");
    Ok(())
}
