//! What tests have in common: a NOS over a real store, KTM and PDP in memory, a broker that the test plays, and a clock
//! that the test moves.

use crate::{
    Allowance, Config, KeyLedger, KeyOutcome, KeyRequests, LedgerError, Nos, NosParts, NosSettings, Outgoing, Rate,
    Reader, ReaderKeys, Readers, Receipt, Registration, Sink, SinkError, Sources,
    accept::{Acceptance, Entry, Sender},
    config::{self, ActiveConfig, Quotas},
    json::Document,
    key_request_queue,
    sources::{EncryptionScheme, SourceRecord},
};
use aups_core::{
    Attributes, Clock as _, Item, KeyId, ManualClock, Marks, NosId, Principal, ReaderKind, RealmId, Sub, Topic,
    UnixMillis,
};
use aups_envelope::{
    OpeningKey, SealedMessage, Secret, SigningKey, SourceMaster,
    kem::{Kem, KemSecretKey},
};
use aups_ktm::{KeysTopicsManager, Ktm, KtmSettings, custody::Keyring};
use aups_policy::{Pdp, PolicySet, Residuals};
use aups_store::{InMemory, IngestQueue, Store};
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, StatusCode, header},
};
use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http_body_util::BodyExt as _;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Notify, oneshot, watch};
use tower::ServiceExt as _;

/// Some day in 2026.
pub(crate) const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

/// Meteorologists read everything.
pub(crate) const METEOROLOGISTS: &str = r#"
    @id("data") permit(principal, action == Action::"receive", resource in Topic::"data")
    when { principal.roles.contains("meteorologist") };
    @id("rest") permit(principal, action == Action::"receive", resource in Topic::"unregistered")
    when { principal.roles.contains("meteorologist") };
"#;

pub(crate) fn nos_id() -> NosId {
    "nos-1".parse().unwrap()
}

pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(Secret::from_bytes([9; 32]))
}

pub(crate) fn source_master() -> SourceMaster {
    SourceMaster::new(Secret::from_bytes([8; 32]))
}

pub(crate) fn kek() -> Keyring {
    Keyring::in_memory(Secret::from_bytes([7; 32]))
}

pub(crate) fn pdp(realm: RealmId, policies: &str) -> Arc<Pdp> {
    Arc::new(Pdp::new(realm, PolicySet::parse(policies, "policies").unwrap()))
}

/// No source is registered.
pub(crate) async fn sources() -> Arc<Sources> {
    let clock = Arc::new(ManualClock::at(NOW));
    Arc::new(Sources::open(Arc::new(InMemory::new()), clock, source_master(), Registration::Open, 10).await.unwrap())
}

/// A reader who has enrolled.
pub(crate) struct Enrolled {
    pub(crate) sub: Sub,
    pub(crate) signing_key: SigningKey,
    pub(crate) kem: KemSecretKey,
}

#[derive(Default)]
pub(crate) struct FakeReaders {
    readers: Mutex<HashMap<Sub, Arc<Reader>>>,
    /// Readers change whenever they are looked up.
    pub(crate) unsteady: AtomicBool,
}

impl Readers for FakeReaders {
    fn reader(&self, sub: &Sub) -> Option<Arc<Reader>> {
        if self.unsteady.load(Ordering::Relaxed) {
            self.replace(sub.as_str(), false);
        }
        self.readers.lock().unwrap().get(sub).cloned()
    }
}

impl FakeReaders {
    pub(crate) fn enrol(&self, name: &str, roles: &[&str]) -> Enrolled {
        let enrolled =
            Enrolled { sub: name.parse().unwrap(), signing_key: SigningKey::generate(), kem: Kem::X25519.generate() };
        let keys = ReaderKeys { signing_key: enrolled.signing_key.public(), kem: enrolled.kem.public() };
        self.insert(name, roles, Some(keys));
        enrolled
    }

    /// Another registration of the same reader, as a change makes it.
    pub(crate) fn replace(&self, name: &str, changing: bool) {
        let mut readers = self.readers.lock().unwrap();
        let reader = readers.get_mut(&name.parse::<Sub>().unwrap()).unwrap();
        let keys = reader.keys.as_ref().map(|keys| ReaderKeys { signing_key: keys.signing_key, kem: keys.kem.clone() });
        *reader = Arc::new(Reader { principal: reader.principal.clone(), keys, changing });
    }

