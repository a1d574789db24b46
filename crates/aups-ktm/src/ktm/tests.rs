use super::*;
use crate::custody::KekFile;
use crate::fixture::{Busy, DAY, HOUR, LIFE, MINUTE, NOW, Rig, kek, spec};
use crate::service::KeyState;
use aups_core::{Epoch, ManualClock, Obligations, Suite};
use aups_envelope::{KeyEntry, Secret, SigningKey};
use aups_store::{Expect, InMemory};
use futures_util::future::join_all;
use proptest::prelude::*;
use std::collections::BTreeSet;

impl Ktm {
    pub(crate) async fn keep_up(&self) {
        self.core.upkeep().await.unwrap();
    }

    async fn scope(&self, spec: &ScopeSpec) -> SealingKeys {
        self.ensure_scope(spec).await.unwrap();
        self.sealing_keys(&spec.id).await.unwrap()
    }

    async fn served(&self, key: &KeyEntry) -> bool {
        let resolved = self.resolve(&key.key_id).await.unwrap();
        if let Some(resolved) = &resolved {
            resolved.key.verify().unwrap();
            assert_same(&resolved.key, key);
        }
        resolved.is_some()
    }

    /// The key of a pair, whether or not it is served.
    fn derive(&self, spec: &ScopeSpec, epoch: Epoch, bump: Bump) -> KeyEntry {
        let scope = self.core.scopes.using(&spec.id, self.core.clock.now()).unwrap();
        scope.key(&self.core.roots, epoch, bump).unwrap()
    }
}

fn assert_same(a: &KeyEntry, b: &KeyEntry) {
    assert_eq!((a.key_id, a.key_t.expose(), a.terms), (b.key_id, b.key_t.expose(), b.terms));
}

fn assert_holds(key: &KeyEntry, now: UnixMillis) {
    key.verify().unwrap();
    assert!(key.terms.nbf <= now && now < key.terms.exp, "{:?} at {now}", key.terms);
}

#[tokio::test]
async fn the_next_key_becomes_the_current_one_without_a_gap() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let mut keys = rig.ktm.scope(&spec).await;
    for _ in 0..600 {
        assert_holds(&keys.current, rig.now());
        keys.next.verify().unwrap();
        assert_eq!(keys.next.terms.nbf, keys.current.terms.exp);
        assert_eq!(keys.current.terms.exp.since(keys.current.terms.nbf), LIFE);
        let history = Duration::from_hours(168);
        assert_eq!(keys.current.terms.dec, keys.current.terms.exp.plus(history));
        rig.clock.set(UnixMillis(keys.current.terms.exp.0 - 1));
        assert_same(&rig.ktm.sealing_keys(&spec.id).await.unwrap().current, &keys.current);
        rig.clock.advance(Duration::from_millis(1));
        let later = rig.ktm.sealing_keys(&spec.id).await.unwrap();
        assert_same(&later.current, &keys.next);
        keys = later;
    }
}

#[tokio::test]
async fn a_key_carries_what_its_scope_says() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let current = rig.ktm.scope(&spec).await.current;
    assert_eq!((current.terms.suite, current.terms.flags, current.terms.scope), (spec.suite, spec.flags(), spec.id));
    assert_eq!(current.key_id.scope_tag(), rig.ktm.ensure_scope(&spec).await.unwrap());
    let resolved = rig.ktm.resolve(&current.key_id).await.unwrap().unwrap();
    assert_eq!(*resolved.spec, spec);
}

#[tokio::test]
async fn keys_are_the_same_after_a_restart() {
    let rig = Rig::new().await;
    let before = rig.ktm.scope(&rig.spec(0)).await;
    let realm = rig.ktm.realm().id();
    drop(rig.ktm);
    let ktm = Ktm::open(rig.store, rig.keyring, rig.clock, KtmSettings::default()).await.unwrap();
    assert_eq!(ktm.realm().id(), realm);
    let after = ktm.sealing_keys(&before.current.terms.scope).await.unwrap();
    assert_same(&after.current, &before.current);
    assert_same(&after.next, &before.next);
    assert!(ktm.served(&before.current).await);
}

