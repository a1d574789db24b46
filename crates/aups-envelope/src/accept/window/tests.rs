use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn each_number_comes_once() {
    let mut window = Window::new(5);
    assert_eq!(window.place(5), Place::Seen);
    assert_eq!(window.place(6), Place::Ahead);
    assert_eq!(window.place(4), Place::Between);
    window.mark(4);
    assert_eq!(window.place(4), Place::Seen);
}

#[test]
fn the_window_is_1024_numbers_long() {
    let mut window = Window::new(0);
    window.mark(2_000);
    assert_eq!(window.place(2_000 - 1_023), Place::Between);
    assert_eq!(window.place(2_000 - 1_024), Place::Below);
    assert_eq!(window.place(0), Place::Below);
}

#[test]
fn jumps_add_up_until_they_are_told() {
    let mut window = Window::new(0);
    window.mark(1);
    assert_eq!(window.take_missed(), 0);
    window.mark(4);
    window.mark(6);
    assert_eq!(window.take_missed(), 3);
    assert_eq!(window.take_missed(), 0);
    window.mark(u32::MAX);
    assert_eq!(window.take_missed(), u32::MAX - 7);
    assert_eq!(window.place(u32::MAX), Place::Seen);
}

proptest! {
    /// Against the obvious model: the set of all numbers that came.
    #[test]
    fn a_window_agrees_with_a_set(first in 0u32..3_000, steps in prop::collection::vec((any::<bool>(), 0u32..1_500), 1..200)) {
        let (mut window, mut came, mut highest) = (Window::new(first), BTreeSet::from([first]), first);
        for (up, by) in steps {
            let number = if up { highest + by % 40 } else { highest.saturating_sub(by) };
            let place = if number > highest {
                Place::Ahead
            } else if highest - number >= 1_024 {
                Place::Below
            } else if came.contains(&number) {
                Place::Seen
            } else {
                Place::Between
            };
            prop_assert_eq!(window.place(number), place);
            if matches!(place, Place::Ahead | Place::Between) {
                window.mark(number);
                came.insert(number);
                highest = highest.max(number);
            }
        }
    }
}
