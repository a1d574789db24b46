use super::*;
use crate::fixture::{Busy, HOUR, MINUTE, NOW};
use std::sync::Arc;

async fn steadiness(store: &Arc<Busy>) -> Steadiness {
    Steadiness::load(Records::new(store.clone())).await.unwrap()
}

/// Looks every minute; says whether the last look found the clock steady.
async fn look_for(steadiness: &Steadiness, from: UnixMillis, duration: Duration) -> bool {
    let mut steady = false;
    for minute in 0..=u32::try_from(duration.as_secs() / 60).unwrap() {
        steady = steadiness.look(from.plus(MINUTE * minute)).await.unwrap();
    }
    steady
}

#[tokio::test]
async fn a_clock_is_trusted_after_an_hour_without_a_jump() {
    let steadiness = steadiness(&Arc::default()).await;
    assert!(!look_for(&steadiness, NOW, 59 * MINUTE).await);
    assert!(!steadiness.is_steady(NOW.plus(59 * MINUTE)).await);
    assert!(steadiness.is_steady(NOW.plus(HOUR)).await);
    assert!(look_for(&steadiness, NOW.plus(HOUR), Duration::ZERO).await);
}

#[tokio::test]
async fn a_jump_either_way_starts_the_hour_anew() {
    for jump in [NOW.plus(2 * HOUR + 16 * MINUTE), NOW.plus(119 * MINUTE), UnixMillis(0)] {
        let steadiness = steadiness(&Arc::default()).await;
        assert!(look_for(&steadiness, NOW, 2 * HOUR).await);
        assert!(!steadiness.look(jump).await.unwrap(), "{jump}");
        assert!(!look_for(&steadiness, jump.plus(MINUTE), 58 * MINUTE).await);
        assert!(look_for(&steadiness, jump.plus(HOUR), Duration::ZERO).await);
    }
}

#[tokio::test]
async fn a_clock_that_is_slewed_by_seconds_goes_on_steadily() {
    let steadiness = steadiness(&Arc::default()).await;
    assert!(look_for(&steadiness, NOW, 2 * HOUR).await);
    assert!(steadiness.look(UnixMillis(NOW.plus(2 * HOUR).0 - 20_000)).await.unwrap());
}

#[tokio::test]
async fn a_short_restart_is_no_jump_and_a_long_pause_is() {
    let store = Arc::default();
    assert!(look_for(&steadiness(&store).await, NOW, 2 * HOUR).await);
    assert!(steadiness(&store).await.look(NOW.plus(2 * HOUR + 9 * MINUTE)).await.unwrap());
    assert!(!steadiness(&store).await.look(NOW.plus(3 * HOUR)).await.unwrap());
}

#[tokio::test]
async fn looking_often_writes_seldom() {
    let store: Arc<Busy> = Arc::default();
    look_for(&steadiness(&store).await, NOW, HOUR).await;
    let (_, revision) = aups_store::Store::list(&*store, "").await.unwrap();
    assert_eq!(revision, 13, "at the start and every five minutes");
}