#[tokio::test]
async fn keys_are_the_same_after_a_restart_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (provider, clock) = (KekFile(dir.path().join("kek")), Arc::new(ManualClock::at(NOW)));
    let open = || async {
        let store = Arc::new(aups_store::Embedded::open(dir.path().join("store")).await.unwrap());
        let keyring = Keyring::open(dir.path().join("keyring"), &provider, &*store).await.unwrap();
        Ktm::open(store, keyring, clock.clone(), KtmSettings::default()).await.unwrap()
    };
    let ktm = open().await;
    let spec = spec(ktm.realm().id(), 0, LIFE);
    let before = ktm.scope(&spec).await;
    ktm.bump(&spec.id).await.unwrap();
    drop(ktm);
    let ktm = open().await;
    assert!(ktm.served(&before.current).await);
    assert_eq!(ktm.sealing_keys(&spec.id).await.unwrap().current.terms.bump, Bump(1));
}

#[tokio::test]
async fn another_kek_is_refused_at_the_start() {
    let rig = Rig::new().await;
    let opened = Ktm::open(rig.store, Keyring::in_memory(Secret::random()), rig.clock, KtmSettings::default()).await;
    let error = opened.unwrap_err();
    assert!(matches!(error, KtmError::WrongKek));
    assert!(error.to_string().contains("put back the one that it was last used with"));
}

#[tokio::test]
async fn the_store_holds_no_secret_in_clear() {
    let rig = Rig::new().await;
    let keys = rig.ktm.scope(&rig.spec(0)).await;
    rig.ktm.begin_incarnation(&"nos-1".parse().unwrap(), SigningKey::generate().public()).await.unwrap();
    // The wrapped secrets, opened with the KEK that a thief of the store does not have.
    let mut secrets = vec![*keys.current.key_t.expose(), *rig.ktm.realm().signing_key().seed().expose()];
    let mut unwrapped = BTreeSet::new();
    let dump = rig.dump().await;
    for (key, value) in &dump {
        let record: serde_json::Value = serde_json::from_slice(value).unwrap();
        for member in ["root", "salt", "seed", "sentinel"] {
            if record[member]["wrapped"].is_string() {
                unwrapped.insert(member);
            }
        }
        assert!(key.starts_with("ktm/"));
    }
    assert_eq!(unwrapped.len(), 4, "each kind of secret is in the store, wrapped");
    secrets.extend(rig.ktm.core.roots.secrets());
    secrets.push(rig.ktm.core.scopes.all()[0].salt());
    for secret in secrets {
        let forms: [Vec<u8>; 4] = [
            secret.to_vec(),
            aups_envelope::b64::encode(&secret).into_bytes(),
            secret.map(|byte| format!("{byte:02x}")).concat().into_bytes(),
            secret.map(|byte| byte.to_string()).join(",").into_bytes(),
        ];
        for (key, value) in &dump {
            for form in &forms {
                assert!(!value.windows(form.len()).any(|window| window == *form), "{key}");
            }
        }
    }
}

#[tokio::test]
async fn a_known_scope_and_its_keys_cost_no_call_of_the_store() {
    let (store, clock) = (Arc::new(Busy::default()), Arc::new(ManualClock::at(NOW)));
    let ktm = Ktm::open(store.clone(), kek(), clock.clone(), KtmSettings::default()).await.unwrap();
    let spec = spec(ktm.realm().id(), 0, LIFE);
    ktm.ensure_scope(&spec).await.unwrap();
    clock.advance(MINUTE);
    // Writes the root that is due once in a root period.
    ktm.keep_up().await;
    let calls = store.calls();
    for _ in 0..100 {
        let keys = ktm.scope(&spec).await;
        assert!(ktm.served(&keys.current).await);
        ktm.publishers().await.unwrap();
        clock.advance(LIFE / 3);
    }
    assert_eq!(store.calls(), calls);
}

#[tokio::test]
async fn a_scope_that_its_hash_does_not_name_is_refused() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let wider = ScopeSpec { user: "permit(principal, action, resource);".into(), ..spec.clone() };
    let unsigned = ScopeSpec { obligations: Obligations::default(), ..spec.clone() };
    let other_suite = ScopeSpec { suite: Suite::ChaCha20Poly1305, ..spec.clone() };
    let elsewhere = crate::fixture::spec(aups_core::RealmId::from_bytes([9; 32]), 0, LIFE);
    for spec in [wider, unsigned, other_suite, elsewhere] {
        assert!(matches!(rig.ktm.ensure_scope(&spec).await, Err(KtmError::ForeignScope(id)) if id == spec.id));
    }
}

