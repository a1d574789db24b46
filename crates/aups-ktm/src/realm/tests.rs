use super::*;
use crate::fixture::{Busy, kek};
use aups_envelope::Secret;
use aups_store::Expect;
use bytes::Bytes;

#[tokio::test]
async fn a_realm_stays_the_same_and_is_named_by_its_key() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    let first = Realm::open(store.clone(), &kek()).await.unwrap();
    let again = Realm::open(store, &kek()).await.unwrap();
    assert_eq!((first.id(), first.public()), (again.id(), again.public()));
    assert_eq!(first.id(), realm_id(&first.public()));
    first.public().verify(b"text", &again.signing_key().sign(b"text")).unwrap();
}

#[tokio::test]
async fn all_that_open_a_store_at_once_find_one_realm() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    // So that all come to the realm itself at the same moment.
    custody::check_fit(&Records::new(store.clone()), &kek()).await.unwrap();
    let opened = futures_util::future::join_all((0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { Realm::open(store, &kek()).await.unwrap().id() })
    }));
    let ids: Vec<_> = opened.await.into_iter().map(Result::unwrap).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[tokio::test]
async fn another_kek_is_refused() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    Realm::open(store.clone(), &kek()).await.unwrap();
    let opened = Realm::open(store, &Keyring::in_memory(Secret::random())).await;
    assert!(matches!(opened, Err(KtmError::WrongKek)));
}

#[tokio::test]
async fn a_record_with_another_public_key_is_refused() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    Realm::open(store.clone(), &kek()).await.unwrap();
    let record = store.get(KEY).await.unwrap().unwrap().value;
    let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    record["publicKey"] = SigningKey::generate().public().to_string().into();
    store.put_if(KEY, Bytes::from(record.to_string()), Expect::Any).await.unwrap();
    assert!(matches!(Realm::open(store, &kek()).await, Err(KtmError::Altered { .. })));
}
