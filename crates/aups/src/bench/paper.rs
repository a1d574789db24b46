//! The evaluation of the paper (section V), made again: six sources, two users, 10 and 20 packets a second, with AUPS and
//! without it.
//!
//! Each of the four runs has a server of its own, in a process of its own. What is measured of a packet goes to a file as it
//! comes, and into histograms: a run of a day takes no more memory than one of a minute.

mod cpu;
mod figures;
mod files;
mod report;
mod steps;
mod trace;
mod users;

use super::{
    contender::{Contender, Kind, Programs, Setup},
    generator::{self, Arrivals, Pace, Sample},
    machine,
    usage::Usage,
    workload::{Shape, Workload},
};
use crate::{cli::failure::Failure, settings::Durability};
use cpu::CpuClock;
use files::RawFiles;
use indicatif::ProgressBar;
use reqwest::Url;
use std::{num::NonZeroUsize, path::PathBuf, pin::pin, sync::Arc, time::Duration};
use steps::Steps;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use trace::{Trace, Traced};
use users::{USERS, Users};

pub(crate) use report::Report;

/// As many as the paper's station has sensors.
const SOURCES: usize = 6;
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(SOURCES).unwrap();
/// Packets a second of all sources together.
const RATES: [u32; 2] = [10, 20];
/// Before a run is measured: users get their keys, code is paged in.
const WARM_UP: Duration = Duration::from_secs(1);
const WARM_UP_RATE: f64 = 50.0;
/// How often the load of the processor is taken.
const CPU_EVERY: Duration = Duration::from_secs(1);
/// What has not come so long after the last packet was sent is lost.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(10);

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Of each run.
    pub(crate) duration: Duration,
    /// How long a key is used.
    pub(crate) life: Duration,
    pub(crate) durability: Durability,
    /// Another broker than the embedded one.
    pub(crate) broker: Option<Url>,
    pub(crate) seed: u64,
    /// Where files go.
    pub(crate) out: PathBuf,
    /// Whether the chain without AUPS can be measured.
    pub(crate) compares: bool,
}

impl Plan {
    fn kinds(&self) -> &'static [Kind] {
        if self.compares { &[Kind::Without, Kind::With] } else { &[Kind::With] }
    }

    /// How long all runs take, without starting and stopping servers.
    pub(crate) fn seconds(&self) -> u64 {
        let runs = (self.kinds().len() * RATES.len()) as u64;
        self.duration.as_secs().saturating_mul(runs)
    }
}

/// One run.
#[derive(Debug)]
struct Run {
    kind: Kind,
    /// Packets a second.
    rate: u32,
    traced: Traced,
    /// From reception to the hand-over to the broker, as the server says: quantiles 0.5 and 0.99.
    published: Option<[Duration; 2]>,
    /// Of one core, in percent.
    cpu: Vec<f64>,
    usage: Usage,
}

/// Measures. `progress` is told of every second.
pub(crate) async fn run(plan: Plan, programs: &Programs, progress: &ProgressBar) -> Result<Report, Failure> {
    let (machine, workload) = (machine::line(), Arc::new(Workload::new(shape(&plan))?));
    let mut raw = RawFiles::create(&plan.out)?;
    let steps = Steps::measure(&workload).await?;
    let mut runs = Vec::new();
    for rate in RATES {
        for kind in plan.kinds() {
            progress.set_message(format!("{} AUPS, {rate}/s", kind.name()));
            let stage = Stage { kind: *kind, rate, plan: &plan, workload: &workload, programs };
            runs.push(stage.run(&mut raw, progress).await?);
        }
    }
    let report = Report { machine, plan, steps, runs };
    report.write_files()?;
    Ok(report)
}

fn shape(plan: &Plan) -> Shape {
    Shape {
        sources: SOURCES,
        topics: SOURCES,
        policies: SOURCES + 1,
        scopes: SOURCES,
        key_life: plan.life,
        payload_bytes: 0,
        seed: plan.seed,
    }
}

