//! What policies cost: once per message (scope), once per key request (residual), once per policy change (admission).
//!
//! `cargo bench -p aups-policy`. The sets are those of the measurements in the design: a hundred topic subtrees, nine
//! permits on role and accuracy to one forbid on value and clearance.
#![expect(clippy::expect_used, reason = "a bench that cannot start says why")]

use aups_core::{Attributes, Item, Marks, Principal, ReaderKind, RealmId, Score, Topic};
use aups_policy::{Pdp, PolicySet, RequestContext, Residuals, Resource, diff};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hint::black_box,
};

const SIZES: [usize; 3] = [10, 1_000, 10_000];

/// How many roles the policies name. Policies of one role, score and effect say the same, whatever their topic.
#[derive(Clone, Copy)]
enum Roles {
    Seven,
    OneEach,
}

fn policies(count: usize, roles: Roles) -> String {
    let mut source = String::new();
    for n in 0..count {
        let head =
            format!("(principal, action == Action::\"receive\", resource in Topic::\"t{}\")", (n + n / 100) % 100);
        let role = match roles {
            Roles::Seven => n % 7,
            Roles::OneEach => n,
        };
        if n % 10 == 9 {
            let _ = writeln!(
                source,
                "forbid{head} when {{ resource has value && resource.value.greaterThan(decimal(\"3.0\")) }} \
                 unless {{ principal.clearance >= {} }};",
                role % 500
            );
        } else {
            let _ = writeln!(
                source,
                "permit{head} when {{ principal.roles.contains(\"role{}\") && \
                 resource.quality.accuracy.greaterThanOrEqual(decimal(\"0.{}\")) }};",
                role,
                n % 10
            );
        }
    }
    source
}

fn admit(source: &str) -> PolicySet {
    PolicySet::parse(source, "policies").expect("policies of the bench are valid")
}

fn pdp(set: &PolicySet) -> Pdp {
    Pdp::new(RealmId::from_bytes([7; 32]), set.clone())
}

fn item() -> Item {
    serde_json::from_str(
        r#"{"id":"01981a4b-7c3d-7e5f-8a6b-9c0d1e2f3a4b","source":{"nodeId":"s1","nodeType":"sensor",
        "communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-11-22T13:27:31.000Z",
        "data":{"name":"temperature","value":10.0},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,
        "authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#,
    )
    .expect("the item of the bench is one")
}

fn alice() -> Principal {
    let roles = ["role0".to_owned()].into();
    let attributes = Attributes { roles, clearance: 3, ..Attributes::default() };
    let sub = "alice".parse().expect("a name");
    Principal { kind: ReaderKind::User, sub, attributes, groups: BTreeSet::new(), app: None }
}

fn topic() -> Topic {
    "t7/s1/temperature".parse().expect("a topic")
}

fn resource<'a>(item: &'a Item, topic: &'a Topic) -> Resource<'a> {
    static NONE: Marks = Marks { labels: BTreeSet::new(), tags: BTreeMap::new() };
    Resource { item, topic, marks: &NONE }
}

fn scopes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scope");
    for size in SIZES {
        let (set, item, topic) = (admit(&policies(size, Roles::Seven)), item(), topic());
        let warm = pdp(&set);
        let _ = warm.scope(&resource(&item, &topic));
        group.bench_function(BenchmarkId::new("hit", size), |bench| {
            bench.iter(|| warm.scope(&resource(black_box(&item), &topic)));
        });

        // Every item has a projection of its own, so that none is found; the scope itself is known after the first.
        let mut number = 0_u64;
        let mut different = || {
            number += 1;
            let mut item = item.clone();
            item.quality.accuracy = Score::ONE;
            item.data.value = serde_json::value::to_raw_value(&number).expect("a number is JSON");
            item
        };
        group.bench_function(BenchmarkId::new("miss", size), |bench| {
            bench.iter_batched(&mut different, |item| warm.scope(&resource(&item, &topic)), BatchSize::SmallInput);
        });
    }

    // The first item that a decision point sees.
    group.sample_size(10);
    for (name, roles) in [("first item", Roles::Seven), ("first item, no two policies alike", Roles::OneEach)] {
        let (set, item, topic) = (admit(&policies(10_000, roles)), item(), topic());
        group.bench_function(BenchmarkId::new(name, 10_000), |bench| {
            let scope = |pdp: Pdp| (pdp.scope(&resource(&item, &topic)), pdp);
            bench.iter_batched(|| pdp(&set), scope, BatchSize::PerIteration);
        });
    }
}

fn residuals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("residual");
    for size in SIZES {
        let spec = pdp(&admit(&policies(size, Roles::Seven)))
            .scope(&resource(&item(), &topic()))
            .expect("somebody may read it");
        let (residuals, alice, context) = (Residuals::new(16), alice(), RequestContext::default());
        group.bench_function(
            BenchmarkId::new("kept", format!("{size} policies, {} lines", spec.user.lines().count())),
            |bench| {
                bench.iter(|| residuals.satisfies(black_box(&spec), &alice, &context));
            },
        );
        group.bench_function(BenchmarkId::new("parsed", size), |bench| {
            bench.iter(|| Residuals::new(16).satisfies(black_box(&spec), &alice, &context));
        });
    }
}

fn filters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter");
    for size in SIZES {
        let set = admit(&policies(size, Roles::Seven));
        let (alice, filter) = (alice(), "t7/#".parse().expect("a filter"));
        let warm = pdp(&set);
        group.bench_function(BenchmarkId::new("known reader", size), |bench| {
            bench.iter(|| warm.filter(black_box(&alice), &filter));
        });
        group.sample_size(10);
        group.bench_function(BenchmarkId::new("new reader", size), |bench| {
            bench.iter_batched(|| pdp(&set), |pdp| pdp.filter(&alice, &filter), BatchSize::PerIteration);
        });
    }
}

fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("admission");
    group.sample_size(10);
    for size in SIZES {
        let source = policies(size, Roles::Seven);
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("parse", size), |bench| bench.iter(|| admit(black_box(&source))));
    }
}

/// A change of policies for a thousand readers, ten thousand topics and a hundred policies: of one policy, and of
/// ten. One policy compares the reader with the topic, so that no two readers and no two topics are alike.
fn differences(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("diff");
    group.sample_size(10);
    let own = "permit(principal, action, resource) when { resource has level1 && principal.org == resource.level1 };\n";
    let source = policies(99, Roles::Seven) + own;
    let reader = |n: usize| {
        let mut reader = alice();
        reader.sub = format!("reader{n}").parse().expect("a name");
        reader.attributes.roles = [format!("role{}", n % 7), format!("role{}", n % 5)].into();
        reader.attributes.org = format!("s{n}");
        reader
    };
    let readers: Vec<Principal> = (0..1_000).map(reader).collect();
    let topics: Vec<Topic> =
        (0..10_000).map(|n| format!("t{}/s{}/x{n}", n % 10, n % 1_000).parse().expect("a topic")).collect();
    let before = pdp(&admit(&source));
    for (name, old, new) in [("one policy", "t4\")", "t5\")"), ("ten policies", "0.3", "0.35")] {
        let after = pdp(&admit(&source.replacen(old, new, if name == "one policy" { 1 } else { 10 })));
        group.bench_function(name, |bench| bench.iter(|| diff(&before, &after, black_box(&readers), &topics)));
    }
}

criterion_group!(benches, scopes, residuals, filters, admission, differences);
criterion_main!(benches);
