use super::*;
use crate::queue::QueueLimits;
use std::path::Path;

async fn open(dir: &Path) -> IngestQueue {
    IngestQueue::open(dir, QueueLimits::default()).await.unwrap()
}

fn letter(about: &str, bytes: usize) -> DeadLetter {
    DeadLetter { about: Bytes::copy_from_slice(about.as_bytes()), record: vec![b'r'; bytes].into() }
}

#[tokio::test]
async fn dead_letters_outlive_the_process_in_order_and_are_given_up_by_number() {
    let dir = tempfile::tempdir().unwrap();
    {
        let queue = open(dir.path()).await;
        queue.bury(vec![letter("a", 3), letter("b", 0)]).await.unwrap();
        queue.bury(vec![letter("c", 1)]).await.unwrap();
        assert!(queue.discard(2).await.unwrap());
        assert!(!queue.discard(2).await.unwrap());
    }
    let queue = open(dir.path()).await;
    assert_eq!(queue.dead_letters(None, 10).await.unwrap(), [(0, letter("a", 3)), (1, letter("b", 0))]);
    assert_eq!(queue.dead_letters(Some(0), 10).await.unwrap(), [(1, letter("b", 0))]);
    assert_eq!(queue.dead_letters(None, 1).await.unwrap().len(), 1);
    queue.bury(vec![letter("d", 2)]).await.unwrap();
    assert_eq!(queue.dead_letter(3).await.unwrap(), Some(letter("d", 2)), "a number is not given again");
    assert_eq!(queue.dead_letter(2).await.unwrap(), None);
    assert_eq!(queue.unacknowledged(), 0..0, "they are no records of the queue");
}

#[tokio::test]
async fn when_there_are_too_many_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path()).await;
    queue.bury(vec![letter("", 1); DEAD_LETTERS_MAX + 2]).await.unwrap();
    let kept = queue.dead_letters(None, usize::MAX).await.unwrap();
    assert_eq!((kept.len(), kept[0].0), (DEAD_LETTERS_MAX, 2));
    queue.bury(vec![letter("", usize::try_from(DEAD_LETTERS_BYTES_MAX).unwrap() - 10)]).await.unwrap();
    let kept = queue.dead_letters(None, usize::MAX).await.unwrap();
    assert_eq!(kept.len(), 2, "of the others one byte each with what is noted finds room");
}
