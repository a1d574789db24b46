use super::*;
use crate::{
    Config,
    config::{Limits, fixed},
    fixture::entry,
};
use std::time::Duration;

fn limits(items_max: usize) -> BacklogLimits {
    BacklogLimits { items_max, bytes_max: 1 << 20, wait_max: Duration::from_mins(1) }
}

fn config(limits: BacklogLimits) -> ConfigInForce {
    let BacklogLimits { items_max, bytes_max, wait_max } = limits;
    let limits = Limits {
        backlog_items_max: items_max,
        backlog_bytes_max: bytes_max,
        backlog_wait_max_ms: wait_max.as_millis().try_into().unwrap(),
        ..Limits::default()
    };
    fixed(Config { limits, ..Config::default() }).unwrap()
}

fn in_memory(limits: BacklogLimits) -> Arc<Backlog> {
    Backlog::new(config(limits), None, Durability::Memory)
}

fn entries(values: std::ops::Range<u32>) -> Vec<Entry> {
    values.map(|value| entry(&value.to_string())).collect()
}

fn values(taken: &Taken) -> Vec<u32> {
    taken.entries.iter().map(|entry| entry.item.data.value.get().parse().unwrap()).collect()
}

#[tokio::test]
async fn entries_come_out_in_order_and_count_until_acknowledged() {
    let backlog = in_memory(limits(100));
    backlog.append(entries(0..5), vec![]).await.unwrap();
    backlog.append(entries(5..7), vec![]).await.unwrap();
    let first = backlog.take(3).await.unwrap().unwrap();
    let rest = backlog.take(100).await.unwrap().unwrap();
    assert_eq!((values(&first), first.through), (vec![0, 1, 2], 2));
    assert_eq!((values(&rest), rest.through), (vec![3, 4, 5, 6], 6));
    assert_eq!(backlog.unacknowledged(), 7);
    backlog.acknowledge_through(first.through);
    assert_eq!(backlog.unacknowledged(), 4);
    backlog.acknowledge_through(rest.through);
    assert_eq!(backlog.unacknowledged(), 0);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_not_taken_at_all() {
    for limits in [limits(3), BacklogLimits { bytes_max: 3 * entry("0").json.len() + 1, ..limits(100) }] {
        let backlog = in_memory(limits);
        backlog.append(entries(0..2), vec![]).await.unwrap();
        let (why, back) = backlog.append(entries(2..4), vec![]).await.unwrap_err();
        assert_eq!((why, back.len()), (NotTaken::Full, 2));
        backlog.append(entries(2..3), vec![]).await.unwrap();
        assert_eq!(values(&backlog.take(100).await.unwrap().unwrap()), [0, 1, 2]);
        backlog.append(entries(3..13), vec![]).await.unwrap();
        assert_eq!(
            backlog.take(100).await.unwrap().unwrap().entries.len(),
            10,
            "something always fits when it is empty"
        );
    }
}

#[tokio::test]
async fn a_stream_waits_for_room_but_not_for_ever() {
    let backlog = in_memory(limits(2));
    backlog.append(entries(0..2), vec![]).await.unwrap();
    let (appended, taken) = tokio::join!(backlog.append_waiting(entries(2..4)), async {
        tokio::task::yield_now().await;
        backlog.take(100).await.unwrap().unwrap()
    });
    assert!(appended.is_ok());
    assert_eq!(values(&taken), [0, 1]);
    let backlog = in_memory(BacklogLimits { wait_max: Duration::from_millis(5), ..limits(2) });
    backlog.append(entries(0..2), vec![]).await.unwrap();
    assert_eq!(backlog.append_waiting(entries(2..4)).await, Err(NotTaken::Full));
}

#[tokio::test]
async fn stopping_refuses_what_comes_and_gives_what_is_there() {
    let backlog = in_memory(limits(10));
    backlog.append(entries(0..2), vec![]).await.unwrap();
    backlog.stop();
    assert_eq!(backlog.append(entries(2..3), vec![]).await.unwrap_err().0, NotTaken::Stopping);
    assert_eq!(values(&backlog.take(10).await.unwrap().unwrap()), [0, 1]);
    assert!(backlog.take(10).await.unwrap().is_none());
}

#[tokio::test]
async fn what_does_not_fit_the_window_is_read_from_disk_and_the_window_catches_up() {
    let dir = tempfile::tempdir().unwrap();
    let queue = IngestQueue::open(dir.path(), aups_store::QueueLimits::default()).await.unwrap();
    let backlog = Backlog::new(config(limits(10)), Some(queue), Durability::Disk);
    let mut expected = 0;
    for round in 0..20 {
        let start = round * 50;
        let appends = (0..5).map(|n| backlog.append(entries(start + n * 10..start + n * 10 + 10), vec![]));
        for appended in futures_util::future::join_all(appends).await {
            appended.unwrap();
        }
        // Leaves some, so that the window lags behind for a while.
        while expected < start + 30 {
            let taken = backlog.take(7).await.unwrap().unwrap();
            for value in values(&taken) {
                assert_eq!(value, expected);
                expected += 1;
            }
            assert_eq!(taken.through + 1, u64::from(expected));
            backlog.acknowledge_through(taken.through);
        }
    }
    while expected < 1_000 {
        let taken = backlog.take(7).await.unwrap().unwrap();
        assert_eq!(values(&taken)[0], expected);
        expected += u32::try_from(taken.entries.len()).unwrap();
    }
    backlog.append(entries(1_000..1_002), vec![]).await.unwrap();
    assert_eq!(backlog.lock().window.len(), 2, "caught up: what comes goes through memory again");
}

#[tokio::test]
async fn marks_outlive_the_backlog_in_either_mode() {
    let mark = |value: &'static str| vec![(Bytes::from_static(b"session/a"), Bytes::from_static(value.as_bytes()))];
    for durability in [Durability::Memory, Durability::Disk] {
        let dir = tempfile::tempdir().unwrap();
        let open = async || {
            let queue = IngestQueue::open(dir.path(), aups_store::QueueLimits::default()).await.unwrap();
            Backlog::new(config(limits(10)), Some(queue), durability)
        };
        {
            let backlog = open().await;
            backlog.append(entries(0..2), mark("2")).await.unwrap();
            backlog.append(vec![], mark("1")).await.unwrap();
            assert_eq!(values(&backlog.take(10).await.unwrap().unwrap()), [0, 1]);
        }
        let backlog = open().await;
        assert_eq!(backlog.marks(b"session/").await.unwrap(), mark("2"), "{durability:?}");
        backlog.remove_marks(vec![Bytes::from_static(b"session/a")]).await.unwrap();
        assert!(backlog.marks(b"session/").await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_finds_no_room_in_memory_leaves_no_mark() {
    let dir = tempfile::tempdir().unwrap();
    let queue = IngestQueue::open(dir.path(), aups_store::QueueLimits::default()).await.unwrap();
    let backlog = Backlog::new(config(limits(2)), Some(queue), Durability::Memory);
    backlog.append(entries(0..2), vec![]).await.unwrap();
    assert_eq!(backlog.has_room(1, 1), Err(NotTaken::Full));
    let mark = vec![(Bytes::from_static(b"key"), Bytes::from_static(b"value"))];
    assert_eq!(backlog.append(entries(2..3), mark).await.unwrap_err().0, NotTaken::Full);
    assert!(backlog.marks(b"").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_higher_limit_lets_in_who_waits() {
    let backlog = in_memory(limits(2));
    backlog.append(entries(0..2), vec![]).await.unwrap();
    let (appended, ()) = tokio::join!(backlog.append_waiting(entries(2..4)), async {
        tokio::task::yield_now().await;
        backlog.set_limits(limits(4));
    });
    appended.unwrap();
    backlog.set_limits(limits(1));
    assert_eq!(values(&backlog.take(10).await.unwrap().unwrap()), [0, 1, 2, 3], "a lower one throws nothing away");
}
