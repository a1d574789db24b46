//! `cargo xtask performance`: what `docs/performance.md` shows, measured, kept in `bench/figures/`, and written into it.
//!
//! No number is copied by hand: the document holds blocks between `<!-- figures: NAME -->` and `<!-- end -->`, and each is a
//! function of the JSON files. That they agree is a step of `cargo xtask test`.

mod capacity;
mod goals;
mod tables;

use crate::{bench, command};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What was measured, by name.
type Results = BTreeMap<String, Value>;

const USAGE: &str = "usage: cargo xtask performance [--write | --check | --list | NAME…]";

/// A measurement that goes into `bench/figures/<name>.json`.
struct Campaign {
    name: &'static str,
    /// Arguments of the program that prints the JSON.
    arguments: &'static [&'static str],
    by: Program,
}

enum Program {
    /// `aups bench`, built as it is shipped.
    Bench,
    /// This one.
    Xtask,
}

const fn campaign(name: &'static str, arguments: &'static [&'static str]) -> Campaign {
    Campaign { name, arguments, by: Program::Bench }
}

/// In the order in which they are best run: the short ones first.
const CAMPAIGNS: &[Campaign] = &[
    campaign("load-single", &["load", "--json"]),
    campaign(
        "load-ndjson",
        &["load", "--json", "--batch", "100", "--connections", "8", "--contenders", "with,without"],
    ),
    campaign(
        "load-stream",
        &["load", "--json", "--batch", "100", "--connections", "8", "--rate", "150000", "--contenders", "with"],
    ),
    campaign("load-disk", &["load", "--json", "--durability", "disk", "--contenders", "with,without"]),
    campaign(
        "load-open",
        &["load", "--json", "--rate", "2000", "--arrivals", "poisson", "--contenders", "with,without"],
    ),
    campaign("scale-topics", &["scale", "topics", "--json"]),
    campaign("scale-policies", &["scale", "policies", "--json"]),
    campaign("scale-readers", &["scale", "readers", "--json"]),
    campaign(
        "keys",
        &["keys", "--json", "--rate", "7000", "--requests", "50000", "--connections", "64", "--readers", "300"],
    ),
    campaign("memory", &["memory", "--json"]),
    campaign("paper", &["paper", "--json", "--out", "bench/figures/paper"]),
    campaign("paper-disk", &["paper", "--json", "--durability", "disk", "--out", "bench/figures/paper-disk"]),
    campaign("revocation", &["revocation", "--json"]),
    Campaign { name: "budget", arguments: &["budget", "--json"], by: Program::Xtask },
];

/// Measures the named, or all, and writes the document; `--write` only writes it, `--check` fails if that changes it.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    match arguments {
        ["--write"] => write(),
        ["--check"] => check(),
        ["--list"] => {
            for campaign in CAMPAIGNS {
                println!("{}", campaign.name);
            }
            Ok(())
        }
        names if names.iter().all(|name| CAMPAIGNS.iter().any(|campaign| campaign.name == *name)) => {
            measure(names)?;
            write()
        }
        _ => bail!(USAGE),
    }
}

fn measure(names: &[&str]) -> Result<()> {
    bench::prepare()?;
    for Campaign { name, arguments, by } in CAMPAIGNS {
        if !names.is_empty() && !names.contains(name) {
            continue;
        }
        let mut program = match by {
            Program::Bench => command::program(command::root().join("target/dist/aups"), &["bench"]),
            Program::Xtask => command::program(std::env::current_exe()?, &[]),
        };
        println!("{name}: {}", arguments.join(" "));
        let printed = command::output(program.args(*arguments))?;
        let measured: Value = serde_json::from_slice(&printed).with_context(|| format!("what {name} printed"))?;
        keep(&figures_dir().join(format!("{name}.json")), &measured)?;
    }
    Ok(())
}

fn keep(file: &Path, measured: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(measured)?;
    fs::write(file, text + "\n").with_context(|| format!("cannot write {}", file.display()))
}

fn figures_dir() -> PathBuf {
    command::root().join("bench").join("figures")
}

fn document() -> PathBuf {
    command::root().join("docs").join("performance.md")
}

/// Writes the blocks of the document again from the results.
fn write() -> Result<()> {
    let text = fs::read_to_string(document())?;
    fs::write(document(), filled(&text, &read()?)?)?;
    println!("wrote docs/performance.md");
    Ok(())
}

/// Whether the blocks of the document are those of the results.
pub(crate) fn check() -> Result<()> {
    let text = fs::read_to_string(document())?;
    if filled(&text, &read()?)? != text {
        bail!("docs/performance.md does not say what bench/figures/ says: cargo xtask performance --write");
    }
    println!("docs/performance.md says what was measured");
    Ok(())
}

fn read() -> Result<Results> {
    let mut results = Results::new();
    for entry in fs::read_dir(figures_dir())? {
        let file = entry?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if file.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read(&file)?;
            let value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))?;
            results.insert(name, value);
        }
    }
    Ok(results)
}

const BEGIN: &str = "<!-- figures: ";
const END: &str = "<!-- end -->";

/// The document with its blocks filled.
fn filled(text: &str, results: &Results) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(" -->").context("a block without a name")?;
        let (_, after) = after.split_once(END).with_context(|| format!("the block {name} has no end"))?;
        let block = tables::block(name, results).with_context(|| format!("the block {name}"))?;
        out.extend([before, BEGIN, name, " -->\n\n", block.trim_end(), "\n\n", END]);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests;
