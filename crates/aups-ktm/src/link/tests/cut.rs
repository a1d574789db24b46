//! The link breaks and comes back; the KTM stops and starts; machines disagree about the time.

use super::*;

#[tokio::test]
async fn a_nos_goes_on_while_its_lease_runs_and_stops_when_it_ends() {
    let realm = Realm::with_lease(Duration::from_secs(3)).await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    let spec = realm.spec(0);
    let key = nos.scope(&spec).await;
    nos.ktm.resolve(&key.key_id).await.unwrap().unwrap();
    nos.ktm.publishers().await.unwrap();

    proxy.cut();
    let cut = Instant::now();
    // What it knows it goes on with: no new scope, but all that it had.
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, key.key_id);
    assert!(nos.ktm.resolve(&key.key_id).await.unwrap().is_some());
    nos.ktm.publishers().await.unwrap();
    assert!(matches!(nos.ktm.ensure_scope(&realm.spec(1)).await, Err(KtmError::Away { .. })));
    let revision = realm.put("reader/alice", "gone").await;

    let mut lease = nos.ktm.lease();
    timeout(SOON, lease.wait_for(|lease| *lease == Lease::Ended)).await.expect("the lease ends").unwrap();
    assert!(cut.elapsed() < realm.lease + Duration::from_secs(2), "{:?}", cut.elapsed());
    for refused in [
        nos.ktm.sealing_key(&spec.id).await.err(),
        nos.ktm.resolve(&key.key_id).await.err(),
        nos.ktm.publishers().await.err(),
        nos.ktm.ensure_scope(&spec).await.err(),
    ] {
        assert!(matches!(refused, Some(KtmError::NoLease)), "{refused:?}");
    }
    timeout(SOON, realm.server.settled(revision)).await.expect("a NOS without a lease is not waited for");
    assert_eq!(nos.copy.get("reader/alice"), None);

    proxy.mend();
    timeout(SOON, nos.ktm.ready()).await.expect("it comes back by itself");
    assert_eq!(
        nos.copy.get("reader/alice").unwrap(),
        "gone",
        "before it has a lease again, it has applied what it owed"
    );
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, key.key_id);
    assert_eq!(nos.copy.snapshots.lock().unwrap().len(), 1, "it resumed where it was");
}

#[tokio::test]
async fn what_changed_while_the_ktm_was_asked_is_not_fallen_back_to() {
    let realm = Realm::new().await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    let remote = &nos.ktm.remote;
    let as_of = cache::AsOf { revision: Revision::MAX, snapshots: remote.cache().snapshots() };
    let long_ago = UnixMillis(NOW.0 - 7_200_000);
    assert!(remote.cache().put_publishers(vec!["old".to_owned()], as_of, long_ago));
    let others_ask = remote.flight(b"publishers").await;
    proxy.cut();
    let asked = nos.ktm.publishers();
    tokio::pin!(asked);
    assert!(timeout(Duration::from_millis(50), &mut asked).await.is_err());
    remote.cache().publishers_changed(1);
    drop(others_ask);
    let asked = asked.await;
    assert!(matches!(asked, Err(KtmError::Away { .. })), "{asked:?}");
    assert!(remote.cache().put_publishers(vec!["old".to_owned()], as_of, long_ago));
    assert_eq!(nos.ktm.publishers().await.unwrap(), ["old"], "what still holds is better than nothing");
}

#[tokio::test]
async fn the_lease_is_renewed_however_many_requests_wait() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let all = nos.ktm.remote.requests.acquire_many(u32::try_from(remote::REQUESTS_MAX).unwrap()).await.unwrap();
    let mut lease = nos.ktm.lease();
    lease.borrow_and_update();
    nos.applied(realm.put("reader/alice", "1").await).await;
    timeout(SOON, lease.changed()).await.expect("the lease is renewed").unwrap();
    let waited = nos.ktm.ensure_scope(&realm.spec(0)).await;
    assert!(matches!(waited, Err(KtmError::Away { .. })), "nobody waits for ever: {waited:?}");
    drop(all);
    nos.scope(&realm.spec(0)).await;
}

