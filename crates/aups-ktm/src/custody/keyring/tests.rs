use super::*;
use crate::{
    custody::{KekFile, check_fit},
    fixture::Busy,
    records::Records,
};
use std::{fs, os::unix::fs::PermissionsExt as _};
use tempfile::TempDir;

struct Rig {
    dir: TempDir,
    store: Arc<Busy>,
}

impl Rig {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: Arc::default() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    async fn open(&self) -> Result<Keyring, KtmError> {
        Keyring::open(self.path(), &KekFile(self.dir.path().join("kek")), &*self.store).await
    }

    async fn used(&self) -> Keyring {
        let keyring = self.open().await.unwrap();
        check_fit(&Records::new(self.store.clone()), &keyring).await.unwrap();
        keyring
    }

    fn tamper(&self, from: &str, to: &str) {
        let text = fs::read_to_string(self.path()).unwrap();
        assert!(text.contains(from), "{text}");
        fs::set_permissions(self.path(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.path(), text.replace(from, to)).unwrap();
    }
}

#[tokio::test]
async fn only_its_owner_reads_it_and_nothing_in_it_is_in_clear() {
    let rig = Rig::new();
    let keyring = rig.used().await;
    assert_eq!(fs::metadata(rig.path()).unwrap().permissions().mode() & 0o7777, 0o400);
    let text = fs::read_to_string(rig.path()).unwrap();
    for version in keyring.versions().iter() {
        assert!(!text.contains(&b64::encode(version.key.expose())));
    }
}

#[tokio::test]
async fn a_version_that_is_retired_unwraps_nothing_any_more() {
    let rig = Rig::new();
    let keyring = rig.used().await;
    let old = keyring.wrap(b"aad", &[1; 32]);
    keyring.begin_version().await.unwrap();
    let new = keyring.wrap(b"aad", &[2; 32]);
    assert!(keyring.has_earlier());
    assert_eq!((Kek::version_of(&old), Kek::version_of(&new)), (Some(1), Some(2)));
    assert!(keyring.unwrap::<32>(b"aad", &old).is_ok() && keyring.unwrap::<32>(b"aad", &new).is_ok());

    keyring.retire_before(2).await.unwrap();
    for keyring in [keyring, rig.open().await.unwrap()] {
        assert!(!keyring.has_earlier());
        assert_eq!(keyring.unwrap::<32>(b"aad", &old).unwrap_err(), WrapError::Version { wrapped: 1, held: 2 });
        assert!(keyring.unwrap::<32>(b"aad", &new).is_ok());
    }
}

#[tokio::test]
async fn a_version_that_began_meanwhile_stays() {
    let rig = Rig::new();
    let keyring = rig.used().await;
    keyring.begin_version().await.unwrap();
    let version = keyring.newest_version();
    keyring.begin_version().await.unwrap();
    keyring.retire_before(version).await.unwrap();
    let held: Vec<_> = keyring.versions().iter().map(|held| held.kek.version()).collect();
    assert_eq!(held, [2, 3]);
}

#[tokio::test]
async fn a_keyring_that_was_lost_is_not_made_anew_for_a_store_that_was_used() {
    let rig = Rig::new();
    rig.used().await;
    fs::remove_file(rig.path()).unwrap();
    let refused = rig.open().await.unwrap_err();
    assert!(matches!(refused, KtmError::Custody(CustodyError::Missing { .. })), "{refused}");
    assert!(!rig.path().exists());
}

#[tokio::test]
async fn an_old_copy_of_the_keyring_is_refused_by_the_store() {
    let rig = Rig::new();
    let keyring = rig.used().await;
    let copy = fs::read(rig.path()).unwrap();
    let records = Records::new(rig.store.clone());
    keyring.begin_version().await.unwrap();
    let (key, item) = records.everything().await.unwrap().0.remove(0);
    let value = crate::records::rewrapped(&keyring, 2, &key, &item.value).unwrap().unwrap();
    rig.store.put_if(&key, value.into(), aups_store::Expect::Any).await.unwrap();
    fs::remove_file(rig.path()).unwrap();
    file::make(&rig.path(), &copy).unwrap();
    let old = rig.open().await.unwrap();
    assert!(matches!(check_fit(&records, &old).await, Err(KtmError::WrongKek)));
    check_fit(&records, &keyring).await.unwrap();
}

#[tokio::test]
async fn a_keyring_that_was_changed_is_refused() {
    for (from, to) in [
        ("aups-keyring 1", "aups-keyring 2"),
        ("\"versions\":[", "\"version\":["),
        ("{\"format\"", "{\"more\":1,\"format\""),
        ("\"version\":1", "\"version\":2"),
        ("\"by\":\"file\"", "\"by\":\"file\",\"salt\":\"\""),
    ] {
        let rig = Rig::new();
        rig.used().await;
        rig.tamper(from, to);
        let refused = rig.open().await.unwrap_err();
        let known =
            matches!(refused, KtmError::Custody(CustodyError::Damaged { .. } | CustodyError::DoesNotOpen { .. }));
        assert!(known, "{to}: {refused}");
    }
}