#[tokio::test]
async fn lives_lie_between_a_second_and_the_root_period() {
    let rig = Rig::new().await;
    let realm = rig.ktm.realm().id();
    for (life, fits) in [
        (Duration::from_millis(999), false),
        (Duration::from_secs(1), true),
        (DAY, true),
        (DAY + Duration::from_millis(1), false),
    ] {
        let spec = spec(realm, 0, life);
        let ensured = rig.ktm.ensure_scope(&spec).await;
        assert_eq!(ensured.is_ok(), fits, "{ensured:?}");
        if fits {
            assert_holds(&rig.ktm.sealing_keys(&spec.id).await.unwrap().current, rig.now());
        }
    }
}

#[tokio::test]
async fn keys_of_past_epochs_do_not_stay_in_memory() {
    let rig = Rig::new().await;
    rig.ktm.scope(&rig.spec(0)).await;
    let scope = rig.ktm.core.scopes.all().remove(0);
    rig.ktm.keep_up().await;
    assert!(scope.sealing_keys(NOW).is_some());
    rig.clock.advance(LIFE);
    rig.ktm.keep_up().await;
    assert!(scope.sealing_keys(NOW).is_none());
}

#[tokio::test]
async fn settings_out_of_range_are_refused() {
    let rig = Rig::new().await;
    for settings in [
        KtmSettings { root_period: Duration::from_millis(999), ..KtmSettings::default() },
        KtmSettings { root_period: 367 * DAY, ..KtmSettings::default() },
        KtmSettings { history: 3_661 * DAY, ..KtmSettings::default() },
    ] {
        let opened = Ktm::open(rig.store.clone(), rig.keyring.clone(), rig.clock.clone(), settings).await;
        assert!(matches!(opened, Err(KtmError::Setting { .. })));
    }
}

#[tokio::test]
async fn served_are_the_pairs_that_were_are_or_will_be_current() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let first = rig.ktm.scope(&spec).await.current.terms;
    // Bump 0 in the first two epochs, bump 1 from the middle of the second to the third, bump 2 from then on.
    let (middle, third) = (first.exp.plus(LIFE / 2), first.exp.plus(LIFE + LIFE / 2));
    for at in [middle, third] {
        rig.clock.set(at);
        rig.ktm.bump(&spec.id).await.unwrap();
    }
    let now = first.exp.plus(2 * LIFE + LIFE / 2);
    rig.clock.set(now);
    let epoch = |n: u32| Epoch(first.epoch.0 + n);
    let served = BTreeSet::from([(0, 0), (1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (4, 2)]);
    for n in 0..=6 {
        for bump in 0..=4 {
            let key = rig.ktm.derive(&spec, epoch(n), Bump(bump));
            assert_eq!(rig.ktm.served(&key).await, served.contains(&(n, bump)), "epoch +{n}, bump {bump}");
        }
    }
    let before = rig.ktm.derive(&spec, Epoch(first.epoch.0 - 1), Bump(0));
    assert!(!rig.ktm.served(&before).await, "nobody sealed before the scope was made");
    // `from` = max(nbf, time of the bump).
    let from = async |n, bump| rig.ktm.resolve(&rig.ktm.derive(&spec, epoch(n), Bump(bump)).key_id).await.unwrap();
    assert_eq!(from(1, 1).await.unwrap().key.from, middle);
    assert_eq!(from(2, 1).await.unwrap().key.from, first.exp.plus(LIFE));
    assert_eq!(from(3, 2).await.unwrap().key.from, first.exp.plus(2 * LIFE));
}

#[tokio::test]
async fn a_key_opens_until_its_dec_and_no_longer() {
    let rig = Rig::new().await;
    let key = rig.ktm.scope(&rig.spec(0)).await.current;
    rig.clock.set(key.terms.dec);
    assert!(rig.ktm.served(&key).await);
    rig.clock.set(UnixMillis(key.terms.dec.0 + 1));
    assert!(!rig.ktm.served(&key).await);
}

