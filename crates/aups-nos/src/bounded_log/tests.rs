use super::*;

#[test]
fn one_line_goes_through_in_a_while_and_tells_of_the_others() {
    let mut log = BoundedLog::every(Duration::from_hours(1));
    assert_eq!([log.next(), log.next(), log.next()], [Some(0), None, None]);
    log.every = Duration::ZERO;
    assert_eq!([log.next(), log.next()], [Some(2), Some(0)]);
}