#[tokio::test]
async fn what_was_missed_is_made_good_in_order() {
    let realm = Realm::new().await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    let spec = realm.spec(0);
    nos.scope(&spec).await;
    proxy.cut();
    let mut revisions = Vec::new();
    for value in ["1", "2", "3"] {
        revisions.push(realm.put("reader/alice", value).await);
    }
    realm.ktm.bump(&spec.id).await.unwrap();
    proxy.mend();
    let last = realm.put("reader/bob", "1").await;
    revisions.push(last);
    nos.applied(last).await;
    assert_eq!(*nos.copy.commits.lock().unwrap(), revisions);
    assert_eq!(nos.copy.snapshots.lock().unwrap().len(), 1);
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, Bump(1));
}

#[tokio::test]
async fn whoever_missed_too_much_begins_anew_and_keeps_the_keys_that_still_hold() {
    let realm = Realm::new().await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    let (kept, bumped) = (realm.spec(0), realm.spec(1));
    let key = nos.scope(&kept).await;
    nos.scope(&bumped).await;
    proxy.cut();
    realm.ktm.bump(&bumped.id).await.unwrap();
    for n in 0..=aups_store::watch::HISTORY_COMMITS_MAX {
        realm.store.put_if("reader/alice", format!("{n}").into(), Expect::Any).await.unwrap();
    }
    proxy.mend();
    let last = realm.put("reader/bob", "1").await;
    nos.applied(last).await;
    assert_eq!(nos.copy.snapshots.lock().unwrap().len(), 2);
    assert_eq!(nos.ktm.sealing_key(&kept.id).await.unwrap().key_id, key.key_id);
    assert_eq!(nos.ktm.sealing_key(&bumped.id).await.unwrap().terms.bump, Bump(1));
}

#[tokio::test]
async fn a_ktm_that_was_restarted_is_found_again() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let spec = realm.spec(0);
    let key = nos.scope(&spec).await;
    let realm = realm.restarted().await;
    assert!(realm.status("nos-1").lease_ms > 0, "it may hold a lease, and nobody knows until when");
    let revision = realm.put("reader/alice", "1").await;
    nos.applied(revision).await;
    timeout(SOON, realm.server.settled(revision)).await.expect("it was heard of");
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, key.key_id);
    realm.ktm.bump(&spec.id).await.unwrap();
    let bumped = realm.put("reader/alice", "2").await;
    nos.applied(bumped).await;
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, Bump(1));
}

#[tokio::test]
async fn a_nos_that_outlives_a_restore_begins_anew() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let spec = realm.spec(0);
    nos.scope(&spec).await;
    nos.ktm.begin_incarnation(&nos.ktm.name(), SigningKey::generate().public()).await.unwrap();
    let backup = realm.store.list("").await.unwrap().0;
    for n in 0..100 {
        realm.store.put_if("reader/alice", format!("{n}").into(), Expect::Any).await.unwrap();
    }
    let lost = realm.ktm.bump(&spec.id).await.unwrap();
    nos.applied(realm.put("reader/bob", "lost").await).await;
    let known = nos.ktm.applied().unwrap();
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, lost);

    // All but the history, as a restore does it; then the store goes on to where the NOS was, with other transactions.
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    let kept = backup.into_iter().filter(|(key, _)| key != history::KEY);
    store.commit(kept.map(|(key, found)| Change::put(key, found.value, Expect::Absent)).collect()).await.unwrap();
    store.put_if("reader/carol", "restored".into(), Expect::Any).await.unwrap();
    while store.list("reader/").await.unwrap().1 <= known {
        store.put_if("policy/active", "restored".into(), Expect::Any).await.unwrap();
    }
    let realm = Realm { store, ..realm }.restarted().await;
    let revision = realm.put("reader/dora", "1").await;
    timeout(SOON, async {
        while nos.copy.get("reader/dora").is_none() {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("it follows the restored KTM");
    nos.applied(revision).await;
    assert_eq!(nos.copy.snapshots.lock().unwrap().len(), 2);
    assert_eq!(nos.copy.get("reader/carol").unwrap(), "restored");
    assert_eq!(nos.copy.get("reader/bob"), None, "what was lost is lost everywhere");
    timeout(SOON, realm.server.settled(revision)).await.unwrap();
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, Bump(0));
    nos.ktm.publishers().await.unwrap();
}

#[tokio::test]
async fn a_copy_of_another_history_earns_no_lease() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let other = history::History::open(Arc::new(InMemory::new())).await.unwrap();
    let applied = realm.status("nos-1").applied;
    let asked = wire::AskLease { history: other, applied: Revision::MAX, skew_ms: None };
    let leased: wire::Leased = nos.ktm.remote.post(wire::path::LEASE, &asked).await.unwrap();
    assert_eq!(leased.lease_ms, 0);
    assert_eq!(realm.status("nos-1").applied, applied, "nor does it count as applied");
}

