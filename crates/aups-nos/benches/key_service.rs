//! What an answer to a key request costs, and where it goes: DESIGN section 13 wants 5,000 a second and core with X25519.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use aups_core::{
    Attributes, KeyId, ManualClock, Obligations, Principal, ReaderKind, ScopeSpec, Suite, Topic, UnixMillis,
};
use aups_envelope::{
    Secret, SigningKey, SourceMaster,
    kem::Kem,
    key_request::{Certificate, Freshness, Grants, KeyRequest, Wanted, seal_key_response},
    random, schedule,
};
use aups_ktm::{KeysTopicsManager as _, Ktm, KtmSettings, custody::Keyring};
use aups_nos::{
    Config, KeyServiceLimits, Nos, NosParts, NosSettings, Outgoing, Rate, Reader, ReaderKeys, Readers, Receipt, Sink,
    SinkError, key_request_queue,
};
use aups_policy::{Pdp, PolicySet, RequestContext, Residuals};
use aups_store::InMemory;
use axum::{body::Body, http::Request};
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::{FutureExt as _, future::BoxFuture};
use std::{hint::black_box, sync::Arc};
use tokio::{runtime::Runtime, sync::watch};
use tower::ServiceExt as _;

const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

/// Nothing is published here.
struct NoBroker;

