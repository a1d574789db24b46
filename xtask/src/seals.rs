//! `cargo xtask seals`: ten million messages by several NOSs that are killed and begin again, and whether a key and a nonce come twice.

use crate::command::{self, cargo};
use anyhow::{Result, bail};

/// Runs it, in release mode; takes 16 bytes of memory a message.
pub(crate) fn run(options: &[&str]) -> Result<()> {
    let (mut count, mut nos, mut seed) = ("10000000", "4", "1");
    for pair in options.chunks(2) {
        match pair {
            ["--count", number] => count = number,
            ["--nos", number] => nos = number,
            ["--seed", number] => seed = number,
            _ => bail!("usage: cargo xtask seals [--count 10000000] [--nos 4] [--seed 1]"),
        }
    }
    let example = ["run", "--quiet", "--release", "--locked", "-p", "aups-nos", "--example", "seals", "--"];
    command::run(cargo(&example).args([count, nos, seed]))
}
