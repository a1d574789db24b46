//! What processes take of the machine, as Linux tells in `/proc`.

use anyhow::Context as _;
use std::{fs, ops::Add, time::Duration};

/// What one or several processes took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Processor time since they started, of all threads, in user space and in the kernel. To a clock tick, mostly 10 ms.
    pub(crate) cpu: Duration,
    /// Memory that is resident now (`VmRSS`).
    pub(crate) rss_bytes: u64,
    /// The most that was resident at once (`VmHWM`); of several processes the sum of each one's most.
    pub(crate) rss_peak_bytes: u64,
}

impl Usage {
    /// Of the process with this id.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("{path}: this bench needs Linux, and the process to run"))
        };
        let cpu = cpu_ticks(&read("stat")?).with_context(|| format!("/proc/{pid}/stat"))?;
        let status = read("status")?;
        let bytes = |name| bytes_of(&status, name).with_context(|| format!("no {name} in /proc/{pid}/status"));
        let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
        Ok(Self {
            cpu: Duration::from_nanos(cpu.saturating_mul(1_000_000_000 / ticks_per_second)),
            rss_bytes: bytes("VmRSS")?,
            rss_peak_bytes: bytes("VmHWM")?,
        })
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            rss_bytes: self.rss_bytes + other.rss_bytes,
            rss_peak_bytes: self.rss_peak_bytes + other.rss_peak_bytes,
        }
    }
}

/// User and kernel time (proc(5): fields 14 and 15). The second field is the program's name in parentheses, which may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// A line such as `VmRSS:   1234 kB`.
fn bytes_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes << 10)
}

#[cfg(test)]
mod tests;
