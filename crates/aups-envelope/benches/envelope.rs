//! What a message and a key cost: `cargo bench -p aups-envelope`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run has nothing to say")]

use aups_core::{Bump, Epoch, Flags, PublisherSlot, ScopeId, ScopeTag, Session, Suite, UnixMillis};
use aups_envelope::{
    Certificate, ContentType, KeyEntry, KeyTerms, OpeningKey, Plaintext, SealedMessage, SealingKey, Secret, SigningKey,
    Spelling,
    accept::{Acceptance, AcceptanceLimits, Arrival, KeyRing},
    kem::Kem,
    schedule,
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const PUBLISHER: PublisherSlot = PublisherSlot(1);
const SESSION: Session = Session::new(1, 2);
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);
/// An item of 300 bytes.
const ITEM: &str = r#"{"id":"019b7640-2000-7000-8000-000000000001","source":{"nodeId":"sensor1","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-01-01T00:01:40.000Z","data":{"name":"temperature","value":10.0},"quality":{"accuracy":0.93,"precision":0.8,"time":1}}"#;

fn entry(suite: Suite, flags: Flags) -> KeyEntry {
    let terms = KeyTerms {
        suite,
        flags,
        scope: ScopeId::from_bytes([1; 32]),
        epoch: Epoch(1),
        bump: Bump(0),
        nbf: UnixMillis(0),
        exp: UnixMillis(NOW.0 * 2),
        dec: UnixMillis(NOW.0 * 2),
    };
    KeyEntry::new(ScopeTag::from_bytes([1; 8]), Secret::random(), terms, UnixMillis(0))
}

fn plaintext() -> Plaintext<'static> {
    let bytes = ITEM.as_bytes();
    Plaintext {
        topic: "data/sensor1/temperature",
        topic_seq: 0,
        ts: NOW,
        content: ContentType::Json,
        bytes,
        pad_bytes: 0,
    }
}

const SPELLINGS: [(&str, Spelling); 2] = [("json", Spelling::Json), ("binary", Spelling::Binary)];

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    group.throughput(Throughput::Bytes(ITEM.len() as u64));
    let signer = SigningKey::generate();
    for suite in Suite::ALL {
        for (name, spelling) in SPELLINGS {
            let entry = entry(suite, Flags::NONE);
            let sealing = SealingKey::new(&entry, PUBLISHER, SESSION);
            group.bench_function(format!("seal {suite} {name}"), |bencher| {
                bencher.iter(|| sealing.seal(black_box(&plaintext()), None, spelling).unwrap());
            });
            let sealed = sealing.seal(&plaintext(), None, spelling).unwrap();
            let opening = OpeningKey::new(&entry, PUBLISHER, SESSION);
            group.bench_function(format!("open {suite} {name}"), |bencher| {
                bencher.iter(|| {
                    let message = SealedMessage::parse(black_box(&sealed)).unwrap();
                    opening.open("data/sensor1/temperature", &message, None).unwrap()
                });
            });
        }
    }
    let signed = entry(Suite::Aes256Gcm, Flags::SIGNED);
    let sealing = SealingKey::new(&signed, PUBLISHER, SESSION);
    group.bench_function("seal and sign", |bencher| {
        bencher.iter(|| sealing.seal(black_box(&plaintext()), Some(&signer), Spelling::Json).unwrap());
    });
    let sealed = sealing.seal(&plaintext(), Some(&signer), Spelling::Json).unwrap();
    let (opening, public) = (OpeningKey::new(&signed, PUBLISHER, SESSION), signer.public());
    group.bench_function("open and verify", |bencher| {
        bencher.iter(|| {
            let message = SealedMessage::parse(black_box(&sealed)).unwrap();
            opening.open("data/sensor1/temperature", &message, Some(&public)).unwrap()
        });
    });
    group.finish();
}

fn acceptance(criterion: &mut Criterion) {
    let entry = entry(Suite::Aes256Gcm, Flags::NONE);
    let sealing = SealingKey::new(&entry, PUBLISHER, SESSION);
    let mut ring = KeyRing::new();
    ring.insert(entry).unwrap();
    let signing_key = SigningKey::generate().public();
    let nos = "nos-1".parse().unwrap();
    ring.list(vec![Certificate { nos, publisher: PUBLISHER, signing_key, iat: NOW, exp: UnixMillis(NOW.0 * 2) }]);
    let mut acceptance = Acceptance::new(AcceptanceLimits::default());
    let (mut topic_seq, mut number) = (0, 0_u64);
    criterion.bench_function("accept json", |bencher| {
        bencher.iter_batched(
            || {
                (topic_seq, number) = (topic_seq + 1, number + 1);
                let item = ITEM.replace("000000000001", &format!("{number:012x}"));
                let plaintext = Plaintext { topic_seq, bytes: item.as_bytes(), ..plaintext() };
                sealing.seal(&plaintext, None, Spelling::Json).unwrap()
            },
            |payload| {
                let topic = "data/sensor1/temperature";
                acceptance.accept(&Arrival { topic, payload: &payload, retain: false, now: NOW }, &ring).unwrap()
            },
            BatchSize::SmallInput,
        );
    });
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("key");
    let (root, salt, entry) = (Secret::random(), Secret::random(), entry(Suite::Aes256Gcm, Flags::NONE));
    let scope = entry.terms.scope;
    group.bench_function("derive keyT", |bencher| {
        bencher.iter(|| schedule::derive_key_t(&root, &salt, black_box(&scope), Epoch(1), Bump(0)));
    });
    group.bench_function("commit", |bencher| bencher.iter(|| schedule::commit(&entry.key_t, black_box(&entry.terms))));
    group.bench_function("subkey, ready to seal", |bencher| {
        bencher.iter(|| SealingKey::new(black_box(&entry), PUBLISHER, SESSION));
    });
    for kem in [Kem::XWing, Kem::X25519] {
        let key = kem.generate();
        let public = key.public();
        group.bench_function(format!("{kem} seal 300 bytes"), |bencher| {
            bencher.iter(|| public.seal(b"info", black_box(ITEM.as_bytes())).unwrap());
        });
        let sealed = public.seal(b"info", ITEM.as_bytes()).unwrap();
        group.bench_function(format!("{kem} open 300 bytes"), |bencher| {
            bencher.iter(|| key.open(b"info", &sealed.enc, black_box(&sealed.ct)).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, messages, acceptance, keys);
criterion_main!(benches);