    pub(crate) fn insert(&self, name: &str, roles: &[&str], keys: Option<ReaderKeys>) {
        let attributes = Attributes { roles: roles.iter().map(ToString::to_string).collect(), ..Attributes::default() };
        let sub: Sub = name.parse().unwrap();
        let principal =
            Principal { kind: ReaderKind::User, sub: sub.clone(), attributes, groups: [].into(), app: None };
        self.readers.lock().unwrap().insert(sub, Arc::new(Reader { principal, keys, changing: false }));
    }
}

/// Keeps what it is told, unless it is full.
#[derive(Default)]
pub(crate) struct FakeLedger {
    pub(crate) told: Mutex<Vec<KeyOutcome>>,
    pub(crate) full: AtomicBool,
}

impl KeyLedger for FakeLedger {
    fn record(&self, outcome: KeyOutcome) -> BoxFuture<'_, Result<(), LedgerError>> {
        let kept = if self.full.load(Ordering::Relaxed) {
            Err("full".into())
        } else {
            self.told.lock().unwrap().push(outcome);
            Ok(())
        };
        std::future::ready(kept).boxed()
    }
}

/// What the broker does with what it is handed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes and acknowledges.
    #[default]
    Acknowledge,
    /// Takes and says nothing until the mood changes.
    Hold,
    /// Takes, forgets and reports that.
    Lose,
    /// Cannot be reached.
    Away,
    /// Acknowledges, but refuses what goes to topics that end so, and with it the batch.
    Refuse(&'static str),
}

/// A broker that the test plays.
#[derive(Default)]
pub(crate) struct FakeSink {
    state: Mutex<SinkState>,
    changed: Notify,
}

#[derive(Default)]
struct SinkState {
    mood: Mood,
    delivered: Vec<Outgoing>,
    held: Vec<Held>,
    lost: usize,
    retained: Vec<Outgoing>,
    sent: Vec<Outgoing>,
}

impl FakeSink {
    /// Takes what was sent at QoS 0, once there is something.
    pub(crate) async fn until_sent(&self) -> Vec<Outgoing> {
        self.until(|state| !state.sent.is_empty()).await;
        std::mem::take(&mut self.state.lock().unwrap().sent)
    }

    pub(crate) fn set(&self, mood: Mood) {
        let mut state = self.state.lock().unwrap();
        state.mood = mood;
        for (batch, receipt) in std::mem::take(&mut state.held) {
            if mood == Mood::Acknowledge {
                state.delivered.extend(batch);
                let _ = receipt.send(Ok(()));
            } else {
                state.lost += batch.len();
                let _ = receipt.send(Err(SinkError::Unreachable("lost".into())));
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until something is so.
    async fn until(&self, holds: impl Fn(&SinkState) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.state.lock().unwrap()) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) async fn until_delivered(&self, count: usize) -> Vec<Outgoing> {
        self.until(|state| state.delivered.len() >= count).await;
        self.state.lock().unwrap().delivered.clone()
    }

    pub(crate) async fn until_held(&self, count: usize) {
        self.until(|state| state.held.iter().map(|(batch, _)| batch.len()).sum::<usize>() >= count).await;
    }

    pub(crate) async fn until_lost(&self, count: usize) {
        self.until(|state| state.lost >= count).await;
    }

    /// What the broker retained before.
    pub(crate) fn retain(&self, message: Outgoing) {
        self.state.lock().unwrap().retained.push(message);
    }

    pub(crate) fn delivered(&self) -> Vec<Outgoing> {
        self.state.lock().unwrap().delivered.clone()
    }
}

impl Sink for FakeSink {
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let mut state = self.state.lock().unwrap();
        let (sender, receipt) = oneshot::channel();
        let outcome = match state.mood {
            Mood::Away => return async { Err(SinkError::Unreachable("away".into())) }.boxed(),
            Mood::Acknowledge => {
                state.delivered.extend(batch);
                sender.send(Ok(()))
            }
            Mood::Refuse(end) => {
                let (refused, taken): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|message| message.topic.as_str().ends_with(end));
                state.delivered.extend(taken);
                sender.send(if refused.is_empty() { Ok(()) } else { Err(SinkError::Refused("NotAuthorized".into())) })
            }
            Mood::Lose => {
                state.lost += batch.len();
                sender.send(Err(SinkError::Unreachable("lost".into())))
            }
            Mood::Hold => {
                state.held.push((batch, sender));
                Ok(())
            }
        };
        outcome.unwrap();
        drop(state);
        self.changed.notify_waiters();
        async { Ok(receipt.map(|answer| answer.unwrap()).boxed()) }.boxed()
    }

