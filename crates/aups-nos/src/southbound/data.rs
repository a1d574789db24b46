//! `POST /data`: a value, a batch of values, or a stream of lines.

use super::{
    MediaType, Southbound, address, bad_json, bearer,
    body::{BodyError, discard, read_body, read_part},
    media_type, media_type_refused, not_taken, over_quota,
};
use crate::{
    accept::{AcceptError, Entry, Sender},
    json::{Document, Place, Value},
    problem::Refusal,
    rate::sender_network,
};
use aups_core::{
    Problem,
    limits::{BODY_BYTES_MAX, LINE_BYTES_MAX},
};
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};
use tokio::time::Instant;

/// Most values in one array.
const BATCH_ITEMS_MAX: usize = 10_000;
/// Entries of a stream that are handed to the backlog together.
const STREAM_ENTRIES_MAX: usize = 512;

const MEDIA_TYPES: &str = "application/json (also the default) or application/x-ndjson";

pub(crate) async fn post_data(State(southbound): State<Arc<Southbound>>, request: Request) -> Response {
    let from = address(&request);
    let (head, mut body) = request.into_parts();
    match take(&southbound, &head.headers, &mut body, from).await {
        Ok(accepted) => (StatusCode::ACCEPTED, Json(serde_json::json!({ "accepted": accepted }))).into_response(),
        Err(refusal) => {
            discard(&mut body, &head.headers).await;
            refusal.into_response()
        }
    }
}

async fn take(southbound: &Southbound, headers: &HeaderMap, body: &mut Body, from: IpAddr) -> Result<u64, Refusal> {
    let sender = match bearer(headers)? {
        None => Sender::Unregistered(from),
        Some(credential) => Sender::Registered(southbound.sources.authenticate(credential).ok_or_else(unknown)?),
    };
    southbound.charge(&sender, 1)?;
    match media_type(headers) {
        MediaType::Json => take_whole(southbound, &sender, body).await,
        MediaType::Lines => Stream::new(southbound, sender).take(body).await,
        MediaType::Other(given) => Err(media_type_refused(given, MEDIA_TYPES)),
    }
}

impl Southbound {
    /// Takes tokens of the sender's quota before anything is done for it.
    fn charge(&self, sender: &Sender, tokens: u32) -> Result<(), Refusal> {
        match (sender, &self.registered) {
            (Sender::Unregistered(address), _) => self.charge_address(*address, tokens),
            (Sender::Registered(source), Some(quotas)) => {
                quotas.take(source.node_id.clone(), tokens, Instant::now()).map_err(over_quota)
            }
            (Sender::Registered(_), None) => Ok(()),
        }
    }

    /// Takes tokens for items beyond the one that was paid for.
    fn owe(&self, sender: &Sender, items: usize) {
        let tokens = u32::try_from(items).unwrap_or(u32::MAX).saturating_sub(1);
        match (sender, &self.registered) {
            (Sender::Unregistered(address), _) => {
                self.unregistered.owe(sender_network(*address), tokens, Instant::now());
            }
            (Sender::Registered(source), Some(quotas)) => {
                quotas.owe(source.node_id.clone(), tokens, Instant::now());
            }
            (Sender::Registered(_), None) => {}
        }
    }

    /// The entries of one JSON text: an array is a batch, anything else is one value. All or nothing.
    fn entries(&self, text: &[u8], sender: &Sender) -> Result<Vec<Entry>, Refusal> {
        let document = Document::read(text).map_err(|error| bad_json(&error))?;
        let values = document.root().elements().unwrap_or_else(|| vec![document.root()]);
        if values.len() > BATCH_ITEMS_MAX {
            let detail = format!("a batch has at most {BATCH_ITEMS_MAX} values; send several, or application/x-ndjson");
            return Err(Problem::new(413, "too-large", "batch too large", detail).into());
        }
        let accept = |value: Value<'_>| {
            self.acceptance.accept(value, sender).map_err(|error| bad_value(&error, &document, value).into())
        };
        values.into_iter().map(accept).collect()
    }
}

async fn take_whole(southbound: &Southbound, sender: &Sender, body: &mut Body) -> Result<u64, Refusal> {
    let text = read_body(body, BODY_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => Problem::new(
            413,
            "too-large",
            "body too large",
            format!("a body has at most {BODY_BYTES_MAX} bytes; send several, or a stream as application/x-ndjson"),
        )
        .into(),
        other => Refusal::from(other),
    })?;
    let entries = southbound.entries(&text, sender)?;
    let count = entries.len();
    southbound.owe(sender, count);
    southbound.backlog.append(entries).await.map_err(|(why, _)| not_taken(why))?;
    Ok(count_accepted(count))
}

