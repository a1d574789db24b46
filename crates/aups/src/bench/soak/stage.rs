//! The server under test, in a process of its own, and who may do what there.

use super::{
    Plan,
    board::{STEADY, node_id},
};
use crate::{
    bench::contender::{Contender, Kind, Programs, Setup},
    cli::failure::Failure,
    source::Source,
};
use anyhow::Context as _;
use aups_client::Identity;
use aups_net::tls::Trust;
use serde_json::json;
use std::{fmt::Write as _, time::Duration};

/// The role of who may read everything.
pub(super) const EVERYTHING: &str = "everything";
/// The role of who may subscribe to everything and read nothing.
pub(super) const OUTSIDER: &str = "outsider";

pub(super) struct Stage(Contender);

impl Stage {
    /// Starts the server; readers are named and have roles.
    pub(super) async fn open(plan: &Plan, readers: &[(&str, &str)]) -> Result<(Self, Vec<Identity>), Failure> {
        let setup = Setup {
            node_ids: Vec::new(),
            policies: policies(plan.life),
            readers: readers.iter().map(|(sub, role)| json!({ "sub": sub, "attrs": { "roles": [role] } })).collect(),
            durability: plan.durability,
            broker: None,
            frugal: false,
        };
        let mut contender = Contender::start(Kind::With, &setup, &Programs::look(None, None)?).await?;
        let identities = contender.take_identities();
        Ok((Self(contender), identities))
    }

    pub(super) async fn register_source(&self, node_id: &str) -> Result<Source, Failure> {
        let access = self.0.access().context("the server has no administrator")?;
        let credential = access.register_source(node_id).await?;
        Source::new(access.url().clone(), Some(credential), &Trust::System)
    }

    pub(super) async fn remove_source(&self, node_id: &str) -> Result<(), Failure> {
        let access = self.0.access().context("the server has no administrator")?;
        access.admin().delete(&format!("/v1/sources/{node_id}")).await
    }

    /// Memory that is resident now.
    pub(super) fn rss_bytes(&self) -> Result<u64, Failure> {
        Ok(self.0.usage()?.rss_bytes)
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        self.0.stop().await
    }
}

/// What the reader of one source may have.
pub(super) fn role(source: usize) -> String {
    format!("reader-{source}")
}

fn policies(life: Duration) -> String {
    let mut text = String::new();
    let mut permit = |topic: &str, condition: &str| {
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "@keylife(\"{}s\") permit(principal, action == Action::\"receive\", resource in Topic::\"{topic}\") when {{ {condition} }};",
            life.as_secs()
        );
    };
    let has_role = |role: &str| format!("principal.roles.contains(\"{role}\")");
    permit("data", &has_role(EVERYTHING));
    for source in 0..STEADY {
        permit(&format!("data/{}", node_id(source)), &has_role(&role(source)));
    }
    // What is asked of items does not count when a filter is judged: they are let in, and given no key.
    permit("data", &format!("{} && resource.source.nodeType == \"none\"", has_role(OUTSIDER)));
    text
}