#[tokio::test]
async fn an_id_that_differs_in_one_bit_is_not_served() {
    let rig = Rig::new().await;
    let key = rig.ktm.scope(&rig.spec(0)).await.current;
    for bit in 0..KeyId::BYTES * 8 {
        let mut id = *key.key_id.as_bytes();
        id[bit / 8] ^= 1 << (bit % 8);
        assert!(rig.ktm.resolve(&KeyId::from_bytes(id)).await.unwrap().is_none(), "bit {bit}");
    }
}

#[tokio::test]
async fn the_following_epoch_comes_along_with_the_current_one_only() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let keys = rig.ktm.scope(&spec).await;
    rig.ktm.bump(&spec.id).await.unwrap();
    let next = rig.ktm.resolve(&keys.current.key_id).await.unwrap().unwrap().next.unwrap();
    assert_same(&next, &rig.ktm.sealing_keys(&spec.id).await.unwrap().next);
    assert_eq!((next.terms.epoch, next.terms.bump), (keys.next.terms.epoch, Bump(1)));
    assert!(rig.ktm.resolve(&next.key_id).await.unwrap().unwrap().next.is_none());
    rig.clock.set(keys.current.terms.exp);
    assert!(rig.ktm.resolve(&keys.current.key_id).await.unwrap().unwrap().next.is_none());
}

#[tokio::test]
async fn a_bump_shows_at_once_and_what_was_sealed_stays_readable() {
    let rig = Rig::new().await;
    let (spec, unrelated) = (rig.spec(0), rig.spec(1));
    let (before, other) = (rig.ktm.scope(&spec).await, rig.ktm.scope(&unrelated).await);
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(rig.ktm.bump(&spec.id).await.unwrap(), Bump(1));
    let after = rig.ktm.sealing_keys(&spec.id).await.unwrap();
    assert_eq!((after.current.terms.bump, after.next.terms.bump), (Bump(1), Bump(1)));
    assert_eq!(after.current.from, rig.now());
    assert!(rig.ktm.served(&before.current).await);
    assert!(!rig.ktm.served(&before.next).await, "never to be current any more");
    assert_same(&rig.ktm.sealing_keys(&unrelated.id).await.unwrap().current, &other.current);
    assert_eq!(rig.ktm.rotate(&spec.id).await.unwrap(), Bump(2));
}

#[tokio::test]
async fn two_bumps_in_one_millisecond_lose_nothing_that_was_sealed_between() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    rig.ktm.scope(&spec).await;
    rig.ktm.bump(&spec.id).await.unwrap();
    let between = rig.ktm.sealing_keys(&spec.id).await.unwrap().current;
    rig.ktm.bump(&spec.id).await.unwrap();
    rig.clock.advance(3 * LIFE);
    assert!(rig.ktm.served(&between).await);
}

#[tokio::test]
async fn a_destroyed_scope_serves_nothing_and_comes_back_with_other_keys() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let before = rig.ktm.scope(&spec).await;
    rig.ktm.destroy(&spec.id).await.unwrap();
    assert!(!rig.ktm.served(&before.current).await);
    assert!(matches!(rig.ktm.sealing_keys(&spec.id).await, Err(KtmError::UnknownScope(_))));
    let after = rig.ktm.scope(&spec).await;
    assert_ne!(after.current.key_id.scope_tag(), before.current.key_id.scope_tag());
    assert_ne!(after.current.key_t.expose(), before.current.key_t.expose());
    assert!(!rig.ktm.served(&before.current).await);
    assert!(rig.ktm.served(&after.current).await);
    assert!(!rig.another().await.served(&before.current).await);
}

async fn state(ktm: &Ktm, key: &KeyEntry) -> KeyState {
    let view = ktm.show_key(&key.key_id).await.unwrap().unwrap();
    assert_eq!(view.keys.iter().map(|key| key.key_id).collect::<Vec<_>>(), [key.key_id]);
    view.keys[0].state
}

