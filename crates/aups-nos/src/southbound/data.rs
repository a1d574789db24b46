//! `POST /data`: a value, a batch of values, a [stream](super::stream) of lines, or what a source [sealed](super::sealed).

use super::{
    MediaType, Southbound, address,
    body::{BodyError, check_content_coding, read_body},
    defence::Admitted,
    idempotency::{Begun, RequestKey},
    media_type, media_type_refused, not_taken,
    once::Once,
    quota::Charges,
    sealed::take_sealed,
    stream::Stream,
};
use crate::{
    accept::{Content, Entry, Sender},
    problem::Refusal,
    quarantine::Accused,
};
use aups_core::{ItemId, Problem, limits::BODY_BYTES_MAX};
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::{net::IpAddr, sync::Arc};

const MEDIA_TYPES: &str = "application/json (also the default), application/x-ndjson, application/senml+json, application/aups or application/aups+json";

/// Says of an answer that it is the one to an earlier request with the same `Idempotency-Key`.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The id of the item, where exactly one was taken: under it the item is found in the log, and at readers.
const ITEM_ID: HeaderName = HeaderName::from_static("aups-item-id");

/// What was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    pub(super) items: u64,
    /// By an earlier request of the same key: nothing was taken now.
    pub(super) again: bool,
    /// Of the item, if it is exactly one and was taken now.
    pub(super) id: Option<ItemId>,
}

impl IntoResponse for Accepted {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "accepted": self.items }));
        let mut response = (StatusCode::ACCEPTED, body).into_response();
        if let Some(value) = self.id.and_then(|id| HeaderValue::from_maybe_shared(id.to_string()).ok()) {
            response.headers_mut().insert(ITEM_ID, value);
        }
        if self.again {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

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
            accepted.into_response()
        }
        Err(refusal) => southbound.refuse(refusal, sender.accused(), &head, &mut body).await,
    }
}

async fn take(
    southbound: &Arc<Southbound>,
    headers: &HeaderMap,
    sender: &Sender,
    body: &mut Body,
    from: IpAddr,
) -> Result<Accepted, Refusal> {
    check_content_coding(headers)?;
    let key = RequestKey::of(headers)?;
    let media_type = media_type(headers);
    let charges = southbound.charges(sender, from);
    // Who sealed something is known, and pays, when it is opened.
    if media_type != MediaType::Sealed {
        southbound.charge(&charges, 1)?;
    }
    match media_type {
        MediaType::Json => take_whole(southbound, Content::Json, sender, &charges, key, body).await,
        MediaType::Senml => take_whole(southbound, Content::Senml, sender, &charges, key, body).await,
        MediaType::Lines if key.is_some() => Err(key_of_a_stream().into()),
        MediaType::Lines => Stream::new(southbound, sender, from).take(body).await,
        MediaType::Sealed => take_sealed(southbound, sender, key, body, from).await,
        MediaType::Other(given) => Err(media_type_refused(given, MEDIA_TYPES)),
    }
}

impl Southbound {
    /// Puts the entries of one text behind those that are there. Of a text that is refused some may be there: they are not
    /// to be kept.
    pub(super) fn entries(
        &self,
        text: &[u8],
        content: Content,
        sender: &Sender,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Refusal> {
        self.acceptance.take(text, content, sender, entries)
    }
}

async fn take_whole(
    southbound: &Arc<Southbound>,
    content: Content,
    sender: &Sender,
    charges: &Charges,
    key: Option<RequestKey>,
    body: &mut Body,
) -> Result<Accepted, Refusal> {
    let text = read_whole(body).await?;
    let Some(key) = key else { return take_text(southbound, sender, charges, content, &text, Once::default()).await };
    match southbound.idempotency.begin(sender, &key, content, &text)? {
        Begun::Taken(items) => Ok(Accepted { items, again: true, id: None }),
        Begun::First(request) => {
            take_text(southbound, sender, charges, content, &text, Once::of_request(request)).await
        }
    }
}

/// Reads a body that is not a stream.
pub(super) async fn read_whole(body: &mut Body) -> Result<Bytes, Refusal> {
    read_body(body, BODY_BYTES_MAX).await.map_err(|error| match error {
        BodyError::TooLarge => Problem::new(
            413,
            "too-large",
            "body too large",
            format!("a body has at most {BODY_BYTES_MAX} bytes; send several, or a stream as application/x-ndjson"),
        )
        .into(),
        other => Refusal::from(other),
    })
}

/// Takes a text as a whole or not at all, with what is to be known of it afterwards.
pub(super) async fn take_text(
    southbound: &Southbound,
    sender: &Sender,
    charges: &Charges,
    content: Content,
    text: &[u8],
    once: Once,
) -> Result<Accepted, Refusal> {
    // Before anything is learnt from what cannot be taken.
    southbound.backlog.has_room(1, text.len()).map_err(not_taken)?;
    let mut entries = Vec::with_capacity(1);
    let taken = southbound.entries(text, content, sender, &mut entries);
    let count = entries.len();
    let id = if let [entry] = entries.as_slice() { Some(entry.item.id) } else { None };
    // The first item was paid for with the request.
    southbound.owe(charges, count.saturating_sub(1), text.len());
    taken?;
    once.keep(&southbound.backlog, entries).await.map_err(not_taken)?;
    // The pipeline first: readers wait for the item, and nobody for the answer. It often runs on this very thread.
    tokio::task::yield_now().await;
    Ok(Accepted { items: count_accepted(count), again: false, id })
}

/// Counts `aups_items_accepted_total`.
pub(super) fn count_accepted(items: usize) -> u64 {
    let items = u64::try_from(items).unwrap_or(u64::MAX);
    metrics::counter!("aups_items_accepted_total").increment(items);
    items
}

fn key_of_a_stream() -> Problem {
    let detail = "a stream is taken line by line, and `accepted` says how far: send it without Idempotency-Key, or send a batch, \
                  which is a JSON array";
    Problem::new(400, "idempotency-stream", "no Idempotency-Key for a stream", detail)
}
