//! `aups key show`: one key or scope, in words.

use crate::cli::{
    admin::Admin,
    failure::Failure,
    terminal::{self, harmless},
};
use aups_core::{Bump, Epoch, ScopeSpec, UnixMillis};
use serde::Deserialize;
use serde_json::Value;

/// Most topics that are shown.
const TOPICS_SHOWN_MAX: usize = 20;

/// Most bumps that are shown, the newest.
const BUMPS_SHOWN_MAX: usize = 10;

/// A scope with some of its keys, as the server tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    spec: ScopeSpec,
    atb: String,
    tag: String,
    used: UnixMillis,
    bumps: Vec<BumpTime>,
    keys: Vec<Key>,
    topics: Vec<String>,
    topic_count: usize,
}

#[derive(Debug, Deserialize)]
struct BumpTime {
    bump: Bump,
    at: UnixMillis,
}

#[derive(Debug, Deserialize)]
struct Key {
    #[serde(rename = "keyId")]
    id: String,
    epoch: Epoch,
    bump: Bump,
    nbf: UnixMillis,
    exp: UnixMillis,
    dec: UnixMillis,
    state: String,
}

/// What the server tells of a key or a scope.
pub(super) async fn get(admin: &Admin, id: &str) -> Result<Shown, Failure> {
    admin.get(&format!("/v1/keys/{id}")).await
}

/// Prints it.
pub(super) async fn show(admin: &Admin, id: &str, json: bool) -> Result<(), Failure> {
    if json {
        return terminal::line(&admin.get::<Value>(&format!("/v1/keys/{id}")).await?.to_string());
    }
    terminal::line(&get(admin, id).await?.in_words())
}

impl Shown {
    pub(super) fn scope(&self) -> String {
        self.spec.id.to_string()
    }

    /// Who reads, and where.
    pub(super) fn in_brief(&self) -> String {
        let rows = [("scope", self.scope()), ("audience", one_line(&self.atb)), ("topics", self.topics())];
        rows.iter().map(|(name, value)| named(name, value)).collect::<Vec<_>>().join("\n")
    }

    fn in_words(&self) -> String {
        let life = format!("{} s, {}", self.spec.life_ms / 1_000, self.spec.suite);
        let mut lines = vec![
            self.in_brief(),
            named("tag", &self.tag),
            named("keys live", &life),
            named("obligations", &self.obligations()),
            named("last used", &self.used.to_string()),
        ];
        let bumps = self.bumps.iter().rev().take(BUMPS_SHOWN_MAX);
        let bumps: Vec<_> = bumps.map(|bump| [bump.bump.0.to_string(), bump.at.to_string()]).collect();
        lines.extend([String::new(), terminal::table(&["BUMP", "SINCE"], &bumps)]);
        let keys = self.keys.iter().map(|key| {
            let (epoch, bump) = (key.epoch.0.to_string(), key.bump.0.to_string());
            let times = [key.nbf, key.exp, key.dec].map(|time| time.to_string());
            let [from, val, opens_until] = times;
            [key.id.clone(), key.state.clone(), epoch, bump, from, val, opens_until]
        });
        let headings = ["KEYID", "STATE", "EPOCH", "BUMP", "FROM", "VAL", "OPENS UNTIL"];
        lines.extend([String::new(), terminal::table(&headings, &keys.collect::<Vec<_>>())]);
        lines.join("\n")
    }

    fn topics(&self) -> String {
        let shown: Vec<_> = self.topics.iter().take(TOPICS_SHOWN_MAX).map(String::as_str).collect();
        match self.topic_count - shown.len() {
            0 if shown.is_empty() => "nothing was sealed under it yet".to_owned(),
            0 => shown.join(" "),
            more => format!("{} and {more} more", shown.join(" ")),
        }
    }

    fn obligations(&self) -> String {
        let obligations = &self.spec.obligations;
        let mut all = Vec::new();
        if obligations.sign {
            all.push("signed".to_owned());
        }
        if obligations.pad_bytes > 0 {
            all.push(format!("padded to a multiple of {} bytes", obligations.pad_bytes));
        }
        all.extend(obligations.redact.iter().map(|pointer| format!("without {pointer}")));
        all.extend(obligations.notify.iter().map(|topic| format!("told on {topic}")));
        if all.is_empty() { "none".to_owned() } else { all.join(", ") }
    }
}

/// A line of a name and a value, without what would steer a terminal.
fn named(name: &str, value: &str) -> String {
    format!("{name:<12} {}", harmless(value))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
