//! A flood: honest sources at a steady rate, and attackers at ten times that from other addresses. The honest must not notice.
//!
//! Both are open loops: what is due is sent, whatever became of the request before, and latency counts from when it was due.

use crate::flooded::Flooded;
use anyhow::{bail, ensure};
use clap::Args;
use reqwest::{Client, StatusCode};
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// Addresses that attackers come from.
const ATTACKERS: u8 = 4;
/// Requests of an attacker that are under way; more are not sent.
const UNDER_WAY_MAX: usize = 256;
/// An attacker waits so long for an answer, and then hangs up.
const ATTACKER_WAITS: Duration = Duration::from_millis(250);
/// An honest source waits so long; then its reading is lost.
const HONEST_WAITS: Duration = Duration::from_secs(10);
/// What the honest may notice at most: their 99th percentile, against that of the quiet before.
const P99_RATIO_MAX: f64 = 2.0;
/// By when an attacker must be kept out.
const KEPT_OUT_MAX: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Flood {
    /// The `aups` to attack [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Requests a second of all honest sources together
    #[arg(long, default_value_t = 200)]
    rate: u32,
    /// How many times as much the attackers send
    #[arg(long, default_value_t = 10)]
    times: u32,
    /// Seconds of the quiet, and of each attack
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

/// How attackers attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attack {
    /// Good readings, without a credential.
    Unregistered,
    /// Readings with a credential that is none.
    Guesses,
    /// Bodies that are none.
    Malformed,
    /// Good readings of one registered source, over its quota.
    Registered,
}

const ATTACKS: [Attack; 4] = [Attack::Unregistered, Attack::Guesses, Attack::Malformed, Attack::Registered];

/// What the honest saw.
struct Seen {
    latencies: Vec<Duration>,
    lost: usize,
}

/// What attackers came to.
#[derive(Default)]
struct Came {
    sent: u64,
    taken: u64,
    /// When each of them was kept out.
    kept_out_after: Vec<Option<Duration>>,
}

impl Came {
    /// When the last of them was kept out, if all of them were.
    fn kept_out_after(&self) -> Option<Duration> {
        let all: Option<Vec<_>> = self.kept_out_after.iter().copied().collect();
        all?.into_iter().max()
    }
}

impl Flood {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("aups"),
        };
        println!(
            "honest: {} registered sources, {} requests/s; attackers: {ATTACKERS} addresses, {} requests/s",
            Flooded::HONEST,
            self.rate,
            self.rate * self.times
        );
        let mut failed = Vec::new();
        for attack in ATTACKS {
            // A server of its own each time: nobody is known from before.
            let server = Arc::new(Flooded::start(&program).await?);
            self.honest(&server, 2).await?;
            let quiet = self.honest(&server, self.seconds).await?;
            let (attacked, came) = tokio::try_join!(self.honest(&server, self.seconds), self.attack(&server, attack))?;
            let (before, after) = (quiet.p99(), attacked.p99());
            let ratio = after.as_secs_f64() / before.as_secs_f64();
            let kept_out = came.kept_out_after().map_or("never".into(), |after| format!("{} ms", after.as_millis()));
            println!(
                "{attack:<13?} honest p50 {:>5} -> {:>5} µs, p99 {:>6} -> {:>6} µs ({ratio:.2}), lost {}; attackers sent {}, taken {}, \
                 kept out after {kept_out}",
                quiet.percentile(50).as_micros(),
                attacked.percentile(50).as_micros(),
                before.as_micros(),
                after.as_micros(),
                quiet.lost + attacked.lost,
                came.sent,
                came.taken,
            );
            let is_kept_out = came.kept_out_after().is_some_and(|after| after < KEPT_OUT_MAX);
            if ratio > P99_RATIO_MAX || quiet.lost + attacked.lost > 0 || !is_kept_out {
                failed.push(attack);
            }
        }
        ensure!(
            failed.is_empty(),
            "not as promised (p99 at most {P99_RATIO_MAX} times, nothing lost, kept out within {} s): {failed:?}",
            KEPT_OUT_MAX.as_secs()
        );
        Ok(())
    }

    /// Honest sources, in turn, for so many seconds.
    async fn honest(&self, server: &Arc<Flooded>, seconds: u32) -> anyhow::Result<Seen> {
        let client = Client::builder().no_proxy().timeout(HONEST_WAITS).build()?;
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way = JoinSet::new();
        for number in 0..self.rate * seconds {
            let due = ticks.tick().await;
            let (client, server) = (client.clone(), Arc::clone(server));
            under_way.spawn(async move {
                let body = format!(r#"{{"name":"t","value":{number}}}"#);
                let bearer = server.honest(number);
                let answer = client.post(server.url()).bearer_auth(bearer).body(body).send().await;
                (due.elapsed(), answer.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED))
            });
        }
        let mut seen = Seen { latencies: Vec::new(), lost: 0 };
        while let Some(done) = under_way.join_next().await {
            let (latency, taken) = done?;
            seen.latencies.push(latency);
            seen.lost += usize::from(!taken);
        }
        seen.latencies.sort_unstable();
        Ok(seen)
    }

    /// All attackers at once, for as long as the honest are measured.
    async fn attack(&self, server: &Arc<Flooded>, attack: Attack) -> anyhow::Result<Came> {
        let mut all = JoinSet::new();
        for number in 0..ATTACKERS {
            let address = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2 + number));
            let rate = self.rate * self.times / u32::from(ATTACKERS);
            all.spawn(attacker(Arc::clone(server), attack, address, rate, self.seconds));
        }
        let mut came = Came::default();
        while let Some(one) = all.join_next().await {
            let Came { sent, taken, kept_out_after } = one??;
            came.sent += sent;
            came.taken += taken;
            came.kept_out_after.extend(kept_out_after);
        }
        Ok(came)
    }
}

async fn attacker(
    server: Arc<Flooded>,
    attack: Attack,
    address: IpAddr,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Came> {
    let client = Client::builder().no_proxy().local_address(address).timeout(ATTACKER_WAITS).build()?;
    let room = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let begun = Instant::now();
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut under_way = JoinSet::new();
    let mut came = Came::default();
    let mut kept_out_after = None;
    for _ in 0..rate * seconds {
        ticks.tick().await;
        let Ok(held) = Arc::clone(&room).try_acquire_owned() else { continue };
        came.sent += 1;
        let request = client.post(server.url());
        let request = match attack {
            Attack::Unregistered => request.body(r#"{"value":1}"#),
            Attack::Guesses => request.bearer_auth("bm90aGluZw").body("1"),
            Attack::Malformed => request.body(r#"{"value":"#),
            Attack::Registered => request.bearer_auth(server.flooder()).body("1"),
        };
        under_way.spawn(async move {
            let _held = held;
            request.send().await.map(|answer| answer.status())
        });
        while let Some(done) = under_way.try_join_next() {
            came.taken += u64::from(done?.is_ok_and(|status| status == StatusCode::ACCEPTED));
        }
        // Asked of the server: an answer in quarantine comes after the attacker has hung up.
        if kept_out_after.is_none() && came.sent.is_multiple_of(50) && server.keeps_out(address).await? {
            kept_out_after = Some(begun.elapsed());
        }
    }
    if timeout(HONEST_WAITS, async { while under_way.join_next().await.is_some() {} }).await.is_err() {
        bail!("an attacker does not end");
    }
    came.kept_out_after.push(kept_out_after);
    Ok(came)
}

impl Seen {
    fn p99(&self) -> Duration {
        self.percentile(99)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).copied().unwrap_or_default()
    }
}
