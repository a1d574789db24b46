use super::*;

#[test]
fn large_numbers_are_grouped() {
    assert_eq!([0.4, 999.0, 1_000.0, 1_234_567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}
