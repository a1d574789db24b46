//! Runs one stage of a message's way so many times, with inputs that are the same in every run.
//!
//! `cargo xtask budget` runs it under callgrind, which counts what happens within [`measured`] and not what goes before. That
//! differs from run to run by more than many an operation costs: maps are keyed at random. Calls it counts all along, so that
//! what a stage does beforehand does not depend on how often it runs: what N more operations call is the difference of two runs.
//!
//! Everything happens on one thread, as far as it is up to us: what is counted then does not depend on who is faster.

mod envelope;
mod mqtt;
mod path;
mod publish;
mod queue;
mod reception;
mod sample;
mod scope;

use anyhow::{Context as _, bail};
use tokio::runtime::{Builder, Runtime};

/// What is counted.
struct Stage {
    name: &'static str,
    /// What one operation is.
    operation: &'static str,
    /// How many operations are counted.
    times: u32,
    run: fn(u32) -> anyhow::Result<()>,
}

/// In the order of a message's way.
const STAGES: &[&[Stage]] =
    &[reception::STAGES, scope::STAGES, envelope::STAGES, publish::STAGES, queue::STAGES, path::STAGES];

fn stages() -> impl Iterator<Item = &'static Stage> {
    STAGES.iter().copied().flatten()
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--list"] => {
            let listed: Vec<_> = stages()
                .map(|Stage { name, operation, times, .. }| {
                    serde_json::json!({ "name": name, "operation": operation, "times": times })
                })
                .collect();
            println!("{}", serde_json::to_string_pretty(&listed)?);
            Ok(())
        }
        [name, times] => {
            let stage = stages().find(|stage| stage.name == *name).with_context(|| format!("no stage `{name}`"))?;
            (stage.run)(times.parse().context("not a number of times")?)
        }
        _ => bail!("usage: aups-stages --list | NAME TIMES"),
    }
}

/// Does what is counted: callgrind is told to collect while this runs.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Runs what is asynchronous on this thread.
fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
