use super::*;
use crate::{fixture::source_record, sources::EncryptionScheme};

const fn place(session: u64, seq: u64) -> Place {
    Place { session, seq }
}

fn source() -> SealingSource {
    let suite = Suite::Aes128Gcm;
    let record = SourceRecord { encryption_scheme: EncryptionScheme::Sealed(suite), ..source_record("s1") };
    SealingSource { record: record.into(), suite, taken: Arc::default() }
}

#[test]
fn places_rise_by_session_and_then_by_seq() {
    let source = source();
    source.raise(place(2, 5)).unwrap().keep();
    for not_above in [place(2, 5), place(2, 4), place(1, 6), place(0, 0)] {
        assert!(source.raise(not_above).is_err(), "{not_above:?}");
    }
    source.raise(place(2, 6)).unwrap().keep();
    source.raise(place(3, 0)).unwrap().keep();
}

#[test]
fn a_place_of_which_nothing_was_kept_can_be_taken_again_unless_a_higher_one_was() {
    let source = source();
    drop(source.raise(place(1, 0)).unwrap());
    let first = source.raise(place(1, 0)).unwrap();
    assert!(source.raise(place(1, 0)).is_err(), "of two that race one gets it");
    let second = source.raise(place(1, 1)).unwrap();
    drop(first);
    assert!(source.raise(place(1, 1)).is_err());
    drop(second);
    assert!(source.raise(place(1, 0)).is_err() && source.raise(place(1, 1)).is_ok());
}

#[test]
fn a_place_in_doubt_is_neither_taken_nor_refused_until_the_disk_tells() {
    let source = source();
    let first = source.raise(place(1, 0)).unwrap();
    first.doubt();
    assert_eq!(source.raise(place(1, 0)).unwrap_err(), NotRaised::Doubtful);
    source.raise(place(1, 1)).unwrap().keep();
    drop(first);
    assert_eq!(source.raise(place(1, 0)).unwrap_err(), NotRaised::Below, "a higher one was taken");
    let second = source.raise(place(1, 2)).unwrap();
    second.doubt();
    drop(second);
    source.raise(place(1, 2)).unwrap().keep();
    assert_eq!(source.raise(place(1, 2)).unwrap_err(), NotRaised::Below);
}

#[test]
fn what_is_kept_is_read_back_and_ordered_as_the_places_are() {
    let id = KeyId::from_bytes([7; 24]);
    let places = [place(0, 0), place(0, u64::MAX >> 16), place(1, 0), place(1 << 32, 3), place(u64::MAX, 1)];
    let marks = places.map(|place| place.mark(&id));
    assert!(marks.is_sorted_by(|(_, a), (_, b)| a < b));
    for ((key, value), place) in marks.iter().zip(places) {
        assert_eq!(read_mark(key, value), Some((id, place)));
    }
    assert_eq!(read_mark(b"session/x", &marks[0].1), None);
    assert_eq!(read_mark(&marks[0].0, b"x"), None);
}
