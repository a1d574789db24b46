//! `cargo xtask crash`: a server that is killed under load, again and again, and what is lost. A sample of it is in every test run.

use crate::command::{self, cargo};
use anyhow::{Result, bail};

/// Runs the campaign, with a release build unless told otherwise; about 1 s a kill. In the mode `power` each kill also takes
/// away what was not synced.
pub(crate) fn run(options: &[&str]) -> Result<()> {
    let (mut kills, mut mode, mut seed, mut debug) = ("1000", "kill", "1", false);
    let mut rest = options;
    loop {
        rest = match rest {
            [] => break,
            ["--debug", rest @ ..] => {
                debug = true;
                rest
            }
            ["--kills", number, rest @ ..] if number.parse::<u32>().is_ok() => {
                kills = number;
                rest
            }
            ["--mode", which @ ("kill" | "power"), rest @ ..] => {
                mode = which;
                rest
            }
            ["--seed", number, rest @ ..] if number.parse::<u64>().is_ok() => {
                seed = number;
                rest
            }
            _ => bail!("usage: cargo xtask crash [--kills 1000] [--mode kill|power] [--seed 1] [--debug]"),
        };
    }
    let mut test = cargo(&["test", "--quiet", "--locked", "-p", "aups", "--test", "it"]);
    if !debug {
        test.arg("--release");
    }
    test.args(["--", "--ignored", "--exact", "crash::campaign", "--nocapture"]);
    command::run(test.env("AUPS_CRASH_KILLS", kills).env("AUPS_CRASH_MODE", mode).env("AUPS_CRASH_SEED", seed))
}
