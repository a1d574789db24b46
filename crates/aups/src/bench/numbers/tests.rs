use super::*;

#[test]
fn large_numbers_are_grouped() {
    assert_eq!([0.4, 999.0, 1_000.0, 1_234_567.0].map(grouped), ["0", "999", "1,000", "1,234,567"]);
}

#[test]
fn the_median_is_the_middle_one_or_the_mean_of_the_two_in_the_middle() {
    let of = |values: &[f64]| median(values.to_vec()).unwrap();
    assert!((of(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    assert!((of(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    assert!((of(&[7.0]) - 7.0).abs() < f64::EPSILON);
    assert_eq!(median(Vec::new()), None);
}
