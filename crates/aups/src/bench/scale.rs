//! What an item costs when there is more of something: the same load on servers with ever more topics, policies or readers.

mod report;

use super::{
    contender::{Contender, Kind, Programs, Setup},
    generator::{self, Pace},
    lane::{Lane, Load},
    usage::Usage,
    workload::{Shape, Workload},
};
use crate::{cli::failure::Failure, settings::Durability};
use clap::ValueEnum;
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use report::Report;

/// Of what there is more and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Axis {
    /// Topics of one source, each of which has been published under before it is measured
    Topics,
    /// Policies, of which all but a few are of sources that never send
    Policies,
    /// Registered and enrolled readers with rights of their own, who are not connected
    Readers,
}

impl Axis {
    /// As it is named on the command line and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Policies => "policies",
            Self::Readers => "readers",
        }
    }

    /// How many there are, step by step, unless told otherwise.
    pub(crate) const fn steps(self) -> &'static [usize] {
        match self {
            Self::Topics => &[6, 100, 1_000, 10_000, 100_000],
            Self::Policies => &[10, 100, 1_000, 10_000],
            Self::Readers => &[2, 100, 1_000, 10_000],
        }
    }
}

/// Sources where topics are not what is counted.
const SOURCES: usize = 6;
/// Topics that are published under for the first time in one request.
const TOUR_BATCH: NonZeroUsize = NonZeroUsize::new(100).unwrap();
/// How long a server is loaded before it is measured.
const WARM_UP: Duration = Duration::from_secs(2);

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) axis: Axis,
    /// How many there are each time.
    pub(crate) steps: Vec<usize>,
    /// How each server is loaded.
    pub(crate) requests: generator::Plan,
    pub(crate) key_life: Duration,
    pub(crate) payload_bytes: usize,
    pub(crate) seed: u64,
    pub(crate) durability: Durability,
}

impl Plan {
    /// What is sent at a step.
    fn shape(&self, step: usize) -> Shape {
        let Self { axis, key_life, payload_bytes, seed, .. } = *self;
        let (sources, topics) = if axis == Axis::Topics { (1, step) } else { (SOURCES, SOURCES) };
        let policies = if axis == Axis::Policies { step } else { sources + 1 };
        Shape { sources, topics, policies, scopes: sources.min(2), key_life, payload_bytes, seed }
    }

    /// Readers: one who may read everything, the others each with a role of their own, as many of which as there are scopes count.
    fn readers(&self, step: usize) -> Vec<Value> {
        let others = if self.axis == Axis::Readers { 1..step } else { 1..1 };
        let other = |number| json!({ "sub": format!("r{number}"), "attrs": { "roles": [format!("reader-{number}")] } });
        std::iter::once(Workload::reader("r0")).chain(others.map(other)).collect()
    }
}

/// One server.
#[derive(Debug)]
struct Step {
    /// Topics, policies or readers.
    count: usize,
    /// How long it took until the server had them all.
    set_up: Duration,
    /// Once it rested after that, and before it was loaded.
    idle: Usage,
    load: Load,
}

/// Measures. `progress` is told of every server.
pub(crate) async fn run(plan: Plan, progress: &ProgressBar) -> Result<Report, Failure> {
    let programs = Programs::look(None, None)?;
    let mut steps = Vec::new();
    for count in plan.steps.clone() {
        progress.set_message(format!("{count} {}", plan.axis.name()));
        steps.push(step(&plan, count, &programs).await?);
        progress.inc(1);
    }
    Ok(Report::new(plan, steps))
}

async fn step(plan: &Plan, count: usize, programs: &Programs) -> Result<Step, Failure> {
    let workload = Workload::new(plan.shape(count)).map_err(|error| Failure::input_refused(error.to_string()))?;
    let workload = Arc::new(workload);
    let setup = Setup {
        node_ids: workload.node_ids(),
        policies: workload.policies(),
        readers: plan.readers(count),
        durability: plan.durability,
        broker: None,
        frugal: false,
    };
    let began = Instant::now();
    let contender = Contender::start(Kind::With, &setup, programs).await?;
    let set_up = began.elapsed();
    let mut lane = Lane { contender, workload, requests: plan.requests.clone() };
    if plan.axis == Axis::Topics {
        tour(&mut lane, count).await?;
    }
    lane.warm_up(WARM_UP).await?;
    let idle = lane.rested().await?;
    let load = lane.load(&[]).await?;
    lane.contender.stop().await?;
    Ok(Step { count, set_up, idle, load })
}

/// Publishes under every topic once at least: the readings of one source go from topic to topic.
async fn tour(lane: &mut Lane, topics: usize) -> Result<(), Failure> {
    let measured = lane.requests.clone();
    // One after the other: what waits would show in the memory afterwards.
    let connections = NonZeroUsize::MIN;
    lane.requests = generator::Plan { connections, pace: Pace::Closed, batch: Some(TOUR_BATCH), ..measured.clone() };
    while lane.requests.first < topics as u64 {
        lane.warm_up(Duration::from_millis(200)).await?;
    }
    lane.requests = generator::Plan { first: lane.requests.first, ..measured };
    Ok(())
}
