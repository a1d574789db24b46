//! On what it was measured: a figure without its machine says nothing.

use std::{fs, process::Command, thread};

/// One line: processor, cores, kernel, compiler, load before the run.
pub(crate) fn line() -> String {
    let processor = first_match("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.into());
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?").to_owned();
    format!("{processor}, {cores} cores, Linux {}, {}, load before {load}", kernel.trim(), version("rustc"))
}

/// The value after the colon of the first line that starts so.
fn first_match(file: &str, start: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(start))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn version(program: &str) -> String {
    let told = Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&told).split(" (").next().unwrap_or("?").trim().to_owned()
}
