//! Killed under load, again and again: what was answered 202 is delivered, under one id.
//!
//! The campaign is `cargo xtask crash`; a sample of it is a test. Two ways to die: `kill -9`, which the machine survives, and
//! a power cut, after which what was not synced is gone as well ([`Disk`]).

use crate::{
    disk::{Disk, Loss, Random},
    program::{Aups, Lines, PATIENCE},
    sources::{register, seal, sealer},
};
use aups_core::Session;
use aups_envelope::SourceSealer;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Kills of each mode in a test run: a sample of the campaign.
const SAMPLE_KILLS: u64 = 15;
/// A program lives at most so long once it is ready; one in four is killed so soon after its start, ready or not.
const LIFE_MAX: Duration = Duration::from_millis(500);
/// What is on its way to the reader, in values: more waits, so that the campaign does not end in an hour of catching up.
const LAG_MAX: usize = 5_000;
/// A stop may take so long: it drains for five seconds at most, and a busy machine takes its time.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
/// No answer for so long is none.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Kill,
    Power,
}

#[test]
fn a_sample_of_kills_loses_nothing() {
    campaign_of(Mode::Kill, SAMPLE_KILLS, 1);
}

#[test]
fn a_sample_of_power_cuts_loses_nothing() {
    campaign_of(Mode::Power, SAMPLE_KILLS, 1);
}

#[test]
#[ignore = "the whole campaign: cargo xtask crash"]
fn campaign() {
    let number = |name: &str, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let mode = if env::var("AUPS_CRASH_MODE").is_ok_and(|mode| mode == "power") { Mode::Power } else { Mode::Kill };
    campaign_of(mode, number("AUPS_CRASH_KILLS", 1_000), number("AUPS_CRASH_SEED", 1));
}

fn campaign_of(mode: Mode, kills: u64, seed: u64) {
    let began = Instant::now();
    let mut random = Random::new(seed);
    let mut aups = Aups::start();
    let (alice, credential) = aups.subscribed_alice();
    let sealing = register(&aups, "sealing", "aes-256-gcm");
    aups.terminate();
    let disk = (mode == Mode::Power).then(|| Disk::below(&aups.data_dir()));
    aups.set_environment(disk.as_ref().map(Disk::environment).unwrap_or_default());

    let load = Load { address: aups.http.clone(), credential, sealing, ..Load::default() };
    let mut tally = Tally::default();
    let collected = load.while_it_goes_on(&mut aups, alice, |aups| {
        let progress = ProgressBar::new(kills).with_style(style());
        progress.set_message(format!("{mode:?}, seed {seed}"));
        for _ in 0..kills {
            if load.lags() {
                aups.start_again();
                load.wait_for_reader();
            } else if random.below(4) == 0 {
                aups.start_unattended();
            } else {
                aups.start_again();
            }
            std::thread::sleep(Duration::from_micros(random.below(u64::try_from(LIFE_MAX.as_micros()).unwrap())));
            let ended = aups.ended();
            assert!(ended.is_none(), "it ended by itself: {ended:?}\n{}", aups.log());
            aups.kill();
            if let Some(disk) = &disk {
                tally.add(disk.lose(&mut random));
            }
            progress.inc(1);
        }
        progress.finish();
    });
    let accepted = load.accepted.into_inner().unwrap();
    println!(
        "{mode:?}: {kills} kills, seed {seed}, {} values answered 202, {} lost, {} with two ids, {} delivered; {} writes and {} names undone; {:.0?}",
        accepted.len(),
        collected.lost.len(),
        collected.doubled.len(),
        collected.seen,
        tally.writes,
        tally.names,
        began.elapsed()
    );
    let Collected { lost, doubled, .. } = collected;
    if !(lost.is_empty() && doubled.is_empty()) {
        let kept = aups.keep_files();
        panic!("seed {seed}: lost {lost:?}; with two ids {doubled:?}; files in {}", kept.display());
    }
    assert!(accepted.len() as u64 > kills, "hardly anything was taken:\n{}", aups.log());
}

