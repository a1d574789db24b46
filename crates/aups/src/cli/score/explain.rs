//! `aups score explain`: as a table, or as JSON to keep.

use super::{parse, read};
use crate::cli::{admin::ServerArgs, failure::Failure, terminal};
use aups_core::ItemId;
use aups_nos::analyse::explain::Explanation;
use clap::Args;
use serde::Deserialize;
use std::path::Path;

/// Show what went into each score of an item, and by which rule
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The id of an item that the server took lately; or a file with an item, a line of `aups sub --json`, or an
    /// explanation that was kept; `-` is standard input
    #[arg(value_name = "ID|FILE")]
    what: String,
    /// As JSON, to keep
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  aups score explain 01890a5d-ac96-774b-bcce-b302099a8057
  aups sub --as alice.json 'data/#' --json --count 1 | aups score explain -";

impl Explain {
    pub(super) async fn run(&self, server: &ServerArgs) -> Result<(), Failure> {
        let text = if let Ok(id) = self.what.parse().map(ItemId) {
            asked(server, id).await?
        } else {
            let (name, text) = read(Path::new(&self.what))?;
            match item_id(&text) {
                Some(id) => asked(server, id).await?,
                None => parse(&name, &text).map(|_| text)?,
            }
        };
        if self.json { terminal::line(text.trim()) } else { terminal::line(&table(&parse("the answer", &text)?)) }
    }
}

async fn asked(server: &ServerArgs, id: ItemId) -> Result<String, Failure> {
    server.admin()?.get_text(&format!("/v1/scores/{id}")).await
}

/// The id of the item in a text: alone, or in a line of `aups sub --json`; not of one that is explained already.
fn item_id(text: &str) -> Option<ItemId> {
    #[derive(Deserialize)]
    struct Named {
        id: ItemId,
    }
    #[derive(Deserialize)]
    struct Line {
        item: Named,
        scores: Option<serde::de::IgnoredAny>,
    }
    let alone = serde_json::from_str(text).map(|Named { id }| id);
    alone.ok().or_else(|| {
        let line: Line = serde_json::from_str(text).ok()?;
        line.scores.is_none().then_some(line.item.id)
    })
}

fn table(explanation: &Explanation) -> String {
    let item = &explanation.item;
    let rows: Vec<_> = explanation
        .scores
        .iter()
        .map(|one| [one.score.to_string(), one.value.to_string(), format!("{}: {}", one.rule, one.why)])
        .collect();
    let about = format!(
        "item {} of {}, {}, received {}, by version {} of the configuration",
        item.id, item.source.node_id, item.data.name, item.received_at, explanation.config_version
    );
    format!("{}\n\n{}", terminal::harmless(&about), terminal::table(&["score", "value", "why"], &rows))
}

#[cfg(test)]
mod tests;
