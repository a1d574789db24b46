//! A broker with a data directory in a child process that is killed, over and over.

use crate::client::{As, Client, PATIENCE, Realm, outgoing, settings, soon};
use aups_broker::{Broker, BrokerError, BrokerSettings, Outgoing};
use rumqttc_v5::{AsyncClient, ConnAck, Event, EventLoop, Packet, QoS};
use std::{
    collections::{BTreeMap, VecDeque},
    env,
    io::{BufRead as _, BufReader, Lines},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

const TOPICS: u64 = 3;
const BATCH: u64 = 10;

/// Runs the broker and, when `AUPS_TEST_CLIENTS` are connected, publishes numbers from `AUPS_TEST_FIRST` up to
/// `AUPS_TEST_END`, batch after batch without waiting for their release; says which it may forget.
#[test]
#[ignore = "runs only as the child of a test of this module"]
fn child_that_publishes_until_it_is_killed() {
    let number = |name| env::var(name).unwrap().parse::<u64>().unwrap();
    let (port, first, end) = (number("AUPS_TEST_PORT"), number("AUPS_TEST_FIRST"), number("AUPS_TEST_END"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        let dir = env::var_os("AUPS_TEST_DIR").unwrap();
        let settings = BrokerSettings { listen, ..settings(Some(Path::new(&dir))) };
        let broker = Broker::start(settings, Arc::new(Realm::default())).await.unwrap();
        println!("ready");
        while (broker.stats().await.clients as u64) < number("AUPS_TEST_CLIENTS") {
            sleep(Duration::from_millis(10)).await;
        }
        let mut unreleased = VecDeque::new();
        let mut next = first;
        loop {
            if next < end {
                let batch = (next..next + BATCH).map(|n| outgoing(&format!("data/{}", n % TOPICS), &n.to_string()));
                let delivered = tokio::spawn(broker.publish(batch.collect()).await);
                next += BATCH;
                unreleased.push_back((next, delivered));
            } else if unreleased.is_empty() {
                std::future::pending::<()>().await;
            }
            while unreleased.front().is_some_and(|(_, delivered)| delivered.is_finished() || next >= end) {
                let (through, delivered) = unreleased.pop_front().unwrap();
                delivered.await.unwrap();
                println!("released {through}");
            }
        }
    });
}

struct Publisher {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
    /// Everything below need not be sent again.
    released: u64,
}

impl Publisher {
    fn start(dir: &Path, port: u16, first: u64, end: u64) -> Self {
        Self::start_for(0, dir, port, first, end)
    }

    /// Publishes when so many clients are connected.
    fn start_for(clients: u64, dir: &Path, port: u16, first: u64, end: u64) -> Self {
        let numbers = [("PORT", u64::from(port)), ("FIRST", first), ("END", end), ("CLIENTS", clients)];
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "durability::child_that_publishes_until_it_is_killed", "--ignored", "--nocapture"])
            .envs(numbers.map(|(name, number)| (format!("AUPS_TEST_{name}"), number.to_string())))
            .env("AUPS_TEST_DIR", dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        // The test harness writes its own words in front.
        assert!(output.any(|line| line.unwrap().ends_with("ready")), "the child's broker starts");
        Self { child, output, released: first }
    }

    /// Reads what the child says until it released so many, or for good.
    fn read_until(&mut self, number: u64) {
        while self.released < number
            && let Some(Ok(line)) = self.output.next()
        {
            if let Some(through) = line.strip_prefix("released ") {
                self.released = through.parse().unwrap();
            }
        }
    }

    fn kill(mut self) -> u64 {
        self.child.kill().unwrap();
        self.read_until(u64::MAX);
        self.released
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // It is gone already, or it goes now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A QoS 1 reader with a persistent session that connects again whenever it is cut off.
struct Reader {
    /// How often each number came.
    seen: Arc<Mutex<BTreeMap<u64, u32>>>,
    count: watch::Receiver<usize>,
    reading: JoinHandle<()>,
}

async fn connack(events: &mut EventLoop) -> ConnAck {
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(answer))) => return answer,
            Ok(_) => {}
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

impl Reader {
    /// Makes a session with a subscription, and goes.
    async fn subscribe(port: u16) {
        let (client, mut events) = Self::client(port);
        connack(&mut events).await;
        client.subscribe("data/#", QoS::AtLeastOnce).await.unwrap();
        while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    }

    fn start(port: u16) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let (counted, count) = watch::channel(0);
        let reading = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let (_client, mut events) = Self::client(port);
                assert!(connack(&mut events).await.session_present, "the session survived");
                loop {
                    match events.poll().await {
                        Ok(Event::Incoming(Packet::Publish(message))) => {
                            let number = std::str::from_utf8(&message.payload).unwrap().parse().unwrap();
                            let mut seen = seen.lock().unwrap();
                            *seen.entry(number).or_default() += 1;
                            counted.send_replace(seen.len());
                        }
                        Ok(Event::Incoming(Packet::ConnAck(answer))) => assert!(answer.session_present),
                        Ok(_) => {}
                        Err(_) => sleep(Duration::from_millis(10)).await,
                    }
                }
            }
        });
        Self { seen, count, reading }
    }

    fn client(port: u16) -> (AsyncClient, EventLoop) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        AsyncClient::builder(As::user("alice").persistent().options(address)).capacity(10).build()
    }

    async fn saw(&mut self, numbers: usize) {
        soon(self.count.wait_for(|count| *count >= numbers)).await.expect("the reader reads");
    }

    /// Every number below `end` came; none of them much more often than there were kills.
    async fn saw_everything(mut self, end: u64) {
        let _ = tokio::time::timeout(PATIENCE, self.count.wait_for(|count| *count as u64 >= end)).await;
        self.reading.abort();
        let seen = self.seen.lock().unwrap();
        let missing: Vec<_> = (0..end).filter(|number| !seen.contains_key(number)).collect();
        let first = &missing[..missing.len().min(10)];
        assert!(missing.is_empty(), "{} of {end} missing: {first:?} …", missing.len());
        println!("{} came more than once", seen.values().filter(|count| **count > 1).count());
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stays_gets_every_message_whenever_the_broker_is_killed() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let end = 20_000;
    let mut publisher = Publisher::start(dir.path(), port, 0, 0);
    Reader::subscribe(port).await;
    let reader = Reader::start(port);
    for until in [1, 200, 1_500, 4_000, 9_000, 15_000] {
        let released = publisher.kill();
        publisher = Publisher::start(dir.path(), port, released, end);
        tokio::task::block_in_place(|| publisher.read_until(until));
    }
    tokio::task::block_in_place(|| publisher.read_until(end));
    reader.saw_everything(end).await;
    publisher.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_was_away_gets_every_message_though_the_broker_is_killed_while_it_catches_up() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let end = 6_000;
    let mut publisher = Publisher::start(dir.path(), port, 0, end);
    // What was published before the session stood need not come.
    publisher.kill();
    publisher = Publisher::start(dir.path(), port, 0, 0);
    Reader::subscribe(port).await;
    publisher.kill();
    publisher = Publisher::start(dir.path(), port, 0, end);
    tokio::task::block_in_place(|| publisher.read_until(end));
    publisher.kill();

    publisher = Publisher::start(dir.path(), port, end, end);
    let mut reader = Reader::start(port);
    for numbers in [1, 300, 800, 1_500, 2_500, 4_000] {
        reader.saw(numbers).await;
        publisher.kill();
        publisher = Publisher::start(dir.path(), port, end, end);
    }
    reader.saw_everything(end).await;
    publisher.kill();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reader_did_not_take_from_its_socket_survives_a_kill() {
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let end = 1_000;
    let publisher = Publisher::start(dir.path(), port, 0, 0);
    Reader::subscribe(port).await;
    publisher.kill();

    let mut publisher = Publisher::start_for(1, dir.path(), port, 0, end);
    let (_client, mut events) = Reader::client(port);
    connack(&mut events).await;
    tokio::task::block_in_place(|| publisher.read_until(end));
    publisher.kill();
    drop(events);

    let publisher = Publisher::start(dir.path(), port, end, end);
    Reader::start(port).saw_everything(end).await;
    publisher.kill();
}

#[tokio::test]
async fn a_shutdown_releases_and_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let who = As::user("alice").persistent();
    let broker = Broker::start(settings(Some(dir.path())), Arc::new(Realm::default())).await.unwrap();
    let (mut alice, _) = Client::connect(broker.local_addr(), &who).await.unwrap();
    alice.subscribe("data/#").await;
    alice.vanish().await;
    let retained = Outgoing { retain: true, ..outgoing("data/retained", "retained") };
    let delivered = broker.publish(vec![outgoing("data/1", "queued"), retained]).await;
    broker.shutdown().await;
    soon(delivered).await;
    broker.shutdown().await;
    drop(broker);

    let broker = Broker::start(settings(Some(dir.path())), Arc::new(Realm::default())).await.unwrap();
    let stats = broker.stats().await;
    assert_eq!((stats.sessions, stats.filters, stats.retained), (1, 1, 1));
    let (mut alice, answer) = Client::connect(broker.local_addr(), &who).await.unwrap();
    assert!(answer.session_present);
    assert_eq!(alice.texts_until("retained").await, ["queued"]);
}

#[tokio::test]
async fn a_data_directory_has_one_broker() {
    let dir = tempfile::tempdir().unwrap();
    let _broker = Broker::start(settings(Some(dir.path())), Arc::new(Realm::default())).await.unwrap();
    let error = Broker::start(settings(Some(dir.path())), Arc::new(Realm::default())).await.unwrap_err();
    assert!(matches!(error, BrokerError::Locked { .. }), "{error}");
}
