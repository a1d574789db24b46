use super::*;
use crate::{
    Ktm, KtmSettings,
    custody::{KekFile, source_master},
    error::KtmError,
    fixture::{Busy, LIFE, NOW, Rig, spec},
    service::KeysTopicsManager as _,
};
use aups_core::ManualClock;
use aups_envelope::{Kek, b64};
use aups_store::Store;
use std::path::Path;

/// Every version of the KEK under which something lies in the store.
async fn versions(store: &dyn Store) -> Vec<u32> {
    let (items, _) = store.list("").await.unwrap();
    let mut versions = Vec::new();
    for (_, item) in items {
        let text = String::from_utf8_lossy(&item.value).into_owned();
        let wrapped = text.split("\"wrapped\":\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned());
        versions.extend(wrapped.map(|text| Kek::version_of(&b64::decode(&text).unwrap()).unwrap()));
    }
    versions.sort_unstable();
    versions.dedup();
    versions
}

#[tokio::test]
async fn after_a_destruction_everything_lies_under_a_new_version_and_the_old_one_is_gone() {
    let rig = Rig::new().await;
    let specs: Vec<_> = (0..3).map(|n| rig.spec(n)).collect();
    for spec in &specs {
        rig.ktm.ensure_scope(spec).await.unwrap();
    }
    assert_eq!(versions(&*rig.store).await, [1]);
    let (stolen, before) = (rig.dump().await, rig.ktm.sealing_keys(&specs[1].id).await.unwrap());
    rig.ktm.destroy(&specs[0].id).await.unwrap();
    assert_eq!((versions(&*rig.store).await, rig.keyring.has_earlier()), (vec![2], false));

    // What remains is as it was, here and after a restart.
    let another = rig.another().await;
    for ktm in [&rig.ktm, &another] {
        let after = ktm.sealing_keys(&specs[1].id).await.unwrap();
        assert_eq!(after.current.key_id, before.current.key_id);
        assert!(ktm.resolve(&before.current.key_id).await.unwrap().is_some());
    }
    // Changes go on without a reading of the store: the revisions in memory are those of the records.
    assert!(rig.ktm.bump(&specs[1].id).await.is_ok());

    // Whoever has the store's old bytes and today's keyring unwraps nothing of it.
    let old: Arc<dyn Store> = Arc::new(Busy::default());
    for (key, value) in stolen {
        old.put_if(&key, value.into(), Expect::Any).await.unwrap();
    }
    let opened = Ktm::open(old, rig.keyring.clone(), rig.clock.clone(), KtmSettings::default()).await;
    assert!(matches!(opened, Err(KtmError::WrongKek)));
}

#[tokio::test]
async fn the_master_of_sources_is_wrapped_anew_and_stays_the_same() {
    let rig = Rig::new().await;
    let (nos, node, id) = ("nos-1".parse().unwrap(), "s1".parse().unwrap(), aups_core::KeyId::from_bytes([1; 24]));
    let credential = async || {
        let master = source_master(rig.store.clone(), &rig.keyring, &nos).await.unwrap();
        *master.credential(&node, &id).expose()
    };
    let before = credential().await;
    let spec = rig.spec(0);
    rig.ktm.ensure_scope(&spec).await.unwrap();
    rig.ktm.destroy(&spec.id).await.unwrap();
    assert_eq!((versions(&*rig.store).await, rig.keyring.has_earlier()), (vec![2], false));
    assert_eq!(credential().await, before);
}

#[tokio::test]
async fn what_others_keep_may_look_like_a_secret() {
    let rig = Rig::new().await;
    rig.ktm.ensure_scope(&rig.spec(1)).await.unwrap();
    let reader = r#"{"attrs":{"tags":{"wrapped":"yes"}}}"#;
    rig.store.put_if("reader/alice", reader.into(), Expect::Absent).await.unwrap();
    rig.ktm.destroy(&rig.spec(1).id).await.unwrap();
    assert!(!rig.keyring.has_earlier(), "what was destroyed is not erased");
    assert_eq!(rig.store.get("reader/alice").await.unwrap().unwrap().value, reader);
}

#[tokio::test]
async fn many_destructions_by_hand_wrap_anew_once() {
    let rig = Rig::new().await;
    let specs: Vec<_> = (0..10).map(|n| rig.spec(n)).collect();
    for spec in &specs {
        rig.ktm.ensure_scope(spec).await.unwrap();
    }
    let unknown = spec(rig.ktm.realm().id(), 99, LIFE).id;
    let ids = specs[..5].iter().map(|spec| spec.id).chain([unknown]).collect();
    let destroyed = rig.ktm.destroy_all(&ids).await.unwrap();
    assert_eq!(destroyed, specs[..5].iter().map(|spec| spec.id).collect());
    assert_eq!(versions(&*rig.store).await, [2]);
    // Nothing to destroy, nothing to wrap.
    assert!(rig.ktm.destroy_all(&ids).await.unwrap().is_empty());
    assert_eq!(versions(&*rig.store).await, [2]);
}

/// A keyring in a file, and a KTM over a store that goes on.
struct OnDisk {
    dir: tempfile::TempDir,
    store: Arc<Busy>,
    clock: Arc<ManualClock>,
}

impl OnDisk {
    async fn start(&self) -> (Ktm, Keyring) {
        let provider = KekFile(self.dir.path().join("kek"));
        let keyring = Keyring::open(self.path(), &provider, &*self.store).await.unwrap();
        let settings = KtmSettings::default();
        let ktm = Ktm::open(self.store.clone(), keyring.clone(), self.clock.clone(), settings).await.unwrap();
        (ktm, keyring)
    }

    fn path(&self) -> impl AsRef<Path> + Into<std::path::PathBuf> {
        self.dir.path().join("keyring")
    }
}

/// A kill between any two steps of a destruction; the next start goes on, and nothing that should remain is lost.
#[tokio::test]
async fn a_start_finishes_what_a_kill_interrupted() {
    for steps in 0..=4 {
        let rig =
            OnDisk { dir: tempfile::tempdir().unwrap(), store: Arc::default(), clock: Arc::new(ManualClock::at(NOW)) };
        let (ktm, keyring) = rig.start().await;
        let specs: Vec<_> = (0..6).map(|n| spec(ktm.realm().id(), n, LIFE)).collect();
        for spec in &specs {
            ktm.ensure_scope(spec).await.unwrap();
        }
        let keys = ktm.sealing_keys(&specs[1].id).await.unwrap();
        drop(ktm);
        let records = Records::new(rig.store.clone());
        if steps >= 1 {
            keyring.begin_version().await.unwrap();
        }
        if steps >= 2 {
            rig.store.delete_if(&scope::key(&specs[0].id), Expect::Any).await.unwrap();
        }
        // Some of what remains, then all of it.
        let some = [0, 0, 0, 3, usize::MAX][steps];
        for (key, item) in records.everything().await.unwrap().0.into_iter().take(some) {
            if let Some(value) = rewrapped(&keyring, 2, &key, &item.value).unwrap() {
                rig.store.put_if(&key, value.into(), Expect::Any).await.unwrap();
            }
        }
        drop(keyring);

        let (ktm, keyring) = rig.start().await;
        assert!(!keyring.has_earlier(), "after step {steps}");
        assert_eq!(versions(&*rig.store).await, [keyring.newest_version()], "after step {steps}");
        assert!(ktm.resolve(&keys.current.key_id).await.unwrap().is_some(), "after step {steps}");
        let scopes = ktm.scopes().len();
        assert_eq!(scopes, if steps >= 2 { 5 } else { 6 }, "after step {steps}");
    }
}

#[tokio::test]
async fn scopes_that_are_made_and_bumped_meanwhile_are_not_lost() {
    let rig = Rig::new().await;
    let specs: Vec<_> = (0..40).map(|n| rig.spec(n)).collect();
    for spec in &specs[..20] {
        rig.ktm.ensure_scope(spec).await.unwrap();
    }
    let destroy = async {
        for spec in &specs[..5] {
            rig.ktm.destroy(&spec.id).await.unwrap();
        }
    };
    let others = async {
        for (made, bumped) in specs[20..].iter().zip(&specs[5..20]) {
            rig.ktm.ensure_scope(made).await.unwrap();
            rig.ktm.bump(&bumped.id).await.unwrap();
        }
    };
    futures_util::future::join(destroy, others).await;
    rig.ktm.keep_up().await;
    assert_eq!(versions(&*rig.store).await, [rig.keyring.newest_version()]);
    let another = rig.another().await;
    for spec in &specs[5..20] {
        let [one, other] =
            [rig.ktm.sealing_keys(&spec.id).await.unwrap(), another.sealing_keys(&spec.id).await.unwrap()];
        assert_eq!((one.current.key_id, one.current.terms.bump.0), (other.current.key_id, 1));
    }
}

#[tokio::test]
async fn a_disk_that_fails_meanwhile_leaves_the_rest_to_the_upkeep() {
    let rig = Rig::new().await;
    let specs = [rig.spec(0), rig.spec(1)];
    for spec in &specs {
        rig.ktm.ensure_scope(spec).await.unwrap();
    }
    // As if the wrapping anew had failed after the deletion.
    rig.keyring.begin_version().await.unwrap();
    assert!(rig.keyring.has_earlier());
    rig.ktm.keep_up().await;
    assert!(!rig.keyring.has_earlier());
    assert_eq!(versions(&*rig.store).await, [2]);
}

/// Run with `cargo test -p aups-ktm --lib -- --ignored --nocapture wrapping_100_000`.
#[tokio::test]
#[ignore = "a measurement, of half a minute"]
async fn wrapping_100_000_scopes_anew_takes_this_long() {
    const SCOPES: u32 = 100_000;
    let keyring = crate::fixture::kek();
    let (made, clock) = (Arc::new(aups_store::InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let ktm = Ktm::open(made.clone(), keyring.clone(), clock.clone(), KtmSettings::default()).await.unwrap();
    let first = spec(ktm.realm().id(), 0, LIFE);
    for n in 0..SCOPES {
        ktm.ensure_scope(&spec(ktm.realm().id(), n, LIFE)).await.unwrap();
    }
    drop(ktm);
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(aups_store::Embedded::open(dir.path().join("store")).await.unwrap());
    for some in made.list("").await.unwrap().0.chunks(4_096) {
        let changes = some.iter().map(|(key, item)| Change::put(key, item.value.clone(), Expect::Absent));
        store.commit(changes.collect()).await.unwrap();
    }
    let ktm = Ktm::open(store, keyring, clock, KtmSettings::default()).await.unwrap();
    let began = Instant::now();
    ktm.destroy(&first.id).await.unwrap();
    println!("{SCOPES} scopes on disk: a destruction took {:?}", began.elapsed());
}