impl Sink for NoBroker {
    fn publish(&self, _: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        Box::pin(std::future::ready(Ok(Box::pin(std::future::ready(Ok(()))) as Receipt)))
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

struct One(Arc<Reader>);

impl Readers for One {
    fn reader(&self, _: &aups_core::Sub) -> Option<Arc<Reader>> {
        Some(Arc::clone(&self.0))
    }
}

/// A NOS with one reader, who may have one key.
struct Stage {
    runtime: Runtime,
    nos: Nos,
    ktm: Arc<Ktm>,
    residuals: Arc<Residuals>,
    reader: Arc<Reader>,
    signing_key: SigningKey,
    nos_key: SigningKey,
    key_id: KeyId,
}

impl Stage {
    fn new(kem: Kem) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let keyring = Keyring::in_memory(Secret::random());
        let opening = Ktm::open(Arc::new(InMemory::new()), keyring, clock.clone(), KtmSettings::default());
        let ktm = Arc::new(runtime.block_on(opening).unwrap());
        let spec = scope(&ktm);
        runtime.block_on(ktm.ensure_scope(&spec)).unwrap();
        let key_id = runtime.block_on(ktm.sealing_key(&spec.id)).unwrap().key_id;
        let (signing_key, nos_key) = (SigningKey::generate(), SigningKey::generate());
        let keys = ReaderKeys { signing_key: signing_key.public(), kem: kem.generate().public() };
        let reader = Arc::new(Reader { principal: alice(), keys: Some(keys), changing: false });
        let residuals = Arc::new(Residuals::new(100));
        let unlimited = Rate::per_second(u32::MAX);
        let key_service = KeyServiceLimits {
            address_rate: unlimited,
            reader_rate: unlimited,
            jtis_max: usize::MAX,
            ..KeyServiceLimits::default()
        };
        let (_, policies) = watch::channel(Arc::new(Pdp::new(ktm.realm().id(), PolicySet::empty())));
        let starting = Nos::start(NosParts {
            id: "nos-1".parse().unwrap(),
            realm_key: ktm.realm().public(),
            signing_key: SigningKey::from_seed(nos_key.seed()),
            source_master: SourceMaster::new(Secret::random()),
            ktm: ktm.clone(),
            policies,
            residuals: residuals.clone(),
            readers: Arc::new(One(reader.clone())),
            ledger: None,
            key_requests: key_request_queue().1,
            sink: Arc::new(NoBroker),
            store: Arc::new(InMemory::new()),
            queue: None,
            clock,
            config: aups_nos::config::fixed(Config::default()).unwrap(),
            settings: NosSettings { key_service, ..NosSettings::default() },
        });
        let nos = runtime.block_on(starting).unwrap();
        Self { runtime, nos, ktm, residuals, reader, signing_key, nos_key, key_id }
    }

    fn request(&self) -> String {
        let want = vec![Wanted { key_id: self.key_id, topic: "data/sensor1/temperature".into() }];
        let (aud, sub) = (self.ktm.realm().id(), "alice".parse().unwrap());
        KeyRequest { aud, sub, freshness: Freshness::IssuedAt(NOW), jti: random(), want }.sign(&self.signing_key)
    }

    fn grants(&self) -> Grants {
        let resolved = self.ktm.resolve(&self.key_id).now_or_never().unwrap().unwrap().unwrap();
        let publishers = self.ktm.publishers().now_or_never().unwrap().unwrap();
        Grants { keys: vec![resolved.key], next: resolved.next.into_iter().collect(), publishers, denied: Vec::new() }
    }

    fn certificate(&self) -> String {
        let certificate = Certificate {
            nos: "nos-1".parse().unwrap(),
            publisher: aups_core::PublisherSlot(1),
            signing_key: self.nos_key.public(),
            iat: NOW,
            exp: NOW.plus(aups_ktm::CERTIFICATE_LIFE),
        };
        certificate.issue(self.ktm.realm().signing_key())
    }
}

fn scope(ktm: &Ktm) -> ScopeSpec {
    let user = "permit(principal, action, resource) when { principal.roles.contains(\"meteorologist\") };";
    let (obligations, suite, life_ms) = (Obligations::default(), Suite::default(), 300_000);
    let id = schedule::scope_id(&ktm.realm().id(), "", user, &obligations, suite, life_ms);
    ScopeSpec { id, app: "".into(), user: user.into(), obligations, suite, life_ms }
}

fn alice() -> Principal {
    let attributes = Attributes { roles: ["meteorologist".to_owned()].into(), ..Attributes::default() };
    Principal {
        kind: ReaderKind::User,
        sub: "alice".parse().unwrap(),
        attributes,
        groups: std::collections::BTreeSet::new(),
        app: None,
    }
}

/// The whole way but the network and the audit trail: `POST /v1/keys` for one key and the next.
fn answers(criterion: &mut Criterion) {
    for kem in [Kem::X25519, Kem::XWing] {
        let stage = Stage::new(kem);
        let router = stage.nos.router();
        criterion.bench_function(&format!("answer, {kem}"), |bencher| {
            let post = || Request::post("/v1/keys").body(Body::from(stage.request())).unwrap();
            bencher.iter_batched(
                post,
                |request| {
                    let answer = stage.runtime.block_on(router.clone().oneshot(request)).unwrap();
                    assert_eq!(answer.status(), 200);
                },
                BatchSize::SmallInput,
            );
        });
    }
}

/// Where it goes.
fn budget(criterion: &mut Criterion) {
    let stage = Stage::new(Kem::X25519);
    let request = stage.request();
    criterion.bench_function("budget: verify the request", |bencher| {
        let key = stage.signing_key.public();
        bencher.iter(|| KeyRequest::verify(black_box(request.as_bytes()), &key).unwrap());
    });
    criterion.bench_function("budget: keys of the KTM and certificates", |bencher| bencher.iter(|| stage.grants()));
    criterion.bench_function("budget: policy", |bencher| {
        let (spec, context) = (scope(&stage.ktm), RequestContext { at: Some(NOW), address: None });
        bencher.iter(|| assert!(stage.residuals.satisfies(black_box(&spec), &stage.reader.principal, &context).allow));
    });
    let (grants, certificate) = (stage.grants(), stage.certificate());
    criterion.bench_function("budget: seal (X25519) and sign the answer", |bencher| {
        let to = &stage.reader.keys.as_ref().unwrap().kem;
        let (nos, key) = ("nos-1".parse().unwrap(), &stage.nos_key);
        bencher.iter(|| seal_key_response(request.as_bytes(), black_box(&grants), NOW, &nos, &certificate, key, to));
    });
}

criterion_group!(benches, answers, budget);
criterion_main!(benches);