#[tokio::test]
async fn a_compromised_key_is_never_served_again_and_the_others_are() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let past = rig.ktm.scope(&spec).await.current;
    rig.clock.advance(LIFE);
    let beside = rig.ktm.scope(&spec).await.current;
    rig.clock.advance(LIFE);
    let current = rig.ktm.scope(&spec).await.current;
    assert_eq!(state(&rig.ktm, &past).await, KeyState::Deactivated);
    assert_eq!(state(&rig.ktm, &current).await, KeyState::Active);
    for (key, bump) in [(&past, Bump(1)), (&current, Bump(2))] {
        assert!(rig.ktm.served(key).await);
        assert_eq!(rig.ktm.compromise_key(&key.key_id).await.unwrap(), (spec.id, bump));
        assert_eq!(state(&rig.ktm, key).await, KeyState::Compromised);
        assert_eq!(rig.ktm.sealing_keys(&spec.id).await.unwrap().current.terms.bump, bump);
    }
    let now = rig.ktm.scope(&spec).await.current;
    rig.ktm.bump(&spec.id).await.unwrap();
    for ktm in [&rig.ktm, &rig.another().await] {
        assert!(!ktm.served(&past).await && !ktm.served(&current).await, "the marks stay");
        assert!(ktm.served(&beside).await && ktm.served(&now).await);
    }
    let rows = rig.ktm.keys().await.unwrap();
    let listed = |key: &KeyEntry| rows.iter().find(|row| row.key_id == key.key_id).unwrap().state;
    assert_eq!((listed(&past), listed(&beside)), (KeyState::Compromised, KeyState::Deactivated));
}

#[tokio::test]
async fn a_compromised_scope_serves_no_key_of_before() {
    let rig = Rig::new().await;
    let specs = [rig.spec(0), rig.spec(1)];
    let before = rig.ktm.scope(&specs[0]).await;
    rig.ktm.bump(&specs[0].id).await.unwrap();
    let bumped = rig.ktm.scope(&specs[0]).await.current;
    let other = rig.ktm.scope(&specs[1]).await.current;
    assert_eq!(rig.ktm.compromise(&specs[0].id).await.unwrap(), Bump(2));
    let after = rig.ktm.scope(&specs[0]).await.current;
    for ktm in [&rig.ktm, &rig.another().await] {
        assert!(!ktm.served(&before.current).await && !ktm.served(&bumped).await);
        assert!(ktm.served(&after).await && ktm.served(&other).await);
    }
    assert_eq!(state(&rig.ktm, &bumped).await, KeyState::Compromised);
}

#[tokio::test]
async fn what_never_was_a_key_is_not_marked() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let key = rig.ktm.scope(&spec).await.current;
    let mut altered = *key.key_id.as_bytes();
    *altered.last_mut().unwrap() ^= 1;
    for unknown in [KeyId::from_bytes(altered), KeyId::from_bytes([7; KeyId::BYTES])] {
        let refused = rig.ktm.compromise_key(&unknown).await.unwrap_err();
        assert!(matches!(refused, KtmError::UnknownKey(id) if id == unknown));
        assert!(rig.ktm.show_key(&unknown).await.unwrap().is_none());
    }
    assert!(rig.ktm.served(&key).await);
}

#[tokio::test]
async fn a_scope_is_shown_with_its_bumps_and_without_secrets() {
    let rig = Rig::new().await;
    let spec = rig.spec(7);
    let key = rig.ktm.scope(&spec).await.current;
    rig.clock.advance(MINUTE);
    rig.ktm.bump(&spec.id).await.unwrap();
    let view = rig.ktm.show(&spec.id).await.unwrap().unwrap();
    assert_eq!((view.atb.as_str(), view.tag), ("users: principal.clearance > 7", key.key_id.scope_tag()));
    let bumps: Vec<_> = view.bumps.iter().map(|bump| (bump.bump.0, bump.at)).collect();
    assert_eq!(bumps, [(0, NOW), (1, NOW.plus(MINUTE))]);
    assert!(view.keys.iter().any(|shown| shown.key_id == key.key_id && shown.exp == key.terms.exp));
    let text = serde_json::to_string(&view).unwrap();
    for secret in [key.key_t.expose(), &rig.ktm.core.scopes.all()[0].salt()] {
        assert!(!text.contains(&aups_envelope::b64::encode(secret)));
    }
    assert!(rig.ktm.show(&rig.spec(8).id).await.unwrap().is_none());
}

#[tokio::test]
async fn an_unknown_scope_is_an_error_that_says_what_to_do() {
    let rig = Rig::new().await;
    let id = rig.spec(0).id;
    for error in [
        rig.ktm.sealing_keys(&id).await.map(drop).unwrap_err(),
        rig.ktm.bump(&id).await.map(drop).unwrap_err(),
        rig.ktm.destroy(&id).await.unwrap_err(),
    ] {
        assert!(matches!(&error, KtmError::UnknownScope(unknown) if *unknown == id));
        assert!(error.to_string().ends_with("ensure it first"));
    }
}