/// Where a run takes place.
struct Stage<'a> {
    kind: Kind,
    rate: u32,
    plan: &'a Plan,
    workload: &'a Arc<Workload>,
    programs: &'a Programs,
}

impl Stage<'_> {
    async fn run(&self, raw: &mut RawFiles, progress: &ProgressBar) -> Result<Run, Failure> {
        let setup = Setup {
            node_ids: self.workload.node_ids(),
            policies: self.workload.policies(),
            readers: USERS.iter().map(|sub| Workload::reader(sub)).collect(),
            durability: self.plan.durability,
            broker: self.plan.broker.clone(),
            frugal: false,
        };
        let mut contender = Contender::start(self.kind, &setup, self.programs).await?;
        let trace = Trace::new(self.name(), Arc::clone(self.workload), raw.latencies())?;
        let mut users = Users::start(&mut contender, &trace).await?;
        let first = self.load(&contender, WARM_UP, WARM_UP_RATE, 0, |_| {}).await?;
        sleep(WARM_UP).await;
        trace.begin(first);

        let observe = {
            let trace = trace.clone();
            move |sample: &Sample| trace.answered(sample)
        };
        let load = self.load(&contender, self.plan.duration, f64::from(self.rate), first, observe);
        let cpu = tokio::select! {
            cpu = self.watched(&contender, raw, load, progress) => cpu?,
            failure = users.failed() => return Err(failure),
        };
        trace.all_arrived(ARRIVAL_TIME_MAX).await;
        let usage = contender.usage()?;
        let published = published(&contender).await?;
        contender.stop().await?;
        drop(users);
        Ok(Run { kind: self.kind, rate: self.rate, traced: trace.finish()?, published, cpu, usage })
    }

    /// What it is called in files.
    fn name(&self) -> String {
        format!("{}-{}", self.kind.name(), self.rate)
    }

    /// Sends packets at equal distances; the number after the last one.
    async fn load<O: Fn(&Sample) + Send + 'static>(
        &self,
        contender: &Contender,
        duration: Duration,
        rate: f64,
        first: u64,
        observe: O,
    ) -> Result<u64, Failure> {
        let pace = Pace::Open { rate, arrivals: Arrivals::Constant };
        let plan = generator::Plan { connections: CONNECTIONS, pace, batch: None, duration, first };
        let (summary, _) = generator::run(plan, contender.target().clone(), Arc::clone(self.workload), observe).await?;
        if summary.broken + summary.unsent > 0 {
            let error = format!("{} packets of `{}` could not be sent", summary.broken + summary.unsent, self.name());
            return Err(Failure::failed(error));
        }
        Ok(summary.next)
    }

    /// The load of the processor, second by second, until a load ends.
    async fn watched(
        &self,
        contender: &Contender,
        raw: &mut RawFiles,
        load: impl Future<Output = Result<u64, Failure>>,
        progress: &ProgressBar,
    ) -> Result<Vec<f64>, Failure> {
        let (mut load, mut clock, mut percents) = (pin!(load), CpuClock::start(contender.pids())?, Vec::new());
        let mut ticks = interval_at(Instant::now() + CPU_EVERY, CPU_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                loaded = &mut load => {
                    loaded?;
                    return Ok(percents);
                }
                _ = ticks.tick() => {
                    let percent = clock.percent()?;
                    percents.push(percent);
                    raw.note_cpu(&self.name(), percents.len(), percent)?;
                    progress.inc(1);
                }
            }
        }
    }
}

/// From reception to the hand-over to the broker, as a server with AUPS says.
async fn published(contender: &Contender) -> Result<Option<[Duration; 2]>, Failure> {
    let quantile = async |quantile: &str| {
        let name = format!("aups_publish_latency_seconds{{quantile=\"{quantile}\"}}");
        let seconds = contender.metric(&name).await?;
        Ok::<_, Failure>(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    };
    let (median, most) = (quantile("0.5").await?, quantile("0.99").await?);
    Ok(median.zip(most).map(|(median, most)| [median, most]))
}
