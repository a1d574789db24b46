//! Numbers of reports: how they are reckoned and shown.

use std::time::Duration;

/// A count as a number to reckon with.
#[expect(clippy::cast_precision_loss, reason = "counts and bytes of a bench are far below 2^52")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// How many a second; nothing where no time went by.
pub(super) fn per_second(count: u64, elapsed: Duration) -> Option<f64> {
    (!elapsed.is_zero()).then(|| float(count) / elapsed.as_secs_f64())
}

/// The middle value; of an even number the mean of the two in the middle.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    match half.checked_sub(1).filter(|_| values.len().is_multiple_of(2)).and_then(|lower| values.get(lower)) {
        Some(lower) => Some(f64::midpoint(*lower, upper)),
        None => Some(upper),
    }
}

/// A whole number with commas: `70,759`.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in MB (10⁶): `51.6 MB`.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", float(bytes) / 1e6)
}

#[cfg(test)]
mod tests;
