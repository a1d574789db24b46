use super::*;
use crate::queue::{IngestQueue, QueueLimits};
use std::path::Path;

async fn open(dir: &Path) -> IngestQueue {
    IngestQueue::open(dir, QueueLimits::default()).await.unwrap()
}

fn mark(key: &str, value: &str) -> Mark {
    (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()))
}

#[tokio::test]
async fn marks_are_kept_with_their_records_and_read_back_by_prefix() {
    let dir = tempfile::tempdir().unwrap();
    {
        let queue = open(dir.path()).await;
        let records = vec![Bytes::from_static(b"record")];
        queue.append(records, vec![mark("b/1", "x"), mark("a/2", "y")]).await.unwrap();
        queue.append(vec![], vec![mark("a/1", "z")]).await.unwrap();
        queue.mark(vec![mark("a/3", "w")]).await.unwrap();
    }
    let queue = open(dir.path()).await;
    assert_eq!(queue.marks(b"a/").await.unwrap(), [mark("a/1", "z"), mark("a/2", "y"), mark("a/3", "w")]);
    assert_eq!(queue.marks(b"").await.unwrap().len(), 4);
    assert!(queue.marks(b"c").await.unwrap().is_empty());
    queue.remove_marks(vec!["a/2".into(), "none".into()]).await.unwrap();
    assert_eq!(queue.marks(b"a/").await.unwrap(), [mark("a/1", "z"), mark("a/3", "w")]);
    assert_eq!(queue.shared.marks_bytes.load(std::sync::atomic::Ordering::Acquire), 12);
}

#[tokio::test]
async fn a_mark_never_goes_back_also_when_appends_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).await;
    let one = |value: &str| vec![mark("session", value)];
    let raised = ["2", "5", "3", "4"].map(|value| queue.append(vec![Bytes::from_static(b"r")], one(value)));
    for outcome in futures_util::future::join_all(raised).await {
        outcome.unwrap();
    }
    queue.append(vec![], one("1")).await.unwrap();
    assert_eq!(queue.marks(b"").await.unwrap(), one("5"));
    assert_eq!(queue.shared.marks_bytes.load(std::sync::atomic::Ordering::Acquire), 8);
    queue.remove_marks(vec!["session".into()]).await.unwrap();
    queue.append(vec![], one("1")).await.unwrap();
    assert_eq!(queue.marks(b"").await.unwrap(), one("1"), "what was removed begins anew");
}

#[tokio::test]
async fn marks_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).await;
    let long = "v".repeat(MARK_BYTES_MAX);
    assert!(matches!(queue.append(vec![], vec![mark("k", &long)]).await, Err(QueueError::TooLarge)));
    queue.shared.marks_bytes.store(MARKS_BYTES_MAX, std::sync::atomic::Ordering::Release);
    assert!(matches!(queue.append(vec![], vec![mark("k", "v")]).await, Err(QueueError::Full)));
    queue.append(vec![Bytes::from_static(b"r")], vec![]).await.unwrap();
}

#[tokio::test]
async fn a_queue_of_format_1_is_upgraded_and_one_of_format_3_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).await.append(vec![Bytes::from_static(b"r")], vec![]).await.unwrap();
    let format = dir.path().join("format");
    std::fs::write(&format, "aups-queue 1\n").unwrap();
    let queue = open(dir.path()).await;
    assert_eq!(queue.unacknowledged(), 0..1);
    assert_eq!(std::fs::read_to_string(&format).unwrap(), "aups-queue 2\n");
    drop(queue);
    std::fs::write(&format, "aups-queue 3\n").unwrap();
    let error = IngestQueue::open(dir.path(), QueueLimits::default()).await.unwrap_err();
    assert!(error.to_string().contains("aups-queue 3"), "{error}");
}
