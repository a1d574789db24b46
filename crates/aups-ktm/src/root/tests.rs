use super::*;
use crate::fixture::{Busy, DAY, HOUR, MINUTE, NOW, kek};
use aups_store::Store;
use bytes::Bytes;

const WEEK: Duration = Duration::from_hours(168);

impl Roots {
    pub(crate) fn secrets(&self) -> Vec<[u8; 32]> {
        self.known.read().unwrap().iter().map(|generation| *generation.root.expose()).collect()
    }
}

async fn roots(store: &Arc<Busy>) -> Roots {
    roots_with(store, DAY, WEEK).await
}

async fn roots_with(store: &Arc<Busy>, period: Duration, history: Duration) -> Roots {
    Roots::load(Records::new(store.clone()), kek(), period, history).await.unwrap()
}

fn pieces(roots: &Roots) -> Vec<(u32, u64, u64)> {
    roots.known.read().unwrap().iter().map(|root| (root.number, root.from.0, root.to.0)).collect()
}

fn root_at(roots: &Roots, nbf: UnixMillis) -> [u8; 32] {
    *roots.covering(nbf).unwrap().root.expose()
}

/// Every instant up to the end has exactly one generation.
fn assert_contiguous(roots: &Roots) {
    let pieces = pieces(roots);
    assert_eq!(pieces[0].1, 0);
    assert!(pieces.windows(2).all(|pair| pair[0].2 == pair[1].1 && pair[0].0 + 1 == pair[1].0), "{pieces:?}");
}

#[tokio::test]
async fn the_first_generation_begins_with_time_and_the_next_are_written_ahead() {
    let roots = roots(&Arc::default()).await;
    roots.extend(NOW).await.unwrap();
    let day = millis(DAY);
    assert_eq!(pieces(&roots), [(1, 0, NOW.0 + day), (2, NOW.0 + day, NOW.0 + 2 * day)]);
    roots.extend(NOW.plus(MINUTE)).await.unwrap();
    assert_eq!(pieces(&roots).len(), 3, "the next is there two periods before it is needed");
}

#[tokio::test]
async fn each_generation_has_a_root_of_its_own_that_stays() {
    let store = Arc::default();
    let first = roots(&store).await;
    first.extend(NOW).await.unwrap();
    assert_ne!(root_at(&first, NOW), root_at(&first, NOW.plus(DAY)));
    let again = roots(&store).await;
    again.extend(NOW.plus(HOUR)).await.unwrap();
    assert_eq!(root_at(&first, NOW), root_at(&again, NOW));
    assert_eq!(root_at(&first, NOW.plus(DAY)), root_at(&again, NOW.plus(DAY)));
}

#[tokio::test]
async fn a_pause_of_any_length_leaves_no_gap() {
    let roots = roots(&Arc::default()).await;
    let mut now = NOW;
    for pause in [HOUR, DAY, 3 * DAY, 400 * DAY, MINUTE] {
        now = now.plus(pause);
        roots.extend(now).await.unwrap();
        assert_contiguous(&roots);
        let ahead = roots.covering(UnixMillis(now.plus(2 * DAY).0 - 1));
        assert!(ahead.is_ok());
    }
    assert!(pieces(&roots).len() <= 11, "a pause costs no more than a few generations");
}

#[tokio::test]
async fn a_clock_that_is_set_back_or_forward_neither_duplicates_nor_changes_generations() {
    let roots = roots(&Arc::default()).await;
    roots.extend(NOW).await.unwrap();
    let (before, root) = (pieces(&roots), root_at(&roots, NOW));
    for now in [NOW.0 - 600_000, 0, NOW.0 - millis(30 * DAY)] {
        roots.extend(UnixMillis(now)).await.unwrap();
        assert_eq!(pieces(&roots), before);
        assert_eq!(root_at(&roots, UnixMillis(now)), root, "the first reaches back to the beginning of time");
    }
    roots.extend(NOW.plus(30 * DAY)).await.unwrap();
    assert_contiguous(&roots);
    assert_eq!(pieces(&roots)[..2], before);
    let ahead = pieces(&roots);
    roots.extend(NOW).await.unwrap();
    assert_eq!(pieces(&roots), ahead);
    assert_eq!(root_at(&roots, NOW), root);
}

#[tokio::test]
async fn the_end_of_time_is_no_panic() {
    let roots = roots(&Arc::default()).await;
    roots.extend(UnixMillis(u64::MAX)).await.unwrap();
    roots.extend(UnixMillis(u64::MAX)).await.unwrap();
    assert_contiguous(&roots);
}

