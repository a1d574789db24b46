use super::*;
use crate::{
    fixture::{Busy, kek},
    records::Records,
};
use std::thread;

/// Whether both are the same key.
fn same(a: &Kek, b: &Kek) -> bool {
    b.unwrap(b"aad", &a.wrap(b"aad", b"secret")).is_ok()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_first_start_makes_a_file_that_only_its_owner_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let first = kek_file(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o7777, metadata.len()), (0o400, 32));
    assert!(same(&first, &kek_file(&path).unwrap()));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing stays beside it");
}

#[test]
fn two_files_are_two_keys() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!same(&kek_file(dir.path().join("a")).unwrap(), &kek_file(dir.path().join("b")).unwrap()));
}

#[test]
fn all_that_start_at_once_get_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    let keks: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..8).map(|_| scope.spawn(|| kek_file(&path).unwrap())).collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(keks.iter().all(|kek| same(&keks[0], kek)));
}

#[test]
fn a_file_that_others_may_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kek");
    kek_file(&path).unwrap();
    for mode in [0o440, 0o404, 0o420, 0o410, 0o644] {
        set_mode(&path, mode);
        let error = kek_file(&path).unwrap_err();
        assert!(matches!(error, CustodyError::Loose { mode: found, .. } if found == mode));
        assert!(error.to_string().contains(&format!("chmod 0400 {}", path.display())), "{error}");
    }
    set_mode(&path, 0o600);
    kek_file(&path).unwrap();
}

#[test]
fn a_file_of_another_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, counted) in [(0, 0), (31, 31), (33, 33), (4_096, 33)] {
        let path = dir.path().join(format!("kek-{bytes}"));
        fs::write(&path, vec![1; bytes]).unwrap();
        set_mode(&path, 0o400);
        let error = kek_file(&path).unwrap_err();
        assert!(matches!(error, CustodyError::Length { found, .. } if found == counted), "{error}");
    }
}

#[test]
fn a_directory_is_not_a_key() {
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o700);
    assert!(matches!(kek_file(dir.path()).unwrap_err(), CustodyError::NotAFile { .. }));
}

#[test]
fn a_place_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere/kek");
    let error = kek_file(&path).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn the_first_kek_becomes_the_stores_and_no_other_fits() {
    let records = Records::new(Arc::new(Busy::default()));
    check_fit(&records, &kek()).await.unwrap();
    check_fit(&records, &kek()).await.unwrap();
    for other in [Kek::new(1, Secret::random()), Kek::new(2, Secret::from_bytes([7; 32]))] {
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
    let other = Kek::new(1, Secret::random());
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
