//! Running a stage under callgrind, and reading what it wrote ("Callgrind Format Specification" in valgrind's manual).

use super::{Budget, Stage};
use crate::command;
use anyhow::{Context as _, Result, bail};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

/// Functions of the C library that take memory, new or more.
const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc"];

/// When callgrind counts: while a stage does what is to be counted, and all along on the thread of the durable queue.
const COUNTED: [&str; 2] =
    ["--toggle-collect=aups_stages::measured", "--toggle-collect=aups_store::queue::Writer::run"];

/// What a run, or one operation, came to.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
    /// Instructions of each function with those of all that it calls.
    pub(super) functions: BTreeMap<String, f64>,
}

/// Counts one operation of a stage: what twice as many cost more. How often functions are called callgrind counts at any time;
/// what a stage does beforehand is the same in both runs.
pub(super) fn count(program: &Path, Stage { name, times, .. }: &Stage) -> Result<Counted> {
    let once = count_all(program, name, *times)?;
    Ok(count_all(program, name, 2 * times)?.less(&once).by(*times))
}

fn count_all(program: &Path, name: &str, times: u32) -> Result<Counted> {
    let folder = command::root().join("target").join("callgrind");
    fs::create_dir_all(&folder)?;
    let out = folder.join(format!("{name}.out"));
    let written = format!("--callgrind-out-file={}", out.display());
    let mut valgrind = command::program("valgrind", &["--quiet", "--tool=callgrind", &written]);
    valgrind.args(COUNTED);
    let ended = valgrind.arg(program).args([name, &times.to_string()]).status().context("valgrind did not start")?;
    if !ended.success() {
        bail!("the stage `{name}` failed under valgrind: {ended}");
    }
    let text = fs::read_to_string(&out).with_context(|| format!("cannot read {}", out.display()))?;
    parse(&text).with_context(|| format!("{} is not what we know of callgrind", out.display()))
}

impl Counted {
    /// What this run has more.
    fn less(mut self, other: &Self) -> Self {
        self.instructions -= other.instructions;
        self.allocations -= other.allocations;
        for (name, instructions) in &other.functions {
            *self.functions.entry(name.clone()).or_default() -= instructions;
        }
        self
    }

    /// One of so many operations.
    fn by(mut self, times: u32) -> Self {
        let times = f64::from(times);
        self.instructions /= times;
        self.allocations /= times;
        self.functions.values_mut().for_each(|instructions| *instructions /= times);
        self
    }

    /// The budget that this just keeps: whole instructions, hundredths of allocations.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of one operation")]
    pub(super) fn budget(&self) -> Budget {
        Budget {
            instructions: self.instructions.round().max(0.0) as u64,
            allocations: (self.allocations * 100.0).round() / 100.0,
        }
    }
}

/// Reads a profile.
fn parse(text: &str) -> Result<Counted> {
    let mut profile = Profile::default();
    for line in text.lines() {
        profile.line(line).with_context(|| format!("the line `{line}`"))?;
    }
    let named = |id: &u32| profile.names.get(id).cloned().unwrap_or_default();
    let mut counted = Counted { instructions: profile.total.context("no total")?, ..Counted::default() };
    for (function, instructions) in &profile.inclusive {
        *counted.functions.entry(named(function)).or_default() += instructions;
    }
    let allocating = profile.calls.iter().filter(|(function, _)| ALLOCATING.contains(&&*named(function)));
    counted.allocations = allocating.fold(0.0, |all, (_, calls)| all + calls);
    Ok(counted)
}

/// What was read so far. Functions have numbers; the first mention of one gives its name.
#[derive(Default)]
struct Profile {
    names: HashMap<u32, String>,
    function: u32,
    called: u32,
    inclusive: HashMap<u32, f64>,
    calls: HashMap<u32, f64>,
    total: Option<f64>,
}

impl Profile {
    fn line(&mut self, line: &str) -> Result<()> {
        if let Some(function) = line.strip_prefix("fn=") {
            self.function = self.function_of(function)?;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            self.called = self.function_of(function)?;
        } else if let Some(calls) = line.strip_prefix("calls=") {
            let count: f64 = calls.split(' ').next().unwrap_or_default().parse()?;
            *self.calls.entry(self.called).or_default() += count;
        } else if let Some(total) = line.strip_prefix("totals: ") {
            self.total = Some(total.trim().parse()?);
        } else if line.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '*')) {
            // Where, and how many; nothing where there are none.
            let cost: f64 = line.split(' ').nth(1).unwrap_or("0").parse()?;
            // A function that calls itself is counted by callgrind under names of its own for each level.
            *self.inclusive.entry(self.function).or_default() += cost;
        }
        Ok(())
    }

    /// `(number) name`, or `(number)` of one that was named before.
    fn function_of(&mut self, text: &str) -> Result<u32> {
        let (number, name) = text.strip_prefix('(').and_then(|rest| rest.split_once(')')).context("no number")?;
        let number = number.parse()?;
        if !name.is_empty() {
            self.names.insert(number, name.trim().to_owned());
        }
        Ok(number)
    }
}

#[cfg(test)]
mod tests;
