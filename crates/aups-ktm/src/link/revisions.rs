//! The stream of revisions: what happens in the KTM's store, as far as it concerns a NOS, to each NOS as it happens.

use super::{
    nodes::Following,
    routes::Caller,
    server::Link,
    wire::{self, Base64, Fault, Line, Put, ScopeNow, ScopeState},
};
use crate::{
    KtmError, publisher,
    records::Records,
    scope::{self, ScopeRecord},
};
use aups_store::{Changed, Event, Revision, Watch};
use bytes::Bytes;
use futures_util::{Stream, stream};
use std::{collections::VecDeque, io, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// How often something is said although nothing happened, so that a dead link shows.
pub(crate) const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);

/// Most records of a snapshot, and most scopes, in one line.
const PART_RECORDS_MAX: usize = 256;
const PART_SCOPES_MAX: usize = 4_096;

/// How often a snapshot is begun again because something was changed while it was taken; then all is read at once.
const SNAPSHOT_TRIES_MAX: usize = 8;

/// The lines, from a revision on; without one, a snapshot comes first.
pub(crate) fn revisions(
    link: &Arc<Link>,
    caller: Caller,
    from: Option<Revision>,
) -> Result<impl Stream<Item = io::Result<Bytes>> + use<>, Fault> {
    let gone = link.nodes.gone(&caller.nos).ok_or(Fault::Unknown)?;
    let following = link.nodes.follow(&caller.nos).ok_or_else(|| Fault::Malformed {
        detail: "this NOS follows revisions too often at the same time".to_owned(),
    })?;
    let lines = Lines {
        watch: from.map(|from| link.store.watch("", from)),
        seen: from.unwrap_or_default(),
        link: Arc::clone(link),
        caller,
        gone,
        waiting: VecDeque::new(),
        _following: following,
    };
    Ok(stream::unfold(lines, |mut lines| async move {
        let line = lines.next().await?;
        let mut json = serde_json::to_vec(&line).map_err(io::Error::other);
        if let Ok(json) = &mut json {
            json.push(b'\n');
        }
        Some((json.map(Bytes::from), lines))
    }))
}

struct Lines {
    link: Arc<Link>,
    caller: Caller,
    /// None: a snapshot is due.
    watch: Option<Watch>,
    /// Everything up to here was said.
    seen: Revision,
    gone: watch::Receiver<()>,
    waiting: VecDeque<Line>,
    _following: Following,
}

impl Lines {
    /// The next line. None when the NOS may no longer listen, or the KTM stops.
    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Some(line);
            }
            let Some(watch) = &mut self.watch else {
                self.begin_anew().await?;
                continue;
            };
            let event = tokio::select! {
                event = watch.next() => event?,
                changed = self.gone.changed() => { changed.ok()?; continue }
                () = sleep(HEARTBEAT_EVERY) => {
                    self.link.nodes.known(&self.caller.certificate, self.link.clock.now())?;
                    return Some(Line::Revision { revision: self.seen });
                }
            };
            match event {
                Event::Committed { revision, changes } => {
                    self.seen = revision;
                    return Some(self.link.line(revision, changes));
                }
                Event::Lagged => self.watch = None,
            }
        }
    }

    async fn begin_anew(&mut self) -> Option<()> {
        match self.link.snapshot().await {
            Ok((lines, revision)) => {
                (self.waiting, self.seen) = (lines, revision);
                self.watch = Some(self.link.store.watch("", revision));
                Some(())
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no snapshot for a NOS");
                None
            }
        }
    }
}

impl Link {
    /// What a transaction says to a NOS.
    fn line(&self, revision: Revision, changes: Vec<Changed>) -> Line {
        let scopes: Vec<_> = changes.iter().filter_map(scope_now).collect();
        let publishers = changes.iter().any(|change| change.key.starts_with(publisher::PREFIX));
        let changes: Vec<_> = changes.into_iter().filter(|change| self.is_followed(&change.key)).map(put).collect();
        if changes.is_empty() && scopes.is_empty() && !publishers {
            return Line::Revision { revision };
        }
        Line::Commit { revision, changes, scopes, publishers }
    }

    fn is_followed(&self, key: &str) -> bool {
        self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Everything that a NOS follows, as of one revision.
    async fn snapshot(&self) -> Result<(VecDeque<Line>, Revision), KtmError> {
        let (records, revision) = self.followed_records().await?;
        let scopes = self.ktm.scope_states().await;
        let scopes =
            scopes.into_iter().map(|(scope, tag, bump)| ScopeNow { scope, state: Some(ScopeState { tag, bump }) });
        let scopes: Vec<_> = scopes.collect();
        let mut lines = VecDeque::new();
        let mut records = records.into_iter().peekable();
        while records.peek().is_some() {
            let records = records.by_ref().take(PART_RECORDS_MAX).map(put).collect();
            lines.push_back(Line::Part { records, scopes: Vec::new() });
        }
        for some in scopes.chunks(PART_SCOPES_MAX) {
            lines.push_back(Line::Part { records: Vec::new(), scopes: some.to_vec() });
        }
        lines.push_back(Line::Snapshot { history: self.history, revision });
        Ok((lines, revision))
    }

    async fn followed_records(&self) -> Result<(Vec<Changed>, Revision), KtmError> {
        for _ in 0..SNAPSHOT_TRIES_MAX {
            let (mut records, mut revisions) = (Vec::new(), Vec::new());
            for prefix in &self.prefixes {
                let (some, revision) = self.store.list(prefix).await?;
                records.extend(some);
                revisions.push(revision);
            }
            revisions.dedup();
            if let [revision] = *revisions {
                return Ok((followed(records), revision));
            }
        }
        let (mut records, revision) = self.store.list("").await?;
        records.retain(|(key, _)| self.is_followed(key));
        Ok((followed(records), revision))
    }
}

fn followed(records: Vec<(String, aups_store::Versioned)>) -> Vec<Changed> {
    records.into_iter().map(|(key, found)| Changed { key, value: Some(found.value) }).collect()
}

fn put(change: Changed) -> Put {
    Put { key: change.key, value: change.value.map(Base64) }
}

/// What a change means for a scope's keys, if it is one of a scope's record.
fn scope_now(change: &Changed) -> Option<ScopeNow> {
    let scope = change.key.strip_prefix(scope::PREFIX)?.parse().ok()?;
    // A record that cannot be read gives no keys either.
    let state = change.value.as_ref().and_then(|value| Records::parse::<ScopeRecord>(&change.key, value).ok());
    Some(ScopeNow { scope, state: state.map(|record| ScopeState { tag: record.tag, bump: record.bump() }) })
}

/// What a NOS reads, line by line.
pub(crate) fn parse(line: &[u8]) -> Result<Line, KtmError> {
    wire::from_bytes(line)
        .map_err(|error| KtmError::Away { why: format!("a line of revisions cannot be read: {error}") })
}
