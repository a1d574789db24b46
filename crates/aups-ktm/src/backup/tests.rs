use super::*;
use crate::{
    Ktm, KtmSettings,
    custody::KekFile,
    fixture::{Busy, LIFE, MINUTE, Rig},
    link::history::History,
    service::KeysTopicsManager as _,
};
use aups_core::{Bump, Clock as _};
use aups_envelope::SigningKey;
use proptest::prelude::*;
use std::sync::Arc;

const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 32, passes: 1, lanes: 1 };

fn secret(text: &str) -> SecretBytes {
    SecretBytes::from_vec(text.as_bytes().to_vec())
}

fn passphrase() -> SecretBytes {
    secret("correct horse battery")
}

async fn backup(ktm: &Ktm) -> Vec<u8> {
    ktm.backup(passphrase(), CHEAP).await.unwrap().flatten().collect()
}

struct Elsewhere {
    dir: tempfile::TempDir,
    store: Arc<Busy>,
}

impl Elsewhere {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), store: Arc::default() }
    }

    async fn restore(&self, bytes: &[u8], passphrase: &SecretBytes, now: UnixMillis) -> Result<Restored, BackupError> {
        let provider = KekFile(self.dir.path().join("kek"));
        let restore = Restore::begin(bytes, passphrase)?;
        restore.into_store(&*self.store, &self.dir.path().join("keyring"), &provider, now, |_, _| {}).await
    }

    async fn open(&self, rig: &Rig) -> (Ktm, Keyring) {
        let provider = KekFile(self.dir.path().join("kek"));
        let keyring = Keyring::open(self.dir.path().join("keyring"), &provider, &*self.store).await.unwrap();
        let ktm = Ktm::open(self.store.clone(), keyring.clone(), rig.clock.clone(), KtmSettings::default());
        (ktm.await.unwrap(), keyring)
    }
}

#[tokio::test]
async fn what_was_sealed_opens_after_a_restore_and_nothing_that_counts_comes_again() {
    let rig = Rig::new().await;
    let nos = "nos-1".parse().unwrap();
    let key = SigningKey::generate().public();
    let begun = rig.ktm.begin_incarnation(&nos, key).await.unwrap();
    let spec = rig.spec(0);
    rig.ktm.ensure_scope(&spec).await.unwrap();
    let first = rig.ktm.sealing_keys(&spec.id).await.unwrap().current;
    rig.clock.advance(MINUTE);
    rig.ktm.bump(&spec.id).await.unwrap();
    let second = rig.ktm.sealing_keys(&spec.id).await.unwrap().current;
    let history = History::open(rig.store.clone()).await.unwrap();
    let bytes = backup(&rig.ktm).await;

    // The first one goes on: all of this is lost.
    rig.ktm.bump(&spec.id).await.unwrap();
    let lost = rig.ktm.sealing_keys(&spec.id).await.unwrap().current;
    let lost_incarnation = rig.ktm.begin_incarnation(&nos, key).await.unwrap();
    let lost_slot = rig.ktm.begin_incarnation(&"nos-2".parse().unwrap(), key).await.unwrap().publisher;
    rig.clock.advance(MINUTE);

    let elsewhere = Elsewhere::new();
    let restored = elsewhere.restore(&bytes, &passphrase(), rig.now()).await.unwrap();
    assert_eq!(restored.forgotten, 0);
    let other = History::open(elsewhere.store.clone()).await.unwrap();
    assert_ne!(other, history, "revisions begin again");
    let (ktm, keyring) = elsewhere.open(&rig).await;
    assert_eq!(ktm.realm().id(), rig.ktm.realm().id());
    for key in [&first, &second] {
        let served = ktm.resolve(&key.key_id).await.unwrap().unwrap().key;
        assert_eq!(served.key_t.expose(), key.key_t.expose());
    }
    assert!(ktm.resolve(&lost.key_id).await.unwrap().is_none());
    let current = ktm.sealing_keys(&spec.id).await.unwrap().current;
    assert_eq!(current.terms.bump, Bump(1 + AHEAD));
    let again = ktm.begin_incarnation(&nos, key).await.unwrap();
    assert_eq!((again.publisher, again.incarnation), (begun.publisher, begun.incarnation + u32::from(AHEAD) + 1));
    assert!(again.incarnation > lost_incarnation.incarnation);
    let slot = ktm.begin_incarnation(&"nos-3".parse().unwrap(), key).await.unwrap().publisher;
    assert!(slot.0 > lost_slot.0);
    // And it goes on from there, over a restart.
    assert_eq!(ktm.bump(&spec.id).await.unwrap(), Bump(2 + AHEAD));
    rig.clock.advance(LIFE);
    let (ktm, _) = elsewhere.open(&rig).await;
    assert!(
        ktm.resolve(&current.key_id).await.unwrap().is_some() && ktm.resolve(&first.key_id).await.unwrap().is_some()
    );
    // The backup's KEK is no longer that of the restored realm.
    assert!(!keyring.has_earlier());
    assert!(keyring.newest_version() > rig.keyring.newest_version());
}

