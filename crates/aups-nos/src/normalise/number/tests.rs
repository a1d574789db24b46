use super::*;

#[test]
fn a_scaled_number_has_the_decimals_of_what_it_was_made_of() {
    for (number, scale, offset, expected) in [
        ("213", 0.1, 0.0, "21.3"),
        ("3", 0.1, 0.0, "0.3"),
        ("2731", 0.1, -273.15, "-0.05"),
        ("5", 1.0, 0.0, "5"),
        ("5.50", 1.0, 0.0, "5.50"),
        ("2.5", 1_000.0, 0.0, "2500.0"),
        ("5e-3", 2.0, 0.0, "0.010"),
        ("1e3", 1.0, 1.0, "1001"),
        ("-7", 0.000_1, 0.0, "-0.0007"),
    ] {
        assert_eq!(scaled(number, scale, offset).unwrap().get(), expected, "{number} * {scale} + {offset}");
    }
    assert!(scaled("1e308", 1e10, 0.0).is_none(), "beyond an f64");
}

#[test]
fn sums_are_as_fine_as_the_finer() {
    assert_eq!(sum("0.1", "0.2").unwrap().get(), "0.3");
    assert_eq!(sum("1.276020076001e+09", "1").unwrap().get(), "1276020077.001");
    assert_eq!(sum("20", "-0.50").unwrap().get(), "19.50");
    assert!(sum("1e308", "1e308").is_none());
}

#[test]
fn decimals_count_the_exponent() {
    for (number, expected) in
        [("10", 0), ("10.0", 1), ("5e-3", 3), ("1.5e1", 0), ("1.50E+1", 1), ("1e-99999999999", 99_999_999_999)]
    {
        assert_eq!(decimals(number), expected, "{number}");
    }
}
