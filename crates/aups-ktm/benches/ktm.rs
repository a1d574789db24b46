//! What a batch of items, a new epoch and a key request cost at the KTM, with 10,000 scopes.
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on stops")]

use aups_core::{Clock as _, KeyId, ManualClock, Obligations, RealmId, ScopeId, ScopeSpec, Suite, UnixMillis};
use aups_envelope::{Secret, schedule};
use aups_ktm::{KeysTopicsManager as _, Ktm, KtmSettings, custody::Keyring};
use aups_store::InMemory;
use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use std::{hint::black_box, sync::Arc, time::Duration};

const NOW: UnixMillis = UnixMillis(1_780_000_000_000);
const LIFE: Duration = Duration::from_mins(5);
const SCOPES: u32 = 10_000;

fn spec(realm: RealmId, n: u32) -> ScopeSpec {
    let user = format!("permit(principal, action, resource) when {{ principal.clearance > {n} }};");
    let (obligations, suite, life_ms) = (Obligations::default(), Suite::default(), 300_000);
    let id = schedule::scope_id(&realm, "", &user, &obligations, suite, life_ms);
    ScopeSpec { id, app: "".into(), user: user.into(), obligations, suite, life_ms }
}

async fn fill(clock: Arc<ManualClock>) -> (Ktm, Vec<ScopeSpec>) {
    let (store, kek) = (Arc::new(InMemory::new()), Keyring::in_memory(Secret::random()));
    let ktm = Ktm::open(store, kek, clock, KtmSettings::default()).await.unwrap();
    let specs: Vec<_> = (0..SCOPES).map(|n| spec(ktm.realm().id(), n)).collect();
    for spec in &specs {
        ktm.ensure_scope(spec).await.unwrap();
    }
    (ktm, specs)
}

/// Every future below is ready at once: nothing goes to the store.
fn sealing_key_id(ktm: &Ktm, scope: &ScopeId) -> KeyId {
    ktm.sealing_keys(black_box(scope)).now_or_never().unwrap().unwrap().current.key_id
}

fn resolves(ktm: &Ktm, key_id: &KeyId) -> bool {
    ktm.resolve(black_box(key_id)).now_or_never().unwrap().unwrap().is_some()
}

fn ktm(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let (ktm, specs) = runtime.block_on(fill(clock.clone()));
    let scope = specs.first().unwrap();
    let key_id = sealing_key_id(&ktm, &scope.id);

    criterion.bench_function("ensure_scope, known", |bencher| {
        bencher.iter(|| ktm.ensure_scope(black_box(scope)).now_or_never().unwrap().unwrap());
    });
    criterion.bench_function("sealing_keys, same epoch", |bencher| {
        bencher.iter(|| sealing_key_id(&ktm, &scope.id));
    });
    criterion.bench_function("resolve, current key with the next", |bencher| {
        bencher.iter(|| assert!(resolves(&ktm, &key_id)));
    });
    criterion.bench_function("resolve, unknown tag", |bencher| {
        let unknown = KeyId::from_bytes([7; KeyId::BYTES]);
        bencher.iter(|| assert!(!resolves(&ktm, &unknown)));
    });
    clock.advance(LIFE);
    criterion.bench_function("resolve, key of the epoch before", |bencher| {
        bencher.iter(|| assert!(resolves(&ktm, &key_id)));
    });
    criterion.bench_function("sealing_keys, new epoch (two keys derived)", |bencher| {
        // Two instants an epoch apart: each call finds the keys of the other one.
        let instants = [clock.now(), clock.now().plus(LIFE)];
        let mut turn = 0_usize;
        bencher.iter(|| {
            turn ^= 1;
            clock.set(*instants.get(turn).unwrap());
            sealing_key_id(&ktm, &scope.id)
        });
    });
}

criterion_group!(benches, ktm);
criterion_main!(benches);
