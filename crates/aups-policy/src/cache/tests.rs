use super::*;

#[test]
fn what_is_kept_is_found_and_the_first_stays() {
    let cache: Cache<Box<str>, u32> = Cache::new(100);
    assert_eq!(cache.get("a"), None);
    assert_eq!(cache.keep("a".into(), 1), 1);
    assert_eq!(cache.keep("a".into(), 2), 1);
    assert_eq!(cache.get("a"), Some(1));
}

#[test]
fn a_cache_stays_within_its_bounds_and_keeps_what_is_asked_for() {
    let cache: Cache<u32, u32> = Cache::new(320);
    cache.keep(u32::MAX, 7);
    for number in 0..10_000 {
        cache.keep(number, number);
        assert_eq!(cache.get(&u32::MAX), Some(7), "asked for all the time");
    }
    assert!(cache.len() <= 320, "{}", cache.len());
    assert_eq!(cache.get(&0), None);
    assert_eq!(cache.get(&9_999), Some(9_999));
}
