//! `cargo xtask figures`: writes the figures in `docs/guide/scores.md` again, from the weather station's year.

use crate::command::{self, cargo};
use anyhow::Result;

/// Writes them; a test of the program holds them against the code.
pub(crate) fn write() -> Result<()> {
    let test = ["test", "--quiet", "--workspace", "--locked", "--bin", "aups", "--", "the_figures_in_the_guide"];
    command::run(cargo(&test).env("AUPS_WRITE_FIGURES", "1"))
}
