//! Load: the readings of a workload, posted over so many connections, in a closed or an open loop.
//!
//! In a *closed* loop a connection sends its next request when it has the answer to the one before: it measures how much a server takes. In an
//! *open* loop requests come at times that are fixed beforehand, whether the server keeps up or not, and latency counts from those times:
//! what a request waits because others before it are late is part of it, so that a server that stops for a while cannot hide it by
//! being asked less (coordinated omission).
//!
//! It runs in a thread of its own and shares the machine with what it measures.

mod arrivals;

use super::{
    connection::{Answer, Connection},
    timer::Timer,
    workload::Workload,
};
use crate::{cli::failure::Failure, source::Rate};
use anyhow::Context as _;
use serde::Deserialize;
use std::{
    cell::{Cell, RefCell},
    io::{self, Write as _},
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Mutex, oneshot},
    task::{JoinSet, LocalSet},
    time::timeout,
};

pub(crate) use arrivals::Arrivals;

/// Longest wait, after the time that was asked for, until the last answers are there.
const ANSWERS_WAIT_MAX: Duration = Duration::from_secs(30);
/// An open loop sends so long, after the time that was asked for, what could not be sent when it was due.
const LATE_MAX: Duration = Duration::from_secs(1);

/// How to load.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Connections, each with one request under way at a time.
    pub(crate) connections: NonZeroUsize,
    pub(crate) pace: Pace,
    /// Readings in a request, as lines; `None`: one, as JSON.
    pub(crate) batch: Option<NonZeroUsize>,
    /// How long requests are begun.
    pub(crate) duration: Duration,
    /// Number of the first reading.
    pub(crate) first: u64,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// On each connection when the request before was answered.
    Closed,
    /// So many a second, whatever becomes of them.
    Open {
        /// Requests a second.
        rate: f64,
        arrivals: Arrivals,
    },
}

impl Pace {
    /// At which so many readings go a second, `batch` of them in a request.
    pub(crate) fn of_readings(rate: Rate, batch: Option<NonZeroUsize>, arrivals: Arrivals) -> Self {
        match rate.shared_by(batch.map_or(1, NonZeroUsize::get)) {
            Rate::PerSecond(rate) => Self::Open { rate, arrivals },
            Rate::Max => Self::Closed,
        }
    }
}

/// Where to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) http: SocketAddr,
    /// The Bearer credential of each source of the workload.
    pub(crate) credentials: Vec<String>,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// The number of its first reading; the others follow it.
    pub(crate) first: u64,
    /// Its readings.
    pub(crate) readings: u64,
    /// When it was to be sent; in a closed loop that is when it was.
    pub(crate) due: Instant,
    /// When it began to be written.
    pub(crate) written: Instant,
    /// When all of the answer was there.
    pub(crate) answered: Instant,
    pub(crate) status: u16,
    /// Readings that the answer says are taken.
    pub(crate) accepted: u64,
}

impl Sample {
    /// What a source feels: from when it was due.
    pub(crate) fn latency(&self) -> Duration {
        self.answered.duration_since(self.due)
    }

    /// What the server is answerable for, taken by itself: from when it was written.
    pub(crate) fn service(&self) -> Duration {
        self.answered.duration_since(self.written)
    }
}

/// What became of requests that are no [`Sample`]s, and how long it took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Summary {
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// The number after the last reading that was begun.
    pub(crate) next: u64,
    /// Requests whose connection broke: they were taken or not.
    pub(crate) broken: u64,
    /// Requests of an open loop that were due and never sent, because all connections were waiting.
    pub(crate) unsent: u64,
}

/// Who is told of every answer, in the generator's thread.
pub(crate) trait Observer: Send + 'static {
    /// A request was answered.
    fn answered(&mut self, sample: &Sample);
}

impl<F: FnMut(&Sample) + Send + 'static> Observer for F {
    fn answered(&mut self, sample: &Sample) {
        self(sample);
    }
}

/// Loads; comes back, with the observer, when the last answer is there.
///
/// Fails if the server is not there, or does not answer for long.
pub(crate) async fn run<O: Observer>(
    plan: Plan,
    target: Target,
    workload: Arc<Workload>,
    observer: O,
) -> Result<(Summary, O), Failure> {
    let (done, outcome) = oneshot::channel();
    let generate = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let loaded = runtime.map_err(|error| anyhow::Error::new(error).context("cannot start a runtime"));
        let loaded = loaded.and_then(|runtime| {
            let connections = async { Generator::new(&plan, target, workload, observer)?.run().await };
            LocalSet::new().block_on(&runtime, connections)
        });
        // Who asked has gone: nobody wants to know.
        drop(done.send(loaded));
    };
    thread::Builder::new().name("generator".into()).spawn(generate).context("cannot start a thread")?;
    Ok(outcome.await.context("the generator broke down")??)
}

/// What all connections share.
struct Generator<O> {
    target: Target,
    workload: Arc<Workload>,
    readings: u64,
    media_type: &'static str,
    connections: usize,
    duration: Duration,
    turns: Turns,
    summary: Cell<Summary>,
    observer: RefCell<O>,
}

/// Who sends when.
enum Turns {
    Closed { until: Instant },
    Open(Mutex<Schedule>),
}

/// The requests of an open loop that are still to be sent. Who holds it waits for the next one to be due; the others queue behind.
struct Schedule {
    timer: Timer,
    begins: Instant,
    until: Instant,
    due: Box<dyn Iterator<Item = Duration>>,
}

