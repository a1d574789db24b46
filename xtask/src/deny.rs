//! The rules of `deny.toml`, checked by cargo-deny: who may name cryptography, licences, sources.

use crate::command::{self, cargo};
use anyhow::Result;
use std::path::PathBuf;

/// The release that `deny.toml` is written for.
const VERSION: &str = "0.20.2";

/// Checks the rules. The advisory database is left out: it lives outside the package registries.
pub(crate) fn run() -> Result<()> {
    let cargo_deny = match command::find("cargo-deny") {
        Some(installed) => installed,
        None => install()?,
    };
    command::run(&mut command::program(cargo_deny, &["--locked", "check", "bans", "licenses", "sources"]))
}

/// Our own copy, in the target folder so that nothing else on the machine changes. Not optimised: building it takes a
/// minute instead of four, and the check takes a second either way.
fn install() -> Result<PathBuf> {
    let tools = command::root().join("target").join("tools");
    let installed = tools.join("bin").join("cargo-deny");
    if !installed.is_file() {
        println!(
            "the dependency rules need cargo-deny, which is not here: building {VERSION} into target/tools, once."
        );
        let mut install =
            cargo(&["install", "cargo-deny", "--version", VERSION, "--locked", "--debug", "--quiet", "--root"]);
        command::run(install.arg(&tools))?;
    }
    Ok(installed)
}
