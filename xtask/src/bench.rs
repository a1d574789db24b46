//! `cargo xtask bench`: a server under load beside its yardsticks, in one run. What is measured, and how, is `aups bench load`.

use crate::{
    command::{self, cargo, program},
    packages::{self, Needed},
};
use anyhow::Result;
use std::str;

/// What is measured is what is shipped.
const PROFILE: &str = "--profile=dist";
/// A broker for the paper's stack.
const NEEDED: &[Needed] = &[Needed { program: "mosquitto", package: "mosquitto" }];

/// Builds what is shipped and loads all contenders; further arguments go to `aups bench load`.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    prepare()?;
    let commit = command::output(&mut program("git", &["describe", "--always", "--dirty"]))?;
    let out = format!("bench/results/{}.json", str::from_utf8(&commit)?.trim());
    let mut bench =
        cargo(&["run", "--quiet", PROFILE, "--locked", "-p", "aups", "--bin", "aups", "--", "bench", "load"]);
    command::run(bench.args(["--peers", "bench/peers", "--out", &out]).args(arguments))
}

/// Installs, builds and fetches what the loads of all contenders need.
pub(crate) fn prepare() -> Result<()> {
    packages::install(NEEDED, "the benches")?;
    build()?;
    fetch_peers()
}

/// Builds what is shipped and attacks it; further arguments go to the harness.
pub(crate) fn flood(arguments: &[&str]) -> Result<()> {
    build()?;
    let mut harness = cargo(&["run", "--quiet", PROFILE, "--locked", "-p", "aups-bench", "--", "flood"]);
    command::run(harness.args(arguments))
}

/// Builds what is shipped and lets it work for long; further arguments go to it.
pub(crate) fn soak(arguments: &[&str]) -> Result<()> {
    let mut soak =
        cargo(&["run", "--quiet", PROFILE, "--locked", "-p", "aups", "--bin", "aups", "--", "bench", "soak"]);
    command::become_this(soak.args(arguments))
}

/// Builds `aups` and, beside it, the contenders that only benches know.
fn build() -> Result<()> {
    command::run(&mut cargo(&["build", PROFILE, "--locked", "-p", "aups", "-p", "aups-bench"]))
}

/// Fetches what the paper's stack is made of, where there is Node.js; where there is none, the bench says so.
fn fetch_peers() -> Result<()> {
    let peers = command::root().join("bench").join("peers");
    if peers.join("node_modules").is_dir() || command::find("node").is_none() || command::find("npm").is_none() {
        return Ok(());
    }
    let mut npm = program("npm", &["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
    command::run(npm.current_dir(peers))
}
