use super::*;
use mqtt5::{
    QoS,
    broker::{
        MemoryBackend, StorageBackend as _,
        storage::{QueueLimits, QueuedMessage},
    },
    packet::publish::PublishPacket,
};

const BEHIND: usize = 50;
const RATE_MIN: u32 = 100;

struct Readers {
    flow: Flow,
    storage: MemoryBackend,
}

impl Readers {
    fn new() -> Self {
        let flow = Flow::new(BEHIND, RATE_MIN);
        Self { flow, storage: MemoryBackend::with_queue_limits(QueueLimits::default()) }
    }

    fn connect(&self, client: &str) {
        self.flow.connected(client.into(), self.storage.queue_handle(client));
    }

    fn queue(&self, client: &str, messages: usize) {
        for _ in 0..messages {
            let packet = PublishPacket::new("data/1", "text", QoS::AtLeastOnce);
            self.storage.queue_handle(client).push(QueuedMessage::new(packet, client.into(), QoS::AtLeastOnce, None));
        }
    }

    fn acknowledge(&self, client: &str, messages: u32) {
        (0..messages).for_each(|_| self.flow.acknowledged(client));
    }
}

#[tokio::test]
async fn a_reader_that_keeps_up_holds_up_nobody() {
    let readers = Readers::new();
    readers.connect("alice");
    readers.queue("alice", BEHIND - 1);
    assert!(!readers.flow.is_held_up(Instant::now()));
}

#[tokio::test]
async fn a_reader_that_is_behind_and_reads_is_waited_for() {
    let readers = Readers::new();
    readers.connect("alice");
    readers.queue("alice", BEHIND);
    let mut now = Instant::now();
    for _ in 0..5 {
        assert!(readers.flow.is_held_up(now));
        readers.acknowledge("alice", RATE_MIN);
        now += WINDOW;
    }
    assert!(readers.flow.is_held_up(now));
}

#[tokio::test]
async fn a_reader_that_stopped_reading_is_waited_for_no_longer_than_a_window() {
    let readers = Readers::new();
    readers.connect("stuck");
    readers.queue("stuck", BEHIND);
    let now = Instant::now();
    assert!(readers.flow.is_held_up(now));
    readers.acknowledge("stuck", RATE_MIN - 1);
    assert!(!readers.flow.is_held_up(now + WINDOW));
    assert!(!readers.flow.is_held_up(now + WINDOW + PAUSE), "nor again as long as it is behind");
}

#[tokio::test]
async fn a_stuck_reader_does_not_hide_one_that_reads() {
    let readers = Readers::new();
    for client in ["stuck", "alice"] {
        readers.connect(client);
        readers.queue(client, BEHIND);
    }
    let now = Instant::now();
    assert!(readers.flow.is_held_up(now));
    readers.acknowledge("alice", RATE_MIN);
    assert!(readers.flow.is_held_up(now + WINDOW));
}

#[tokio::test]
async fn a_reader_that_is_away_is_not_waited_for() {
    let readers = Readers::new();
    readers.connect("alice");
    readers.connect("alice");
    readers.queue("alice", BEHIND);
    readers.flow.disconnected("alice");
    assert!(readers.flow.is_held_up(Instant::now()), "the connection that took over is there");
    readers.flow.disconnected("alice");
    assert!(!readers.flow.is_held_up(Instant::now()));
}
