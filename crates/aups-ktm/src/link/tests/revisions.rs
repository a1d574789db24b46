//! What happens at the KTM reaches NOSs, in order, whole, once, and is said to be there only when it is.

use super::*;

#[tokio::test]
async fn a_nos_begins_with_all_there_is_and_goes_on_with_what_happens() {
    let realm = Realm::new().await;
    realm.put("reader/alice", "1").await;
    realm.put("other/thing", "never followed").await;
    let snapshot = realm.put("policy/active", "1").await;
    let nos = realm.nos("nos-1").await;
    assert_eq!(nos.copy.get("reader/alice").unwrap(), "1");
    assert_eq!(nos.copy.get("policy/active").unwrap(), "1");
    assert_eq!(nos.copy.records.lock().unwrap().len(), 2);
    assert!(nos.copy.snapshots.lock().unwrap()[0] >= snapshot);
    let changes = vec![
        Change::put("reader/bob", "2", Expect::Absent),
        Change::delete("reader/alice", Expect::Any),
        Change::put("other/thing", "3", Expect::Any),
    ];
    let revision = realm.store.commit(changes).await.unwrap();
    nos.applied(revision).await;
    assert_eq!(nos.copy.records.lock().unwrap().keys().collect::<Vec<_>>(), ["policy/active", "reader/bob"]);
    assert_eq!(*nos.copy.commits.lock().unwrap(), [revision], "what does not concern a NOS it is not bothered with");
}

#[tokio::test]
async fn nothing_secret_is_followed() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    nos.scope(&realm.spec(0)).await;
    realm.ktm.bump(&realm.spec(0).id).await.unwrap();
    nos.applied(realm.put("reader/alice", "1").await).await;
    assert!(nos.copy.records.lock().unwrap().keys().all(|key| key.starts_with("reader/")));
}

#[tokio::test]
async fn a_revision_is_settled_when_every_nos_has_applied_it() {
    let realm = Realm::new().await;
    let (quick, slow) = (realm.nos("nos-1").await, realm.nos("nos-2").await);
    let closed = slow.copy.gate.lock().await;
    let begun = Instant::now();
    let revision = realm.put("reader/alice", "1").await;
    quick.applied(revision).await;
    let settled = realm.server.settled(revision);
    tokio::pin!(settled);
    assert!(timeout(Duration::from_millis(300), &mut settled).await.is_err(), "one of them is behind");
    drop(closed);
    timeout(SOON, settled).await.expect("now both have");
    assert!(begun.elapsed() < LEASE, "nobody waited for a lease to end");
    assert!(realm.server.nodes().iter().all(|node| node.applied >= revision));
    timeout(Duration::from_secs(1), realm.server.settled(revision)).await.expect("it stays settled");
}

#[tokio::test]
async fn bumps_and_changes_reach_every_nos_within_a_second() {
    let realm = Realm::new().await;
    let spec = realm.spec(0);
    let mut all = Vec::new();
    for n in 0..4 {
        let nos = realm.nos(&format!("nos-{n}")).await;
        nos.scope(&spec).await;
        all.push(nos);
    }
    let mut worst = Duration::ZERO;
    for n in 1..=10 {
        let begun = Instant::now();
        let lost = [spec.id].into();
        let change = vec![Change::put("reader/alice", format!("{n}"), Expect::Any)];
        let revoked = realm.ktm.revoke_with(|_| async { Ok::<_, KtmError>((lost, change)) }).await.unwrap();
        realm.server.settled(revoked.revision.unwrap()).await;
        worst = worst.max(begun.elapsed());
        for nos in &all {
            assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, Bump(n));
            assert_eq!(nos.copy.get("reader/alice").unwrap(), format!("{n}"));
        }
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[tokio::test]
async fn no_key_of_a_bump_is_used_before_the_change_that_came_with_it_is_applied() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let (spec, new) = (realm.spec(0), realm.spec(1));
    let before = nos.scope(&spec).await;
    let closed = nos.copy.gate.lock().await;
    let lost = [spec.id].into();
    let change = vec![Change::put("reader/alice", "gone", Expect::Any)];
    realm.ktm.revoke_with(|_| async { Ok::<_, KtmError>((lost, change)) }).await.unwrap();
    // Until then it goes on as before; the KTM waits for it, or for the end of its lease.
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().key_id, before.key_id);
    // A scope that is made after the change: its key may not be there before it either.
    let made = nos.scope(&new);
    tokio::pin!(made);
    assert!(timeout(Duration::from_millis(300), &mut made).await.is_err());
    drop(closed);
    timeout(SOON, made).await.expect("the change is applied");
    assert_eq!(nos.copy.get("reader/alice").unwrap(), "gone");
    assert_eq!(nos.ktm.sealing_key(&spec.id).await.unwrap().terms.bump, Bump(1));
}

#[tokio::test]
async fn a_copy_that_cannot_be_kept_costs_the_lease_and_is_made_anew() {
    let realm = Realm::with_lease(Duration::from_millis(1_500)).await;
    let nos = realm.nos("nos-1").await;
    nos.scope(&realm.spec(0)).await;
    nos.copy.broken.store(true, Ordering::SeqCst);
    let revision = realm.put("reader/alice", "1").await;
    let mut lease = nos.ktm.lease();
    timeout(SOON, lease.wait_for(|lease| *lease == Lease::Ended)).await.expect("no renewal").unwrap();
    assert!(matches!(nos.ktm.sealing_key(&realm.spec(0).id).await, Err(KtmError::NoLease)));
    timeout(SOON, realm.server.settled(revision)).await.expect("it has no lease");
    nos.copy.broken.store(false, Ordering::SeqCst);
    timeout(SOON, nos.ktm.ready()).await.expect("all is well again");
    assert_eq!(nos.copy.get("reader/alice").unwrap(), "1");
    assert_eq!(nos.copy.snapshots.lock().unwrap().len(), 2);
    nos.ktm.sealing_key(&realm.spec(0).id).await.unwrap();
}

#[tokio::test]
async fn a_nos_that_stays_behind_loses_its_lease() {
    let realm = Realm::with_lease(Duration::from_millis(1_500)).await;
    let nos = realm.nos("nos-1").await;
    let closed = nos.copy.gate.lock().await;
    let revision = realm.put("reader/alice", "1").await;
    let begun = Instant::now();
    // Asked for, it holds the lease no longer than the lease lasts: no renewal to one that owes an answer.
    timeout(SOON, realm.server.settled(revision)).await.expect("its lease ends");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    drop(closed);
    timeout(SOON, nos.ktm.ready()).await.expect("it has caught up");
}
