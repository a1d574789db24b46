use super::*;
use crate::fixture::{Busy, DAY, HOUR, LIFE, MINUTE, NOW, kek, spec};
use aups_core::{Epoch, RealmId};
use aups_store::Store;
use futures_util::future::join_all;
use std::collections::BTreeSet;

const REALM: RealmId = RealmId::from_bytes([3; 32]);
const HISTORY: Duration = Duration::from_hours(168);

async fn scopes(store: &Arc<Busy>) -> Scopes {
    scopes_at_most(store, SCOPES_MAX).await
}

async fn scopes_at_most(store: &Arc<Busy>, most: usize) -> Scopes {
    Scopes::load(Records::new(store.clone()), kek(), most).await.unwrap()
}

async fn roots(store: &Arc<Busy>) -> Roots {
    let roots = Roots::load(Records::new(store.clone()), kek(), DAY, HISTORY).await.unwrap();
    roots.extend(NOW).await.unwrap();
    roots
}

fn nth(n: u32) -> ScopeSpec {
    spec(REALM, n, LIFE)
}

/// Bumps the first scope.
async fn bump(scopes: &Scopes) -> Bump {
    let bumped = scopes.revoke(&[nth(0).id].into(), Vec::new(), NOW, None, &scopes.hold().await).await.unwrap().0;
    bumped[0].bumps.highest()
}

async fn keys(store: &Busy, prefix: &str) -> Vec<String> {
    store.list(prefix).await.unwrap().0.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_hundred_tasks_on_four_instances_make_one_record() {
    let store: Arc<Busy> = Arc::default();
    let instances: Vec<_> = join_all((0..4).map(|_| scopes(&store))).await.into_iter().map(Arc::new).collect();
    let raced = (0..100).map(|n: usize| {
        let scopes = instances[n % 4].clone();
        tokio::spawn(async move { scopes.create(&nth(0), NOW).await.unwrap().tag })
    });
    let tags: BTreeSet<_> = join_all(raced).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(tags.len(), 1);
    assert_eq!(keys(&store, scope::PREFIX).await.len(), 1);
    assert_eq!(keys(&store, TAGS).await, [tag_key(*tags.first().unwrap())]);
}

#[tokio::test]
async fn a_tag_that_another_scope_has_is_drawn_again() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    let (taken, free) = (ScopeTag::from_bytes([1; 8]), ScopeTag::from_bytes([2; 8]));
    scopes.create_tagged(&nth(0), NOW, || taken).await.unwrap();
    let mut draws = [taken, taken, free].into_iter();
    let second = scopes.create_tagged(&nth(1), NOW, || draws.next().unwrap()).await.unwrap();
    assert_eq!(second.tag, free);
    let never = scopes.create_tagged(&nth(2), NOW, || taken).await;
    assert!(matches!(never, Err(KtmError::Contended { .. })));
}

#[tokio::test]
async fn no_more_scopes_are_made_than_are_kept() {
    let store = Arc::default();
    let scopes = scopes_at_most(&store, 2).await;
    for n in 0..2 {
        scopes.create(&nth(n), NOW).await.unwrap();
    }
    assert!(matches!(scopes.create(&nth(2), NOW).await, Err(KtmError::ScopesFull { most: 2 })));
    scopes.create(&nth(0), NOW).await.unwrap();
    scopes.destroy(&nth(1).id, &roots(&store).await, NOW).await.unwrap();
    scopes.create(&nth(2), NOW).await.unwrap();
}

#[tokio::test]
async fn bumps_of_two_instances_are_all_counted() {
    let store = Arc::default();
    let (one, two) = (Arc::new(scopes(&store).await), Arc::new(scopes(&store).await));
    one.create(&nth(0), NOW).await.unwrap();
    let bumped = join_all((0..40).map(|n| {
        let scopes = if n % 2 == 0 { one.clone() } else { two.clone() };
        tokio::spawn(async move { bump(&scopes).await })
    }));
    let bumps: BTreeSet<_> = bumped.await.into_iter().map(|bump| bump.unwrap().0).collect();
    assert_eq!(bumps, (1..=40).collect());
}

