//! A NOS follows the KTM's revisions: reads the stream, has its copy brought up to date, and lets go of keys that changed.

use super::{
    REVISION_LINE_BYTES_MAX, Record, SNAPSHOT_BYTES_MAX,
    history::{History, Point},
    remote::Remote,
    revisions::{HEARTBEAT_EVERY, parse},
    wire::{Base64, Line, Put, ScopeState, path},
};
use crate::{KtmError, SCOPES_MAX};
use aups_core::ScopeId;
use aups_envelope::random;
use aups_store::{Changed, Revision};
use bytes::{Buf as _, BytesMut};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// A stream on which nothing was said for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(3 * HEARTBEAT_EVERY.as_secs() + 1);

/// How long to wait before the stream is opened again: at first, and at most.
const REOPENED_AFTER: Duration = Duration::from_millis(100);
const REOPENED_AFTER_MAX: Duration = Duration::from_secs(2);

/// Follows for ever.
pub(crate) async fn follow(remote: Arc<Remote>) {
    let mut wait = REOPENED_AFTER;
    loop {
        let ended = follow_once(&remote).await;
        match &ended {
            Ok(()) => tracing::info!("the KTM ended the stream of revisions; opening it again"),
            Err(error) => tracing::warn!(error = error as &dyn std::error::Error, "the stream of revisions broke off"),
        }
        if remote.connected.send_replace(false) {
            wait = REOPENED_AFTER;
        }
        // A few at a time come back, not all NOSs at once.
        let jitter = u32::from(u8::from_be_bytes(random::<1>()));
        sleep(wait + wait * jitter / 256).await;
        wait = (wait * 2).min(REOPENED_AFTER_MAX);
    }
}

async fn follow_once(remote: &Remote) -> Result<(), KtmError> {
    let from = remote.followed_up_to();
    let query = from.map(|Point { history, revision }| format!("?from={revision}&history={history}"));
    let away = |error: reqwest::Error| KtmError::Away { why: super::remote::in_full(&error) };
    let response =
        timeout(SILENCE_MAX, remote.http().get(remote.url(path::REVISIONS) + &query.unwrap_or_default()).send()).await;
    let response = response.map_err(|_| silent())?.map_err(away)?;
    if !response.status().is_success() {
        return Err(remote.refused(response).await);
    }
    let mut lines = Lines { response, buffer: BytesMut::new() };
    let mut snapshot = Snapshot::default();
    while let Some(line) = timeout(SILENCE_MAX, lines.next()).await.map_err(|_| silent())?? {
        remote.connected.send_replace(true);
        take(remote, line, &mut snapshot).await?;
    }
    Ok(())
}

fn silent() -> KtmError {
    KtmError::Away { why: format!("nothing was heard for {} s", SILENCE_MAX.as_secs()) }
}

async fn take(remote: &Remote, line: Line, snapshot: &mut Snapshot) -> Result<(), KtmError> {
    match line {
        Line::Part { records, scopes } => {
            snapshot.add(records)?;
            for now in scopes {
                snapshot.scopes.extend(now.state.map(|state| (now.scope, state)));
            }
            if snapshot.scopes.len() > SCOPES_MAX {
                return Err(KtmError::Away { why: format!("a snapshot has more than {SCOPES_MAX} scopes") });
            }
        }
        Line::Snapshot { history, revision } => {
            let Snapshot { records, scopes, .. } = std::mem::take(snapshot);
            let done = remote.follower.snapshot(revision, records).await;
            done.map_err(|error| remote.lost_track(&*error))?;
            let changed = remote.cache().snapshot(scopes);
            remote.applied(Point { history, revision }, changed);
        }
        Line::Commit { revision, changes, scopes, publishers } => {
            let history = followed(remote)?;
            let changes: Vec<_> = changes.into_iter().map(changed).collect();
            if !changes.is_empty() {
                let done = remote.follower.apply(revision, changes).await;
                done.map_err(|error| remote.lost_track(&*error))?;
            }
            let changed = {
                let mut cache = remote.cache();
                if publishers {
                    cache.publishers_changed(revision);
                }
                cache.changed(revision, &scopes)
            };
            remote.applied(Point { history, revision }, changed);
        }
        Line::Revision { revision } => remote.applied(Point { history: followed(remote)?, revision }, false),
    }
    Ok(())
}

/// Which history the copy is of that is brought up to date.
fn followed(remote: &Remote) -> Result<History, KtmError> {
    let from = remote.followed_up_to().map(|from| from.history);
    from.ok_or_else(|| KtmError::Away { why: "the KTM tells what happened before it told what there is".to_owned() })
}

fn changed(put: Put) -> Changed {
    Changed { key: put.key, value: put.value.map(|Base64(value)| value) }
}

/// What came of a snapshot so far.
#[derive(Default)]
struct Snapshot {
    records: Vec<Record>,
    bytes: usize,
    scopes: HashMap<ScopeId, ScopeState>,
}

impl Snapshot {
    fn add(&mut self, records: Vec<Put>) -> Result<(), KtmError> {
        for Put { key, value } in records {
            let Some(Base64(value)) = value else { continue };
            self.bytes = self.bytes.saturating_add(key.len() + value.len());
            self.records.push(Record { key, value });
        }
        if self.bytes > SNAPSHOT_BYTES_MAX {
            return Err(KtmError::Away { why: format!("a snapshot is longer than {SNAPSHOT_BYTES_MAX} bytes") });
        }
        Ok(())
    }
}

/// The lines of an answer.
struct Lines {
    response: reqwest::Response,
    buffer: BytesMut,
}

impl Lines {
    /// The next line; none at the end. Cancelling it loses nothing that was read.
    async fn next(&mut self) -> Result<Option<Line>, KtmError> {
        let mut looked_at = 0;
        loop {
            let rest = self.buffer.get(looked_at..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(looked_at + at);
                self.buffer.advance(1);
                return parse(&line).map(Some);
            }
            looked_at = self.buffer.len();
            if looked_at > REVISION_LINE_BYTES_MAX {
                return Err(KtmError::Away { why: format!("a line is longer than {REVISION_LINE_BYTES_MAX} bytes") });
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| KtmError::Away { why: super::remote::in_full(&error) })? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// Whether a NOS that has applied so much may use what is of this revision.
pub(crate) const fn has_applied(applied: Option<Point>, revision: Revision) -> bool {
    matches!(applied, Some(applied) if applied.revision >= revision)
}
