//! Load: `wrk` with one thread, so that on two cores the contender has the other one.

use crate::contender::Contender;
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};
use std::{path::Path, process::Stdio};
use tokio::process::Command;

/// Connections that post at the same time.
const CONNECTIONS: &str = "32";

/// What one load came to, as `load.lua` tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Answers, refusals included.
    pub(crate) requests: u64,
    /// Answers that were not 2xx or 3xx.
    pub(crate) refused: u64,
    /// Connections that broke or timed out.
    pub(crate) broken: u64,
    pub(crate) duration_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

impl Outcome {
    /// Taken requests a second.
    pub(crate) fn per_second(&self) -> f64 {
        per_second(self.requests.saturating_sub(self.refused), self.duration_us)
    }
}

/// So many in so many microseconds, per second.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(crate) fn per_second(count: u64, duration_us: u64) -> f64 {
    count as f64 * 1e6 / duration_us.max(1) as f64
}

/// Loads a contender for so many seconds.
pub(crate) async fn load(contender: &Contender, seconds: u32, script: &Path) -> anyhow::Result<Outcome> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", "-c", CONNECTIONS, "-d", &format!("{seconds}s"), "-s"]).arg(script).arg(contender.url());
    if let Some(bearer) = contender.bearer() {
        wrk.env("BEARER", bearer);
    }
    let output = wrk.stdin(Stdio::null()).kill_on_drop(true).output().await.context("wrk did not start")?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let Some(line) = told.lines().rfind(|line| line.starts_with('{')) else {
        bail!("wrk told no outcome for {}: {told}{}", contender.name(), String::from_utf8_lossy(&output.stdout));
    };
    serde_json::from_str(line).with_context(|| format!("wrk told {line}"))
}
