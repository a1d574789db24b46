//! How many readers' requests for keys one core answers: verified, decided by policy, sealed to the reader, signed, and in the audit
//! trail on disk before they are answered.

use super::{
    connection::Connection,
    contender::{Contender, Kind, Programs, Setup, identity_file},
    machine,
    numbers::float,
    recorder::Recorder,
    timer::Timer,
};
use crate::{
    cli::{failure::Failure, terminal::table},
    latency::in_words,
    settings::Durability,
};
use anyhow::{Context as _, bail};
use aups_client::SystemClock;
use aups_core::{Clock as _, KeyId};
use aups_envelope::{
    identity::IdentityFile,
    key_request::{Freshness, KeyRequest, Wanted},
    random,
};
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const NODE: &str = "node-0";
const NAME: &str = "value";
/// How long the first item may take to be sealed.
const FIRST_KEY_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Asked before it is measured: code is paged in.
const WARM_UP: usize = 100;

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) requests: usize,
    /// Of all readers together.
    pub(crate) per_second: f64,
    /// A server answers 50 a second of each.
    pub(crate) readers: NonZeroUsize,
    /// Each from another address of this machine: a server answers 500 a second of one.
    pub(crate) connections: u8,
}

/// What came out of it.
#[derive(Debug)]
pub(crate) struct Report {
    plan: Plan,
    answered: u64,
    /// Answers other than 200.
    refused: u64,
    latency: Recorder,
    cpu: Duration,
}

/// The table of keys, as far as it concerns us.
#[derive(Deserialize)]
struct Keys {
    items: Vec<Listed>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    key_id: KeyId,
}

/// Measures. `progress` is told of every request.
pub(crate) async fn run(plan: Plan, programs: &Programs, progress: &ProgressBar) -> Result<Report, Failure> {
    let readers = (0..plan.readers.get()).map(|number| json!({ "sub": format!("reader-{number}") })).collect();
    let setup = Setup {
        node_ids: vec![NODE.to_owned()],
        policies: "permit(principal, action == Action::\"receive\", resource);".to_owned(),
        readers,
        durability: Durability::Memory,
        broker: None,
        frugal: false,
    };
    let mut contender = Contender::start(Kind::With, &setup, programs).await?;
    let key_id = first_key(&contender).await?;
    let identities = contender.take_identities().iter().map(identity_file).collect::<anyhow::Result<Vec<_>>>()?;
    let address = contender.target().http;
    let asked = |requests: usize| Asked { address, identities: &identities, key_id, plan: &plan, requests, progress };
    asked(WARM_UP.min(plan.requests)).measure().await?;
    progress.reset();
    let before = contender.usage()?;
    let Answers { answered, refused, latency } = asked(plan.requests).measure().await?;
    let cpu = contender.usage()?.cpu.saturating_sub(before.cpu);
    contender.stop().await?;
    Ok(Report { plan, answered, refused, latency, cpu })
}

/// Sends an item, and waits for the key that it is sealed under.
async fn first_key(contender: &Contender) -> Result<KeyId, Failure> {
    let access = contender.access().context("a server without an administrator")?;
    let credential = contender.target().credentials.first().context("no source is registered")?;
    let post = access.http().post(format!("http://{}/data", contender.target().http)).bearer_auth(credential);
    let body = json!({ "name": NAME, "value": 1 });
    let answer = post.json(&body).send().await.context("the server takes no item")?;
    answer.error_for_status().context("the server takes no item")?;
    let listed = async {
        loop {
            let Keys { items } = access.admin().get("/v1/keys/list").await?;
            match items.first() {
                Some(listed) => return Ok(listed.key_id),
                None => sleep(LOOK_EVERY).await,
            }
        }
    };
    timeout(FIRST_KEY_MAX, listed).await.context("no key is made")?
}

/// Requests of readers in turn, each when it is due.
#[derive(Clone, Copy)]
struct Asked<'a> {
    address: SocketAddr,
    identities: &'a [IdentityFile],
    key_id: KeyId,
    plan: &'a Plan,
    requests: usize,
    progress: &'a ProgressBar,
}

