//! What the steps cost that AUPS adds, each by itself, in this process.

use super::super::workload::Workload;
use anyhow::{Context as _, anyhow};
use aups_client::SystemClock;
use aups_core::{Clock, Item, ManualClock, Marks, PublisherSlot, ScopeSpec, Session, Topic, UnixMillis};
use aups_envelope::{ContentType, Plaintext, SealingKey, Secret, Spelling};
use aups_ktm::{KeysTopicsManager as _, Ktm, KtmSettings, custody::Keyring};
use aups_policy::{Pdp, PolicySet, Resource};
use aups_store::InMemory;
use futures_util::FutureExt as _;
use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

/// Figures are medians of so many rounds.
const ROUNDS: usize = 51;
/// Times a step is done in a round, but for those that are done once.
const TIMES: u32 = 200;
/// An item of the workload as it is published.
const ITEM: &str = r#"{"id":"019b7640-2000-7000-8000-000000000001","source":{"nodeId":"s0","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-01-01T00:01:40.000Z","data":{"name":"q0","value":10.0,"unit":"Cel","time":"1988-01-01T01:00:00-05:00","nodeId":"s0","number":1},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,"authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#;
const TOPIC: &str = "data/s0/q0";

/// Medians.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    /// Who may read an item of a kind that was seen before.
    pub(super) scope_known: Duration,
    /// The same of the first item of its kind: the policies are evaluated.
    pub(super) scope_evaluated: Duration,
    /// Sealing an item.
    pub(super) seal: Duration,
    /// The key to seal with, from the KTM, within an epoch.
    pub(super) key_held: Duration,
    /// The same at the beginning of an epoch: two keys are derived.
    pub(super) key_derived: Duration,
}

impl Steps {
    pub(super) async fn measure(workload: &Workload) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::at(SystemClock.now()));
        let (store, keyring) = (Arc::new(InMemory::new()), Keyring::in_memory(Secret::random()));
        let ktm = Ktm::open(store, keyring, Arc::clone(&clock) as Arc<dyn Clock>, KtmSettings::default()).await?;
        let policies = PolicySet::parse(&workload.policies(), "policies")
            .map_err(|errors| anyhow!("the policies of the workload: {errors:?}"))?;
        let (item, topic): (Item, Topic) = (serde_json::from_str(ITEM)?, TOPIC.parse()?);
        let marks = Marks::default();
        let resource = Resource { item: &item, topic: &topic, marks: &marks };
        let pdp = Pdp::new(ktm.realm().id(), policies.clone());
        let scope = pdp.scope(&resource).context("nobody may read the item of the steps")?;

        let mut fresh =
            (0..ROUNDS).map(|_| Pdp::new(ktm.realm().id(), policies.clone())).collect::<Vec<_>>().into_iter();
        let (key_held, key_derived) = keys(&ktm, &clock, &scope).await?;
        Ok(Self {
            scope_known: median(TIMES, || drop(black_box(pdp.scope(black_box(&resource))))),
            scope_evaluated: median(1, || drop(black_box(fresh.next().map(|pdp| pdp.scope(&resource))))),
            seal: seal(&ktm, &scope, clock.now()).await?,
            key_held,
            key_derived,
        })
    }
}

/// Within an epoch, and at the beginning of one.
async fn keys(ktm: &Ktm, clock: &ManualClock, scope: &ScopeSpec) -> anyhow::Result<(Duration, Duration)> {
    ktm.ensure_scope(scope).await?;
    // Nothing of it goes to the store.
    let ask = || drop(black_box(ktm.sealing_keys(black_box(&scope.id)).now_or_never()));
    ask();
    let held = median(TIMES, ask);
    // Two instants an epoch apart: each question finds the keys of the other one.
    let instants = [clock.now(), clock.now().plus(Duration::from_millis(scope.life_ms))];
    let mut turns = instants.iter().cycle();
    let derived = median(TIMES, || {
        turns.next().into_iter().for_each(|instant| clock.set(*instant));
        ask();
    });
    Ok((held, derived))
}

async fn seal(ktm: &Ktm, scope: &ScopeSpec, now: UnixMillis) -> anyhow::Result<Duration> {
    let keys = ktm.sealing_keys(&scope.id).await?;
    let key = SealingKey::new(&keys.current, PublisherSlot(1), Session::new(1, 2));
    let (content, bytes) = (ContentType::Json, ITEM.as_bytes());
    let plaintext = Plaintext { topic: TOPIC, topic_seq: 0, ts: now, content, bytes, pad_bytes: 0 };
    key.seal(&plaintext, None, Spelling::Json)?;
    Ok(median(TIMES, || drop(black_box(key.seal(black_box(&plaintext), None, Spelling::Json)))))
}

/// How long a step takes when it is done so many times in a row.
fn median(times: u32, mut step: impl FnMut()) -> Duration {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..times).for_each(|_| step());
            began.elapsed() / times
        })
        .collect();
    rounds.sort_unstable();
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}