#[tokio::test]
async fn roots_are_destroyed_when_their_time_is_past_and_the_clock_is_steady() {
    let rig = Rig::with(KtmSettings { root_period: HOUR, history: HOUR }).await;
    let first = rig.ktm.scope(&rig.spec(0)).await.current;
    let root = "ktm/root/0000000001";
    // to = 1 h, lives of 1 h at most, history 1 h.
    rig.pass(2 * HOUR + 50 * MINUTE).await;
    assert!(rig.store.get(root).await.unwrap().is_some());
    rig.pass(20 * MINUTE).await;
    assert!(rig.store.get(root).await.unwrap().is_none());
    assert!(!rig.ktm.served(&first).await);
    rig.ktm.sealing_keys(&rig.spec(0).id).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_wrong_for_a_while_destroys_nothing() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let key = rig.ktm.scope(&spec).await.current;
    rig.pass(2 * HOUR).await;
    let right = rig.now();
    for wrong in [right.plus(1_000 * DAY), UnixMillis(0)] {
        rig.clock.set(wrong);
        rig.pass(50 * MINUTE).await;
        rig.clock.set(right);
        rig.ktm.keep_up().await;
        assert!(rig.ktm.served(&key).await);
    }
    let restarted = rig.another().await;
    assert!(restarted.served(&key).await);
    assert_holds(&restarted.sealing_keys(&spec.id).await.unwrap().current, rig.now());
}

#[tokio::test]
async fn a_process_that_was_down_for_long_goes_on() {
    for down in [HOUR, 3 * DAY, 30 * DAY, 1_000 * DAY] {
        let rig = Rig::new().await;
        let spec = rig.spec(0);
        let before = rig.ktm.scope(&spec).await.current;
        drop(rig.ktm);
        rig.clock.advance(down);
        let ktm = Ktm::open(rig.store, rig.keyring, rig.clock.clone(), KtmSettings::default()).await.unwrap();
        assert_holds(&ktm.sealing_keys(&spec.id).await.unwrap().current, rig.clock.now());
        assert_eq!(ktm.served(&before).await, down <= 7 * DAY);
    }
}

#[tokio::test]
async fn a_clock_far_behind_is_an_error_and_no_key() {
    let rig = Rig::with(KtmSettings { root_period: HOUR, history: HOUR }).await;
    let spec = rig.spec(0);
    rig.ktm.scope(&spec).await;
    rig.pass(6 * HOUR).await;
    rig.clock.set(NOW);
    assert!(matches!(rig.ktm.sealing_keys(&spec.id).await, Err(KtmError::RootDestroyed)));
}

#[tokio::test]
async fn what_is_sealed_after_the_clock_was_set_back_stays_readable() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    rig.clock.advance(DAY);
    rig.ktm.scope(&spec).await;
    rig.ktm.bump(&spec.id).await.unwrap();
    rig.clock.set(NOW);
    let sealed = rig.ktm.sealing_keys(&spec.id).await.unwrap().current;
    assert_holds(&sealed, NOW);
    assert_eq!(sealed.terms.bump, Bump(1), "a bump holds whatever the clock says");
    rig.clock.advance(3 * LIFE);
    assert!(rig.ktm.served(&sealed).await);
}