struct Answers {
    answered: u64,
    refused: u64,
    latency: Recorder,
}

impl Asked<'_> {
    async fn measure(self) -> anyhow::Result<Answers> {
        let began = Instant::now();
        let all = (0..self.plan.connections).map(|lane| self.over_one_connection(lane, began));
        let mut sum = Answers { answered: 0, refused: 0, latency: Recorder::new()? };
        for answers in futures_util::future::try_join_all(all).await? {
            sum.answered += answers.answered;
            sum.refused += answers.refused;
            sum.latency.add(&answers.latency)?;
        }
        Ok(sum)
    }

    /// Every so manieth request, from an address of its own. Latency counts from when a request was due.
    async fn over_one_connection(self, lane: u8, began: Instant) -> anyhow::Result<Answers> {
        // All of 127.0.0.0/8 is this machine (RFC 6890).
        let from = Ipv4Addr::new(127, 0, 1, lane).into();
        let connection = Connection::open_from(from, self.address).await;
        let mut connection = connection.context("cannot connect to the server")?;
        let timer = Timer::new()?;
        let mut answers = Answers { answered: 0, refused: 0, latency: Recorder::new()? };
        for number in (lane.into()..self.requests).step_by(self.plan.connections.into()) {
            let request = self.request(number)?;
            let due = began + Duration::from_secs_f64(float(number as u64) / self.plan.per_second);
            timer.until(due).await?;
            let answer = connection.exchange(&request).await.context("the server answers no more")?;
            answers.latency.note(due.elapsed());
            answers.answered += u64::from(answer.status == 200);
            answers.refused += u64::from(answer.status != 200);
            self.progress.inc(1);
        }
        Ok(answers)
    }

    fn request(self, number: usize) -> anyhow::Result<Vec<u8>> {
        let Some(reader) = self.identities.get(number % self.identities.len().max(1)) else { bail!("no reader") };
        let want = vec![Wanted { key_id: self.key_id, topic: format!("data/{NODE}/{NAME}").as_str().into() }];
        let freshness = Freshness::IssuedAt(SystemClock.now());
        let (aud, sub) = (reader.realm, reader.sub.clone());
        let signed = KeyRequest { aud, sub, freshness, jti: random(), want }.sign(&reader.signing_key);
        let head = format!(
            "POST /v1/keys HTTP/1.1\r\nHost: {}\r\nContent-Type: application/jose\r\nContent-Length: {}\r\n\r\n",
            self.address,
            signed.len()
        );
        Ok((head + &signed).into_bytes())
    }
}

impl Report {
    /// Processor time of the server for a request, in microseconds.
    fn cpu_micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / float((self.answered + self.refused).max(1))
    }

    /// For machines: `answerMicros` is processor time of the server for one answer, `perSecondPerCore` what follows from it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "machine": machine::line(),
            "readers": self.plan.readers,
            "requestsPerSecond": self.plan.per_second,
            "answered": self.answered,
            "refused": self.refused,
            "answerMicros": self.cpu_micros(),
            "perSecondPerCore": 1e6 / self.cpu_micros(),
            "latencyMicros": self.latency.json(),
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let told = |fraction| self.latency.quantile(fraction).map_or_else(String::new, in_words);
        let row = [
            self.answered.to_string(),
            self.refused.to_string(),
            format!("{:.0} µs", self.cpu_micros()),
            format!("{:.0}", 1e6 / self.cpu_micros()),
            told(0.5),
            told(0.99),
        ];
        table(&["ANSWERED", "REFUSED", "CPU/ANSWER", "PER S AND CORE", "P50", "P99"], &[row])
    }

    /// What was not as it should be.
    pub(crate) fn fault(&self) -> Option<String> {
        (self.refused > 0).then(|| format!("{} of {} requests were refused", self.refused, self.plan.requests))
    }
}
