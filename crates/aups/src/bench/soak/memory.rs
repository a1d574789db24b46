//! Whether a process grows.

use crate::bench::numbers::float;
use std::time::Duration;

/// A run shorter than this is not judged: caches and pools still fill.
const JUDGED_FROM: Duration = Duration::from_mins(10);
/// What counts as flat: by the line through the second half of a run, memory grows by no more than so much of its mean…
const GROWTH_SHARE_MAX: f64 = 0.05;
/// … or by no more than so many bytes, whichever is more.
const GROWTH_BYTES_MAX: f64 = 2.0 * 1024.0 * 1024.0;

/// Memory over time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// When, since the start of the run, and how much was resident, in bytes.
    samples: Vec<(Duration, u64)>,
}

/// What the second half of a run shows, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Growth {
    /// What was resident on the average.
    pub(super) mean: f64,
    /// What was added from the beginning to the end of the half, by least squares.
    pub(super) grown: f64,
    /// How much may be added.
    pub(super) bound: f64,
}

impl Memory {
    pub(super) fn note(&mut self, at: Duration, bytes: u64) {
        self.samples.push((at, bytes));
    }

    pub(super) fn samples(&self) -> &[(Duration, u64)] {
        &self.samples
    }

    /// Of the second half; nothing where it is too short to tell.
    pub(super) fn growth(&self) -> Option<Growth> {
        let last = self.samples.last().map(|(at, _)| *at).filter(|last| *last >= JUDGED_FROM)?;
        let half: Vec<_> = self
            .samples
            .iter()
            .filter(|(at, _)| *at >= last / 2)
            .map(|(at, bytes)| (at.as_secs_f64(), float(*bytes)))
            .collect();
        let (slope, mean) = line(&half)?;
        let grown = slope * (last / 2).as_secs_f64();
        Some(Growth { mean, grown, bound: (mean * GROWTH_SHARE_MAX).max(GROWTH_BYTES_MAX) })
    }
}

impl Growth {
    pub(super) fn is_flat(&self) -> bool {
        self.grown <= self.bound
    }
}

/// Slope and mean of the line with the least squares.
fn line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let count = f64::from(u32::try_from(points.len()).ok().filter(|count| *count > 1)?);
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let square: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    (square > 0.0).then(|| (both / square, y))
}

#[cfg(test)]
mod tests {
    use super::{Growth, Memory};
    use std::time::Duration;

    /// An hour, a sample every ten seconds.
    fn hour(bytes: impl Fn(u64) -> u64) -> Option<Growth> {
        let mut memory = Memory::default();
        for second in (0..=3600).step_by(10) {
            memory.note(Duration::from_secs(second), bytes(second));
        }
        memory.growth()
    }

    #[test]
    fn what_grows_at_the_beginning_alone_is_flat() {
        let growth = hour(|second| (40 << 20) + second.min(900) * 20_000 + second * 37 % 5 * 1_000).unwrap();
        assert!(growth.is_flat() && growth.grown.abs() < 10_000.0, "{growth:?}");
    }

    #[test]
    fn a_leak_shows() {
        // 2 kB a second are 3.6 MB in half an hour.
        let growth = hour(|second| (40 << 20) + second * 2_000).unwrap();
        assert!(!growth.is_flat() && (growth.grown - 3.6e6).abs() < 1e4, "{growth:?}");
    }

    #[test]
    fn a_short_run_is_not_judged() {
        let mut memory = Memory::default();
        for second in 0..30 {
            memory.note(Duration::from_secs(second), second << 20);
        }
        assert_eq!(memory.growth(), None);
    }
}
