//! One contender under load: what is sent to it, what it answers, what it takes of the machine, and what comes out of it.

mod figures;

use super::{
    contender::Contender,
    generator::{self, Observer, Sample, Summary},
    recorder::Recorder,
    subscriber::Subscriber,
    usage::Usage,
    workload::Workload,
};
use crate::cli::failure::Failure;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;

pub(super) use figures::{csv, parameters};

/// A contender rests when it took no processor time for so long: what it was given is done.
const REST: Duration = Duration::from_millis(100);
/// Longest wait until it rests.
const REST_WAIT_MAX: Duration = Duration::from_secs(20);

/// A contender and what is still to be sent to it.
pub(super) struct Lane {
    pub(super) contender: Contender,
    pub(super) workload: Arc<Workload>,
    pub(super) requests: generator::Plan,
}

/// What one load came to.
#[derive(Debug)]
pub(super) struct Load {
    summary: Summary,
    answers: Answers,
    /// Processor time for it, until the contender rested again.
    cpu: Duration,
    /// When it rested.
    pub(super) usage: Usage,
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

/// What subscribers got.
#[derive(Debug, Clone, Copy)]
struct Delivered {
    /// Of all of them.
    messages: u64,
    subscribers: u64,
    /// From the first request to the last message.
    elapsed: Duration,
}

impl Lane {
    /// Loads it once, and waits until it has done all of it. The readings go on where the load before ended.
    pub(super) async fn load(&mut self, subscribers: &[Subscriber]) -> Result<Load, Failure> {
        let (before, began) = (self.contender.usage()?, Instant::now());
        let (requests, target) = (self.requests.clone(), self.contender.target().clone());
        let (summary, answers) = generator::run(requests, target, Arc::clone(&self.workload), Answers::new()?).await?;
        self.requests.first = summary.next;
        let delivered = match subscribers {
            [] => None,
            all => Some(Delivered::to(all, began, answers.accepted).await),
        };
        let usage = self.rested().await?;
        Ok(Load { summary, answers, cpu: usage.cpu.saturating_sub(before.cpu), usage, delivered })
    }

    /// Loads it for so long at most, and forgets what came of it.
    pub(super) async fn warm_up(&mut self, longest: Duration) -> Result<(), Failure> {
        let measured = self.requests.duration;
        self.requests.duration = measured.min(longest);
        self.load(&[]).await?;
        self.requests.duration = measured;
        Ok(())
    }

    /// What it took when it takes no more processor time.
    pub(super) async fn rested(&self) -> anyhow::Result<Usage> {
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

impl Delivered {
    /// Waits until each of these has so many messages, or nothing more comes.
    async fn to(subscribers: &[Subscriber], began: Instant, each: u64) -> Self {
        let mut delivered = Self { messages: 0, subscribers: subscribers.len() as u64, elapsed: Duration::ZERO };
        for subscriber in subscribers {
            let received = subscriber.until(each).await;
            delivered.messages += received.messages;
            delivered.elapsed = delivered.elapsed.max(received.last.saturating_duration_since(began));
        }
        delivered
    }
}
