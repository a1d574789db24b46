//! `cargo xtask bench`: the whole chain beside its yardsticks, in one run. What is measured lives in `bench/harness`.

use crate::{
    command::{self, cargo, program},
    packages::{self, Needed},
};
use anyhow::Result;
use std::str;

/// The load, a broker for the paper's stack, and the subscriber.
const NEEDED: &[Needed] = &[
    Needed { program: "wrk", package: "wrk" },
    Needed { program: "mosquitto", package: "mosquitto" },
    Needed { program: "mosquitto_sub", package: "mosquitto-clients" },
];

/// Builds for release and runs the harness; further arguments go to it.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    packages::install(NEEDED, "the benches")?;
    command::run(&mut cargo(&["build", "--release", "--locked", "-p", "aups", "-p", "aups-bench"]))?;
    let commit = command::output(&mut program("git", &["describe", "--always", "--dirty"]))?;
    let out = format!("bench/results/{}.json", str::from_utf8(&commit)?.trim());
    let mut harness = cargo(&["run", "--quiet", "--release", "--locked", "-p", "aups-bench", "--", "run"]);
    harness.args(["--bench", "bench", "--out", &out]).args(arguments);
    if !peers_are_there()? {
        harness.arg("--without-peers");
    }
    command::run(&mut harness)
}

/// Builds for release and attacks it; further arguments go to the harness.
pub(crate) fn flood(arguments: &[&str]) -> Result<()> {
    command::run(&mut cargo(&["build", "--release", "--locked", "-p", "aups", "-p", "aups-bench"]))?;
    let mut harness = cargo(&["run", "--quiet", "--release", "--locked", "-p", "aups-bench", "--", "flood"]);
    command::run(harness.args(arguments))
}

/// Builds for release and lets it work for long; further arguments go to it.
pub(crate) fn soak(arguments: &[&str]) -> Result<()> {
    let mut soak =
        cargo(&["run", "--quiet", "--release", "--locked", "-p", "aups", "--bin", "aups", "--", "bench", "soak"]);
    command::become_this(soak.args(arguments))
}

/// Fetches what the paper's stack is made of; false, and loud, where there is no Node.js.
fn peers_are_there() -> Result<bool> {
    if command::find("node").is_none() || command::find("npm").is_none() {
        println!("\n!! NOT RUN: the paper's stack, for node or npm is missing (apt-get install nodejs npm)\n");
        return Ok(false);
    }
    let peers = command::root().join("bench").join("peers");
    if !peers.join("node_modules").is_dir() {
        let mut npm = program("npm", &["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
        command::run(npm.current_dir(peers))?;
    }
    Ok(true)
}
