//! `aups audit access`: what a reader got.

use super::{search::Period, source::SourceArgs};
use crate::{
    cli::{admin::ServerArgs, failure::Failure, terminal},
    server::audit::{Denied, Event, Filter, Granted},
};
use aups_core::{KeyId, ScopeId, Sub, UnixMillis};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Show which keys a reader was given or denied
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(
    long_about = "Show which keys a reader was given or denied, and who may read under each. A key opens every message that \
was sealed under it, on whatever topic; the topic is the one that the reader says it asked for. Keys of the following \
epoch, which come with those of the current one, are listed as well."
)]
pub(super) struct Access {
    /// The user or app
    #[arg(value_name = "NAME")]
    sub: Sub,
    #[command(flatten)]
    period: Period,
    /// As JSON lines, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArgs,
}

const EXAMPLES: &str = "\
Examples:
  aups audit access alice
  aups audit access alice --since 2026-11-01 --until 2026-12-01 --json";

/// A key that was asked for, and what came of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    at: UnixMillis,
    granted: bool,
    key_id: KeyId,
    topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<ScopeId>,
    /// Who may read under it, in words; for one that does not exist: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    atb: Option<String>,
}

/// A line, whatever its event.
#[derive(Deserialize)]
pub(super) struct Dated {
    pub(super) at: UnixMillis,
    #[serde(flatten)]
    pub(super) event: Event,
}

impl Access {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let source = self.source.open(server)?;
        let words = Filter { event: Some("scope".into()), ..Filter::default() };
        let mut audiences: HashMap<ScopeId, String> = HashMap::new();
        source
            .each(&words, |line| {
                if let Ok(Dated { event: Event::Scope { scope, atb }, .. }) = serde_json::from_str(line.get()) {
                    audiences.insert(scope, atb);
                }
                Ok(true)
            })
            .await?;
        let Period { since, until } = self.period;
        let asked =
            Filter { sub: Some(self.sub.to_string()), event: Some("keys".into()), since, until, ..Filter::default() };
        let mut rows = Vec::new();
        source
            .each(&asked, |line| {
                let Ok(Dated { at, event: Event::Keys { granted, denied, .. } }) = serde_json::from_str(line.get())
                else {
                    return Ok(true);
                };
                let of = |scope: Option<ScopeId>| scope.and_then(|scope| audiences.get(&scope).cloned());
                let granted = granted.into_iter().map(|Granted { key_id, scope, topic }| Asked {
                    at,
                    granted: true,
                    key_id,
                    topic,
                    scope: Some(scope),
                    atb: of(Some(scope)),
                });
                let denied = denied.into_iter().map(|Denied { key_id, scope, topic }| Asked {
                    at,
                    granted: false,
                    key_id,
                    topic,
                    scope,
                    atb: of(scope),
                });
                for asked in granted.chain(denied) {
                    if self.json {
                        terminal::line(&serde_json::json!(asked).to_string())?;
                    } else {
                        rows.push(row(&asked));
                    }
                }
                Ok(true)
            })
            .await?;
        if self.json {
            return Ok(());
        }
        terminal::line(&terminal::table(&["AT", "OUTCOME", "KEY", "TOPIC ASKED", "WHO MAY READ"], &rows))
    }
}

fn row(asked: &Asked) -> [String; 5] {
    let outcome = if asked.granted { "granted" } else { "denied" };
    let audience = match (&asked.atb, asked.scope) {
        (Some(words), _) => words.clone(),
        (None, Some(scope)) => format!("scope {scope}"),
        (None, None) => "there is no such key".to_owned(),
    };
    [asked.at.to_string(), outcome.to_owned(), asked.key_id.to_string(), asked.topic.clone(), audience]
}
