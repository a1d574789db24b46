//! The run: start all, load each in turn, round after round, so that what else the machine does hits all alike.

use crate::{
    contender::Contender,
    load::{self, Outcome, per_second},
    machine,
    report::{self, Measured, Sample},
    subscriber::Subscriber,
};
use clap::Args;
use std::{
    env,
    path::{Path, PathBuf},
};
use tokio::time::Instant;

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The folder `bench/`
    #[arg(long, value_name = "DIR")]
    bench: PathBuf,
    /// Where to write the figures, as JSON
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Leave out the paper's stack
    #[arg(long)]
    without_peers: bool,
    /// Rounds; figures are medians over them
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each load
    #[arg(long, default_value_t = 4)]
    seconds: u32,
}

impl Run {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let machine = machine::line();
        println!("{machine}");
        // Built by the same cargo command, so it lies beside this program.
        let aups = env::current_exe()?.with_file_name("aups");
        let mut contenders = vec![
            Contender::bare().await?,
            Contender::plain().await?,
            Contender::aups("with AUPS", &aups, "memory").await?,
            Contender::aups("with AUPS, disk", &aups, "disk").await?,
        ];
        if !self.without_peers {
            contenders.push(Contender::paper_stack(&self.bench.join("peers")).await?);
        }
        let script = self.bench.join("load.lua");
        let mut measured: Vec<Measured> = contenders.iter().map(|contender| Measured::new(contender.name())).collect();
        for contender in &contenders {
            // Warm: keys made, code paged in, interpreters compiled.
            load::load(contender, 1, &script).await?;
        }
        for round in 1..=self.rounds {
            for (contender, measured) in contenders.iter().zip(&mut measured) {
                let sample = self.sample(contender, &script).await?;
                println!("round {round}: {:<16} {sample}", contender.name());
                measured.samples.push(sample);
            }
        }
        report::print(&measured);
        report::write(&self.out, &machine, &measured)
    }

    /// One load with nobody subscribed, one with a subscriber.
    async fn sample(&self, contender: &Contender, script: &Path) -> anyhow::Result<Sample> {
        let alone = load::load(contender, self.seconds, script).await?;
        let Some(broker) = contender.broker() else { return Ok(Sample { alone, chain: None }) };
        let subscriber = Subscriber::start(broker)?;
        // What the load before left queued goes first, and the subscription takes a moment.
        subscriber.quiet().await;
        let (before, started) = (subscriber.received(), Instant::now());
        let taken = load::load(contender, self.seconds, script).await?;
        let last = subscriber.quiet().await;
        let took_us = u64::try_from(last.duration_since(started).as_micros())?;
        let delivered = subscriber.received() - before;
        Ok(Sample {
            alone,
            chain: Some(Chain { delivered, delivered_per_second: per_second(delivered, took_us), taken }),
        })
    }
}

/// What went through the whole chain to one subscriber.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Chain {
    pub(crate) taken: Outcome,
    /// Messages that the subscriber got.
    pub(crate) delivered: u64,
    /// From the first request to the last delivery.
    pub(crate) delivered_per_second: f64,
}