#[tokio::test]
async fn after_a_restart_a_silent_nos_is_waited_for_as_long_as_a_lease_lasts() {
    let realm = Realm::with_lease(Duration::from_secs(1)).await;
    drop(realm.nos("nos-1").await);
    let realm = realm.restarted().await;
    let begun = Instant::now();
    let revision = realm.put("reader/alice", "1").await;
    realm.server.settled(revision).await;
    assert!((700..5_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_wrong_clock_stops_everything_until_it_is_set() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let spec = realm.spec(0);
    let key = nos.scope(&spec).await;
    let minutes = Duration::from_mins(10);
    for wrong in [NOW.plus(minutes), UnixMillis(NOW.0 - 600_000)] {
        nos.wall.set(wrong);
        let refused = nos.ktm.sealing_key(&spec.id).await;
        let Err(KtmError::Skew { skew_ms }) = refused else { panic!("{refused:?}") };
        assert!((590_000..=610_000).contains(&skew_ms.abs()), "{skew_ms}");
        assert!(matches!(nos.ktm.resolve(&key.key_id).await, Err(KtmError::Skew { .. })));
        // Messages are not given another time meanwhile: the clock to seal by is the KTM's.
        let now = nos.ktm.clock().now();
        assert!(now >= NOW && now.since(NOW) < SOON, "{now}");
    }
    nos.wall.set(NOW.plus(Duration::from_secs(20)));
    assert!(!matches!(nos.ktm.sealing_key(&spec.id).await, Err(KtmError::Skew { .. })), "20 s are let pass");
    nos.wall.set(NOW);
    timeout(SOON, nos.ktm.ready()).await.unwrap();
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, key.key_id);
}

#[tokio::test]
async fn a_machine_that_slept_through_its_lease_has_none() {
    let realm = Realm::with_lease(Duration::from_secs(10)).await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    nos.scope(&realm.spec(0)).await;
    proxy.cut();
    // The monotonic clock stood, the wall clock went on.
    nos.wall.advance(Duration::from_secs(11));
    assert!(matches!(nos.ktm.sealing_key(&realm.spec(0).id).await, Err(KtmError::NoLease)));
}

#[tokio::test]
async fn the_keys_of_the_next_epoch_are_there_before_they_are_needed() {
    let realm = Realm::new().await;
    let proxy = Proxy::to(&realm).await;
    let nos = realm.nos_at("nos-1", proxy.url()).await;
    let spec = realm.spec(0);
    let first = nos.scope(&spec).await;
    let next = realm.ktm.sealing_keys(&spec.id).await.unwrap().next;
    // Both machines come close to the expiry, and the NOS hears of the time once more.
    let shortly_before = UnixMillis(first.terms.exp.0 - 500);
    realm.clock.set(shortly_before);
    nos.wall.set(shortly_before);
    timeout(SOON, async {
        // Having jumped, its wall clock ends the lease until it is renewed.
        while nos.ktm.clock().now() < shortly_before || nos.ktm.sealing_key(&spec.id).await.is_err() {
            nos.applied(realm.put("reader/alice", "1").await).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, first.key_id);
    // The KTM is away at the expiry.
    proxy.cut();
    timeout(SOON, async {
        while nos.ktm.clock().now() < first.terms.exp {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, next.key_id);
}
