//! Several NOSs seal at once over one KTM, are killed at any point and begin again, by clocks that jump: whether a pair of
//! key and nonce ever comes twice, and whether anything is sealed under a key whose time is over.

use aups_core::{Clock, KeyId, ManualClock, Sub, Topic, UnixMillis, limits::SKEW_MAX};
use aups_envelope::{SealedMessage, Secret, SigningKey, SourceMaster, sha256};
use aups_ktm::{KeysTopicsManager as _, Ktm, KtmSettings, custody::Keyring};
use aups_nos::{
    Config, Nos, NosParts, NosSettings, Outgoing, Reader, Readers, Receipt, Sink, SinkError,
    config::{Quotas, fixed},
    key_request_queue,
};
use aups_policy::{Pdp, PolicySet, Residuals};
use aups_store::{InMemory, Store};
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Request, header},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time,
};
use tower::ServiceExt as _;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Some day in 2026.
const START: UnixMillis = UnixMillis(1_780_000_000_000);
/// How far a NOS's clock jumps, at most, in milliseconds.
const JUMP_MS: u64 = 600_000;
/// A NOS lives for so many items, at most.
const LIFE_ITEMS_MAX: u64 = 4_000;
/// A NOS whose clock is wrong seals nothing: it is killed after so long.
const PATIENCE: Duration = Duration::from_millis(100);
/// The KTM is killed, too, each time that each NOS has lived so often.
const LIVES_OF_A_KTM: u64 = 25;

/// Keys of one second, so that they change all the time, in each suite; and one of an hour.
const POLICIES: &str = r#"
    @id("0") @keylife("1s") permit(principal, action == Action::"receive", resource in Topic::"unregistered/n0")
    when { principal.roles.contains("r0") };
    @id("1") @keylife("1s") @suite("chacha20-poly1305")
    permit(principal, action == Action::"receive", resource in Topic::"unregistered/n1")
    when { principal.roles.contains("r1") };
    @id("2") @keylife("2s") @suite("ascon-aead128")
    permit(principal, action == Action::"receive", resource in Topic::"unregistered/n2")
    when { principal.roles.contains("r2") };
    @id("3") @keylife("1h") permit(principal, action == Action::"receive", resource in Topic::"unregistered/n3")
    when { principal.roles.contains("r3") };
"#;

/// How much is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Messages, at least.
    pub(crate) count: usize,
    /// NOSs at once.
    pub(crate) nos: u8,
    /// What happens when.
    pub(crate) seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) seals: usize,
    /// Messages whose (key, publisher, session, seq), and so key and nonce, were there before.
    pub(crate) repeated: usize,
    /// Messages handed over when the KTM's clock was beyond the key's `exp` by more than the skew.
    pub(crate) after_exp: u64,
    pub(crate) sessions: usize,
    pub(crate) keys: usize,
    pub(crate) jumps: u64,
}

/// Everything that was sealed: 16 bytes a message.
#[derive(Default)]
struct Seen {
    marks: Vec<[u8; 16]>,
    sessions: BTreeSet<(u32, u64)>,
    keys: BTreeMap<KeyId, UnixMillis>,
    after_exp: u64,
}

/// A broker that takes everything at once and remembers under what it was sealed.
struct Recorder {
    seen: Arc<Mutex<Seen>>,
    ktm: Arc<Ktm>,
    truth: Arc<ManualClock>,
    taken: AtomicU64,
    moved: Notify,
}

impl Recorder {
    async fn record(&self, batch: &[Outgoing]) -> Result<(), SinkError> {
        let unreadable = |error: &dyn std::fmt::Display| SinkError::Refused(error.to_string());
        for message in batch {
            let sealed = SealedMessage::parse(&message.payload).map_err(|error| unreadable(&error))?;
            let header = *sealed.header();
            let known = self.seen().keys.get(&header.key_id).copied();
            let exp = match known {
                Some(exp) => exp,
                None => match self.ktm.resolve(&header.key_id).await.map_err(|error| unreadable(&error))? {
                    Some(resolved) => resolved.key.terms.exp,
                    None => return Err(unreadable(&"sealed under a key that the KTM does not know")),
                },
            };
            let parts: [&[u8]; 4] = [
                header.key_id.as_bytes(),
                &header.publisher.0.to_be_bytes(),
                &header.session.0.to_be_bytes(),
                &header.seq.to_be_bytes(),
            ];
            let mut mark = [0; 16];
            mark.copy_from_slice(sha256(&parts).first_chunk::<16>().ok_or_else(|| unreadable(&"no hash"))?);
            let mut seen = self.seen();
            seen.marks.push(mark);
            seen.sessions.insert((header.publisher.0, header.session.0));
            seen.keys.insert(header.key_id, exp);
            seen.after_exp += u64::from(self.truth.now() > exp.plus(SKEW_MAX));
        }
        self.taken.fetch_add(u64::try_from(batch.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.moved.notify_waiters();
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so many messages.
    async fn until(&self, count: u64) {
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.taken.load(Ordering::Relaxed) >= count {
                return;
            }
            moved.await;
        }
    }
}

/// What a NOS holds on to: a broker of its own over the common record.
struct Handle(Arc<Recorder>);

impl Sink for Handle {
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let recorder = Arc::clone(&self.0);
        Box::pin(async move {
            recorder.record(&batch).await?;
            let receipt: Receipt = Box::pin(std::future::ready(Ok(())));
            Ok(receipt)
        })
    }

    fn send(&self, _: Outgoing) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn connected(&self) -> bool {
        true
    }

    fn retained(&self) -> BoxFuture<'static, Vec<(Topic, Bytes)>> {
        Box::pin(std::future::ready(Vec::new()))
    }
}

struct Nobody;

