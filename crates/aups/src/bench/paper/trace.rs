//! What becomes of each packet: when it was posted, when it was answered, when each user had it.

use super::users::USERS;
use crate::bench::{generator::Sample, recorder::Recorder, workload::Workload};
use anyhow::Context as _;
use csv::Writer;
use std::{
    collections::BTreeMap,
    fs::File,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Packets under way; beyond that the oldest is lost.
const UNDER_WAY_MAX: usize = 10_000;
/// How often it is looked whether all have arrived.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The packets of a run. Clones are of the same run.
#[derive(Clone)]
pub(super) struct Trace(Arc<Mutex<Packets>>);

struct Packets {
    run: String,
    workload: Arc<Workload>,
    file: Arc<Mutex<Writer<File>>>,
    /// The number of the first packet that counts.
    first: u64,
    under_way: BTreeMap<u64, Packet>,
    traced: Traced,
    /// The file could not be written.
    unwritten: Option<csv::Error>,
}

/// What is known of a packet so far.
#[derive(Debug, Clone, Copy, Default)]
struct Packet {
    /// When its POST began to be written, and when all of the answer was there.
    posted: Option<(Instant, Instant)>,
    arrived: [Option<Instant>; USERS.len()],
}

/// What became of all.
#[derive(Debug)]
pub(super) struct Traced {
    pub(super) sent: u64,
    pub(super) refused: u64,
    /// Deliveries that did not come.
    pub(super) lost: u64,
    /// From writing a POST to its answer.
    pub(super) answered: Recorder,
    /// From writing a POST to the item at a user, opened where it was sealed.
    pub(super) delivered: Recorder,
}

impl Trace {
    /// Nothing counts before it [begins](Self::begin).
    pub(super) fn new(run: String, workload: Arc<Workload>, file: Arc<Mutex<Writer<File>>>) -> anyhow::Result<Self> {
        let (answered, delivered) = (Recorder::new()?, Recorder::new()?);
        let traced = Traced { sent: 0, refused: 0, lost: 0, answered, delivered };
        let (first, under_way) = (u64::MAX, BTreeMap::new());
        Ok(Self(Arc::new(Mutex::new(Packets { run, workload, file, first, under_way, traced, unwritten: None }))))
    }

    /// From now on packets count, if their numbers are not below this.
    pub(super) fn begin(&self, first: u64) {
        self.packets().first = first;
    }

    /// A packet was answered.
    pub(super) fn answered(&self, sample: &Sample) {
        let mut packets = self.packets();
        if sample.first < packets.first {
            return;
        }
        packets.traced.sent += 1;
        if (200..300).contains(&sample.status) {
            packets.learn(sample.first, |packet| packet.posted = Some((sample.written, sample.answered)));
        } else {
            packets.traced.refused += 1;
        }
    }

    /// A user has a packet.
    pub(super) fn arrived(&self, user: usize, number: u64) {
        let (now, mut packets) = (Instant::now(), self.packets());
        if number >= packets.first {
            packets.learn(number, |packet| {
                if let Some(arrived) = packet.arrived.get_mut(user) {
                    arrived.get_or_insert(now);
                }
            });
        }
    }

    /// Waits until every user has every packet, for so long at most.
    pub(super) async fn all_arrived(&self, patience: Duration) {
        let since = Instant::now();
        while !self.packets().under_way.is_empty() && since.elapsed() < patience {
            sleep(LOOK_EVERY).await;
        }
    }

    /// What became of them; those still under way are lost.
    pub(super) fn finish(self) -> anyhow::Result<Traced> {
        let mut packets = self.packets();
        while packets.give_up_oldest() {}
        let (answered, delivered) = (Recorder::new()?, Recorder::new()?);
        let none = Traced { sent: 0, refused: 0, lost: 0, answered, delivered };
        match packets.unwritten.take() {
            Some(error) => Err(error).context("cannot write latency.csv"),
            None => Ok(std::mem::replace(&mut packets.traced, none)),
        }
    }

    fn packets(&self) -> MutexGuard<'_, Packets> {
        // A panic elsewhere leaves numbers behind that are still numbers.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Packets {
    fn learn(&mut self, number: u64, what: impl FnOnce(&mut Packet)) {
        let packet = self.under_way.entry(number).or_default();
        what(packet);
        if packet.is_complete() {
            let packet = *packet;
            self.under_way.remove(&number);
            self.note(number, packet);
        } else if self.under_way.len() > UNDER_WAY_MAX {
            self.give_up_oldest();
        }
    }

    /// False if there is none.
    fn give_up_oldest(&mut self) -> bool {
        let oldest = self.under_way.pop_first();
        if let Some((number, packet)) = oldest {
            self.note(number, packet);
        }
        oldest.is_some()
    }

    fn note(&mut self, number: u64, packet: Packet) {
        // Without an answer it was refused, and is counted; a refused packet reaches nobody.
        let Some((written, answered)) = packet.posted else { return };
        let latencies = packet.arrived.map(|arrived| Some(arrived?.saturating_duration_since(written)));
        self.traced.answered.note(answered.duration_since(written));
        for latency in latencies {
            match latency {
                Some(latency) => self.traced.delivered.note(latency),
                None => self.traced.lost += 1,
            }
        }
        let micros = |latency: Duration| format!("{:.1}", latency.as_secs_f64() * 1e6);
        let source = self.workload.source_of(number).to_string();
        let mut record = vec![self.run.clone(), number.to_string(), source, micros(answered.duration_since(written))];
        record.extend(latencies.map(|latency| latency.map_or_else(String::new, micros)));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = file.write_record(record).and_then(|()| Ok(file.flush()?));
        self.unwritten = self.unwritten.take().or(written.err());
    }
}

impl Packet {
    fn is_complete(&self) -> bool {
        self.posted.is_some() && self.arrived.iter().all(Option::is_some)
    }
}
