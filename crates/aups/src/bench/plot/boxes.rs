//! The five numbers of a box plot, and what lies outside of it.

/// Whiskers reach at most so many interquartile ranges from the box (J. W. Tukey, Exploratory Data Analysis, 1977).
const WHISKER_RANGES_MAX: f64 = 1.5;

/// What a box plot shows of samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BoxStats {
    /// Quartiles, by linear interpolation (R's type 7).
    pub(crate) q1: f64,
    pub(crate) median: f64,
    pub(crate) q3: f64,
    /// The least and the greatest sample within 1.5 interquartile ranges of the box.
    pub(crate) whiskers: (f64, f64),
    /// Samples outside of the whiskers, each value once, rising.
    pub(crate) outliers: Vec<f64>,
    /// How many samples there are.
    pub(crate) samples: u64,
}

impl BoxStats {
    /// Of values with how often each occurs, rising. Nothing if there is none.
    pub(crate) fn of(counted: &[(f64, u64)]) -> Option<Self> {
        let samples = counted.iter().map(|(_, count)| count).sum();
        let [q1, median, q3] = [1, 2, 3].map(|quarter| quartile(counted, samples, quarter));
        let (q1, median, q3) = (q1?, median?, q3?);
        let reach = WHISKER_RANGES_MAX * (q3 - q1);
        let is_within = |value: f64| (q1 - reach..=q3 + reach).contains(&value);
        let values = || counted.iter().filter(|(_, count)| *count > 0).map(|(value, _)| *value);
        // Interpolation may put a quartile beyond all samples that are within reach.
        let low = values().find(|value| is_within(*value))?.min(q1);
        let high = values().rev().find(|value| is_within(*value))?.max(q3);
        let outliers = values().filter(|value| !is_within(*value)).collect();
        Some(Self { q1, median, q3, whiskers: (low, high), outliers, samples })
    }

    /// Of samples in any order, which must be numbers.
    pub(crate) fn of_samples(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut counted: Vec<_> = samples.into_iter().map(|sample| (sample, 1)).collect();
        counted.sort_unstable_by(|(one, _), (other, _)| one.total_cmp(other));
        Self::of(&counted)
    }

    /// From the least to the greatest sample.
    pub(crate) fn range(&self) -> (f64, f64) {
        let first = self.outliers.first().copied().unwrap_or(self.whiskers.0);
        let last = self.outliers.last().copied().unwrap_or(self.whiskers.1);
        (first.min(self.whiskers.0), last.max(self.whiskers.1))
    }
}

/// The value below which so many quarters of the samples are.
fn quartile(counted: &[(f64, u64)], samples: u64, quarter: u64) -> Option<f64> {
    let quarters = samples.checked_sub(1)? * quarter;
    let below = ranked(counted, quarters / 4)?;
    let above = ranked(counted, quarters.div_ceil(4))?;
    let part = [0.0, 0.25, 0.5, 0.75].get(usize::try_from(quarters % 4).ok()?)?;
    Some(below + (above - below) * part)
}

/// The sample of this rank, from 0.
fn ranked(counted: &[(f64, u64)], rank: u64) -> Option<f64> {
    let mut before = 0;
    counted.iter().find_map(|(value, count)| {
        before += count;
        (rank < before).then_some(*value)
    })
}

#[cfg(test)]
mod tests {
    use super::BoxStats;

    /// R: `quantile(c(7, 15, 36, 39, 40, 41))` is 7, 20.25, 37.5, 39.75, 41.
    #[test]
    fn quartiles_are_those_of_r() {
        let stats = BoxStats::of_samples([41.0, 7.0, 39.0, 15.0, 40.0, 36.0]).unwrap();
        assert_eq!((stats.q1, stats.median, stats.q3), (20.25, 37.5, 39.75));
        // 20.25 - 1.5 × 19.5 is below 7: there is nothing outside.
        assert_eq!((stats.whiskers, &*stats.outliers, stats.samples), ((7.0, 41.0), &[][..], 6));
    }

    /// `matplotlib.cbook.boxplot_stats([-30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30])`: q1 2.5, med 5, q3 7.5, whiskers 1 and 9.
    #[test]
    fn what_is_far_off_lies_outside() {
        let stats = BoxStats::of_samples([5.0, 9.0, 30.0, 4.0, 1.0, 7.0, 2.0, 8.0, -30.0, 3.0, 6.0]).unwrap();
        assert_eq!((stats.q1, stats.median, stats.q3), (2.5, 5.0, 7.5));
        assert_eq!((stats.whiskers, &*stats.outliers), ((1.0, 9.0), &[-30.0, 30.0][..]));
        assert_eq!(stats.range(), (-30.0, 30.0));
    }

    #[test]
    fn counted_values_are_as_many_samples() {
        let counted = BoxStats::of(&[(1.0, 3), (2.0, 5), (4.0, 2), (50.0, 2)]).unwrap();
        let each = BoxStats::of_samples([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 50.0, 50.0]).unwrap();
        assert_eq!((counted.q1, counted.median, counted.q3), (each.q1, each.median, each.q3));
        assert_eq!((counted.whiskers, counted.samples), (each.whiskers, each.samples));
        assert_eq!(counted.outliers, [50.0]);
    }

    #[test]
    fn one_sample_is_a_line_and_none_is_nothing() {
        let one = BoxStats::of_samples([3.0]).unwrap();
        assert_eq!((one.q1, one.median, one.q3, one.whiskers), (3.0, 3.0, 3.0, (3.0, 3.0)));
        assert_eq!(BoxStats::of_samples([]), None);
        assert_eq!(BoxStats::of(&[(1.0, 0)]), None);
    }
}