#[tokio::test]
async fn a_bump_made_elsewhere_is_found_when_it_is_asked_for() {
    let store = Arc::default();
    let (one, two) = (scopes(&store).await, scopes(&store).await);
    let tag = one.create(&nth(0), NOW).await.unwrap().tag;
    assert!(two.find_by_tag(tag, Bump(0)).await.unwrap().is_some());
    bump(&one).await;
    assert_eq!(two.find_by_tag(tag, Bump(0)).await.unwrap().unwrap().bumps.highest(), Bump(0));
    assert_eq!(two.find_by_tag(tag, Bump(1)).await.unwrap().unwrap().bumps.highest(), Bump(1));
    one.destroy(&nth(0).id, &roots(&store).await, NOW).await.unwrap();
    assert!(two.find_by_tag(tag, Bump(2)).await.unwrap().is_none());
    assert!(two.using(&nth(0).id, NOW).is_none());
}

#[tokio::test]
async fn a_made_up_bump_changes_nothing() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    let known = scopes.create(&nth(0), NOW).await.unwrap();
    let found = scopes.find_by_tag(known.tag, Bump(9)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&known, &found));
}

#[tokio::test]
async fn a_bump_counter_at_its_end_makes_a_new_record() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    let before = scopes.create(&nth(0), NOW).await.unwrap();
    let mut json = serde_json::to_value(before.record(&kek())).unwrap();
    json["bumps"] = serde_json::json!([{"bump": u16::MAX, "at": NOW}]);
    store.commit(vec![put(&scope::key(&nth(0).id), &json, Expect::Any).unwrap()]).await.unwrap();
    let scopes = self::scopes(&store).await;
    assert_eq!(bump(&scopes).await, Bump(0));
    let after = scopes.using(&nth(0).id, NOW).unwrap();
    assert_ne!(before.tag, after.tag);
    assert_eq!(keys(&store, TAGS).await, [tag_key(after.tag)]);
    let roots = roots(&store).await;
    let key = |scope: &Scope| *scope.key(&roots, Epoch(1), Bump(0)).unwrap().key_t.expose();
    assert_ne!(key(&before), key(&after));
}

#[tokio::test]
async fn a_destroyed_scope_leaves_no_salt_and_comes_back_as_another() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    let before = scopes.create(&nth(0), NOW).await.unwrap().tag;
    scopes.destroy(&nth(0).id, &roots(&store).await, NOW).await.unwrap();
    assert!(keys(&store, scope::PREFIX).await.is_empty());
    assert!(keys(&store, TAGS).await.is_empty());
    let shredded = store.get(&shredded_key(before)).await.unwrap().unwrap().value;
    assert!(!String::from_utf8_lossy(&shredded).contains("salt"));
    let unknown = scopes.destroy(&nth(0).id, &roots(&store).await, NOW).await;
    assert!(matches!(unknown, Err(KtmError::UnknownScope(id)) if id == nth(0).id));
    assert_ne!(scopes.create(&nth(0), NOW).await.unwrap().tag, before);
}

#[tokio::test]
async fn use_is_written_once_a_day_and_survives() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    scopes.create(&nth(0), NOW).await.unwrap();
    let revision = |store: Arc<Busy>| async move { store.list("").await.unwrap().1 };
    let before = revision(store.clone()).await;
    scopes.using(&nth(0).id, NOW.plus(23 * HOUR)).unwrap();
    scopes.write_use().await.unwrap();
    assert_eq!(revision(store.clone()).await, before);
    scopes.using(&nth(0).id, NOW.plus(DAY)).unwrap();
    scopes.write_use().await.unwrap();
    scopes.write_use().await.unwrap();
    assert_eq!(revision(store.clone()).await, before + 1);
    assert_eq!(self::scopes(&store).await.all()[0].used(), NOW.plus(DAY));
    assert_eq!(bump(&scopes).await, Bump(1), "the revision is known");
}

