//! The upright axis of a plot: where values lie, and which of them are written beside it.

/// How values are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    /// Each step several times the one before: for values of several orders of magnitude, all above zero.
    Logarithmic,
}

/// Least number of lines that a linear axis is divided by.
const TICKS_MIN: f64 = 4.0;

/// From its lower to its upper end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// One that has room for all values from `low` to `high`.
    pub(super) fn around(scale: Scale, low: f64, high: f64) -> Self {
        match scale {
            Scale::Linear => {
                let step = step(high);
                Self { scale, low: 0.0, high: (high / step).ceil().max(1.0) * step }
            }
            Scale::Logarithmic => {
                let (low, high) = (low.max(f64::MIN_POSITIVE), high.max(f64::MIN_POSITIVE));
                let below = round_numbers(low).take_while(|tick| *tick <= low).last().unwrap_or(low);
                Self { scale, low: below, high: round_numbers(low).find(|tick| *tick >= high).unwrap_or(high) }
            }
        }
    }

    /// Where a value lies: 0 at the lower end, 1 at the upper.
    pub(super) fn place(&self, value: f64) -> f64 {
        let (value, low, high) = match self.scale {
            Scale::Linear => (value, self.low, self.high),
            Scale::Logarithmic => (value.max(self.low).log10(), self.low.log10(), self.high.log10()),
        };
        if high > low { (value - low) / (high - low) } else { 0.5 }
    }

    /// The values that are written beside it, rising.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let step = step(self.high);
                let multiples = std::iter::successors(Some(0.0), |multiple| Some(multiple + 1.0));
                multiples.map(|multiple| multiple * step).take_while(|tick| *tick <= self.high + step / 2.0).collect()
            }
            Scale::Logarithmic => {
                let from_low = round_numbers(self.low).skip_while(|tick| *tick < self.low);
                from_low.take_while(|tick| *tick <= self.high).collect()
            }
        }
    }
}

/// 1, 2 and 5 times each power of ten, rising, from below a value on.
fn round_numbers(value: f64) -> impl Iterator<Item = f64> {
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a double has three digits")]
    let first = value.log10().floor() as i32 - 1;
    (first..first + 600).flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| factor * 10_f64.powi(exponent)))
}

/// A step of 1, 2 or 5 times a power of ten that divides the way from zero to `high` often enough to be read.
fn step(high: f64) -> f64 {
    let widest = high.max(f64::MIN_POSITIVE) / TICKS_MIN;
    let power = 10_f64.powf(widest.log10().floor());
    let fitting = [5.0, 2.0, 1.0].map(|factor| factor * power).into_iter().find(|step| *step <= widest);
    fitting.unwrap_or(power)
}

#[cfg(test)]
mod tests {
    use super::{Axis, Scale};

    #[test]
    fn a_linear_axis_starts_at_zero_and_is_divided_by_round_numbers() {
        let axis = Axis::around(Scale::Linear, 3.0, 8.4);
        assert_eq!(axis.ticks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert!((axis.place(5.0) - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_logarithmic_axis_runs_over_round_numbers() {
        let axis = Axis::around(Scale::Logarithmic, 0.15, 7.0);
        assert_eq!(axis.ticks(), [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]);
        assert!((axis.place(1.0) - 0.5).abs() < 1e-9);
        assert_eq!(Axis::around(Scale::Logarithmic, 3.0, 30.0).ticks(), [2.0, 5.0, 10.0, 20.0, 50.0]);
    }

    #[test]
    fn nothing_but_zero_has_an_axis_too() {
        assert!(!Axis::around(Scale::Linear, 0.0, 0.0).ticks().is_empty());
        assert!(Axis::around(Scale::Logarithmic, 1.0, 1.0).place(1.0).is_finite());
    }
}
