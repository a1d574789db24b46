//! The load that processes put on the processor, in finer steps than the clock ticks of `/proc/<pid>/stat`: what the
//! scheduler keeps of each thread (Linux, `schedstat`, nanoseconds).

use crate::bench::numbers::float;
use anyhow::Context as _;
use std::{collections::HashMap, fs, path::Path, time::Instant};

/// Compares what was used with what it was before.
#[derive(Debug)]
pub(super) struct CpuClock {
    pids: Vec<u32>,
    /// Nanoseconds that each thread has run.
    threads: HashMap<String, u64>,
    since: Instant,
}

impl CpuClock {
    /// Starts now.
    pub(super) fn start(pids: Vec<u32>) -> anyhow::Result<Self> {
        let threads = threads(&pids)?;
        Ok(Self { pids, threads, since: Instant::now() })
    }

    /// What was used since the last question, in percent of one core. What a thread did that has ended since is not seen.
    pub(super) fn percent(&mut self) -> anyhow::Result<f64> {
        let (now, threads) = (Instant::now(), threads(&self.pids)?);
        let ran =
            |(thread, nanos): (&String, &u64)| nanos.saturating_sub(self.threads.get(thread).copied().unwrap_or(0));
        let used: u64 = threads.iter().map(ran).sum();
        let elapsed = now.duration_since(self.since);
        (self.threads, self.since) = (threads, now);
        Ok(100.0 * float(used) / elapsed.as_secs_f64().max(f64::MIN_POSITIVE) / 1e9)
    }
}

fn threads(pids: &[u32]) -> anyhow::Result<HashMap<String, u64>> {
    let mut threads = HashMap::new();
    for pid in pids {
        let path = format!("/proc/{pid}/task");
        let tasks =
            fs::read_dir(&path).with_context(|| format!("{path}: this bench needs Linux, and the process to run"))?;
        for task in tasks {
            let task = task.context("a thread")?.path();
            // It may have ended since.
            if let Some(nanos) = ran(&task) {
                threads.insert(task.display().to_string(), nanos);
            }
        }
    }
    Ok(threads)
}

/// The first number of `schedstat`: how long a thread was on a processor, in nanoseconds.
fn ran(task: &Path) -> Option<u64> {
    fs::read_to_string(task.join("schedstat")).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::CpuClock;
    use std::hint::black_box;

    #[test]
    fn what_this_process_does_is_seen() {
        let mut clock = CpuClock::start(vec![std::process::id()]).unwrap();
        for number in 0..20_000_000_u64 {
            black_box(number);
        }
        assert!(clock.percent().unwrap() > 0.0);
    }
}
