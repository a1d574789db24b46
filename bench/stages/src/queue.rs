//! The durable queue: what the processor does for a group of items before and after it waits for the disk.
//!
//! Most of it on the queue's own thread, which is counted as a whole.

use crate::{Stage, measured, runtime, sample};
use aups_store::{IngestQueue, QueueLimits};
use bytes::Bytes;

pub(crate) const STAGES: &[Stage] = &[Stage {
    name: "queue-disk",
    operation: "one item of a group of 256 kept on disk, and acknowledged",
    times: 4_096,
    run: keep,
}];

/// Items that are kept together.
const GROUP: u32 = 256;

fn keep(times: u32) -> anyhow::Result<()> {
    let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
    let queue = runtime.block_on(IngestQueue::open(folder.path().join("queue"), QueueLimits::default()))?;
    let record = Bytes::from_static(sample::small());
    measured(|| {
        (0..times / GROUP).try_for_each(|_| {
            let records = (0..GROUP).map(|_| record.clone()).collect();
            let kept = runtime.block_on(queue.append(records, Vec::new()))?;
            queue.acknowledge_through(kept.end.saturating_sub(1));
            Ok(())
        })
    })
}
