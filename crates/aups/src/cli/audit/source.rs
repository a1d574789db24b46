//! Where the lines of a trail come from: a server, or the files themselves.

use crate::{
    cli::{
        admin::{Admin, ServerArgs},
        failure::Failure,
        http::with_query,
    },
    server::audit::{
        Filter,
        files::{self, Span},
    },
};
use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::path::PathBuf;

/// Lines that are asked for at once.
const LINES_AT_ONCE: usize = 1_000;

/// Which trail.
#[derive(Debug, Args)]
pub(super) struct SourceArgs {
    /// Read the files in this folder, without a server: `<DATA_DIR>/audit`, or a copy
    #[arg(long, value_name = "DIR")]
    pub(super) files: Option<PathBuf>,
}

impl SourceArgs {
    pub(super) fn open(&self, server: &ServerArgs) -> Result<Source, Failure> {
        Ok(match &self.files {
            Some(dir) => Source::Files(dir.clone()),
            None => Source::Server(Box::new(server.admin()?)),
        })
    }
}

pub(super) enum Source {
    Files(PathBuf),
    Server(Box<Admin>),
}

/// Some of the lines that were asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) items: Vec<Box<RawValue>>,
    /// Up to which line was looked.
    pub(super) next: u64,
    /// The newest line there is.
    pub(super) newest: u64,
}

impl Source {
    /// The next lines that a filter takes, oldest first; to begin with, `after` is `None`.
    pub(super) async fn page(&self, filter: &Filter, after: Option<u64>) -> Result<Page, Failure> {
        match self {
            Self::Files(dir) => {
                let read = || -> std::io::Result<Page> {
                    let after = after.map_or_else(|| filter.starts_after(dir), Ok)?;
                    let span =
                        Span { after, newest: u64::MAX, found_max: LINES_AT_ONCE, looked_max: LINES_AT_ONCE * 100 };
                    let found = files::find(dir, span, |line| filter.takes(line))?;
                    // The end is where nothing further is found.
                    let newest = if found.looked_to == after { after } else { u64::MAX };
                    Ok(Page { items: found.lines, next: found.looked_to, newest })
                };
                read().map_err(|error| {
                    Failure::failed(format!("cannot read the trail in {}: {error}", dir.display()))
                        .help("name the folder that holds 000000000001.jsonl with --files")
                })
            }
            Self::Server(admin) => {
                let limit = LINES_AT_ONCE.to_string();
                let after = after.unwrap_or_default().to_string();
                let since = filter.since.map(|since| since.0.to_string());
                let until = filter.until.map(|until| until.0.to_string());
                let texts = [
                    ("sub", filter.sub.as_deref()),
                    ("actor", filter.actor.as_deref()),
                    ("event", filter.event.as_deref()),
                    ("topic", filter.topic.as_ref().map(aups_core::Filter::as_str)),
                    ("scope", filter.scope.as_deref()),
                    ("key", filter.key.as_deref()),
                    ("since", since.as_deref()),
                    ("until", until.as_deref()),
                ];
                let mut pairs = vec![("limit", limit.as_str())];
                // Without it the server finds the beginning of a time by the files.
                if after != "0" || filter.since.is_none() {
                    pairs.push(("after", &after));
                }
                pairs.extend(texts.into_iter().filter_map(|(name, text)| Some((name, text?))));
                admin.get(&with_query("/v1/audit", &pairs)).await
            }
        }
    }

    /// Every line that a filter takes, handed over one by one until the receiver says that it has enough.
    pub(super) async fn each(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&RawValue) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.page(filter, after).await?;
            for line in &page.items {
                if !take(line)? {
                    return Ok(());
                }
            }
            if page.next >= page.newest {
                return Ok(());
            }
            after = Some(page.next);
        }
    }
}
