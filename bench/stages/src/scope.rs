//! Who may read an item: found ready, or found out.

use crate::{Stage, measured, sample};
use aups_core::{Marks, RealmId};
use aups_policy::{Pdp, PolicySet, Resource};
use serde_json::value::to_raw_value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    hint::black_box,
};

pub(crate) const STAGES: &[Stage] = &[
    Stage { name: "scope-hit", operation: "the scope of an item as others were", times: 5_000, run: hit },
    Stage {
        name: "scope-miss",
        operation: "the scope of an item as none was, with 100 policies under its topic",
        times: 100,
        run: miss,
    },
];

static NO_MARKS: Marks = Marks { labels: BTreeSet::new(), tags: BTreeMap::new() };

/// Nine permits on role and accuracy to one forbid on value and clearance.
fn pdp() -> anyhow::Result<Pdp> {
    const HEAD: &str = r#"(principal, action == Action::"receive", resource in Topic::"data")"#;
    let mut source = String::new();
    for n in 0..100 {
        if n % 10 == 9 {
            let when = r#"resource has value && resource.value.greaterThan(decimal("3.0"))"#;
            writeln!(source, "forbid{HEAD} when {{ {when} }} unless {{ principal.clearance >= {n} }};")?;
        } else {
            let accurate = format!(r#"resource.quality.accuracy.greaterThanOrEqual(decimal("0.{}"))"#, n % 10);
            let role = format!(r#"principal.roles.contains("role{}")"#, n % 7);
            writeln!(source, "permit{HEAD} when {{ {role} && {accurate} }};")?;
        }
    }
    let set = PolicySet::parse(&source, "policies").map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Pdp::new(RealmId::from_bytes([7; 32]), set))
}

fn hit(times: u32) -> anyhow::Result<()> {
    let (pdp, item, topic) = (pdp()?, sample::item()?, sample::topic()?);
    let resource = Resource { item: &item, topic: &topic, marks: &NO_MARKS };
    pdp.scope(&resource)?;
    measured(|| {
        (0..times).try_for_each(|_| {
            black_box(pdp.scope(black_box(&resource)))?;
            Ok(())
        })
    })
}

fn miss(times: u32) -> anyhow::Result<()> {
    let (pdp, mut item, topic) = (pdp()?, sample::item()?, sample::topic()?);
    // What remains of each policy is found out once.
    pdp.scope(&Resource { item: &item, topic: &topic, marks: &NO_MARKS })?;
    measured(|| {
        (0..times).try_for_each(|number| {
            // The forbids ask for the value, so that no two items look the same to the policies.
            item.data.value = to_raw_value(&(100_000 + number))?;
            let resource = Resource { item: black_box(&item), topic: &topic, marks: &NO_MARKS };
            black_box(pdp.scope(&resource))?;
            Ok(())
        })
    })
}
