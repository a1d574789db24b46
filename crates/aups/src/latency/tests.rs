use super::*;

#[test]
fn percentiles_are_the_nearest_rank() {
    let mut latencies = Latencies::default();
    assert_eq!(latencies.percentile(50), None);
    latencies.extend((1..=100).rev().map(Duration::from_millis));
    assert_eq!(latencies.percentile(50), Some(Duration::from_millis(50)));
    assert_eq!(latencies.percentile(99), Some(Duration::from_millis(99)));
    assert_eq!(latencies.percentile(0), Some(Duration::from_millis(1)));
}

#[test]
fn a_latency_has_three_digits_and_its_unit() {
    for (micros, told) in [
        (7, "7 µs"),
        (640, "640 µs"),
        (1_523, "1.52 ms"),
        (34_560, "34.6 ms"),
        (345_600, "346 ms"),
        (2_300_000, "2.30 s"),
    ] {
        assert_eq!(in_words(Duration::from_micros(micros)), told);
    }
}
