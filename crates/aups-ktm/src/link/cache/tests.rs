use super::*;
use crate::{
    KeysTopicsManager as _, Ktm, KtmSettings,
    fixture::{LIFE, NOW, Rig, spec},
};
use aups_core::{Bump, Clock as _, KeyId};
use std::collections::BTreeMap;

const AS_OF: AsOf = AsOf { revision: 10, snapshots: 0 };

async fn keys(ktm: &Ktm, n: u32) -> SealingKeys {
    let spec = spec(ktm.realm().id(), n, LIFE);
    ktm.ensure_scope(&spec).await.unwrap();
    ktm.sealing_keys(&spec.id).await.unwrap()
}

fn state(key_id: &KeyId) -> ScopeState {
    ScopeState { tag: key_id.scope_tag(), bump: key_id.bump() }
}

fn bumped(keys: &SealingKeys) -> ScopeNow {
    let state = ScopeState { bump: Bump(1), ..state(&keys.current.key_id) };
    ScopeNow { scope: keys.current.terms.scope, state: Some(state) }
}

/// A cache that has heard of these scopes.
fn cache(scopes: &[&SealingKeys]) -> Cache {
    let mut cache = Cache::default();
    let made = scopes
        .iter()
        .map(|keys| ScopeNow { scope: keys.current.terms.scope, state: Some(state(&keys.current.key_id)) });
    assert!(!cache.changed(10, &made.collect::<Vec<_>>()), "what is new changes nothing");
    cache
}

#[tokio::test]
async fn the_next_key_follows_without_asking_and_then_no_other() {
    let rig = Rig::new().await;
    let keys = keys(&rig.ktm, 0).await;
    let (first, second) = (keys.current.duplicate(), keys.next.duplicate());
    let (scope, mut cache) = (first.terms.scope, cache(&[&keys]));
    assert!(cache.put_sealing(keys, AS_OF, NOW));
    let at = |cache: &mut Cache, now| cache.sealing_key(&scope, now).map(|key| key.key_id);
    assert_eq!(at(&mut cache, UnixMillis(first.terms.exp.0 - 1)), Some(first.key_id));
    assert_eq!(at(&mut cache, first.terms.exp), Some(second.key_id));
    assert_eq!(at(&mut cache, UnixMillis(second.terms.exp.0 - 1)), Some(second.key_id));
    assert_eq!(at(&mut cache, second.terms.exp), None);
}

#[tokio::test]
async fn a_bump_takes_the_keys_and_late_answers_do_not_bring_them_back() {
    let rig = Rig::new().await;
    let (one, other) = (keys(&rig.ktm, 0).await, keys(&rig.ktm, 1).await);
    let (scope, unrelated) = (one.current.terms.scope, other.current.terms.scope);
    let mut cache = cache(&[&one, &other]);
    let resolved = rig.ktm.resolve(&one.current.key_id).await.unwrap().unwrap();
    assert!(cache.put_sealing(one.duplicate(), AS_OF, NOW) && cache.put_sealing(other, AS_OF, NOW));
    assert!(cache.put_resolved(resolved.duplicate(), AS_OF, NOW));
    assert!(cache.changed(20, &[bumped(&one)]));
    assert!(cache.sealing_key(&scope, NOW).is_none() && cache.sealing_key(&unrelated, NOW).is_some());
    assert!(cache.resolved(&one.current.key_id, NOW).is_none());
    for (revision, fits) in [(10, false), (19, false), (20, true), (21, true)] {
        let as_of = AsOf { revision, ..AS_OF };
        assert_eq!(cache.put_resolved(resolved.duplicate(), as_of, NOW), fits, "{revision}");
        assert_eq!(cache.put_ensured(scope, one.current.key_id.scope_tag(), as_of), fits, "{revision}");
        assert_eq!(cache.put_sealing(one.duplicate(), as_of, NOW), fits, "{revision}");
    }
    assert!(!cache.changed(30, &[bumped(&one)]), "written again for another reason");
    assert!(cache.sealing_key(&scope, NOW).is_some());
    assert!(cache.changed(40, &[ScopeNow { scope, state: None }]));
    assert!(cache.sealing_key(&scope, NOW).is_none());
}

#[tokio::test]
async fn a_snapshot_takes_what_is_different_and_what_was_under_way() {
    let rig = Rig::new().await;
    let (same, other, gone) = (keys(&rig.ktm, 0).await, keys(&rig.ktm, 1).await, keys(&rig.ktm, 2).await);
    let mut cache = cache(&[&same, &other, &gone]);
    for keys in [&same, &other, &gone] {
        assert!(cache.put_sealing(keys.duplicate(), AS_OF, NOW));
    }
    let now = [(same.current.terms.scope, state(&same.current.key_id)), {
        let bumped = bumped(&other);
        (bumped.scope, bumped.state.unwrap())
    }];
    assert!(cache.snapshot(HashMap::from(now)));
    let left = [&same, &other, &gone].map(|keys| cache.sealing_key(&keys.current.terms.scope, NOW).is_some());
    assert_eq!(left, [true, false, false]);
    assert!(!cache.put_sealing(other.duplicate(), AsOf { revision: 99, ..AS_OF }, NOW), "asked for before");
    assert!(!cache.snapshot(HashMap::from(now)), "the same again");
}