impl<O: Observer> Generator<O> {
    fn new(plan: &Plan, target: Target, workload: Arc<Workload>, observer: O) -> anyhow::Result<Self> {
        let Plan { connections, pace, batch, duration, first } = *plan;
        let begins = Instant::now();
        let turns = match pace {
            Pace::Closed => Turns::Closed { until: begins + duration },
            Pace::Open { rate, arrivals } => {
                let due = arrivals.times(rate, workload.shape().seed).take_while(move |due| *due < duration);
                let timer = Timer::new().context("cannot start a timer")?;
                Turns::Open(Mutex::new(Schedule {
                    timer,
                    begins,
                    until: begins + duration + LATE_MAX,
                    due: Box::new(due),
                }))
            }
        };
        Ok(Self {
            target,
            workload,
            readings: batch.map_or(1, NonZeroUsize::get) as u64,
            media_type: if batch.is_some() { "application/x-ndjson" } else { "application/json" },
            connections: connections.get(),
            duration,
            turns,
            summary: Cell::new(Summary { next: first, ..Summary::default() }),
            observer: RefCell::new(observer),
        })
    }

    async fn run(self) -> anyhow::Result<(Summary, O)> {
        let (begins, longest) = (Instant::now(), self.duration + ANSWERS_WAIT_MAX);
        let shared = Rc::new(self);
        let mut connections = JoinSet::new();
        for _ in 0..shared.connections {
            let shared = Rc::clone(&shared);
            connections.spawn_local(async move { shared.connection().await });
        }
        let answered = async {
            while let Some(ended) = connections.join_next().await {
                ended.context("a connection broke down")??;
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(longest, answered).await.context("requests are not answered")??;
        let elapsed = begins.elapsed();
        let shared = Rc::into_inner(shared).context("a connection is still at work")?;
        Ok((Summary { elapsed, ..shared.summary.get() }, shared.observer.into_inner()))
    }

    /// One connection's requests, one after the other.
    async fn connection(&self) -> anyhow::Result<()> {
        let open = async || {
            let address = self.target.http;
            Connection::open(address).await.with_context(|| format!("no server answers at {address}"))
        };
        let (mut connection, mut request) = (open().await?, Request::default());
        while let Some(due) = self.turns.next(&self.summary).await? {
            let first = self.take_number();
            self.compose(first, &mut request)?;
            let written = Instant::now();
            let Ok(answer) = connection.exchange(&request.bytes).await else {
                self.change(|summary| summary.broken += 1);
                connection = open().await?;
                continue;
            };
            let (due, answered, readings) = (due.unwrap_or(written), Instant::now(), self.readings);
            let accepted = accepted(&answer, readings);
            let sample = Sample { first, readings, due, written, answered, status: answer.status, accepted };
            self.observer.borrow_mut().answered(&sample);
        }
        Ok(())
    }

    /// The number of a request's first reading.
    fn take_number(&self) -> u64 {
        let first = self.summary.get().next;
        self.change(|summary| summary.next += self.readings);
        first
    }

    fn change(&self, change: impl FnOnce(&mut Summary)) {
        let mut summary = self.summary.get();
        change(&mut summary);
        self.summary.set(summary);
    }

    /// Writes the request that begins with this reading.
    fn compose(&self, first: u64, request: &mut Request) -> anyhow::Result<()> {
        let Request { body, bytes } = request;
        let source = self.workload.source_of(first);
        body.clear();
        for number in first..first + self.readings {
            self.workload.write(number, source, body);
            body.push(b'\n');
        }
        let credential = self.target.credentials.get(source).context("a source without a credential")?;
        bytes.clear();
        write!(
            bytes,
            "POST /data HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nAuthorization: Bearer {credential}\r\nContent-Length: {}\r\n\r\n",
            self.target.http,
            self.media_type,
            body.len()
        )?;
        bytes.extend_from_slice(body);
        Ok(())
    }
}

/// Room for a request, used again for the next.
#[derive(Default)]
struct Request {
    body: Vec<u8>,
    bytes: Vec<u8>,
}

impl Turns {
    /// Waits until another request is to be sent: when it was due, in an open loop. `None`: that was the last one.
    async fn next(&self, summary: &Cell<Summary>) -> io::Result<Option<Option<Instant>>> {
        match self {
            Self::Closed { until } => Ok((Instant::now() < *until).then_some(None)),
            Self::Open(schedule) => Ok(schedule.lock().await.next(summary).await?.map(Some)),
        }
    }
}

impl Schedule {
    async fn next(&mut self, summary: &Cell<Summary>) -> io::Result<Option<Instant>> {
        let Some(due) = self.due.next() else { return Ok(None) };
        if Instant::now() > self.until {
            let unsent = 1 + self.due.by_ref().count() as u64;
            summary.set(Summary { unsent, ..summary.get() });
            return Ok(None);
        }
        let due = self.begins + due;
        self.timer.until(due).await?;
        Ok(Some(due))
    }
}

/// What a refusal says beside why.
#[derive(Deserialize)]
struct Refusal {
    /// Readings that were taken before it.
    #[serde(default)]
    accepted: u64,
}

/// How many readings were taken: all of them, or as many as a refusal says.
fn accepted(answer: &Answer, readings: u64) -> u64 {
    if (200..300).contains(&answer.status) {
        return readings;
    }
    serde_json::from_slice(&answer.body).map_or(0, |Refusal { accepted }| accepted)
}

#[cfg(test)]
mod tests;
