//! `aups audit search`: the lines about somebody or something.

use super::{
    shown::{self, HEADINGS},
    source::SourceArgs,
};
use crate::{
    cli::{admin::ServerArgs, failure::Failure, terminal},
    server::audit::Filter,
};
use aups_core::{Filter as TopicFilter, UnixMillis};
use clap::Args;

/// Find lines: what is given must all hold
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Search {
    /// About this user or app
    #[arg(long, value_name = "NAME")]
    sub: Option<String>,
    /// By the administrator's token of this name
    #[arg(long, value_name = "NAME")]
    actor: Option<String>,
    /// Of this kind, or of these between commas: keys, call, enrolled, …
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// On this topic, or on those that a filter takes
    #[arg(long, value_name = "FILTER")]
    topic: Option<TopicFilter>,
    /// That name this scope
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
    /// That name this key
    #[arg(long, value_name = "KEYID")]
    key: Option<String>,
    #[command(flatten)]
    period: Period,
    /// Most lines
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// As JSON lines, byte by byte as the trail has them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    source: SourceArgs,
}

/// From when to when.
#[derive(Debug, Args)]
pub(super) struct Period {
    /// From this day or time on (UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) since: Option<UnixMillis>,
    /// Before this day or time (UTC)
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(super) until: Option<UnixMillis>,
}

const EXAMPLES: &str = "\
Examples:
  aups audit search --sub alice --event keys --since 2026-11-01
  aups audit search --event bumped --json
  aups audit search --topic 'data/s1/#' --files copy/audit";

/// A day, which begins at midnight UTC, or a time: 2026-11-22, 2026-11-22T10:00:00Z.
pub(super) fn time(text: &str) -> Result<UnixMillis, String> {
    let full = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let time: jiff::Timestamp =
        full.parse().map_err(|_| "use a day or a time in UTC: 2026-11-22 or 2026-11-22T10:00:00Z".to_owned())?;
    let milliseconds = u64::try_from(time.as_millisecond()).map_err(|_| "use a time after 1970".to_owned())?;
    Ok(UnixMillis(milliseconds))
}

impl Search {
    pub(super) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let Self { sub, actor, event, topic, scope, key, period: Period { since, until }, limit, json, source } = self;
        let filter = Filter { sub, actor, event, topic, scope, key, since, until };
        let mut found = Vec::new();
        let mut more = false;
        source
            .open(server)?
            .each(&filter, |line| {
                more = found.len() >= limit;
                if !more {
                    found.push(line.to_owned());
                }
                Ok(!more)
            })
            .await?;
        if json {
            for line in &found {
                terminal::line(line.get())?;
            }
        } else {
            terminal::line(&terminal::table(&HEADINGS, &shown::rows(shown::parse(&found)?)))?;
        }
        if more {
            terminal::note(&format!("there are more than {limit} lines: look from a later --since, or raise --limit"));
        }
        Ok(())
    }
}