#[tokio::test]
async fn instances_that_race_agree_on_every_root() {
    let store = Arc::default();
    let instances = futures_util::future::join_all((0..8).map(|_| roots(&store))).await;
    let instances: Vec<_> = instances.into_iter().map(Arc::new).collect();
    let raced = instances.iter().map(|roots| {
        let roots = roots.clone();
        tokio::spawn(async move { roots.extend(NOW).await })
    });
    for done in futures_util::future::join_all(raced).await {
        done.unwrap().unwrap();
    }
    for roots in &instances {
        assert_eq!(pieces(roots).len(), 2);
        for nbf in [NOW, NOW.plus(DAY)] {
            assert_eq!(root_at(roots, nbf), root_at(&instances[0], nbf));
        }
    }
}

#[tokio::test]
async fn settings_hold_from_the_next_generation() {
    let store = Arc::default();
    roots(&store).await.extend(NOW).await.unwrap();
    let changed = roots_with(&store, 2 * DAY, DAY).await;
    changed.extend(NOW).await.unwrap();
    let history = |nbf| changed.covering(nbf).unwrap().history_ms();
    assert_eq!((history(NOW), history(NOW.plus(DAY))), (millis(WEEK), millis(WEEK)));
    assert_eq!(history(NOW.plus(2 * DAY)), millis(DAY));
    assert_eq!(changed.history_max_ms(), millis(WEEK));
    // Two days is a life for the new generation, and not for the old ones.
    let (old, new) = (changed.covering(NOW).unwrap(), changed.covering(NOW.plus(2 * DAY)).unwrap());
    assert!(matches!(old.root_for(millis(2 * DAY)), Err(KtmError::Life { .. })));
    assert!(new.root_for(millis(2 * DAY)).is_ok());
}

#[tokio::test]
async fn a_generation_goes_when_its_last_key_no_longer_opens_and_not_before() {
    let store = Arc::default();
    let roots = roots(&store).await;
    roots.extend(NOW).await.unwrap();
    // to = NOW + 1 d, life at most 1 d, history 7 d.
    let spent = NOW.plus(9 * DAY);
    let nearly = UnixMillis(spent.0 - 1);
    roots.extend(nearly).await.unwrap();
    roots.destroy_spent(nearly).await.unwrap();
    assert!(roots.covering(NOW).is_ok());
    roots.destroy_spent(spent).await.unwrap();
    assert!(matches!(roots.covering(NOW), Err(KtmError::RootDestroyed)));
    assert!(roots.covering(NOW.plus(DAY)).is_ok());
    assert!(store.get(&key(1)).await.unwrap().is_none());
    assert!(store.get(&key(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn the_newest_generation_is_never_destroyed() {
    let roots = roots(&Arc::default()).await;
    roots.extend(NOW).await.unwrap();
    let newest = pieces(&roots)[1];
    roots.destroy_spent(NOW.plus(1_000 * DAY)).await.unwrap();
    assert_eq!(pieces(&roots), [newest]);
    roots.extend(NOW.plus(1_000 * DAY)).await.unwrap();
    assert_eq!(pieces(&roots)[1].0, 3, "numbers go on");
}

#[tokio::test]
async fn a_record_with_other_terms_is_refused() {
    for member in ["from", "to", "historyMs", "lifeMaxMs"] {
        let store: Arc<Busy> = Arc::default();
        roots(&store).await.extend(NOW).await.unwrap();
        let record = store.get(&key(2)).await.unwrap().unwrap().value;
        let mut record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        record[member] = (record[member].as_u64().unwrap() + 1).into();
        store.put_if(&key(2), Bytes::from(record.to_string()), Expect::Any).await.unwrap();
        let loaded = Roots::load(Records::new(store), kek(), DAY, WEEK).await;
        assert!(matches!(loaded, Err(KtmError::Altered { key: altered }) if altered == key(2)), "{member}");
    }
}

#[tokio::test]
async fn two_records_cannot_be_exchanged() {
    let store: Arc<Busy> = Arc::default();
    roots(&store).await.extend(NOW).await.unwrap();
    let second = store.get(&key(2)).await.unwrap().unwrap().value;
    store.put_if(&key(1), second, Expect::Any).await.unwrap();
    let loaded = Roots::load(Records::new(store), kek(), DAY, WEEK).await;
    assert!(matches!(loaded, Err(KtmError::Altered { key: altered }) if altered == key(1)));
}