#[tokio::test]
async fn a_hundred_tasks_on_two_instances_share_one_scope() {
    let rig = Rig::new().await;
    let (spec, another) = (rig.spec(0), Arc::new(rig.another().await));
    let ktm = Arc::new(rig.ktm);
    let raced = (0..100).map(|n| {
        let (ktm, spec) = (if n % 2 == 0 { ktm.clone() } else { another.clone() }, spec.clone());
        tokio::spawn(async move { (ktm.ensure_scope(&spec).await.unwrap(), ktm.scope(&spec).await.current.key_id) })
    });
    let seen: BTreeSet<_> = join_all(raced).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn keys_lists_what_is_next_current_and_still_opens() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    let first = rig.ktm.scope(&spec).await;
    rig.clock.set(first.current.terms.exp);
    rig.ktm.bump(&spec.id).await.unwrap();
    rig.clock.advance(MINUTE);
    let now = rig.ktm.sealing_keys(&spec.id).await.unwrap();
    let rows = rig.ktm.keys().await.unwrap();
    let row = |key: &KeyEntry, state| KeyRow {
        key_id: key.key_id,
        val: key.terms.exp,
        atb: "users: principal.clearance > 0".to_owned(),
        state,
    };
    let replaced = rig.ktm.derive(&spec, now.current.terms.epoch, Bump(0));
    let expected = [
        row(&now.next, KeyState::PreActivation),
        row(&now.current, KeyState::Active),
        row(&replaced, KeyState::Deactivated),
        row(&first.current, KeyState::Deactivated),
    ];
    assert_eq!(rows, expected);
    for row in &rows {
        assert!(rig.ktm.resolve(&row.key_id).await.unwrap().is_some(), "what is listed is served");
    }
    rig.ktm.destroy(&spec.id).await.unwrap();
    let destroyed = rig.ktm.keys().await.unwrap();
    assert!(destroyed.iter().all(|row| row.state == KeyState::Destroyed));
    assert_eq!(destroyed.len(), rows.len());
}

#[tokio::test]
async fn keys_lists_a_bounded_number_of_each_scope() {
    let rig = Rig::new().await;
    let specs: Vec<_> = (0..3).map(|n| rig.spec(n)).collect();
    for spec in &specs {
        rig.ktm.scope(spec).await;
    }
    rig.pass(3 * DAY).await;
    let rows = rig.ktm.keys().await.unwrap();
    assert_eq!(rows.len(), 3 * KEYS_LISTED_PER_SCOPE);
    let ids: BTreeSet<_> = rows.iter().map(|row| row.key_id).collect();
    assert_eq!(ids.len(), rows.len());
    let active = rows.iter().filter(|row| row.state == KeyState::Active);
    assert_eq!(active.count(), 3);
}

#[tokio::test]
async fn scopes_lists_every_scope() {
    let rig = Rig::new().await;
    let specs: Vec<_> = (0..5).map(|n| rig.spec(n)).collect();
    for spec in &specs {
        rig.ktm.ensure_scope(spec).await.unwrap();
    }
    let listed: BTreeSet<_> = rig.ktm.scopes().iter().map(|spec| spec.id).collect();
    assert_eq!(listed, specs.iter().map(|spec| spec.id).collect());
}

#[tokio::test]
async fn a_damaged_record_names_itself() {
    let rig = Rig::new().await;
    let spec = rig.spec(0);
    rig.ktm.scope(&spec).await;
    let key = crate::scope::key(&spec.id);
    for damaged in ["{", "{}", "[]"] {
        rig.store.put_if(&key, damaged.into(), Expect::Any).await.unwrap();
        let opened = Ktm::open(rig.store.clone(), rig.keyring.clone(), rig.clock.clone(), KtmSettings::default()).await;
        assert!(matches!(opened, Err(KtmError::Record { key: named, .. }) if named == key));
    }
}

#[tokio::test]
async fn publishers_are_certified_by_the_realm() {
    let rig = Rig::new().await;
    let (nos, signing_key) = ("nos-1".parse().unwrap(), SigningKey::generate().public());
    let begun = rig.ktm.begin_incarnation(&nos, signing_key).await.unwrap();
    let certificates = rig.ktm.publishers().await.unwrap();
    assert_eq!((begun.publisher.0, begun.incarnation, certificates.len()), (1, 1, 1));
    assert_eq!(rig.another().await.publishers().await.unwrap().len(), 1, "listed after a restart");
}

/// What may happen to a KTM; scopes by number.
#[derive(Debug, Clone)]
enum Step {
    Jump(i64),
    Bump(u32),
    Seal(u32),
    KeepUp,
}

