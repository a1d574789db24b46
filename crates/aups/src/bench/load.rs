//! How much a server takes, beside contenders on the same machine: round after round, so that what else the machine does hits all alike.

mod report;

use super::{
    contender::{Contender, Kind, Programs, Setup},
    generator::{self, Observer, Sample, Summary},
    recorder::Recorder,
    subscriber::Subscriber,
    usage::Usage,
    workload::{Shape, Workload},
};
use crate::{cli::failure::Failure, settings::Durability};
use indicatif::ProgressBar;
use reqwest::Url;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

pub(crate) use report::Report;

/// How long a contender is loaded before it is measured: keys are made, code is paged in, interpreters compile.
const WARM_UP: Duration = Duration::from_secs(1);
/// A contender rests when it took no processor time for so long: what it was given is done.
const REST: Duration = Duration::from_millis(100);
/// Longest wait until it rests.
const REST_WAIT_MAX: Duration = Duration::from_secs(20);

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) contenders: Vec<Kind>,
    /// How often each is loaded.
    pub(crate) rounds: u32,
    /// How each is loaded each time; and once more with subscribers.
    pub(crate) requests: generator::Plan,
    pub(crate) shape: Shape,
    /// Who gets all messages, without opening them.
    pub(crate) subscribers: usize,
    pub(crate) durability: Durability,
    /// Another broker than the embedded one.
    pub(crate) broker: Option<Url>,
}

impl Plan {
    /// How many loads are measured in all.
    pub(crate) fn loads(&self) -> u64 {
        let phases = if self.subscribers > 0 { 2 } else { 1 };
        self.contenders.len() as u64 * u64::from(self.rounds) * phases
    }
}

/// A contender's rounds.
#[derive(Debug)]
struct Measured {
    kind: Kind,
    rounds: Vec<Round>,
}

/// One contender's turn.
#[derive(Debug)]
struct Round {
    /// Nobody subscribes.
    ingest: Load,
    /// Subscribers get everything. `None`: there are none, or nothing is published.
    delivery: Option<Load>,
}

/// What one load came to.
#[derive(Debug)]
struct Load {
    summary: Summary,
    answers: Answers,
    /// Processor time for it, until the contender rested again.
    cpu: Duration,
    /// When it rested.
    usage: Usage,
    delivered: Option<Delivered>,
}

/// What the answers said.
#[derive(Debug)]
struct Answers {
    requests: u64,
    /// Those that were not 2xx.
    refused: u64,
    /// Readings in all requests that were answered.
    readings: u64,
    /// Readings that were taken.
    accepted: u64,
    latency: Recorder,
    service: Recorder,
}

impl Answers {
    fn new() -> anyhow::Result<Self> {
        let (latency, service) = (Recorder::new()?, Recorder::new()?);
        Ok(Self { requests: 0, refused: 0, readings: 0, accepted: 0, latency, service })
    }
}

impl Observer for Answers {
    fn answered(&mut self, sample: &Sample) {
        self.requests += 1;
        self.refused += u64::from(!(200..300).contains(&sample.status));
        self.readings += sample.readings;
        self.accepted += sample.accepted;
        self.latency.note(sample.latency());
        self.service.note(sample.service());
    }
}

/// What subscribers got.
#[derive(Debug, Clone, Copy)]
struct Delivered {
    /// Of all of them.
    messages: u64,
    /// From the first request to the last message.
    elapsed: Duration,
}

/// Measures. `progress` is told of every load.
pub(crate) async fn run(plan: Plan, programs: &Programs, progress: &ProgressBar) -> Result<Report, Failure> {
    let workload = Workload::new(plan.shape.clone()).map_err(|error| Failure::input_refused(error.to_string()))?;
    let workload = Arc::new(workload);
    let setup = Setup {
        node_ids: workload.node_ids(),
        policies: workload.policies(),
        readers: vec![Workload::reader("subscriber")],
        durability: plan.durability,
        broker: plan.broker.clone(),
    };
    let mut lanes = Vec::new();
    for kind in &plan.contenders {
        progress.set_message(format!("{} starts", kind.name()));
        let contender = Contender::start(*kind, &setup, programs).await?;
        let mut lane = Lane { contender, workload: Arc::clone(&workload), requests: plan.requests.clone() };
        lane.warm_up().await?;
        lanes.push((lane, Measured { kind: *kind, rounds: Vec::new() }));
    }
    for round in 1..=plan.rounds {
        for (lane, measured) in &mut lanes {
            progress.set_message(format!("round {round} of {}, {}", plan.rounds, lane.contender.kind().name()));
            measured.rounds.push(lane.round(plan.subscribers, progress).await?);
        }
    }
    let mut all = Vec::new();
    for (lane, measured) in lanes {
        lane.contender.stop().await?;
        all.push(measured);
    }
    Ok(Report::new(plan, all))
}

/// A contender and what is still to be sent to it.
struct Lane {
    contender: Contender,
    workload: Arc<Workload>,
    requests: generator::Plan,
}

impl Lane {
    async fn warm_up(&mut self) -> Result<(), Failure> {
        let measured = self.requests.duration;
        self.requests.duration = measured.min(WARM_UP);
        self.load(&[]).await?;
        self.requests.duration = measured;
        Ok(())
    }

    async fn round(&mut self, subscribers: usize, progress: &ProgressBar) -> Result<Round, Failure> {
        let ingest = self.load(&[]).await?;
        progress.inc(1);
        let mut round = Round { ingest, delivery: None };
        if subscribers == 0 {
            return Ok(round);
        }
        if let Some(subscription) = self.contender.subscription().cloned() {
            let mut all = Vec::with_capacity(subscribers);
            for _ in 0..subscribers {
                all.push(Subscriber::start(&subscription).await?);
            }
            round.delivery = Some(self.load(&all).await?);
        }
        progress.inc(1);
        Ok(round)
    }

    /// Loads it once, and waits until it has done all of it.
    async fn load(&mut self, subscribers: &[Subscriber]) -> Result<Load, Failure> {
        let (before, began) = (self.contender.usage()?, Instant::now());
        let (requests, target) = (self.requests.clone(), self.contender.target().clone());
        let (summary, answers) = generator::run(requests, target, Arc::clone(&self.workload), Answers::new()?).await?;
        self.requests.first = summary.next;
        let delivered =
            if subscribers.is_empty() { None } else { Some(delivered(subscribers, began, answers.accepted).await) };
        let usage = self.rested().await?;
        Ok(Load { summary, answers, cpu: usage.cpu.saturating_sub(before.cpu), usage, delivered })
    }

    /// What it took when it takes no more processor time.
    async fn rested(&self) -> anyhow::Result<Usage> {
        let (mut usage, began) = (self.contender.usage()?, Instant::now());
        loop {
            sleep(REST).await;
            let now = self.contender.usage()?;
            if now.cpu == usage.cpu || began.elapsed() > REST_WAIT_MAX {
                return Ok(now);
            }
            usage = now;
        }
    }
}

/// Waits until each of them has so many messages, or nothing more comes.
async fn delivered(subscribers: &[Subscriber], began: Instant, each: u64) -> Delivered {
    let mut delivered = Delivered { messages: 0, elapsed: Duration::ZERO };
    for subscriber in subscribers {
        let received = subscriber.until(each).await;
        delivered.messages += received.messages;
        delivered.elapsed = delivered.elapsed.max(received.last.saturating_duration_since(began));
    }
    delivered
}
