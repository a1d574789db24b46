//! What sources send, over a whole NOS: `POST /data` in every form, `POST /registration`, and the administered document.
//!
//! A NOS of its own for each thread, with a broker that takes everything; nobody may read, so that nothing is sealed.

use crate::fixture::{NOW, secret, signing};
use aups_core::{ManualClock, NodeId, Session, Sub, Suite, Topic};
use aups_envelope::{ContentType, SourceMaster, SourceSealer, Spelling};
use aups_ktm::{Ktm, KtmSettings, custody::Keyring};
use aups_nos::{
    ActiveConfig, Config, Nos, NosParts, NosSettings, Outgoing, Reader, Readers, Receipt, Sink, SinkError,
    key_request_queue, quarantine::QuarantineRules,
};
use aups_policy::{Pdp, PolicySet, Residuals};
use aups_store::InMemory;
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Request, StatusCode, header},
};
use futures_util::{future::BoxFuture, stream};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::{cell::RefCell, convert::Infallible, sync::Arc};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};
use tower::ServiceExt as _;

/// A NOS and what drives it.
struct World {
    runtime: Runtime,
    config: watch::Sender<Arc<ActiveConfig>>,
    router: Router,
    nos: Nos,
    sealer: SourceSealer,
    _policies: watch::Sender<Arc<Pdp>>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

fn with_world<T>(of: impl FnOnce(&World) -> T) -> T {
    WORLD.with_borrow_mut(|world| of(world.get_or_insert_with(World::start)))
}

struct Broker;

impl Sink for Broker {
    fn publish(&self, _: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let receipt: Receipt = Box::pin(std::future::ready(Ok(())));
        Box::pin(std::future::ready(Ok(receipt)))
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

/// A document without quotas and quarantine: they would end the run.
fn unlimited(config: Config) -> Config {
    let quotas = serde_json::from_str(r#"{"unregistered":null}"#).expect("quotas");
    Config { quotas, quarantine: QuarantineRules { enabled: false, ..QuarantineRules::default() }, ..config }
}

fn active(config: Config) -> Arc<ActiveConfig> {
    Arc::new(ActiveConfig::new(1, unlimited(config)).expect("a valid document"))
}

impl World {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        let (config, in_force) = watch::channel(active(Config::default()));
        let (nos, policies) = runtime.block_on(async {
            let store = Arc::new(InMemory::new());
            let clock = Arc::new(ManualClock::at(NOW));
            let keyring = Keyring::in_memory(secret("kek"));
            let ktm = Ktm::open(store.clone(), keyring, clock.clone(), KtmSettings::default()).await.expect("a KTM");
            let ktm = Arc::new(ktm);
            let nobody = PolicySet::parse("", "policies").expect("the empty set");
            let (policies, decisions) = watch::channel(Arc::new(Pdp::new(ktm.realm().id(), nobody)));
            let nos = Nos::start(NosParts {
                id: "nos-1".parse().expect("a name"),
                realm_key: ktm.realm().public(),
                signing_key: signing("nos"),
                source_master: SourceMaster::new(secret("sources")),
                ktm,
                policies: decisions,
                residuals: Arc::new(Residuals::new(10)),
                readers: Arc::new(Nobody),
                ledger: None,
                key_requests: key_request_queue().1,
                sink: Arc::new(Broker),
                store,
                queue: None,
                clock,
                config: in_force,
                settings: NosSettings::default(),
            });
            (nos.await.expect("a NOS"), policies)
        });
        let router = nos.router();
        let sealer = runtime.block_on(register_sealer(&router));
        Self { runtime, config, router, nos, sealer, _policies: policies }
    }

    fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        self.runtime.block_on(async {
            let answer = send(&self.router, request).await;
            // What was taken is withheld before the next request comes.
            while self.nos.unacknowledged() > 0 {
                tokio::task::yield_now().await;
            }
            answer
        })
    }

    fn post(&self, media_type: &'static str, body: impl Into<Body>) -> (StatusCode, Value) {
        self.send(request("/data", media_type, body))
    }
}

fn request(path: &str, media_type: &'static str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header(header::CONTENT_TYPE, media_type).body(body.into()).expect("a request")
}

async fn send(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let Ok(answer) = router.clone().oneshot(request).await;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body in memory").to_bytes();
    assert!(!head.status.is_server_error(), "{}: {}", head.status, body.escape_ascii());
    (head.status, serde_json::from_slice(&body).expect("every answer is JSON"))
}

async fn register_sealer(router: &Router) -> SourceSealer {
    let registration = r#"{"NodeId":"sealer","NodeType":"t","CommunicationMode":"m","EncryptionScheme":"aes-256-gcm"}"#;
    let (status, told) = send(router, request("/registration", "application/json", registration)).await;
    assert_eq!(status, StatusCode::CREATED, "{told}");
    let text = |name: &str| told.get(name).and_then(Value::as_str).expect("told at the registration");
    let id = text("credentialId").parse().expect("a credentialId");
    let node: NodeId = "sealer".parse().expect("a name");
    // The key that was told is derived from the NOS's master.
    let key = SourceMaster::new(secret("sources")).key(&node, Suite::Aes256Gcm, &id);
    SourceSealer::new(&node, Suite::Aes256Gcm, &key, id, Session::new(1, 1))
}

/// A member; null if there is none.
fn member<'v>(object: &'v Value, name: &str) -> &'v Value {
    object.get(name).unwrap_or(&Value::Null)
}

