use super::*;
use crate::fixture::{Busy, HOUR, NOW, kek};
use aups_core::UnixMillis;
use aups_envelope::SigningKey;
use aups_store::Store;
use std::collections::BTreeSet;

async fn publishers(store: &Arc<Busy>) -> Publishers {
    let realm = Realm::open(store.clone(), &kek()).await.unwrap();
    Publishers::load(Records::new(store.clone()), Arc::new(realm)).await.unwrap()
}

fn nos(n: u32) -> NosId {
    format!("nos-{n}").parse().unwrap()
}

fn signing_key() -> VerifyingKey {
    SigningKey::generate().public()
}

fn incarnation(publisher: u32, incarnation: u32) -> Incarnation {
    Incarnation { publisher: PublisherSlot(publisher), incarnation }
}

fn read(publishers: &Publishers, now: UnixMillis) -> Vec<Certificate> {
    let realm_key = publishers.realm.public();
    let certificates = publishers.certificates(now).into_iter();
    certificates.map(|jws| Certificate::verify(&jws, &realm_key, now).unwrap()).collect()
}

#[tokio::test]
async fn slots_rise_from_1_and_stay_while_incarnations_rise() {
    let store = Arc::default();
    let before = publishers(&store).await;
    assert_eq!(before.begin(&nos(1), signing_key()).await.unwrap(), incarnation(1, 1));
    assert_eq!(before.begin(&nos(2), signing_key()).await.unwrap(), incarnation(2, 1));
    assert_eq!(before.begin(&nos(1), signing_key()).await.unwrap(), incarnation(1, 2));
    let after = publishers(&store).await;
    assert_eq!(after.begin(&nos(2), signing_key()).await.unwrap(), incarnation(2, 2));
    assert_eq!(after.begin(&nos(3), signing_key()).await.unwrap(), incarnation(3, 1));
}

#[tokio::test]
async fn no_slot_and_no_incarnation_is_given_twice_however_many_race() {
    let store = Arc::default();
    let instances: Vec<_> = futures_util::future::join_all((0..4).map(|_| publishers(&store))).await;
    let instances: Vec<_> = instances.into_iter().map(Arc::new).collect();
    let raced = (0..64).map(|n| {
        let publishers = instances[n as usize / 8 % 4].clone();
        tokio::spawn(async move { (n % 8, publishers.begin(&nos(n % 8), signing_key()).await.unwrap()) })
    });
    let begun = futures_util::future::join_all(raced).await.into_iter().map(Result::unwrap);
    let begun: BTreeSet<_> = begun.map(|(n, begun)| (n, begun.publisher, begun.incarnation)).collect();
    assert_eq!(begun.len(), 64);
    let slots: BTreeSet<_> = begun.iter().map(|(n, slot, _)| (n, slot)).collect();
    assert_eq!(slots.len(), 8, "one slot for each");
    assert_eq!(slots.iter().map(|(_, slot)| slot.0).collect::<BTreeSet<_>>(), (1..=8).collect());
}

#[tokio::test]
async fn an_incarnation_counter_at_its_end_is_an_error() {
    let store: Arc<Busy> = Arc::default();
    let record = PublisherRecord { slot: PublisherSlot(1), incarnation: u32::MAX, signing_key: signing_key() };
    store.commit(vec![put(&key(&nos(1)), &record, Expect::Absent).unwrap()]).await.unwrap();
    let begun = publishers(&store).await.begin(&nos(1), signing_key()).await;
    assert!(matches!(begun, Err(KtmError::IncarnationsUsedUp(full)) if full == nos(1)));
}

#[tokio::test]
async fn there_are_only_so_many_publishers() {
    let store: Arc<Busy> = Arc::default();
    let most = u32::try_from(PUBLISHERS_MAX).unwrap();
    for n in 1..=most {
        let record = PublisherRecord { slot: PublisherSlot(n), incarnation: 1, signing_key: signing_key() };
        store.commit(vec![put(&key(&nos(n)), &record, Expect::Absent).unwrap()]).await.unwrap();
    }
    let publishers = publishers(&store).await;
    let refused = publishers.begin(&nos(most + 1), signing_key()).await;
    assert!(matches!(refused, Err(KtmError::PublishersFull { .. })));
    assert_eq!(publishers.begin(&nos(1), signing_key()).await.unwrap(), incarnation(1, 2));
}

#[tokio::test]
async fn every_publisher_is_certified_with_the_key_of_its_last_start() {
    let publishers = publishers(&Arc::default()).await;
    assert!(publishers.certificates(NOW).is_empty());
    let (first, second) = (signing_key(), signing_key());
    publishers.begin(&nos(1), first).await.unwrap();
    assert_eq!(read(&publishers, NOW)[0].signing_key, first);
    publishers.begin(&nos(1), second).await.unwrap();
    publishers.begin(&nos(2), first).await.unwrap();
    let certificates = read(&publishers, NOW);
    let certified: Vec<_> = certificates.iter().map(|it| (it.nos.clone(), it.publisher.0, it.signing_key)).collect();
    assert_eq!(certified, [(nos(1), 1, second), (nos(2), 2, first)]);
}

#[tokio::test]
async fn certificates_are_issued_anew_before_they_expire() {
    let publishers = publishers(&Arc::default()).await;
    publishers.begin(&nos(1), signing_key()).await.unwrap();
    let first = publishers.certificates(NOW);
    assert_eq!(publishers.certificates(NOW.plus(11 * HOUR)), first);
    for hours in (0..100).step_by(5) {
        let now = NOW.plus(hours * HOUR);
        let certificate = read(&publishers, now).remove(0);
        assert!(certificate.exp.since(now) > 11 * HOUR, "good for half its life");
        assert_eq!(certificate.exp, certificate.iat.plus(CERTIFICATE_LIFE));
    }
    let set_back = read(&publishers, NOW).remove(0);
    assert_eq!(set_back.iat, NOW, "none is of the future");
}

#[tokio::test]
async fn a_removal_is_taken_account_of_after_a_restart() {
    let store: Arc<Busy> = Arc::default();
    let before = publishers(&store).await;
    before.begin(&nos(1), signing_key()).await.unwrap();
    let removal = store.commit(vec![Publishers::removing(&nos(1))]).await.unwrap();
    before.removed(&nos(1), removal);
    let after = publishers(&store).await;
    assert!(after.revision() >= removal, "a NOS that heard of it takes no older list: {}", after.revision());
}