#[test]
fn a_graceful_stop_under_load_loses_and_doubles_nothing() {
    let mut aups = Aups::start();
    let (alice, credential) = aups.subscribed_alice();
    let sealing = register(&aups, "sealing", "aes-256-gcm");
    let load = Load { address: aups.http.clone(), credential, sealing, ..Load::default() };
    let collected = load.while_it_goes_on(&mut aups, alice, |aups| {
        for round in 0..4 {
            if round > 0 {
                aups.start_again();
            }
            std::thread::sleep(Duration::from_millis(400));
            let began = Instant::now();
            let status = aups.terminate().status;
            assert!(status.success(), "{status}");
            assert!(began.elapsed() < STOP_TIME_MAX, "{:?}", began.elapsed());
        }
    });
    assert!(collected.lost.is_empty() && collected.doubled.is_empty(), "{collected:?}");
    let refused = load.refused.into_inner().unwrap();
    assert!(refused.iter().all(|status| matches!(status, 409 | 503)), "{refused:?}");
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} kills, {elapsed} of about {duration}").unwrap()
}

/// What power cuts took away in all.
#[derive(Debug, Default)]
struct Tally {
    writes: u64,
    names: u64,
}

impl Tally {
    fn add(&mut self, loss: Loss) {
        self.writes += loss.writes;
        self.names += loss.names;
    }
}

/// How values are posted.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Single,
    Batch,
    Lines,
    /// With an `Idempotency-Key`, sent again until it is answered with 202.
    Keyed,
    /// Sealed by its source, and the same bytes sent again until they are answered with 202, or with 409: they were taken.
    Sealed,
}

impl Shape {
    fn is_sent_again(self) -> bool {
        matches!(self, Self::Keyed | Self::Sealed)
    }
}

const JSON: &str = "Content-Type: application/json\r\n";

/// Some values on their way.
struct Batch {
    values: Range<u64>,
    /// Above the length.
    headers: String,
    body: Vec<u8>,
}

/// Ends the load, also when a test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sources and a reader.
#[derive(Default)]
struct Load {
    address: String,
    credential: String,
    /// What the source that seals was told.
    sealing: Value,
    next: AtomicU64,
    accepted: Mutex<HashSet<u64>>,
    /// Statuses of answers other than 202.
    refused: Mutex<BTreeSet<u16>>,
    /// Values that arrived.
    collected: AtomicU64,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Collected {
    seen: usize,
    lost: Vec<u64>,
    doubled: Vec<(u64, String, String)>,
}

impl Load {
    /// Posts and reads while a server is disturbed; then lets the reader come to the end.
    fn while_it_goes_on(&self, aups: &mut Aups, alice: Lines, disturb: impl FnOnce(&mut Aups)) -> Collected {
        std::thread::scope(|scope| {
            let stop = Stop(&self.stop);
            let collector = scope.spawn(|| self.collect(alice));
            let shapes =
                [Shape::Single, Shape::Single, Shape::Single, Shape::Batch, Shape::Lines, Shape::Keyed, Shape::Sealed];
            for shape in shapes {
                scope.spawn(move || self.post_until_stopped(shape));
            }
            disturb(aups);
            drop(stop);
            aups.start_again();
            collector.join().unwrap()
        })
    }

