//! `aups policy apply --retroactive`: what was sealed under the policies of before is closed to everybody.
//!
//! A message is governed by the policies that were in force when it was sealed. Whoever loses a topic can still open what came on
//! it before, while history lasts; this destroys the keys of that.

use crate::cli::{
    admin::Admin,
    failure::Failure,
    terminal::{self, counted},
};
use aups_core::Topic;
use aups_policy::{Change, Diff};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Most topics that are shown of one scope.
const TOPICS_SHOWN_MAX: usize = 5;

/// How many scopes one request destroys.
const DESTROYED_AT_ONCE: usize = 1_000;

/// A scope, as the server tells it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Scope {
    #[serde(rename = "scope")]
    id: String,
    atb: String,
    topics: Vec<String>,
    topic_count: usize,
}

/// The version in force; `None`: no set was ever applied.
pub(super) async fn active_version(admin: &Admin) -> Result<Option<u64>, Failure> {
    #[derive(Deserialize)]
    struct Kept {
        version: u64,
    }
    let kept: Vec<Kept> = admin.list("/v1/policies/versions").await?;
    Ok(kept.last().map(|kept| kept.version))
}

/// The scopes that were used on topics of which somebody loses something.
pub(super) async fn superseded(diff: &Diff, admin: &Admin) -> Result<Vec<Scope>, Failure> {
    let losing = || diff.entries.iter().filter(|entry| matches!(entry.change, Change::Loses | Change::Both));
    if diff.entries_left_out > 0 || losing().any(|entry| entry.topics_left_out > 0) {
        let error = "so many readers and topics are concerned that they are not all listed; nothing was changed";
        return Err(
            Failure::failed(error).help("apply without --retroactive, then destroy scopes with aups key destroy")
        );
    }
    let topics: BTreeSet<&str> = losing().flat_map(|entry| &entry.topics).map(Topic::as_str).collect();
    let scopes: Vec<Scope> = admin.list("/v1/scopes").await?;
    // Of a scope with more topics than are listed nobody can say that it is not concerned.
    let concerned = |scope: &Scope| {
        scope.topic_count > scope.topics.len() || scope.topics.iter().any(|topic| topics.contains(topic.as_str()))
    };
    Ok(if topics.is_empty() { Vec::new() } else { scopes.into_iter().filter(concerned).collect() })
}

/// Shows what would be destroyed, with all the topics that it takes along, and asks.
pub(super) fn confirm(scopes: &[Scope], yes: bool) -> Result<(), Failure> {
    let rows: Vec<_> = scopes.iter().map(|scope| [topics(scope), one_line(&scope.atb)]).collect();
    terminal::line(&terminal::table(&["TOPICS", "KEYS OF"], &rows))?;
    let what = counted(scopes.len(), "scope", "scopes");
    let question = format!(
        "Apply, and destroy the keys of {what}? What was sealed under them, on all these topics, opens for nobody who \
         does not hold its key already. This cannot be undone."
    );
    terminal::confirm(yes, &question, &format!("the keys of {what} would be destroyed"))
}

/// Destroys their keys. What fails does not hold up the rest; it is named, and can be destroyed later.
pub(super) async fn destroy(scopes: &[Scope], admin: &Admin) -> Result<(), Failure> {
    let ids: Vec<&str> = scopes.iter().map(|scope| scope.id.as_str()).collect();
    let mut left = Vec::new();
    for some in ids.chunks(DESTROYED_AT_ONCE) {
        // All of them at once: what remains is wrapped anew once, not for each. Those that are gone already are passed over.
        let done = admin.send_json::<Value>(Method::POST, "/v1/keys/destroy", &json!({ "scopes": some })).await;
        if let Err(failure) = done {
            failure.tell();
            left.extend_from_slice(some);
        }
    }
    terminal::line(&format!("destroyed the keys of {}", counted(scopes.len() - left.len(), "scope", "scopes")))?;
    if left.is_empty() {
        return Ok(());
    }
    let error = format!("the policies are in force, but these scopes still have their keys: {}", left.join(" "));
    Err(Failure::failed(error).help("destroy each: aups key destroy SCOPE"))
}

fn topics(scope: &Scope) -> String {
    let shown: Vec<&str> = scope.topics.iter().take(TOPICS_SHOWN_MAX).map(String::as_str).collect();
    match scope.topic_count - shown.len() {
        0 => shown.join(" "),
        more => format!("{} and {more} more", shown.join(" ")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