/// A whole JSON body: what is taken is JSON to others as well, and each value of it makes an item.
pub(crate) fn data(data: &[u8]) {
    let (status, told) = with_world(|world| world.post("application/json", data.to_vec()));
    if status == StatusCode::ACCEPTED {
        let value: Value = serde_json::from_slice(data).expect("it is no JSON to others");
        let items = value.as_array().map_or(1, Vec::len);
        assert_eq!(member(&told, "accepted"), items);
    } else {
        assert!(member(&told, "detail").as_str().is_some_and(|detail| !detail.is_empty()), "{told}");
    }
}

/// Lines: what is taken does not depend on where the stream is split, and each line that is taken is JSON.
pub(crate) fn lines(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    let send = |size: usize| {
        let parts: Vec<_> = text.chunks(size).map(|part| Ok::<_, Infallible>(Bytes::copy_from_slice(part))).collect();
        with_world(|world| world.post("application/x-ndjson", Body::from_stream(stream::iter(parts))))
    };
    let whole = send(text.len().max(1));
    let split = send(usize::from(*first).max(1));
    assert_eq!(whole, split, "split every {first} bytes");
    let accepted = member(&whole.1, "accepted").as_u64().expect("a stream says what was taken");
    let values = text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let mut items = 0;
    for line in values {
        if items == accepted && whole.0 != StatusCode::ACCEPTED {
            break;
        }
        let value: Value = serde_json::from_slice(line).expect("it is no JSON to others");
        items += value.as_array().map_or(1, |all| all.len() as u64);
    }
    assert!(items >= accepted, "{accepted} items of {items}");
}

/// A registration: what is taken is an object with the three members, under a name that was free.
pub(crate) fn registration(data: &[u8]) {
    with_world(|world| {
        let (status, told) = world.send(request("/registration", "application/json", data.to_vec()));
        if status != StatusCode::CREATED {
            return;
        }
        let sent: Value = serde_json::from_slice(data).expect("it is no JSON to others");
        assert_eq!(member(&sent, "NodeId"), member(&told, "NodeId"));
        assert!(member(&sent, "NodeType").is_string() && member(&sent, "CommunicationMode").is_string());
        let node: NodeId = member(&told, "NodeId").as_str().and_then(|node| node.parse().ok()).expect("a name");
        let removed = world.runtime.block_on(world.nos.sources().remove(&node));
        assert!(removed.expect("a store in memory"), "{node} was not registered");
    });
}

