//! `cargo xtask budget`: the instructions and allocations of each stage of a message's way, against `bench/budgets.toml`.
//!
//! Counted by callgrind, and so nearly the same in every run, whatever else the machine does. What is counted lives in
//! `bench/stages`.

mod callgrind;
mod report;

use crate::{
    command::{self, cargo},
    packages::{self, Needed},
};
use anyhow::{Context as _, Result, bail};
use callgrind::count;
use report::{Measured, Verdict};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

const NEEDED: &[Needed] = &[Needed { program: "valgrind", package: "valgrind" }];

const FILE: &str = "bench/budgets.toml";

const USAGE: &str = "usage: cargo xtask budget [--write | --json] [STAGE…]";

/// A stage as `aups-stages --list` tells it.
#[derive(Debug, Deserialize)]
struct Stage {
    name: String,
    operation: String,
    times: u32,
}

/// What an operation may cost.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Budget {
    instructions: u64,
    allocations: f64,
}

/// What is done with what was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Compare,
    Write,
    Json,
}

/// Counts the named stages, or all, and compares them with their budgets; or writes the budgets, or tells what was counted.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (outcome, names) = match arguments {
        ["--write", names @ ..] => (Outcome::Write, names),
        ["--json", names @ ..] => (Outcome::Json, names),
        names => (Outcome::Compare, names),
    };
    packages::install(NEEDED, "the budgets")?;
    let program = build()?;
    let listed = command::output(&mut command::program(&program, &["--list"]))?;
    let stages: Vec<Stage> = serde_json::from_slice(&listed).context("the list of stages")?;
    if let Some(unknown) = names.iter().find(|name| stages.iter().all(|stage| stage.name != **name)) {
        let known: Vec<&str> = stages.iter().map(|stage| &*stage.name).collect();
        bail!("there is no stage `{unknown}`; {USAGE}; stages: {}", known.join(", "));
    }
    let mut budgets = read()?;
    let mut all = Vec::new();
    for stage in stages.into_iter().filter(|stage| names.is_empty() || names.contains(&&*stage.name)) {
        eprintln!("counting {}", stage.name);
        let counted = count(&program, &stage)?;
        all.push(Measured { budget: budgets.get(&stage.name).copied(), stage, counted });
    }
    match outcome {
        Outcome::Compare => compare(&all),
        Outcome::Json => report::json(&all),
        Outcome::Write => {
            for Measured { stage, counted, .. } in &all {
                budgets.insert(stage.name.clone(), counted.budget());
            }
            write(&budgets)
        }
    }
}

/// Builds for release, and says where the program is.
fn build() -> Result<PathBuf> {
    // Quiet on standard output, which may be JSON.
    command::output(&mut cargo(&["build", "--release", "--locked", "--workspace", "--bin", "aups-stages"]))?;
    let metadata = command::output(&mut cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"]))?;
    let Metadata { target_directory } = serde_json::from_slice(&metadata)?;
    Ok(target_directory.join("release").join("aups-stages"))
}

#[derive(Debug, Deserialize)]
struct Metadata {
    target_directory: PathBuf,
}

fn compare(all: &[Measured]) -> Result<()> {
    report::print(all);
    let mut broken = 0;
    for measured in all {
        for verdict in measured.verdicts() {
            println!("{}: {verdict}", measured.stage.name);
            broken += usize::from(matches!(verdict, Verdict::Over(_)));
        }
    }
    if broken > 0 {
        bail!(
            "{broken} budgets are exceeded: find what became dearer, or say why it must be with `cargo xtask budget --write`"
        );
    }
    Ok(())
}

fn read() -> Result<BTreeMap<String, Budget>> {
    let text = fs::read_to_string(command::root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    toml::from_str(&text).with_context(|| format!("{FILE} is not what `cargo xtask budget --write` wrote"))
}

fn write(budgets: &BTreeMap<String, Budget>) -> Result<()> {
    let mut text = "# What one operation of each stage may cost: instructions, and allocations (new or resized).\n\
                    # Written by `cargo xtask budget --write`; `cargo xtask budget --json` says what the operations are.\n"
        .to_owned();
    for (name, Budget { instructions, allocations }) in budgets {
        write!(text, "\n[{name}]\ninstructions = {instructions}\nallocations = {allocations:.2}\n")?;
    }
    fs::write(command::root().join(FILE), text).with_context(|| format!("cannot write {FILE}"))
}
