use super::*;

#[test]
fn what_is_used_stays_and_what_is_not_goes() {
    let mut recent = Recent::new(8);
    recent.insert(0, "zero");
    for key in 1..1_000 {
        *recent.entry(key, || "made") = "used";
        assert_eq!(recent.get_mut(&0), Some(&mut "zero"), "after {key}");
        assert!(recent.young.len() + recent.old.len() <= 8);
    }
    assert_eq!(recent.get_mut(&999), Some(&mut "used"));
    assert_eq!(recent.get_mut(&1), None);
}

#[test]
fn the_last_half_is_always_there() {
    let mut recent = Recent::new(8);
    for key in 0..100 {
        recent.insert(key, key);
        for earlier in (0..=key).rev().take(4) {
            assert!(recent.young.contains_key(&earlier) || recent.old.contains_key(&earlier), "{earlier} at {key}");
        }
    }
}

#[test]
fn an_entry_is_made_once() {
    let mut recent = Recent::new(2);
    assert_eq!(*recent.entry("a", || 1), 1);
    assert_eq!(*recent.entry("a", || 2), 1);
    assert_eq!(*recent.entry("b", || 3), 3);
    assert_eq!(*recent.entry("a", || 4), 1, "from the older half");
}