    fn send(&self, message: Outgoing) -> BoxFuture<'static, ()> {
        self.state.lock().unwrap().sent.push(message);
        self.changed.notify_waiters();
        std::future::ready(()).boxed()
    }

    fn connected(&self) -> bool {
        self.state.lock().unwrap().mood != Mood::Away
    }

    fn retained(&self) -> BoxFuture<'static, Vec<(Topic, Bytes)>> {
        let retained = self.state.lock().unwrap().retained.clone();
        async { retained.into_iter().map(|message| (message.topic, message.payload)).collect() }.boxed()
    }
}

type Held = (Vec<Outgoing>, oneshot::Sender<Result<(), SinkError>>);

/// A NOS and everything around it.
pub(crate) struct Rig {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ktm: Arc<Ktm>,
    pub(crate) policies: watch::Sender<Arc<Pdp>>,
    pub(crate) readers: Arc<FakeReaders>,
    pub(crate) ledger: Arc<FakeLedger>,
    pub(crate) key_requests: KeyRequests,
    pub(crate) sink: Arc<FakeSink>,
    pub(crate) config: watch::Sender<Arc<ActiveConfig>>,
    pub(crate) nos: Nos,
}

/// How a NOS is set up and what is administered.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) settings: NosSettings,
    pub(crate) config: Config,
}

impl From<NosSettings> for Setup {
    fn from(settings: NosSettings) -> Self {
        Self { settings, ..Self::default() }
    }
}

impl From<Config> for Setup {
    fn from(config: Config) -> Self {
        Self { config, ..Self::default() }
    }
}

