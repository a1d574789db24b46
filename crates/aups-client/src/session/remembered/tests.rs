use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_value_is_forgotten_when_its_time_is_over() {
    let mut remembered = Remembered::new(30 * SECOND, 8);
    remembered.insert('a', 10 * SECOND);
    assert!(remembered.contains(&'a', 39 * SECOND));
    assert!(!remembered.contains(&'a', 40 * SECOND));
    remembered.insert('b', 40 * SECOND);
    assert_eq!(remembered.order, ['b']);
}

#[test]
fn the_oldest_goes_when_there_is_no_room() {
    let mut remembered = Remembered::new(30 * SECOND, 2);
    for value in ['a', 'b', 'c'] {
        remembered.insert(value, SECOND);
    }
    assert_eq!(['a', 'b', 'c'].map(|value| remembered.contains(&value, SECOND)), [false, true, true]);
}

#[test]
fn asking_again_does_not_prolong_it() {
    let mut remembered = Remembered::new(30 * SECOND, 8);
    remembered.insert('a', SECOND);
    remembered.insert('a', 20 * SECOND);
    assert!(!remembered.contains(&'a', 31 * SECOND));
    assert_eq!(remembered.order, ['a']);
}