#[tokio::test]
async fn a_backup_holds_no_secret_in_clear_and_opens_with_its_passphrase_only() {
    let rig = Rig::new().await;
    let bytes = backup(&rig.ktm).await;
    for (_, key) in rig.keyring.duplicates() {
        for spelled in [key.expose().to_vec(), b64::encode(key.expose()).into_bytes()] {
            assert!(!bytes.windows(spelled.len()).any(|window| window == spelled));
        }
    }
    assert!(!String::from_utf8_lossy(&bytes).contains("ktm/root"));
    let refused = Restore::begin(&bytes[..], &secret("correct horse batterz")).unwrap_err();
    assert!(matches!(refused, BackupError::Passphrase));
    let short = rig.ktm.backup(secret("hunter2"), CHEAP).await.unwrap_err();
    assert!(matches!(short, KtmError::Custody(CustodyError::PassphraseShort)));
}

#[tokio::test]
async fn a_backup_in_many_pieces_is_whole() {
    let rig = Rig::new().await;
    for n in 0..10 {
        let value = vec![n; 300 << 10];
        rig.store.put_if(&format!("foreign/{n}"), value.into(), Expect::Any).await.unwrap();
    }
    let frames: Vec<_> = rig.ktm.backup(passphrase(), CHEAP).await.unwrap().collect();
    assert!(frames.len() > 4, "{}", frames.len());
    let elsewhere = Elsewhere::new();
    elsewhere.restore(&frames.concat(), &passphrase(), rig.now()).await.unwrap();
    for n in 0..10 {
        let found = elsewhere.store.get(&format!("foreign/{n}")).await.unwrap().unwrap();
        assert_eq!(found.value, vec![n; 300 << 10]);
    }
    // Left out, repeated, exchanged.
    let [head, keyring, rest @ ..] = &frames[..] else { panic!() };
    let (left_out, repeated) = ([&[head, keyring][..], &rest[1..].iter().collect::<Vec<_>>()].concat(), {
        let mut all: Vec<_> = frames.iter().collect();
        all.insert(3, &frames[2]);
        all
    });
    let mut exchanged: Vec<_> = frames.iter().collect();
    exchanged.swap(2, 3);
    for wrong in [left_out, repeated, exchanged] {
        let wrong: Vec<u8> = wrong.into_iter().flatten().copied().collect();
        let refused = Elsewhere::new().restore(&wrong, &passphrase(), rig.now()).await.unwrap_err();
        assert!(matches!(refused, BackupError::Damaged), "{refused}");
    }
}

#[tokio::test]
async fn a_scope_at_the_end_of_its_bumps_begins_anew() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    rig.ktm.ensure_scope(&spec).await.unwrap();
    let key = scope::key(&spec.id);
    let record = rig.store.get(&key).await.unwrap().unwrap().value;
    let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    record["bumps"][0]["bump"] = (u16::MAX - AHEAD + 1).into();
    let value = serde_json::to_vec(&record).unwrap();
    rig.store.put_if(&key, value.into(), Expect::Any).await.unwrap();
    let bytes = backup(&rig.ktm).await;
    let elsewhere = Elsewhere::new();
    assert_eq!(elsewhere.restore(&bytes, &passphrase(), rig.now()).await.unwrap().forgotten, 1);
    let (ktm, _) = elsewhere.open(&rig).await;
    assert!(ktm.scopes().is_empty());
    ktm.ensure_scope(&spec).await.unwrap();
}

#[tokio::test]
async fn every_truncation_and_every_changed_byte_is_told_apart_from_a_whole_file() {
    let rig = Rig::new().await;
    let bytes = backup(&rig.ktm).await;
    let now = rig.clock.now();
    for length in (0..bytes.len()).step_by(7) {
        let refused = Elsewhere::new().restore(&bytes[..length], &passphrase(), now).await.unwrap_err();
        assert!(matches!(refused, BackupError::Truncated | BackupError::NotABackup), "{length}: {refused}");
    }
    let trailing = [&bytes[..], b"x"].concat();
    let refused = Elsewhere::new().restore(&trailing, &passphrase(), now).await.unwrap_err();
    assert!(matches!(refused, BackupError::Damaged));
    for position in (0..bytes.len()).step_by(11) {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        assert!(Elsewhere::new().restore(&changed, &passphrase(), now).await.is_err(), "byte {position}");
    }
}

proptest! {
    #[test]
    fn foreign_bytes_are_refused_and_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Restore::begin(&bytes[..], &passphrase()).is_err());
        let headed = [MAGIC.as_bytes(), b"\n", &bytes].concat();
        prop_assert!(Restore::begin(&headed[..], &passphrase()).is_err());
        let _ = decode_versions(&bytes);
    }
}