fn step() -> impl Strategy<Value = Step> {
    let ten_minutes = 600_000_i64;
    prop_oneof![
        4 => (-ten_minutes..=ten_minutes).prop_map(Step::Jump),
        // Scope 0 is never bumped.
        2 => (1_u32..3).prop_map(Step::Bump),
        4 => (0_u32..3).prop_map(Step::Seal),
        1 => Just(Step::KeepUp),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the clock does within ten minutes: keys hold now, verify, are served, and are the same on every instance.
    /// Without a bump in between, each key that was ever sealed with is served once the clock has come past it.
    #[test]
    fn keys_hold_and_agree_whatever_the_clock_does(
        steps in prop::collection::vec(step(), 1..40),
        life_secs in 1_u64..900,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            let spec = |n| spec(rig.ktm.realm().id(), n, Duration::from_secs(life_secs));
            for n in 0..3 {
                rig.ktm.ensure_scope(&spec(n)).await.unwrap();
            }
            let mut sealed: Vec<KeyEntry> = Vec::new();
            for step in steps {
                match step {
                    Step::Jump(by) => rig.clock.set(UnixMillis(rig.now().0.saturating_add_signed(by))),
                    Step::Bump(n) => drop(rig.ktm.bump(&spec(n).id).await.unwrap()),
                    Step::KeepUp => rig.ktm.keep_up().await,
                    Step::Seal(n) => {
                        let keys = rig.ktm.sealing_keys(&spec(n).id).await.unwrap();
                        assert_holds(&keys.current, rig.now());
                        keys.next.verify().unwrap();
                        assert!(rig.ktm.served(&keys.current).await);
                        assert!(rig.ktm.served(&keys.next).await);
                        sealed.push(keys.current);
                    }
                }
            }
            rig.clock.set(NOW.plus(DAY));
            let another = rig.another().await;
            for n in 0..3 {
                let (one, two) = (rig.ktm.scope(&spec(n)).await, another.scope(&spec(n)).await);
                assert_same(&one.current, &two.current);
                assert_same(&one.next, &two.next);
            }
            for key in &sealed {
                let served = rig.ktm.served(key).await;
                assert_eq!(served, another.served(key).await);
                assert!(served || key.terms.scope != spec(0).id);
            }
        });
    }
}

#[tokio::test]
async fn the_upkeep_goes_on_by_itself_and_ends_with_the_ktm() {
    tokio::time::pause();
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let ktm = Ktm::open(store.clone(), kek(), clock.clone(), KtmSettings::default()).await.unwrap();
    let roots = async || store.list("ktm/root/").await.unwrap().0.len();
    let before = roots().await;
    clock.advance(HOUR);
    tokio::time::sleep(2 * UPKEEP_EVERY).await;
    assert_eq!(roots().await, before + 1);
    drop(ktm);
    clock.advance(10 * DAY);
    tokio::time::sleep(2 * UPKEEP_EVERY).await;
    assert_eq!(roots().await, before + 1);
}

#[tokio::test]
async fn no_scope_is_made_while_those_are_looked_for_that_lost_somebody() {
    let rig = Rig::new().await;
    let (there, slipping) = (rig.spec(0), rig.spec(1));
    rig.ktm.ensure_scope(&there).await.unwrap();
    let made = rig.ktm.ensure_scope(&slipping);
    let revoked = rig.ktm.revoke_with(|scopes| async move {
        // Whoever asks for a new scope now waits.
        tokio::task::yield_now().await;
        let lost = scopes.iter().map(|scope| scope.id).collect();
        Ok::<_, KtmError>((lost, vec![Change::put("reader/alice", "gone", Expect::Any)]))
    });
    let (revoked, made) = tokio::join!(revoked, made);
    let (revoked, made) = (revoked.unwrap(), made.unwrap());
    assert_eq!(revoked.bumps, [(there.id, Bump(1))].into());
    assert_eq!(rig.store.get("reader/alice").await.unwrap().unwrap().revision, revoked.revision.unwrap());
    let record = rig.store.get(&format!("ktm/scope/{}", slipping.id)).await.unwrap().unwrap();
    assert!(record.revision > revoked.revision.unwrap(), "the scope {made} came after the change");
}

#[tokio::test]
async fn a_revocation_that_fails_while_it_looks_changes_nothing() {
    let rig = Rig::new().await;
    rig.ktm.ensure_scope(&rig.spec(0)).await.unwrap();
    let before = rig.dump().await;
    let failed = rig.ktm.revoke_with(|_| async { Err(KtmError::Stopping) }).await;
    assert!(matches!(failed, Err(KtmError::Stopping)));
    assert_eq!(rig.dump().await, before);
    rig.ktm.ensure_scope(&rig.spec(1)).await.unwrap();
}
