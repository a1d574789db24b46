use super::*;

#[test]
fn rfc3339_comes_back_in_utc_with_milliseconds() {
    for (text, shown) in [
        ("1988-01-01T01:00:00-05:00", "1988-01-01T06:00:00.000Z"),
        ("2026-11-22T13:27:31.5Z", "2026-11-22T13:27:31.500Z"),
        ("2026-11-22t13:27:31.999999z", "2026-11-22T13:27:31.999Z"),
    ] {
        assert_eq!(UnixMillis::parse_rfc3339(text).unwrap().to_string(), shown);
    }
    for bad in [
        "",
        "now",
        "2026-11-22",
        "2026-11-22 13:27:31Z",
        "2026-11-22T13:27:31",
        "2026-13-22T13:27:31Z",
        "1969-12-31T23:59:59Z",
    ] {
        assert_eq!(UnixMillis::parse_rfc3339(bad), Err(TimeError), "{bad:?}");
    }
}

#[test]
fn a_time_beyond_the_calendar_is_shown_and_not_a_panic() {
    assert!(UnixMillis(u64::MAX).to_string().starts_with("9999-12-30T22:00:00.999"));
}

#[test]
fn a_duration_is_a_whole_number_with_its_unit() {
    for (text, ms) in
        [("0s", 0), ("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("90d", 7_776_000_000)]
    {
        assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for bad in ["", "5", "m", "-5m", "1.5h", "5 m", "5M", "5mm", "9999999999999999999s", "999999999999999d"] {
        assert_eq!(parse_duration(bad), Err(DurationError), "{bad}");
    }
}
