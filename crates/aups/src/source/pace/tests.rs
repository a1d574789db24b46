use super::*;

#[test]
fn a_rate_is_a_number_above_nothing_or_max() {
    assert_eq!("20".parse(), Ok(Rate::PerSecond(20.0)));
    assert_eq!("0.5".parse(), Ok(Rate::PerSecond(0.5)));
    assert_eq!("max".parse(), Ok(Rate::Max));
    for bad in ["", "0", "-1", "fast", "NaN", "inf", "1e300"] {
        assert!(bad.parse::<Rate>().is_err(), "{bad}");
    }
}

#[tokio::test]
async fn so_many_are_due_as_the_rate_lets_through() {
    let mut pace = Pace::new(Rate::PerSecond(200.0));
    let started = Instant::now();
    let mut passed = 0;
    while passed < 40 {
        let due = pace.due(7).await;
        pace.went(due);
        passed += due;
    }
    // The first goes at once, the 40th after 39 intervals of 5 ms; one batch may come early by less than its size.
    assert!(started.elapsed() >= Duration::from_millis(33 * 5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn at_most_what_is_asked_for_is_due() {
    assert_eq!(Pace::new(Rate::Max).due(500).await, 500);
    let mut pace = Pace::new(Rate::PerSecond(1e9));
    assert!((1..=3).contains(&pace.due(3).await), "the first, and what came due while the clock was read");
    assert_eq!(pace.due(3).await, 3, "a thousand a microsecond later");
}