/// A sealed body that nobody sealed is never taken; what a source sealed is taken as the same text would be, once.
pub(crate) fn sealed(data: &[u8]) {
    with_world(|world| {
        let (status, _) = world.post("application/aups", data.to_vec());
        assert!(!status.is_success(), "nobody sealed this");
        let text = data.get(..4_096).unwrap_or(data);
        let message = world.sealer.seal(ContentType::Json, text, NOW, Spelling::Binary).expect("sealed");
        let (status, told) = world.post("application/aups", message.clone());
        let (clear, said) = world.post("application/json", text.to_vec());
        let by_itself = serde_json::from_slice::<Value>(text).is_ok();
        assert!(!status.is_success() || by_itself, "it is no JSON to others");
        // An unregistered source may say what it is called: then a NodeId that is none is refused.
        if clear.is_success() {
            assert_eq!((status, &told), (clear, &said));
        }
        let (again, _) = world.post("application/aups", message);
        assert!(!again.is_success(), "taken twice");
    });
}

/// An Idempotency-Key, up to the first line feed, and a body: sent twice, it is answered alike.
pub(crate) fn idempotency(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (key, body) = data.split_at(at);
    let Ok(key) = HeaderValue::from_bytes(key) else { return };
    let send = |world: &World| {
        let mut request = request("/data", "application/json", body.to_vec());
        request.headers_mut().insert("idempotency-key", key.clone());
        world.send(request).0
    };
    with_world(|world| {
        let first = send(world);
        let second = send(world);
        // A record may be there of another run with the same key and another body.
        assert!(first == second || first == StatusCode::TOO_MANY_REQUESTS || second == StatusCode::TOO_MANY_REQUESTS);
    });
}

/// The administered document: what is valid stays so when it is written and read again.
pub(crate) fn config(data: &[u8]) {
    let Ok(config) = serde_json::from_slice::<Config>(data) else { return };
    let written = serde_json::to_vec(&config).expect("it has a JSON form");
    let again: Config = serde_json::from_slice(&written).expect("its own JSON");
    assert_eq!(again, config);
    let (errors, same) = (ActiveConfig::new(1, config).err(), ActiveConfig::new(2, again).err());
    assert_eq!(errors, same);
    if let Some(errors) = errors {
        assert!(!errors.is_empty(), "refused without a reason");
        assert!(errors.iter().all(|error| error.pointer.is_empty() || error.pointer.starts_with('/')));
    }
}