/// As by default, but for what unregistered sources may send.
pub(crate) fn quota(unregistered: Rate) -> Config {
    let unregistered = Some(Allowance::items(unregistered));
    Config { quotas: Quotas { unregistered, ..Quotas::default() }, ..Config::default() }
}

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(Setup::default(), None).await
    }

    pub(crate) async fn with(setup: impl Into<Setup>, queue: Option<IngestQueue>) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        Self::over(Arc::new(InMemory::new()), clock, setup, queue).await
    }

    pub(crate) async fn over(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        setup: impl Into<Setup>,
        queue: Option<IngestQueue>,
    ) -> Self {
        Self::over_sink(store, clock, setup, queue, Arc::default()).await
    }

    pub(crate) async fn over_sink(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        setup: impl Into<Setup>,
        queue: Option<IngestQueue>,
        sink: Arc<FakeSink>,
    ) -> Self {
        let Setup { settings, config } = setup.into();
        let ktm = Ktm::open(Arc::clone(&store), kek(), clock.clone(), KtmSettings::default()).await.unwrap();
        let ktm = Arc::new(ktm);
        let (policies, in_force) = watch::channel(pdp(ktm.realm().id(), METEOROLOGISTS));
        let readers = Arc::new(FakeReaders::default());
        let ledger = Arc::new(FakeLedger::default());
        let (key_requests, waiting) = key_request_queue();
        let (config, config_in_force) = watch::channel(Arc::new(ActiveConfig::new(0, config).unwrap()));
        let nos = Nos::start(NosParts {
            id: nos_id(),
            realm_key: ktm.realm().public(),
            signing_key: signing_key(),
            source_master: source_master(),
            ktm: ktm.clone(),
            policies: in_force,
            residuals: Arc::new(Residuals::new(100)),
            readers: readers.clone(),
            ledger: Some(ledger.clone()),
            key_requests: waiting,
            sink: sink.clone(),
            store,
            queue,
            clock: clock.clone(),
            config: config_in_force,
            settings,
        });
        let nos = nos.await.unwrap();
        Self { clock, ktm, policies, readers, ledger, key_requests, sink, config, nos }
    }

    pub(crate) fn router(&self) -> Router {
        self.nos.router()
    }

    pub(crate) fn put_in_force(&self, policies: &str) {
        self.policies.send(pdp(self.ktm.realm().id(), policies)).unwrap();
    }

    pub(crate) fn configure(&self, config: Config) {
        let version = self.config.borrow().version + 1;
        self.config.send(Arc::new(ActiveConfig::new(version, config).unwrap())).unwrap();
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.router().oneshot(request).await.unwrap()).await
    }

    /// `POST /data` without a credential, from an address of its own for each call.
    pub(crate) async fn data(&self, body: impl Into<Body>) -> Answer {
        self.send(data(body)).await
    }

    /// Registers a source and gives its credential.
    pub(crate) async fn register(&self, name: &str) -> String {
        let body = format!(r#"{{"NodeId":"{name}","NodeType":"sensor","CommunicationMode":"discrete"}}"#);
        let answer = self.send(post("/registration", body)).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.json["credential"].as_str().unwrap().into()
    }

    /// Opens what was published, as a reader who has the key.
    pub(crate) async fn open(&self, message: &Outgoing) -> Item {
        let sealed = SealedMessage::parse(&message.payload).unwrap();
        let header = sealed.header();
        let key = self.ktm.resolve(&header.key_id).await.unwrap().unwrap().key;
        let opening = OpeningKey::new(&key, header.publisher, header.session);
        let plaintext = opening.open(message.topic.as_str(), &sealed, Some(&signing_key().public())).unwrap();
        serde_json::from_slice(&plaintext).unwrap()
    }

    pub(crate) async fn open_all(&self, messages: &[Outgoing]) -> Vec<Item> {
        let mut items = Vec::new();
        for message in messages {
            items.push(self.open(message).await);
        }
        items
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

pub(crate) fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    from(
        [192, 0, 2, 1],
        Request::post(path).header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap(),
    )
}

pub(crate) fn data(body: impl Into<Body>) -> Request<Body> {
    post("/data", body)
}

pub(crate) fn lines(body: impl Into<Body>) -> Request<Body> {
    with_type(data(body), "application/x-ndjson")
}

pub(crate) fn with_type(mut request: Request<Body>, media_type: &str) -> Request<Body> {
    request.headers_mut().insert(header::CONTENT_TYPE, media_type.parse().unwrap());
    request
}

pub(crate) fn with_bearer(mut request: Request<Body>, token: &str) -> Request<Body> {
    request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
    request
}

pub(crate) fn from(address: impl Into<IpAddr>, mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address.into(), 4_711)));
    request
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) json: serde_json::Value,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        let answer = Self { status: head.status, headers: head.headers, bytes, json };
        if answer.status.is_client_error() && answer.header(header::CONTENT_TYPE) != "application/jose" {
            answer.assert_problem();
        }
        answer
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// RFC 9457, and our own promise that `detail` says something.
    fn assert_problem(&self) {
        assert_eq!(self.header(header::CONTENT_TYPE), crate::PROBLEM_JSON);
        assert!(self.json["type"].as_str().unwrap().starts_with("urn:aups:error:"), "{self:?}");
        assert_eq!(self.json["status"], self.status.as_u16());
        assert!(self.json["title"].is_string() && self.json["detail"].as_str().unwrap().len() > 10, "{self:?}");
    }

    /// The status and the code of the problem.
    pub(crate) fn problem(&self) -> (u16, &str) {
        self.assert_problem();
        (self.status.as_u16(), self.json["type"].as_str().unwrap().trim_start_matches("urn:aups:error:"))
    }

    pub(crate) fn accepted(&self) -> u64 {
        assert_eq!(self.status, StatusCode::ACCEPTED, "{self:?}");
        self.json["accepted"].as_u64().unwrap()
    }
}

/// A registered source that shows its credential.
pub(crate) fn source_record(node: &str) -> SourceRecord {
    SourceRecord {
        node_id: node.parse().unwrap(),
        node_type: "sensor".into(),
        communication_mode: "discrete".into(),
        encryption_scheme: EncryptionScheme::None,
        credential_id: KeyId::from_bytes([7; 24]),
        registered_at: NOW,
        marks: Marks::default(),
    }
}

/// An entry as the southbound makes it, of an unregistered source.
pub(crate) fn entry(json: &str) -> Entry {
    let sender = Sender::Unregistered([192, 0, 2, 1].into());
    let mut entries = accepted(&acceptance(1), json, &sender);
    assert_eq!(entries.len(), 1, "{json}");
    entries.remove(0)
}

/// What takes values in, by default rules.
pub(crate) fn acceptance(salt: u8) -> Acceptance {
    let transport = NosSettings::default().transport;
    let clock = Arc::new(ManualClock::at(NOW));
    Acceptance::new(config::fixed(Config::default()).unwrap(), transport, clock, [salt; 32])
}

/// The entries that a value makes.
pub(crate) fn accepted(acceptance: &Acceptance, json: &str, sender: &Sender) -> Vec<Entry> {
    let mut entries = Vec::new();
    let document = Document::read(json.as_bytes()).unwrap();
    acceptance.accept(document.root(), sender, &ActiveConfig::default(), &mut entries).unwrap();
    entries
}
