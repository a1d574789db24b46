//! What a server takes of the memory: after its start, with topics, with readers; and what it does where memory is scarce.
//!
//! Each step is of a server of its own, so that nothing of another is in its figure.

mod report;

use super::{
    contender::{Contender, Kind, Programs, Setup},
    generator::{self, Pace},
    numbers::float,
    usage::Usage,
    workload::{Shape, Workload},
};
use crate::{
    cli::failure::Failure,
    settings::Durability,
    source::{Obstacle, Source},
};
use anyhow::Context as _;
use aups_net::tls::Trust;
use indicatif::ProgressBar;
use reqwest::Method;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use tokio::time::sleep;

pub(crate) use report::Report;

/// Memory is looked at when a server was left alone for so long.
const REST: Duration = Duration::from_secs(2);
/// The paper's six quantities.
const FEW_TOPICS: usize = 6;
/// Readings in a request that makes topics.
const LINES: usize = 100;
/// How often it is looked whether they are published.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(32).unwrap();
/// The first load of a server does not count.
const WARM_UP: Duration = Duration::from_secs(1);

/// What is to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) topics: usize,
    pub(crate) readers: usize,
    /// How much data a server may allocate where memory is scarce, in bytes.
    pub(crate) limit_bytes: u64,
    /// Of each load.
    pub(crate) duration: Duration,
    /// How often a server with the limit and one without are loaded.
    pub(crate) rounds: usize,
    pub(crate) durability: Durability,
}

impl Plan {
    /// Steps that are told of.
    pub(crate) const fn steps(&self) -> u64 {
        4 + 2 * self.rounds as u64
    }
}

/// What was resident.
#[derive(Debug)]
struct Resident {
    /// After the start, with policies and a source.
    started: Usage,
    /// When each of so many topics had an item.
    few_topics: Usage,
    many_topics: Usage,
    /// With so many readers registered, of whom none is connected.
    readers: Usage,
}

/// A server under load.
#[derive(Debug, Clone, Copy)]
struct Loaded {
    accepted_per_second: f64,
    usage: Usage,
}

/// Measures. `progress` is told of every step.
pub(crate) async fn run(plan: Plan, programs: &Programs, progress: &ProgressBar) -> Result<Report, Failure> {
    let bench = Bench { plan: &plan, programs, progress };
    let resident = Resident {
        started: bench.with_topics(0).await?,
        few_topics: bench.with_topics(FEW_TOPICS).await?,
        many_topics: bench.with_topics(plan.topics).await?,
        readers: bench.with_readers().await?,
    };
    let (mut unlimited, mut limited) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        unlimited.push(bench.loaded(None).await?);
        limited.push(bench.loaded(Some(plan.limit_bytes)).await?);
    }
    Ok(Report { plan, resident, unlimited, limited })
}

struct Bench<'a> {
    plan: &'a Plan,
    programs: &'a Programs,
    progress: &'a ProgressBar,
}

impl Bench<'_> {
    async fn start(&self, workload: &Workload, frugal: bool) -> Result<Contender, Failure> {
        let setup = Setup {
            node_ids: workload.node_ids(),
            policies: workload.policies(),
            readers: Vec::new(),
            durability: self.plan.durability,
            broker: None,
            frugal,
        };
        Contender::start(Kind::With, &setup, self.programs).await
    }

    /// One source publishes once on each topic.
    async fn with_topics(&self, topics: usize) -> Result<Usage, Failure> {
        self.progress.set_message(format!("{topics} topics"));
        let contender = self.start(&workload()?, false).await?;
        let access = contender.access().context("the server has no administrator")?;
        let credential = contender.target().credentials.first().cloned();
        let source = Source::new(access.url().clone(), credential, &Trust::System)?;
        let lines: Vec<_> = (0..topics).map(|topic| format!(r#"{{"name":"q{topic}","value":{topic}}}"#)).collect();
        for lines in lines.chunks(LINES) {
            source.send(lines).await.map_err(|untaken| match untaken.why {
                Obstacle::All(failure) => failure,
                Obstacle::Line { problem, .. } => Failure::answered(&problem),
            })?;
            published(&contender).await?;
        }
        self.rested(contender).await
    }

    async fn with_readers(&self) -> Result<Usage, Failure> {
        self.progress.set_message(format!("{} readers", self.plan.readers));
        let contender = self.start(&workload()?, false).await?;
        let access = contender.access().context("the server has no administrator")?;
        for reader in 0..self.plan.readers {
            let new = Workload::reader(&format!("reader-{reader}"));
            let _: Value = access.admin().send_json(Method::POST, "/v1/users", &new).await?;
        }
        self.rested(contender).await
    }

    /// What a server takes when it has done what was asked.
    async fn rested(&self, contender: Contender) -> Result<Usage, Failure> {
        sleep(REST).await;
        let usage = contender.usage()?;
        contender.stop().await?;
        self.progress.inc(1);
        Ok(usage)
    }

    /// As many single readings as are taken, with a limit or without.
    async fn loaded(&self, limit_bytes: Option<u64>) -> Result<Loaded, Failure> {
        self.progress.set_message(if limit_bytes.is_some() { "limited" } else { "unlimited" });
        let workload = Arc::new(workload()?);
        let contender = self.start(&workload, true).await?;
        if let Some(bytes) = limit_bytes {
            limit(&contender, bytes)?;
        }
        let mut plan =
            generator::Plan { connections: CONNECTIONS, pace: Pace::Closed, batch: None, duration: WARM_UP, first: 0 };
        let target = contender.target().clone();
        let load = |plan| generator::run(plan, target.clone(), Arc::clone(&workload), Accepted::default());
        let (summary, _) = load(plan.clone()).await?;
        (plan.duration, plan.first) = (self.plan.duration, summary.next);
        let (summary, Accepted(accepted)) = load(plan).await?;
        let usage = contender.usage()?;
        contender.stop().await?;
        self.progress.inc(1);
        let accepted_per_second = float(accepted) / summary.elapsed.as_secs_f64();
        Ok(Loaded { accepted_per_second, usage })
    }
}

/// Waits until all that was taken is published: what waits for that is no topic's, and the allocator would keep its memory.
async fn published(contender: &Contender) -> Result<(), Failure> {
    while contender.metric("aups_backlog_items").await?.is_some_and(|waiting| waiting > 0.0) {
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Readings that were taken.
#[derive(Debug, Default)]
struct Accepted(u64);

impl generator::Observer for Accepted {
    fn answered(&mut self, sample: &generator::Sample) {
        self.0 += sample.accepted;
    }
}

fn workload() -> anyhow::Result<Workload> {
    let shape = Shape {
        sources: FEW_TOPICS,
        topics: FEW_TOPICS,
        policies: FEW_TOPICS + 1,
        scopes: 2,
        key_life: Duration::from_mins(5),
        payload_bytes: 0,
        seed: 1,
    };
    Workload::new(shape)
}

/// From now on a server's data (its heap and all else that it alone can write, `RLIMIT_DATA`) is no more than this: what it asks
/// for beyond is refused to it, and it ends.
fn limit(contender: &Contender, bytes: u64) -> anyhow::Result<()> {
    for pid in contender.pids() {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process without a number")?;
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        prlimit(Some(pid), Resource::Data, limit).context("cannot limit a server's memory")?;
    }
    Ok(())
}