/// A document up to the first NUL, and a body that is read by it.
pub(crate) fn configured(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (document, body) = data.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let Ok(config) = serde_json::from_slice::<Config>(document) else { return };
    let Ok(config) = ActiveConfig::new(1, unlimited(config)) else { return };
    with_world(|world| {
        world.config.send_replace(Arc::new(config));
        let (status, _) = world.post("application/json", body.to_vec());
        let (senml, _) = world.post("application/senml+json", body.to_vec());
        world.config.send_replace(active(Config::default()));
        for status in [status, senml] {
            assert!(!status.is_success() || serde_json::from_slice::<Value>(body).is_ok(), "it is no JSON to others");
        }
    });
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn lines_seeds() -> Vec<Vec<u8>> {
    texts(&[
        "\x01{\"value\":1}\n{\"value\":2,\"name\":\"t\"}\r\n\n[1,2,3]\n\"four\"",
        "\x07{\"value\":1}\n{\"value\":\n{\"value\":3}\n",
        "\x03\n \t\r\n",
        "\x02[]\n1\n[]",
    ])
}

pub(crate) fn registration_seeds() -> Vec<Vec<u8>> {
    texts(&[
        r#"{"NodeId":"s1","NodeType":"sensor","CommunicationMode":"discrete"}"#,
        r#"{"NodeId":"s2","NodeType":"Fühler","CommunicationMode":"d","EncryptionScheme":"ascon-aead128"}"#,
        r#"{"NodeId":"s.~-_3","NodeType":"t","CommunicationMode":"m","EncryptionScheme":"none"}"#,
        r#"{"NodeId":"sealer","NodeType":"t","CommunicationMode":"m","EncryptionScheme":"rot13","x":1}"#,
    ])
}

pub(crate) fn sealed_seeds() -> Vec<Vec<u8>> {
    let node: NodeId = "s1".parse().expect("a name");
    let id = aups_core::KeyId::from_bytes([7; 24]);
    let mut seeds = texts(&[r#"{"value":1}"#, "[1,2,3]", "{"]);
    for suite in [Suite::Aes256Gcm, Suite::AsconAead128] {
        let key = SourceMaster::new(secret("others")).key(&node, suite, &id);
        let sealer = SourceSealer::new(&node, suite, &key, id, Session::new(1, 1));
        for spelling in [Spelling::Binary, Spelling::Json] {
            seeds.push(sealer.seal(ContentType::Json, b"{\"value\":1}", NOW, spelling).expect("sealed"));
        }
    }
    seeds
}

pub(crate) fn idempotency_seeds() -> Vec<Vec<u8>> {
    texts(&["\"8e03978e-40d5-43dd-bc93-6894a57f9324\"\n{\"value\":1}", "abc\n[1,2]", "\"a\\\"b\"\n1", "\n1", "x y\n{"])
}

const DOCUMENTS: &[&str] = &[
    "{}",
    r#"{"mappings":[{"name":"m","when":{"nodeType":"b*","present":["/c"],"equals":{"/d":1}},"each":"/e","items":[{"name":"{key}",
        "value":{"pointer":".","scale":0.1,"offset":1.0},"unit":{"const":"V"},"time":{"pointer":"/t","format":"unixMs"},
        "nodeId":{"pointer":"/n"},"keep":["/k"],"drop":["/k/l"],"optional":true},{"name":"x","value":{"pointer":"./v"},"keep":"all"}]}]}"#,
    r#"{"mappings":[{"name":"m","each":"/e","items":[{"name":"{key}","value":{"pointer":"."},"time":{"pointer":"/t","format":"unixMs"}}]}]}"#,
    r#"{"topics":{"registered":"a/{nodeId}/{name}","unregistered":"u/{nodeId}/{name}"},"retain":["data/#","+/x"]}"#,
    r#"{"quotas":{"unregistered":{"items":{"perSecond":1,"burst":1},"bytes":null},"registered":null,"nodeTypes":{"a":null},
        "nodes":{"n":{"bytes":{"perSecond":9,"burst":9}}},"total":null},"quarantine":{"threshold":1,"points":{"replay":0}}}"#,
    r#"{"scores":{"timeliness":{"volatility":"2h"},"quantities":[{"name":"level","units":["m"],"range":[0,12],"spread":0.2,
        "resolution":0.01,"volatility":"10m","uncertainty":{"member":"error","max":0.5},"expected":["value","unit"]}]}}"#,
    r#"{"scores":{"overrides":[{"score":"quality.accuracy","when":"has(data.battery) && data.battery < 0.2",
        "value":"default * 0.5"},{"score":"security.authentication","value":"source.nodeType == 'g' ? 0.6 : default"}]}}"#,
];

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    texts(DOCUMENTS)
}

pub(crate) fn configured_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"c":0,"d":1,"e":{"a":{"v":1},"b":2},"k":{"l":1,"m":2},"n":"node","t":1767225600000}"#,
        r#"{"value":10.5,"name":"level","unit":"m","time":"2025-12-31T23:59:00Z","error":0.1,"battery":0.1}"#,
        r#"[{"bn":"urn:dev:ow:10e2073a01080063:","bt":1.276020076e9,"bu":"A","n":"voltage","u":"V","v":120.1},{"n":"current","t":-5,"v":1.2}]"#,
    ];
    let pairs = DOCUMENTS.iter().flat_map(|document| bodies.map(|body| format!("{document}\0{body}").into_bytes()));
    pairs.collect()
}
