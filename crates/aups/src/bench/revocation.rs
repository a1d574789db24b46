//! How long a right that is taken away still lets messages be opened.
//!
//! A private instance is under load. Again and again a reader that holds the current and the next key of a scope loses its
//! right, by the administrator's HTTP API. All ciphertext goes on to be tried with every key that it ever got, whether the
//! broker still delivers to it or not.

mod keeper;
mod load;
mod reader;
mod report;
mod stage;
mod watch;
mod wire;

use crate::{
    cli::{failure::Failure, http::at},
    source::Rate,
};
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::{Clock as _, KeyId};
use aups_envelope::sha256;
use indicatif::ProgressBar;
use keeper::Keeper;
use load::Load;
use reader::{Reader, Way};
use reqwest::Method;
use serde_json::{Value, json};
use stage::Stage;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use watch::{Trial, Watch};
use wire::Session;

pub(crate) use report::Report;

/// Longest pause before a revocation: a few messages of its scope, so that it comes at any time between two of them.
const PAUSE_MILLIS_MAX: u64 = 50;

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) revocations: usize,
    /// Readings of all sources together.
    pub(crate) rate: Rate,
    pub(crate) topics: usize,
    pub(crate) scopes: usize,
    /// Who lose rights and get them again.
    pub(crate) readers: usize,
    /// Another broker, which goes on delivering; `None`: the embedded one.
    pub(crate) broker: Option<String>,
    pub(crate) seed: u64,
}

/// Measures. `progress` is told of every revocation.
pub(crate) async fn run(plan: Plan, progress: &ProgressBar) -> Result<Report, Failure> {
    let stage = Stage::open(&plan).await?;
    let mut watch = stage.watch().await?;
    let mut readers = stage.readers(plan.readers).await?;
    let keeper = Keeper::start(&stage).await?;
    let mut load = Load::start(stage.sources().await?, plan.rate);
    let mut report = Report::new(&plan);

    let mut draws = Draws { seed: plan.seed, drawn: 0 };
    let revoke_all = async {
        for way in Way::ALL.into_iter().cycle().take(plan.revocations) {
            let reader = watch.next_reader(&mut readers, way, &mut draws)?;
            let trial = revoke(&stage, &mut watch, reader, &mut draws).await?;
            report.note(&trial);
            watch.goes_on(trial);
            progress.inc(1);
        }
        Ok::<_, Failure>(())
    };
    tokio::select! {
        revoked = revoke_all => revoked?,
        failure = load.failed() => return Err(failure),
    }
    let published = load.stop().await?;
    watch.until_seen(published).await?;
    report.finish(published, keeper.until_opened(published).await?, watch.into_findings());
    stage.close().await?;
    Ok(report)
}

/// Gives a reader its right, sees it read, takes the right away, and sees it read no more.
async fn revoke(stage: &Stage, watch: &mut Watch, mut reader: Reader, draws: &mut Draws) -> Result<Trial, Failure> {
    watch.during(None, give(stage, &mut reader)).await?;
    let (topics, to) = (stage.topics_of(reader.scope), watch.sender());
    let session = Session::open(&reader.identity, &topics, Some(reader.sub()), to);
    reader.session = Some(watch.during(None, session).await?);
    let key_id = watch.key_in_use(reader.scope).await?;
    let mut trial = Trial::of(reader);
    let granted = ask(stage, watch, &mut trial, &[key_id]).await?;
    if granted < 2 {
        return Err(Failure::failed(format!("{} was given {granted} keys instead of two", trial.reader.sub())));
    }
    watch.until(&mut trial, "the reader opens what it may read", |trial| trial.has_opened).await?;
    watch.during(Some(&mut trial), sleep(Duration::from_millis(draws.below(PAUSE_MILLIS_MAX)))).await;

    trial.leaves(Instant::now());
    let taken = take_away(stage, trial.reader.way, trial.reader.path());
    watch.during(Some(&mut trial), taken).await?;
    trial.answered(Instant::now(), SystemClock.now());
    watch.until(&mut trial, "the reader is shut out", Trial::is_shut_out).await?;
    let wanted = [key_id, watch.key_in_use(trial.reader.scope).await?];
    let granted = ask(stage, watch, &mut trial, &wanted).await?;
    watch.given_to_ex_reader(granted);
    Ok(trial)
}

/// Asks for keys as a reader would, and keeps what comes: how many that is.
async fn ask(stage: &Stage, watch: &mut Watch, trial: &mut Trial, wanted: &[KeyId]) -> Result<usize, Failure> {
    let request = trial.reader.request(wanted);
    let answer = async {
        let post = stage.instance.http().post(at(stage.instance.url(), "/v1/keys"));
        let answer = post.header("content-type", "application/jose").body(request.clone()).send().await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.bytes().await?))
    };
    let (status, body) = watch.during(Some(trial), answer).await.context("a key request got no answer")?;
    trial.reader.take(&request, status, &body)
}

/// Lets a reader read its scope. Who was removed is registered and enrolled again.
async fn give(stage: &Stage, reader: &mut Reader) -> Result<(), Failure> {
    let change = match reader.way {
        Way::Removal if reader.is_removed => {
            *reader = stage.enrol(reader.place).await?;
            return Ok(());
        }
        Way::Attribute | Way::Removal => json!({ "attrs": { "roles": [stage::role(reader.scope)] } }),
        Way::Group => json!({ "groups": [stage::group(reader.scope)] }),
    };
    let _: Value = stage.instance.admin().send_json(Method::PATCH, &reader.path(), &change).await?;
    Ok(())
}

/// Takes the right of the reader at this path away.
async fn take_away(stage: &Stage, way: Way, path: String) -> Result<(), Failure> {
    let change = match way {
        Way::Removal => return stage.instance.admin().delete(&path).await,
        Way::Attribute => json!({ "attrs": { "roles": [] } }),
        Way::Group => json!({ "groups": [] }),
    };
    let _: Value = stage.instance.admin().send_json(Method::PATCH, &path, &change).await?;
    Ok(())
}

/// Numbers that a seed repeats.
#[derive(Debug)]
struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    /// A number below `end`; 0 if there is none.
    fn below(&mut self, end: u64) -> u64 {
        self.drawn += 1;
        let digest = sha256(&[&self.seed.to_be_bytes(), &self.drawn.to_be_bytes()]);
        let number = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        number.checked_rem(end).unwrap_or_default()
    }
}
