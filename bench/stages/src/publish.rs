//! A sealed message goes through the embedded broker to one subscriber.

use crate::{
    Stage, measured,
    mqtt::{self, Subscriber},
    runtime,
    sample::TOPIC,
};
use aups_broker::Outgoing;
use bytes::Bytes;

pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "publish-qos-0",
        operation: "one message of a batch of 64 published, and sent to one subscriber at QoS 0",
        times: 4_096,
        run: |times| publish(times, 0),
    },
    Stage {
        name: "publish-qos-1",
        operation: "the same at QoS 1, acknowledged",
        times: 4_096,
        run: |times| publish(times, 1),
    },
];

/// Messages that are published together: no more than may wait for a reader before publishing waits for it.
const BATCH: u32 = 64;
/// Length of an item of 437 bytes, sealed, in the JSON spelling.
const PAYLOAD_BYTES: usize = 704;

fn publish(times: u32, qos: u8) -> anyhow::Result<()> {
    let runtime = runtime()?;
    let broker = runtime.block_on(mqtt::broker())?;
    let mut subscriber = runtime.block_on(Subscriber::connect(broker.local_addr(), "data/#", qos))?;
    let payload = Bytes::from(vec![b'a'; PAYLOAD_BYTES]);
    let message = || Outgoing {
        topic: TOPIC.to_owned(),
        payload: payload.clone(),
        content_type: "application/aups+json",
        retain: false,
        at_most_once: false,
    };
    let batches = async {
        for _ in 0..times / BATCH {
            broker.publish((0..BATCH).map(|_| message()).collect()).await.await;
            subscriber.receive(BATCH).await?;
        }
        Ok(())
    };
    measured(|| runtime.block_on(batches))
}
