//! `POST /data`: a value, a batch of values, or a [stream](super::stream) of lines.

use super::{
    MediaType, Southbound, address, bad_json,
    body::{BodyError, read_body},
    defence::Admitted,
    media_type, media_type_refused, not_taken,
    quota::Charges,
    stream::Stream,
};
use crate::{
    accept::{AcceptError, Entry, Sender},
    json::{Document, Place, Value},
    problem::Refusal,
    quarantine::Accused,
};
use aups_core::{Problem, limits::BODY_BYTES_MAX};
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc};

/// Most values in one array.
const BATCH_ITEMS_MAX: usize = 10_000;

const MEDIA_TYPES: &str = "application/json (also the default) or application/x-ndjson";

pub(crate) async fn post_data(State(southbound): State<Arc<Southbound>>, request: Request) -> Response {
    let from = address(&request);
    let (head, mut body) = request.into_parts();
    let Admitted { sender, is_known } = match southbound.admit(&head.headers, from) {
        Ok(admitted) => admitted,
        Err(refusal) => return southbound.refuse(refusal, Accused::Address(from), &head, &mut body).await,
    };
    match take(&southbound, &head.headers, &sender, &mut body, from).await {
        Ok(accepted) => {
            if is_known {
                southbound.quarantine.good(sender.accused());
            }
            (StatusCode::ACCEPTED, Json(serde_json::json!({ "accepted": accepted }))).into_response()
        }
        Err(refusal) => southbound.refuse(refusal, sender.accused(), &head, &mut body).await,
    }
}

async fn take(
    southbound: &Southbound,
    headers: &HeaderMap,
    sender: &Sender,
    body: &mut Body,
    from: IpAddr,
) -> Result<u64, Refusal> {
    let charges = southbound.charges(sender, from);
    southbound.charge(&charges, 1)?;
    match media_type(headers) {
        MediaType::Json => take_whole(southbound, sender, &charges, body).await,
        MediaType::Lines => Stream::new(southbound, sender, from).take(body).await,
        MediaType::Other(given) => Err(media_type_refused(given, MEDIA_TYPES)),
    }
}

impl Southbound {
    /// Puts the entries of one JSON text behind those that are there: an array is a batch, anything else is one value. Of a
    /// text that is refused some may be there: they are not to be kept.
    pub(super) fn entries(&self, text: &[u8], sender: &Sender, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
        let document = Document::read(text).map_err(|error| bad_json(&error))?;
        let values = document.root().elements().unwrap_or_else(|| vec![document.root()]);
        if values.len() > BATCH_ITEMS_MAX {
            let detail = format!("a batch has at most {BATCH_ITEMS_MAX} values; send several, or application/x-ndjson");
            return Err(Problem::new(413, "too-large", "batch too large", detail).into());
        }
        let config = self.acceptance.config();
        for value in values {
            let taken = self.acceptance.accept(value, sender, &config, entries);
            taken.map_err(|error| bad_value(&error, &document, value))?;
        }
        Ok(())
    }
}

async fn take_whole(
    southbound: &Southbound,
    sender: &Sender,
    charges: &Charges,
    body: &mut Body,
) -> Result<u64, Refusal> {
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
    let mut entries = Vec::with_capacity(1);
    let taken = southbound.entries(&text, sender, &mut entries);
    let count = entries.len();
    // The first item was paid for with the request.
    southbound.owe(charges, count.saturating_sub(1), text.len());
    taken?;
    southbound.backlog.append(entries, Vec::new()).await.map_err(|(why, _)| not_taken(why))?;
    Ok(count_accepted(count))
}

/// Counts `aups_items_accepted_total`.
pub(super) fn count_accepted(items: usize) -> u64 {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    metrics::counter!("aups_items_accepted_total").increment(items);
    items
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
