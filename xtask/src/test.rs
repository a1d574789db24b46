//! `cargo xtask test`: everything that must hold before a change goes in, the same here and in CI.

use crate::{
    command::{self, cargo},
    deny, layers, links,
    packages::{self, Needed},
    performance, threats, vectors,
};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// What the end-to-end tests call: a real broker and the stock clients.
const NEEDED: &[Needed] = &[
    Needed { program: "mosquitto", package: "mosquitto" },
    Needed { program: "mosquitto_pub", package: "mosquitto-clients" },
    Needed { program: "mosquitto_sub", package: "mosquitto-clients" },
    Needed { program: "curl", package: "curl" },
];

type Step = (&'static str, fn() -> Result<()>);

/// The steps, cheap ones first, the tests last: their `test result:` lines are what CI reads.
const STEPS: &[Step] = &[
    ("packages", || packages::install(NEEDED, "the tests")),
    ("formatting", || command::run(&mut cargo(&["fmt", "--all", "--check"]))),
    ("links", links::run),
    ("performance", performance::check),
    ("threats", threats::run),
    ("layers", layers::run),
    ("dependencies", deny::run),
    ("clippy", clippy),
    ("rustdoc", rustdoc),
    ("vectors", vectors::check),
    ("doc tests", || command::run(&mut cargo(&["test", "--workspace", "--locked", "--no-fail-fast", "--doc"]))),
    ("caps", caps),
    ("tests", tests),
];

/// Runs every step, also after one that failed, so that one run tells all.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let mut outcomes = Vec::new();
    for (number, (name, step)) in STEPS.iter().enumerate() {
        println!("\n== {}/{} {name}", number + 1, STEPS.len());
        let step_started = Instant::now();
        let outcome = step();
        let took = step_started.elapsed();
        match &outcome {
            Ok(()) => println!("== {name}: ok, {}", seconds(took)),
            Err(error) => println!("== {name}: FAILED, {}: {error:#}", seconds(took)),
        }
        outcomes.push((*name, took, outcome.is_ok()));
    }
    println!("\n== summary");
    for (name, took, ok) in &outcomes {
        println!("{name:<12} {:>8}  {}", seconds(*took), if *ok { "ok" } else { "FAILED" });
    }
    println!("{:<12} {:>8}", "all", seconds(started.elapsed()));
    let failed: Vec<&str> = outcomes.iter().filter(|(.., ok)| !ok).map(|(name, ..)| *name).collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn clippy() -> Result<()> {
    command::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]))
}

fn rustdoc() -> Result<()> {
    command::run(cargo(&["doc", "--workspace", "--no-deps", "--locked"]).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Counters at their caps once more, as they are built for release: what ends at 2³² must end there without debug assertions, too.
fn caps() -> Result<()> {
    command::run(&mut cargo(&["test", "--release", "--locked", "-p", "aups-core", "-p", "aups-envelope", "--lib"]))
}

fn tests() -> Result<()> {
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    command::run(&mut cargo(&[&["test", "--workspace", "--locked", "--no-fail-fast"], targets.as_slice()].concat()))
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