    fn post_until_stopped(&self, shape: Shape) {
        let sealer = sealer(&self.sealing, Session::new(1, 0));
        let mut connection = None;
        let mut unanswered = None;
        while !self.stop.load(Ordering::Relaxed) {
            if self.lags() {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            let batch = unanswered.take().unwrap_or_else(|| self.batch(shape, &sealer));
            match self.post(&mut connection, &batch) {
                Ok(202) => self.accepted.lock().unwrap().extend(batch.values),
                Ok(409) if matches!(shape, Shape::Sealed) => self.accepted.lock().unwrap().extend(batch.values),
                outcome => {
                    unanswered = shape.is_sent_again().then_some(batch);
                    if outcome.is_err() {
                        connection = None;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
    }

    /// The next values.
    fn batch(&self, shape: Shape, sealer: &SourceSealer) -> Batch {
        let count = match shape {
            Shape::Single | Shape::Keyed | Shape::Sealed => 1,
            Shape::Batch => 20,
            Shape::Lines => 50,
        };
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let values = first..first + count;
        let readings: Vec<_> = values.clone().map(|value| format!(r#"{{"name":"count","value":{value}}}"#)).collect();
        let bearer = format!("Authorization: Bearer {}\r\n", self.credential);
        let (headers, body) = match shape {
            Shape::Single => (bearer + JSON, readings.concat().into()),
            Shape::Keyed => (format!("{bearer}{JSON}Idempotency-Key: count-{first}\r\n"), readings.concat().into()),
            Shape::Batch => (bearer + JSON, format!("[{}]", readings.join(",")).into()),
            Shape::Lines => (bearer + "Content-Type: application/x-ndjson\r\n", readings.join("\n").into()),
            Shape::Sealed => ("Content-Type: application/aups\r\n".into(), seal(sealer, &readings.concat())),
        };
        Batch { values, headers, body }
    }

    fn lags(&self) -> bool {
        let arrived = usize::try_from(self.collected.load(Ordering::Relaxed)).unwrap();
        self.accepted.lock().unwrap().len() > arrived.saturating_add(LAG_MAX)
    }

    /// Lets the reader come near: its waits grow while nobody answers it.
    fn wait_for_reader(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.lags() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The status of the answer.
    fn post(&self, connection: &mut Option<Connection>, batch: &Batch) -> io::Result<u16> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(Connection::open(&self.address)?),
        };
        let status = connection.post(&self.address, &batch.headers, &batch.body)?;
        if status != 202 {
            self.refused.lock().unwrap().insert(status);
        }
        Ok(status)
    }

    /// Reads on until all that was accepted has come, or nothing more comes.
    fn collect(&self, mut alice: Lines) -> Collected {
        let mut seen: HashMap<u64, String> = HashMap::new();
        let mut doubled = Vec::new();
        let mut silent_since = Instant::now();
        loop {
            if let Some(line) = alice.next_within(Duration::from_millis(200)) {
                silent_since = Instant::now();
                let line: Value = serde_json::from_str(&line).unwrap();
                let item = &line["item"];
                if item["data"]["name"] == "count" {
                    let (value, id) =
                        (item["data"]["value"].as_u64().unwrap(), item["id"].as_str().unwrap().to_owned());
                    if let Some(other) = seen.insert(value, id.clone()).filter(|other| *other != id) {
                        doubled.push((value, other, id));
                    }
                    self.collected.store(seen.len() as u64, Ordering::Relaxed);
                }
                continue;
            }
            if !self.stop.load(Ordering::Relaxed) {
                silent_since = Instant::now();
                continue;
            }
            let accepted = self.accepted.lock().unwrap();
            let lost: Vec<_> = accepted.iter().filter(|value| !seen.contains_key(value)).copied().collect();
            if lost.is_empty() || silent_since.elapsed() > PATIENCE {
                return Collected { seen: seen.len(), lost, doubled };
            }
        }
    }
}

/// An HTTP connection that goes on until something is wrong with it.
struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The status of the answer.
    fn post(&mut self, address: &str, headers: &str, body: &[u8]) -> io::Result<u16> {
        let length = body.len();
        let head = format!("POST /data HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n");
        self.stream.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match (status, line.trim_end()) {
                (None, first) => status = first.split(' ').nth(1).and_then(|code| code.parse().ok()),
                (Some(_), "") => break,
                (Some(_), header) => {
                    let (name, value) = header.split_once(':').unwrap_or_default();
                    if name.eq_ignore_ascii_case("content-length") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                }
            }
        }
        self.stream.read_exact(&mut vec![0; length])?;
        status.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}