#[tokio::test]
async fn scopes_are_forgotten_when_nobody_can_open_and_used_ones_are_not() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    for n in 0..20 {
        scopes.create(&nth(n), NOW).await.unwrap();
    }
    let last_dec = NOW.plus(LIFE).plus(HISTORY).plus(USE_WRITTEN_EVERY);
    scopes.using(&nth(7).id, NOW.plus(MINUTE)).unwrap();
    scopes.forget_unused(HISTORY, last_dec).await.unwrap();
    assert_eq!(scopes.all().len(), 20);
    scopes.forget_unused(HISTORY, last_dec.plus(MINUTE)).await.unwrap();
    assert_eq!(scopes.all().iter().map(|scope| scope.spec.id).collect::<Vec<_>>(), [nth(7).id]);
    assert_eq!(keys(&store, TAGS).await.len(), 1);
    assert_eq!(self::scopes(&store).await.all().len(), 1);
}

#[tokio::test]
async fn what_is_left_of_a_destroyed_scope_goes_when_its_keys_would_have() {
    let store = Arc::default();
    let scopes = scopes(&store).await;
    scopes.create(&nth(0), NOW).await.unwrap();
    scopes.destroy(&nth(0).id, &roots(&store).await, NOW).await.unwrap();
    scopes.forget_unused(HISTORY, NOW.plus(HISTORY)).await.unwrap();
    assert_eq!(scopes.shredded().await.unwrap().len(), 1);
    scopes.forget_unused(HISTORY, NOW.plus(HISTORY).plus(2 * LIFE)).await.unwrap();
    assert!(scopes.shredded().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_right_goes_and_its_scopes_are_bumped_in_one_transaction() {
    let store: Arc<Busy> = Arc::default();
    let scopes = scopes(&store).await;
    for n in 0..4 {
        scopes.create(&nth(n), NOW).await.unwrap();
    }
    let lost: BTreeSet<_> = [nth(0).id, nth(2).id, nth(9).id].into();
    let change = |expect| vec![Change::put("reader/alice", "gone", expect)];
    let bumped = scopes.revoke(&lost, change(Expect::Any), NOW, None, &scopes.hold().await).await.unwrap().0;
    assert_eq!(bumped.iter().map(|scope| scope.spec.id).collect::<BTreeSet<_>>(), [nth(0).id, nth(2).id].into());
    let revision = store.get("reader/alice").await.unwrap().unwrap().revision;
    for n in 0..4 {
        let (key, lost) = (scope::key(&nth(n).id), n == 0 || n == 2);
        let stored = store.get(&key).await.unwrap().unwrap();
        assert_eq!(stored.revision == revision, lost, "{n}");
        assert_eq!(scopes.get(&nth(n).id).unwrap().bumps.highest(), Bump(lost.into()));
    }

    // If the change is not as its maker thought, nothing is bumped.
    let refused = scopes.revoke(&lost, change(Expect::Absent), NOW, None, &scopes.hold().await).await;
    assert!(matches!(refused, Err(KtmError::Contended { .. })));
    assert_eq!(scopes.get(&nth(0).id).unwrap().bumps.highest(), Bump(1));

    let alone = scopes.revoke(&BTreeSet::new(), change(Expect::Any), NOW, None, &scopes.hold().await).await.unwrap().0;
    assert!(alone.is_empty() && store.get("reader/alice").await.unwrap().unwrap().revision > revision);
}

#[tokio::test]
async fn more_scopes_than_a_transaction_takes_are_bumped_all_the_same() {
    let store: Arc<Busy> = Arc::default();
    let scopes = scopes(&store).await;
    let all = u32::try_from(BUMPS_AT_ONCE).unwrap() + 3;
    for n in 0..all {
        scopes.create(&nth(n), NOW).await.unwrap();
    }
    let ids = (0..all).map(|n| nth(n).id).collect();
    let change = vec![Change::put("reader/alice", "gone", Expect::Any)];
    let (bumped, revision) = scopes.revoke(&ids, change, NOW, None, &scopes.hold().await).await.unwrap();
    assert_eq!(bumped.len(), ids.len());
    let change = store.get("reader/alice").await.unwrap().unwrap().revision;
    let twice = bumped.iter().filter(|scope| scope.bumps.highest() == Bump(2)).count();
    assert_eq!(twice, BUMPS_AT_ONCE, "those that were bumped before the change are bumped once more");
    assert!(bumped.iter().all(|scope| scope.revision() >= change && scope.revision() <= revision.unwrap()));
}
