use super::*;

const SERVER: UnixMillis = UnixMillis(1_800_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn ahead_by(millis: i64) -> UnixMillis {
    UnixMillis(SERVER.0.checked_add_signed(millis).expect("in range"))
}

#[test]
fn a_clock_within_thirty_seconds_will_do_and_one_beyond_will_not() {
    for (ahead, too_far) in [(0, false), (30_000, false), (30_001, true), (-30_000, false), (-30_001, true)] {
        let mut skew = Skew::unknown();
        skew.measure(ahead_by(ahead), Duration::ZERO, SERVER);
        assert_eq!(skew.is_too_far(), too_far, "{ahead}");
    }
}

#[test]
fn a_slow_answer_is_not_taken_for_a_wrong_clock() {
    let mut skew = Skew::unknown();
    assert_eq!(skew.measure(ahead_by(36_000), 10 * SECOND, SERVER), Some(31_000));
    assert!(!skew.is_too_far(), "between 26 and 36 s");
}

#[test]
fn a_change_is_told_once() {
    let mut skew = Skew::unknown();
    assert_eq!(skew.measure(ahead_by(4_000), Duration::ZERO, SERVER), None);
    assert_eq!(skew.measure(ahead_by(-6_000), Duration::ZERO, SERVER), Some(-6_000));
    assert_eq!(skew.measure(ahead_by(-7_000), Duration::ZERO, SERVER), None);
    assert_eq!(skew.measure(ahead_by(-60_000), Duration::ZERO, SERVER), Some(-60_000));
    assert_eq!(skew.measure(SERVER, Duration::ZERO, SERVER), Some(0));
}
