use super::*;
use crate::fixture::entry;
use uuid::Uuid;

fn kept_at(recent: &Recent, json: &'static str, taken: Instant) -> ItemId {
    let mut entry = Entry { json: Bytes::from_static(json.as_bytes()), taken, ..entry("1") };
    recent.keep([&mut entry]);
    entry.item.id
}

fn kept(recent: &Recent, json: &'static str) -> ItemId {
    let second = recent.0.lock().unwrap().items.len();
    kept_at(recent, json, Instant::now() + Duration::from_secs(second.try_into().unwrap()))
}

#[test]
fn of_a_flood_some_are_kept_for_some_seconds() {
    let (recent, start) = (Recent::default(), Instant::now());
    let ids: Vec<_> = (0..2 * ITEMS_PER_SECOND_MAX).map(|_| kept_at(&recent, "1", start)).collect();
    let there = ids.iter().filter(|id| recent.explain(**id).is_some()).count();
    assert_eq!(there, usize::try_from(ITEMS_PER_SECOND_MAX).unwrap());
    let later = kept_at(&recent, "2", start + Duration::from_secs(1));
    assert!(recent.explain(later).is_some() && recent.explain(ids[0]).is_some());
}

#[test]
fn the_last_items_are_kept_and_no_more() {
    let recent = Recent::default();
    let first = kept(&recent, "1");
    let second = kept(&recent, "2");
    for _ in 2..ITEMS_MAX {
        kept(&recent, "3");
    }
    assert!(recent.explain(first).is_some(), "kept, though it is not the JSON of an item");
    kept(&recent, "4");
    assert!(recent.explain(first).is_none());
    assert!(matches!(recent.explain(second), Some(Err(_))));
    assert!(recent.explain(ItemId(Uuid::nil())).is_none());
}

#[test]
fn large_items_are_kept_for_less_long() {
    static LARGE: [u8; 1 << 20] = [b'1'; 1 << 20];
    let recent = Recent::default();
    let ids: Vec<_> = (0..10).map(|_| kept(&recent, std::str::from_utf8(&LARGE).unwrap())).collect();
    let there: Vec<_> = ids.iter().map(|id| recent.explain(*id).is_some()).collect();
    assert_eq!(there, [false, false, true, true, true, true, true, true, true, true]);
}