impl Readers for Nobody {
    fn reader(&self, _: &Sub) -> Option<Arc<Reader>> {
        None
    }
}

/// What all NOSs of a KTM have in common.
struct World {
    store: Arc<dyn Store>,
    ktm: Arc<Ktm>,
    truth: Arc<ManualClock>,
    seen: Arc<Mutex<Seen>>,
    policies: watch::Receiver<Arc<Pdp>>,
}

fn below(numbers: &mut TestRng, limit: u64) -> u64 {
    numbers.next_u64() % limit.max(1)
}

fn numbers(seed: u64, of: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &sha256(&[&seed.to_be_bytes(), &[of]]))
}

/// Seals until there are enough messages.
pub(crate) async fn run(plan: Plan) -> Result<Found, Failure> {
    let store: Arc<dyn Store> = Arc::new(InMemory::new());
    let keyring = Keyring::in_memory(Secret::random());
    let truth = Arc::new(ManualClock::at(START));
    let seen = Arc::new(Mutex::new(Seen { marks: Vec::with_capacity(plan.count * 21 / 20), ..Seen::default() }));
    let mut all: Vec<TestRng> = (0..plan.nos).map(|of| numbers(plan.seed, of)).collect();
    let mut jumps = 0;
    while seen.lock().unwrap_or_else(PoisonError::into_inner).marks.len() < plan.count {
        let ktm = Ktm::open(Arc::clone(&store), keyring.clone(), truth.clone(), KtmSettings::default()).await?;
        let ktm = Arc::new(ktm);
        let set = PolicySet::parse(POLICIES, "policies").map_err(|errors| format!("{errors:?}"))?;
        let (_keep, policies) = watch::channel(Arc::new(Pdp::new(ktm.realm().id(), set)));
        let world =
            Arc::new(World { store: Arc::clone(&store), ktm, truth: truth.clone(), seen: seen.clone(), policies });
        let mut tasks = JoinSet::new();
        for (of, numbers) in (0_u8..).zip(std::mem::take(&mut all)) {
            tasks.spawn(lives(Arc::clone(&world), of, numbers));
        }
        while let Some(done) = tasks.join_next().await {
            let (numbers, jumped) = done??;
            all.push(numbers);
            jumps += jumped;
        }
    }
    let mut seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    seen.marks.sort_unstable();
    let repeated = seen.marks.windows(2).filter(|pair| pair.first() == pair.last()).count();
    Ok(Found {
        seals: seen.marks.len(),
        repeated,
        after_exp: seen.after_exp,
        sessions: seen.sessions.len(),
        keys: seen.keys.len(),
        jumps,
    })
}

/// Some lives of a NOS, each ended at some point of its work.
async fn lives(world: Arc<World>, of: u8, mut numbers: TestRng) -> Result<(TestRng, u64), Failure> {
    let clock = Arc::new(ManualClock::at(world.truth.now()));
    let mut jumps = 0;
    for _ in 0..LIVES_OF_A_KTM {
        world.truth.advance(Duration::from_millis(below(&mut numbers, 50)));
        let now = world.truth.now();
        match below(&mut numbers, 8) {
            0 => {
                jumps += 1;
                clock.set(UnixMillis(now.0 - JUMP_MS + below(&mut numbers, 2 * JUMP_MS)));
            }
            // A little off, as clocks are: at the end of a key's life that shows.
            1 => clock.set(UnixMillis(now.0 - 500 + below(&mut numbers, 1_000))),
            _ => clock.set(now),
        }
        live(&world, of, clock.clone(), &mut numbers).await?;
    }
    Ok((numbers, jumps))
}

async fn live(world: &World, of: u8, clock: Arc<ManualClock>, numbers: &mut TestRng) -> Result<(), Failure> {
    let recorder = Arc::new(Recorder {
        seen: world.seen.clone(),
        ktm: world.ktm.clone(),
        truth: world.truth.clone(),
        taken: AtomicU64::new(0),
        moved: Notify::new(),
    });
    let quotas = Quotas { unregistered: None, ..Quotas::default() };
    let config = fixed(Config { quotas, ..Config::default() }).map_err(|_| "the configuration is not valid")?;
    let nos = Nos::start(NosParts {
        id: format!("nos-{of}").parse()?,
        realm_key: world.ktm.realm().public(),
        signing_key: SigningKey::from_seed(Secret::from_bytes([of; 32])),
        source_master: SourceMaster::new(Secret::from_bytes([of; 32])),
        ktm: world.ktm.clone(),
        policies: world.policies.clone(),
        residuals: Arc::new(Residuals::new(100)),
        readers: Arc::new(Nobody),
        ledger: None,
        key_requests: key_request_queue().1,
        sink: Arc::new(Handle(recorder.clone())),
        store: world.store.clone(),
        queue: None,
        clock,
        config,
        settings: NosSettings::default(),
    })
    .await?;
    let items = 1 + below(numbers, LIFE_ITEMS_MAX);
    let dies_at = below(numbers, items + 1);
    let mut body = String::new();
    for item in 0..items {
        let (node, name) = (numbers.next_u64() % 4, numbers.next_u64() % 4);
        writeln!(body, r#"{{"NodeId":"n{node}","name":"t{name}","value":{item}}}"#)?;
    }
    let request = Request::post("/data")
        .header(header::CONTENT_TYPE, "application/x-ndjson")
        .extension(ConnectInfo(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1)))
        .body(Body::from(body))?;
    let work = async {
        let sent = nos.router().oneshot(request);
        tokio::join!(sent, recorder.until(dies_at)).0
    };
    // Whether all of it came through in time is of no interest: the end comes at any point.
    let _ = time::timeout(PATIENCE, work).await;
    drop(nos);
    Ok(())
}
