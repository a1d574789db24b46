//! How much a server takes, beside contenders on the same machine: round after round, so that what else the machine does hits all alike.

mod report;

use super::{
    contender::{Contender, Kind, Programs, Setup},
    generator,
    lane::{Lane, Load},
    subscriber::Subscriber,
    workload::{Shape, Workload},
};
use crate::{cli::failure::Failure, settings::Durability};
use indicatif::ProgressBar;
use reqwest::Url;
use std::{sync::Arc, time::Duration};

pub(crate) use report::Report;

/// How long a contender is loaded before it is measured: keys are made, code is paged in, interpreters compile.
const WARM_UP: Duration = Duration::from_secs(1);

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
        frugal: false,
    };
    let mut lanes = Vec::new();
    for kind in &plan.contenders {
        progress.set_message(format!("{} starts", kind.name()));
        let contender = Contender::start(*kind, &setup, programs).await?;
        let mut lane = Lane { contender, workload: Arc::clone(&workload), requests: plan.requests.clone() };
        lane.warm_up(WARM_UP).await?;
        lanes.push((lane, Measured { kind: *kind, rounds: Vec::new() }));
    }
    for round in 1..=plan.rounds {
        for (lane, measured) in &mut lanes {
            progress.set_message(format!("round {round} of {}, {}", plan.rounds, lane.contender.kind().name()));
            measured.rounds.push(one_round(lane, plan.subscribers, progress).await?);
        }
    }
    let mut all = Vec::new();
    for (lane, measured) in lanes {
        lane.contender.stop().await?;
        all.push(measured);
    }
    Ok(Report::new(plan, all))
}

async fn one_round(lane: &mut Lane, subscribers: usize, progress: &ProgressBar) -> Result<Round, Failure> {
    let ingest = lane.load(&[]).await?;
    progress.inc(1);
    let mut round = Round { ingest, delivery: None };
    if subscribers == 0 {
        return Ok(round);
    }
    if let Some(subscription) = lane.contender.subscription().cloned() {
        let mut all = Vec::with_capacity(subscribers);
        for _ in 0..subscribers {
            all.push(Subscriber::start(&subscription).await?);
        }
        round.delivery = Some(lane.load(&all).await?);
    }
    progress.inc(1);
    Ok(round)
}
