//! `cargo xtask fuzz`: what reads foreign bytes, driven by libFuzzer. The targets are in `fuzz/`, and in every test run as well.

use crate::command::{self, cargo};
use anyhow::{Context as _, Result, bail};
use std::path::PathBuf;

/// The release of cargo-fuzz that is installed where there is none.
const VERSION: &str = "0.13.2";
/// How long each target runs, where nothing is said.
const SECONDS: &str = "60";
/// Longest input: beyond the size limits of requests, so that those are met.
const INPUT_BYTES_MAX: &str = "20000";
/// An input may take so long, in seconds, and so much memory, in MiB.
const INPUT_SECONDS_MAX: &str = "10";
const INPUT_MEMORY_MAX: &str = "2048";

/// Every target, with the feature that it needs. A test of `fuzz/` compares the programs with its list of targets.
const TARGETS: &[(&str, Option<&str>)] = &[
    ("message", None),
    ("item", None),
    ("source", None),
    ("key_request", None),
    ("key_response", None),
    ("grants", None),
    ("certificate", None),
    ("enrol_request", None),
    ("enrolled", None),
    ("bearer", None),
    ("identity_file", None),
    ("wrapped", None),
    ("text", None),
    ("json", Some("nos")),
    ("data", Some("nos")),
    ("lines", Some("nos")),
    ("registration", Some("nos")),
    ("sealed", Some("nos")),
    ("idempotency", Some("nos")),
    ("config", Some("nos")),
    ("configured", Some("nos")),
    ("policy", Some("policy")),
];

/// Runs the named targets, or all.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let (names, seconds) = match arguments {
        [names @ .., "--seconds", seconds] if seconds.parse::<u32>().is_ok() => (names, *seconds),
        names => (names, SECONDS),
    };
    if let Some(unknown) = names.iter().find(|name| TARGETS.iter().all(|(target, _)| target != *name)) {
        let known: Vec<&str> = TARGETS.iter().map(|(target, _)| *target).collect();
        bail!(
            "there is no target `{unknown}`; usage: cargo xtask fuzz [TARGET…] [--seconds N]; targets: {}",
            known.join(", ")
        );
    }
    let cargo_fuzz = cargo_fuzz()?;
    for (target, feature) in TARGETS.iter().filter(|(target, _)| names.is_empty() || names.contains(target)) {
        println!("\n== {target}, {seconds} s");
        fuzz(&cargo_fuzz, target, *feature, seconds)?;
    }
    Ok(())
}

fn fuzz(cargo_fuzz: &PathBuf, target: &str, feature: Option<&str>, seconds: &str) -> Result<()> {
    let folder = command::root().join("target").join("fuzz");
    let corpus = folder.join("corpus").join(target);
    let corpus = corpus.to_str().context("the path of the repository is not UTF-8")?;
    let features = feature.map(|feature| ["--features", feature]).unwrap_or_default();
    let features: Vec<&str> = features.into_iter().filter(|word| !word.is_empty()).collect();
    let seeds = ["run", "--quiet", "--locked", "-p", "aups-fuzz", "--example", "seeds", "--no-default-features"];
    command::run(cargo(&seeds).args(&features).args(["--", target, corpus]))?;

    let mut run = command::program(cargo_fuzz, &["run", "--fuzz-dir", "fuzz/libfuzzer", "--sanitizer", "none"]);
    run.arg("--target-dir").arg(folder.join("build")).args(&features).args([target, corpus, "--"]).args([
        format!("-max_total_time={seconds}"),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={INPUT_MEMORY_MAX}"),
        "-print_final_stats=1".to_owned(),
    ]);
    // libFuzzer's instruments are flags of the compiler that only this lets a stable one take.
    command::run(run.env("RUSTC_BOOTSTRAP", "1"))
        .with_context(|| format!("the input that fails is in fuzz/libfuzzer/artifacts/{target}: make it a test first"))
}

/// The installed cargo-fuzz, or our own copy in the target folder.
fn cargo_fuzz() -> Result<PathBuf> {
    if let Some(installed) = command::find("cargo-fuzz") {
        return Ok(installed);
    }
    let tools = command::root().join("target").join("tools");
    let installed = tools.join("bin").join("cargo-fuzz");
    if !installed.is_file() {
        println!("fuzzing needs cargo-fuzz, which is not here: building {VERSION} into target/tools, once.");
        let mut install =
            cargo(&["install", "cargo-fuzz", "--version", VERSION, "--locked", "--debug", "--quiet", "--root"]);
        command::run(install.arg(&tools))?;
    }
    Ok(installed)
}