/// A stream of lines on its way in, in bounded memory: one line, and the entries of one append.
struct Stream<'a> {
    southbound: &'a Southbound,
    sender: Sender,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The number of the line that is read, from 1.
    line: usize,
    entries: Vec<Entry>,
    /// Whether there was a value at all.
    any: bool,
    accepted: u64,
}

impl<'a> Stream<'a> {
    fn new(southbound: &'a Southbound, sender: Sender) -> Self {
        Self { southbound, sender, partial: Vec::new(), line: 1, entries: Vec::new(), any: false, accepted: 0 }
    }

    async fn take(mut self, body: &mut Body) -> Result<u64, Refusal> {
        let outcome = self.lines(body).await;
        // What was good before the first bad line is taken.
        let outcome = self.append().await.and(outcome);
        match outcome {
            Ok(()) if !self.any => Err(empty().with("accepted", 0).into()),
            Ok(()) => Ok(self.accepted),
            Err(refusal) => Err(refusal.map(|problem| problem.with("accepted", self.accepted))),
        }
    }

    async fn lines(&mut self, body: &mut Body) -> Result<(), Refusal> {
        while let Some(part) = read_part(body).await? {
            let mut lines = part.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                if self.partial.len() + line.len() > LINE_BYTES_MAX {
                    return Err(self.line_too_long().into());
                }
                if lines.peek().is_none() {
                    self.partial.extend_from_slice(line);
                } else if self.partial.is_empty() {
                    self.line(line).await?;
                } else {
                    self.partial.extend_from_slice(line);
                    let line = std::mem::take(&mut self.partial);
                    self.line(&line).await?;
                }
            }
            self.append().await?;
        }
        let last = std::mem::take(&mut self.partial);
        self.line(&last).await
    }

    /// A line means what the same text would mean as a body; blank lines mean nothing.
    async fn line(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let blank = text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        if !blank {
            let first = !std::mem::replace(&mut self.any, true);
            let at = self.line;
            let place = |problem: Problem| Problem { line: Some(at), ..problem };
            // The first value was paid for with the request.
            if !first {
                self.southbound.charge(&self.sender, 1).map_err(|refusal| refusal.map(place))?;
            }
            let entries = self.southbound.entries(text, &self.sender).map_err(|refusal| refusal.map(place))?;
            self.southbound.owe(&self.sender, entries.len());
            self.entries.extend(entries);
            if self.entries.len() >= STREAM_ENTRIES_MAX {
                self.append().await?;
            }
        }
        self.line += 1;
        Ok(())
    }

    /// Hands over what has come together; waits a while if there is no room.
    async fn append(&mut self) -> Result<(), Refusal> {
        let entries = std::mem::take(&mut self.entries);
        let count = entries.len();
        let line = self.line;
        self.southbound
            .backlog
            .append_waiting(entries)
            .await
            .map_err(|why| not_taken(why).map(|problem| Problem { line: Some(line), ..problem }))?;
        self.accepted += count_accepted(count);
        Ok(())
    }

    fn line_too_long(&self) -> Problem {
        let detail = format!("a line has at most {LINE_BYTES_MAX} bytes; send less in one");
        Problem { line: Some(self.line), ..Problem::new(413, "too-large", "line too long", detail) }
    }
}

/// Counts `aups_items_accepted_total`.
fn count_accepted(items: usize) -> u64 {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    metrics::counter!("aups_items_accepted_total").increment(items);
    items
}

fn unknown() -> Problem {
    Problem::new(
        401,
        "not-authenticated",
        "not authenticated",
        "the credential is not that of a registered source; register again, or leave Authorization out to send unregistered",
    )
}

fn empty() -> Problem {
    Problem::new(400, "empty", "empty body", "there is nothing here; send at least one line").at(1, 1)
}

fn bad_value(error: &AcceptError<'_>, document: &Document<'_>, value: Value<'_>) -> Problem {
    let at = |problem: Problem, Place { line, column }: Place| problem.at(line, column);
    let detail = error.to_string();
    match error {
        AcceptError::Mapping(error) => {
            let problem = Problem::new(400, "malformed-reading", "malformed reading", detail).member(error.member);
            at(problem, document.place_of(error.value))
        }
        AcceptError::TopicTooLong => {
            let problem = Problem::new(400, "malformed-reading", "malformed reading", detail).member("name");
            at(problem, document.place_of(value))
        }
        AcceptError::ItemTooLong => {
            at(Problem::new(413, "too-large", "item too large", detail), document.place_of(value))
        }
    }
}
