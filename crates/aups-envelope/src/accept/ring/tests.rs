use super::*;
use crate::{
    SigningKey,
    fixture::{EXP, NBF, NOW, entry, entry_of},
};
use aups_core::{Flags, Suite};

fn key(tag: u8, epoch: u32, bump: u16, from: UnixMillis) -> KeyEntry {
    entry_of(ScopeTag::from_bytes([tag; 8]), Suite::Aes256Gcm, Flags::NONE, Epoch(epoch), Bump(bump), from)
}

fn certificate(slot: u32) -> Certificate {
    let signing_key = SigningKey::generate().public();
    Certificate { nos: "nos-1".parse().unwrap(), publisher: PublisherSlot(slot), signing_key, iat: NBF, exp: EXP }
}

#[test]
fn only_keys_that_hold_together_are_taken() {
    let mut ring = KeyRing::new();
    let mut altered = entry(Suite::Aes256Gcm, Flags::NONE);
    altered.terms.exp = UnixMillis(EXP.0 + 1);
    assert_eq!(ring.insert(altered), Err(KeyEntryError::Commit));
    let good = entry(Suite::Aes256Gcm, Flags::NONE);
    assert_eq!(ring.insert(good.duplicate()), Ok(()));
    assert_eq!(ring.insert(good.duplicate()), Ok(()));
    assert_eq!(ring.get(&good.key_id).unwrap().key_t.expose(), good.key_t.expose());
    assert_eq!(ring.order.len(), 1);
}

#[test]
fn the_ring_is_bounded_and_forgets_what_came_first() {
    let mut ring = KeyRing::new();
    let ids: Vec<KeyId> = (0..u32::try_from(KEYS_MAX).unwrap() + 2)
        .map(|epoch| {
            let entry = key(1, epoch, 0, NBF);
            let id = entry.key_id;
            ring.insert(entry).unwrap();
            id
        })
        .collect();
    assert_eq!((ring.keys.len(), ring.order.len(), ring.bumps.len()), (KEYS_MAX, KEYS_MAX, KEYS_MAX));
    assert!(ring.get(&ids[0]).is_none() && ring.get(&ids[1]).is_none());
    assert!(ring.get(&ids[2]).is_some() && ring.get(ids.last().unwrap()).is_some());
}

#[test]
fn the_next_key_is_of_the_same_scope_and_the_following_epoch_under_any_bump() {
    let mut ring = KeyRing::new();
    let now = key(1, 9, 0, NBF);
    ring.insert(now.duplicate()).unwrap();
    for other in [key(2, 10, 0, NBF), key(1, 11, 0, NBF), key(1, 8, 0, NBF)] {
        ring.insert(other).unwrap();
        assert!(!ring.has_next(&now.key_id));
    }
    ring.insert(key(1, 10, 3, NBF)).unwrap();
    assert!(ring.has_next(&now.key_id));
    assert!(ring.has_next(&key(1, u32::MAX, 0, NBF).key_id), "the last epoch has no next");
}

#[test]
fn a_publisher_that_is_not_listed_any_more_was_withdrawn() {
    let mut ring = KeyRing::new();
    let slot = PublisherSlot;
    assert_eq!(ring.publisher(slot(1), NOW), Err(Rejection::UnknownPublisher(slot(1))));
    let one = certificate(1);
    ring.list(vec![one.clone(), certificate(2)]);
    assert_eq!(ring.publisher(slot(1), NOW), Ok(&one.signing_key));
    ring.list(vec![certificate(2)]);
    assert_eq!(ring.publisher(slot(1), NOW), Err(Rejection::Withdrawn(slot(1))));
    assert!(ring.publisher(slot(2), NOW).is_ok());
    ring.list(vec![one]);
    assert!(ring.publisher(slot(1), NOW).is_ok());
    assert_eq!(ring.publisher(slot(2), NOW), Err(Rejection::Withdrawn(slot(2))));
}

#[test]
fn an_expired_certificate_does_not_list() {
    let mut ring = KeyRing::new();
    ring.list(vec![certificate(1)]);
    assert!(ring.publisher(PublisherSlot(1), UnixMillis(EXP.0 + 30_000)).is_ok());
    let later = ring.publisher(PublisherSlot(1), UnixMillis(EXP.0 + 30_001));
    assert_eq!(later, Err(Rejection::UnknownPublisher(PublisherSlot(1))));
}

#[test]
fn publishers_are_bounded() {
    let mut ring = KeyRing::new();
    let (one, two) = (certificate(1), certificate(2));
    let of =
        |certificate: &Certificate, slot: u32| Certificate { publisher: PublisherSlot(slot), ..certificate.clone() };
    let max = u32::try_from(PUBLISHERS_MAX).unwrap();
    ring.list((1..=max).map(|slot| of(&one, slot)).collect());
    ring.list(vec![of(&two, max + 1)]);
    assert_eq!(ring.listed.len() + ring.withdrawn.len(), PUBLISHERS_MAX);
    assert_eq!(ring.publisher(PublisherSlot(1), NOW), Err(Rejection::UnknownPublisher(PublisherSlot(1))));
    assert_eq!(ring.publisher(PublisherSlot(max), NOW), Err(Rejection::Withdrawn(PublisherSlot(max))));
}