#[tokio::test]
async fn a_list_of_publishers_is_no_older_than_what_was_heard_of_them() {
    let mut cache = Cache::default();
    assert!(cache.put_publishers(vec!["one".into()], AS_OF, NOW));
    assert_eq!(cache.publishers(NOW), Some((vec!["one".into()], false)));
    assert!(cache.publishers(NOW.plus(PUBLISHERS_KEPT)).unwrap().1, "old, but better than none");
    cache.publishers_changed(20);
    assert!(cache.publishers(NOW).is_none());
    assert!(!cache.put_publishers(vec!["one".into()], AsOf { revision: 19, ..AS_OF }, NOW));
    assert!(cache.put_publishers(Vec::new(), AsOf { revision: 20, ..AS_OF }, NOW));
}

#[tokio::test]
async fn what_is_kept_for_readers_is_what_the_ktm_would_say_now() {
    let rig = Rig::new().await;
    let keys = keys(&rig.ktm, 0).await;
    let resolved = rig.ktm.resolve(&keys.current.key_id).await.unwrap().unwrap();
    let (key_id, terms) = (resolved.key.key_id, resolved.key.terms);
    let mut cache = cache(&[&keys]);
    assert!(cache.put_resolved(resolved, AS_OF, NOW));
    let next_at = |cache: &Cache, now| cache.resolved(&key_id, now).map(|(kept, misses)| (kept.next.is_some(), misses));
    assert_eq!(next_at(&cache, NOW), Some((true, false)));
    assert_eq!(next_at(&cache, terms.exp), Some((false, false)), "it is no longer the current one");
    assert_eq!(next_at(&cache, terms.dec), Some((false, false)));
    assert_eq!(next_at(&cache, terms.dec.plus(Duration::from_millis(1))), None);
    // The following key was asked for before it was current: then the one after it is missing.
    let ahead = rig.ktm.resolve(&keys.next.key_id).await.unwrap().unwrap();
    let key_id = ahead.key.key_id;
    assert!(cache.put_resolved(ahead, AS_OF, NOW));
    let misses = |now| cache.resolved(&key_id, now).map(|(_, misses)| misses);
    assert_eq!((misses(NOW), misses(terms.exp)), (Some(false), Some(true)));
}

#[tokio::test]
async fn keys_that_nobody_seals_with_are_let_go() {
    let rig = Rig::new().await;
    let keys = keys(&rig.ktm, 0).await;
    let scope = keys.current.terms.scope;
    let mut cache = cache(&[&keys]);
    cache.put_sealing(keys, AS_OF, NOW);
    let soon = cache.next_due().unwrap();
    assert_eq!(cache.take_due(soon, 10), [scope]);
    assert_eq!(cache.next_due(), Some(soon.plus(ASKED_AGAIN_AFTER)), "and again, if no answer comes");
    assert!(cache.take_due(NOW.plus(4 * LIFE), 10).is_empty());
    assert!(cache.next_due().is_none() && cache.sealing.is_empty());
}

/// Seals under 10,000 scopes for four lives of their keys: how many keys are asked for in each second.
#[tokio::test]
async fn with_ten_thousand_scopes_no_second_sees_twice_the_mean() {
    const SCOPES: u32 = 10_000;
    const SECOND: Duration = Duration::from_secs(1);
    let rig = Rig::with(KtmSettings::default()).await;
    let mut cache = Cache::default();
    let mut scopes = Vec::new();
    for n in 0..SCOPES {
        let keys = keys(&rig.ktm, n).await;
        scopes.push(keys.current.terms.scope);
        assert!(cache.put_sealing(keys, AS_OF, NOW));
    }
    let mut asked = BTreeMap::<u64, u32>::new();
    let lives = LIFE.as_secs();
    for second in 0..4 * lives {
        rig.clock.advance(SECOND);
        let now = rig.clock.now();
        for scope in &scopes {
            assert!(cache.sealing_key(scope, now).is_some(), "nobody waits at an expiry");
        }
        loop {
            let due = cache.take_due(now, 256);
            if due.is_empty() {
                break;
            }
            for scope in due {
                *asked.entry(second).or_default() += 1;
                let keys = rig.ktm.sealing_keys(&scope).await.unwrap();
                cache.put_sealing(keys, AS_OF, now);
            }
        }
    }
    // All scopes were asked for at once before the first second: from the second life on it is as it will always be.
    let settled: Vec<u32> = asked.range(2 * lives..).map(|(_, count)| *count).collect();
    let (worst, all) = (settled.iter().max().unwrap(), settled.iter().sum::<u32>());
    let mean = f64::from(all) / (2.0 * LIFE.as_secs_f64());
    println!("worst second {worst}, mean {mean:.1}");
    assert!((f64::from(SCOPES) / LIFE.as_secs_f64() * 0.95..).contains(&mean), "{mean}");
    assert!(f64::from(*worst) < 2.0 * mean, "{worst} of {mean}");
}

#[tokio::test]
async fn after_a_snapshot_revisions_may_begin_again() {
    let rig = Rig::new().await;
    let keys = keys(&rig.ktm, 0).await;
    let mut cache = cache(&[&keys]);
    cache.changed(1_000, &[bumped(&keys)]);
    cache.publishers_changed(1_000);
    cache.snapshot([(keys.current.terms.scope, state(&keys.current.key_id))].into());
    let restored = AsOf { revision: 3, snapshots: cache.snapshots() };
    assert!(cache.put_sealing(keys, restored, NOW) && cache.put_publishers(Vec::new(), restored, NOW));
    assert!(!cache.put_publishers(Vec::new(), AsOf { revision: 2_000, snapshots: 0 }, NOW), "asked before it");
}
