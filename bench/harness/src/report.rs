//! Medians and ratios, for people and as JSON.

use crate::{load::Outcome, run::Chain};
use anyhow::Context as _;
use serde::Serialize;
use std::{fmt, fs, path::Path};

/// One contender's rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
}

/// One round of one contender.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Sample {
    /// Loaded while nobody subscribes.
    pub(crate) alone: Outcome,
    /// Loaded with a subscriber; `None` where nothing is published.
    pub(crate) chain: Option<Chain>,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>9.0} taken/s, p50 {} µs, p99 {} µs",
            self.alone.per_second(),
            self.alone.p50_us,
            self.alone.p99_us
        )?;
        if let Some(chain) = &self.chain {
            let taken = chain.taken.requests - chain.taken.refused;
            write!(f, "; {:.0} delivered/s ({} of {taken})", chain.delivered_per_second, chain.delivered)?;
        }
        let (refused, broken) = (self.alone.refused, self.alone.broken);
        if refused + broken > 0 { write!(f, "; {refused} refused, {broken} broken") } else { Ok(()) }
    }
}

impl Measured {
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, samples: Vec::new() }
    }

    /// Requests taken a second, nobody subscribed: median over the rounds.
    fn taken(&self) -> f64 {
        median(self.samples.iter().map(|sample| sample.alone.per_second()).collect())
    }

    /// Messages delivered a second to one subscriber: median over the rounds.
    fn delivered(&self) -> Option<f64> {
        let rates: Vec<f64> =
            self.samples.iter().filter_map(|sample| Some(sample.chain.as_ref()?.delivered_per_second)).collect();
        (!rates.is_empty()).then(|| median(rates))
    }
}

/// What the ratios should be: name of the one above the line, of the one below, least ratio.
const TARGETS: &[(&str, &str, f64)] =
    &[("with AUPS", "without AUPS", 0.8), ("with AUPS", "paper's stack", 4.0), ("with AUPS", "bare axum", 0.5)];

/// Prints the table and the ratios.
pub(crate) fn print(measured: &[Measured]) {
    println!("\n{:<16} {:>10} {:>12}", "median of rounds", "taken/s", "delivered/s");
    for contender in measured {
        let delivered = contender.delivered().map_or("-".to_owned(), |rate| format!("{rate:.0}"));
        println!("{:<16} {:>10.0} {delivered:>12}", contender.name, contender.taken());
    }
    println!();
    for (above, below, least) in TARGETS {
        let find = |name: &str| measured.iter().find(|contender| contender.name == name);
        let (Some(above), Some(below)) = (find(above), find(below)) else {
            println!("{above} / {below}: not run");
            continue;
        };
        let ratio = above.taken() / below.taken();
        let verdict = if ratio >= *least { "met" } else { "MISSED" };
        let chain = above.delivered().zip(below.delivered()).map(|(above, below)| above / below);
        let chain = chain.map_or(String::new(), |ratio| format!("; delivered {ratio:.2}"));
        println!("{} / {}: taken {ratio:.2}{chain} (target for taken {least}: {verdict})", above.name, below.name);
    }
}

/// Writes everything that was measured.
pub(crate) fn write(file: &Path, machine: &str, measured: &[Measured]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&serde_json::json!({ "machine": machine, "measured": measured }))?;
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    println!("\nall figures: {}", file.display());
    Ok(())
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = values.get(half).copied().unwrap_or(f64::NAN);
    match half.checked_sub(1).filter(|_| values.len().is_multiple_of(2)).and_then(|lower| values.get(lower)) {
        Some(lower) => f64::midpoint(*lower, upper),
        None => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_one_or_the_mean_of_the_two_in_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(vec![7.0]) - 7.0).abs() < f64::EPSILON);
    }
}
