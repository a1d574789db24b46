use super::*;
use crate::{
    fixture::{Busy, kek},
    records::Records,
};

#[tokio::test]
async fn the_first_kek_becomes_the_stores_and_no_other_fits() {
    let records = Records::new(Arc::new(Busy::default()));
    check_fit(&records, &kek()).await.unwrap();
    check_fit(&records, &kek()).await.unwrap();
    for other in [Keyring::in_memory(Secret::random())] {
        assert!(matches!(check_fit(&records, &other).await, Err(KtmError::WrongKek)));
    }
}

#[tokio::test]
async fn a_nos_signs_with_a_key_of_its_own_that_stays() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    let key = async |nos: &str| nos_signing_key(store.clone(), &kek(), &nos.parse().unwrap()).await.unwrap().public();
    let (first, second) = (key("nos-1").await, key("nos-2").await);
    assert_ne!(first, second);
    assert_eq!((key("nos-1").await, key("nos-2").await), (first, second));
    let other = Keyring::in_memory(Secret::random());
    let refused = nos_signing_key(store.clone(), &other, &"nos-1".parse().unwrap()).await;
    assert!(matches!(refused, Err(KtmError::WrongKek)));
}

#[tokio::test]
async fn the_key_of_one_record_is_not_taken_for_that_of_another() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    nos_signing_key(store.clone(), &kek(), &"nos-1".parse().unwrap()).await.unwrap();
    let record = store.get("nos/signing-key/nos-1").await.unwrap().unwrap().value;
    store.put_if("nos/signing-key/nos-2", record, Expect::Any).await.unwrap();
    let taken = nos_signing_key(store, &kek(), &"nos-2".parse().unwrap()).await;
    assert!(matches!(taken, Err(KtmError::Altered { .. })));
}

#[tokio::test]
async fn a_nos_has_one_master_for_its_sources_for_ever_and_no_other_nos_has_it() {
    let store: Arc<dyn Store> = Arc::new(Busy::default());
    let (node, id) = ("sensor1".parse().unwrap(), aups_core::KeyId::from_bytes([1; 24]));
    let credential = async |nos: &str| {
        let master = source_master(store.clone(), &kek(), &nos.parse().unwrap()).await.unwrap();
        *master.credential(&node, &id).expose()
    };
    let first = credential("nos-1").await;
    assert_eq!(credential("nos-1").await, first);
    assert_ne!(credential("nos-2").await, first);
    let record = store.get("nos/source-master/nos-1").await.unwrap().unwrap().value;
    store.put_if("nos/source-master/nos-3", record, Expect::Any).await.unwrap();
    let taken = source_master(store, &kek(), &"nos-3".parse().unwrap()).await;
    assert!(matches!(taken, Err(KtmError::Altered { .. })), "bound to its record");
}
