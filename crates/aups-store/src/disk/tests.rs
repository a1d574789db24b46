//! A disk that takes no more: a limit on the size of files (`prlimit` of util-linux), set and lifted from outside.

use crate::{Embedded, Expect, IngestQueue, QueueError, QueueLimits, Store as _, StoreError};
use bytes::Bytes;
use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

/// Writes to a queue and to a store over and over; says what was kept and that something was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs only as the child of what_was_answered_survives_a_full_disk_and_writing_goes_on_after_it"]
async fn child_that_writes_to_a_disk_that_fills_up() {
    let dir = std::env::var_os("AUPS_TEST_DIR").expect("run by a parent test");
    let dir = Path::new(&dir);
    let queue = IngestQueue::open(dir.join("queue"), QueueLimits::default()).await.unwrap();
    let store = Embedded::open(dir.join("store")).await.unwrap();
    for n in 0_u64.. {
        match queue.append(vec![Bytes::from(format!("record {n}"))], vec![]).await {
            Ok(_) => println!("queue kept {n}"),
            Err(QueueError::Io(_) | QueueError::Failing(_)) => println!("queue failed {n}"),
            Err(error) => panic!("{error}"),
        }
        match store.put_if(&format!("key/{n}"), Bytes::from_static(b"value"), Expect::Absent).await {
            Ok(_) => println!("store kept {n}"),
            Err(StoreError::Io(_)) => println!("store failed {n}"),
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

struct Writer {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    kept: Vec<(String, String)>,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new("sh")
            // Too large a file is an error for this process, and not its end.
            .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "disk::tests::child_that_writes_to_a_disk_that_fills_up", "--ignored", "--nocapture"])
            .env("AUPS_TEST_DIR", dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output, kept: Vec::new() }
    }

    /// Reads on until the queue and the store have both said this.
    fn until_both(&mut self, said: &str) {
        let (mut queue, mut store) = (false, false);
        while !(queue && store) {
            let line = self.output.next().expect("the child goes on").unwrap();
            let words: Vec<_> = line.rsplit(' ').take(3).collect();
            let &[number, outcome, who] = words.as_slice() else { continue };
            if outcome == "kept" {
                self.kept.push((who.to_owned(), number.to_owned()));
            }
            queue |= outcome == said && who == "queue";
            store |= outcome == said && who == "store";
        }
    }

    /// Limits the size of files that the child writes: the soft limit, which can be lifted again.
    fn limit_files(&self, bytes: &str) {
        let limit = format!("--fsize={bytes}:");
        let status = Command::new("prlimit").args(["--pid", &self.child.id().to_string(), &limit]).status();
        assert!(status.expect("prlimit of util-linux is installed").success());
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn what_was_answered_survives_a_full_disk_and_writing_goes_on_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::start(dir.path());
    for _ in 0..2 {
        writer.until_both("kept");
        writer.limit_files("1");
        writer.until_both("failed");
        writer.limit_files("unlimited");
        writer.until_both("kept");
    }
    let kept = std::mem::take(&mut writer.kept);
    drop(writer);

    let queue = IngestQueue::open(dir.path().join("queue"), QueueLimits::default()).await.unwrap();
    let records: Vec<_> =
        queue.read(0, usize::MAX, usize::MAX).unwrap().into_iter().map(|(_, record)| record).collect();
    let store = Embedded::open(dir.path().join("store")).await.unwrap();
    for (who, number) in &kept {
        if who == "queue" {
            assert!(records.iter().any(|record| *record == format!("record {number}")), "record {number}");
        } else {
            assert!(store.get(&format!("key/{number}")).await.unwrap().is_some(), "key/{number}");
        }
    }
}
