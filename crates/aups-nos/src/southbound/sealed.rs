//! What a source sealed: the sealed message in a body (docs/protocol.md section 15).

use super::{
    Southbound,
    data::{Accepted, read_whole, take_text},
    idempotency::{Begun, RequestKey},
    not_taken,
    once::Once,
};
use crate::{
    accept::{Content, Sender},
    pipeline::backlog::NotTaken,
    problem::Refusal,
    sources::sealing::{NotRaised, Place, SealingSource},
};
use aups_core::Problem;
use aups_envelope::{ContentType, FormatError, SealedMessage};
use axum::body::Body;
use std::{net::IpAddr, sync::Arc};

/// A message that is authentic.
struct Opened {
    source: SealingSource,
    place: Place,
    content: Content,
    text: Vec<u8>,
}

/// `claimed` is who the request says that it is from: its credential's source, or its address. Whatever is refused is put down to that,
/// not to the source that sealed: others may send what it sealed again.
pub(super) async fn take_sealed(
    southbound: &Arc<Southbound>,
    claimed: &Sender,
    key: Option<RequestKey>,
    body: &mut Body,
    from: IpAddr,
) -> Result<Accepted, Refusal> {
    let sealed = read_whole(body).await?;
    let Opened { source, place, content, text } = match open(southbound, claimed, &sealed) {
        Ok(opened) => opened,
        Err(refusal) => {
            southbound.charge(&southbound.charges(claimed, from), 1)?;
            return Err(refusal);
        }
    };
    southbound.admit_source(&source.record)?;
    let sender = Sender::Registered { source: Arc::clone(&source.record), sealed: Some(source.suite) };
    let charges = southbound.charges(&sender, from);
    let place = source.raise(place);
    // What somebody sends again that the source sealed is not paid for by the source.
    let payer = if place.is_ok() { &charges } else { &southbound.charges(claimed, from) };
    southbound.charge(payer, 1)?;
    // What was sealed anew is the same request: the text counts.
    let request = match key.map(|key| southbound.idempotency.begin(&sender, &key, content, &text)).transpose()? {
        Some(Begun::Taken(items)) => {
            // A message that was not seen yet is taken as well, with nothing of it: else it could be played later without its key.
            if let Ok(place) = place {
                Once::of_place(None, place).keep(&southbound.backlog, Vec::new()).await.map_err(not_taken)?;
            }
            return Ok(Accepted { items, again: true, id: None });
        }
        Some(Begun::First(request)) => Some(request),
        None => None,
    };
    let place = place.map_err(|why| match why {
        NotRaised::Below => replayed().into(),
        NotRaised::Doubtful => not_taken(NotTaken::Disk),
    })?;
    take_text(southbound, &sender, &charges, content, &text, Once::of_place(request, place)).await
}

fn open(southbound: &Southbound, claimed: &Sender, sealed: &[u8]) -> Result<Opened, Refusal> {
    let message = SealedMessage::parse(sealed).map_err(|error| malformed(&error))?;
    let (source, text) = southbound.sources.open_sealed(&message).ok_or_else(not_authentic)?;
    if let Sender::Registered { source: claimed, .. } = claimed
        && claimed.node_id != source.record.node_id
    {
        return Err(not_authentic().into());
    }
    let content = match message.header().content {
        ContentType::Json => Content::Json,
        ContentType::SenmlJson => Content::Senml,
        ContentType::Octets | ContentType::Cbor => return Err(content_refused().into()),
    };
    Ok(Opened { source, place: Place::of(message.header()), content, text })
}

fn malformed(error: &FormatError) -> Problem {
    let detail = format!("not a sealed message: {error}; see docs/protocol.md, section 2");
    Problem::new(400, "malformed-sealed", "malformed sealed message", detail)
}

/// One answer for all that is not authentic: it tells nothing of what is registered.
fn not_authentic() -> Problem {
    let detail = "it was not sealed by a registered source as this one registered: compare credentialId, key and suite with the \
                  answer to the registration, and seal for the topic `src:<NodeId>`; an Authorization must be of the same source";
    Problem::new(401, "not-authenticated", "not authenticated", detail)
}

fn replayed() -> Problem {
    let detail = "a message of this session and seq, or a higher one, was taken already: begin a new session, with a higher boot \
                  counter, and seal anew";
    Problem::new(409, "replayed", "sealed message replayed", detail)
}

fn content_refused() -> Problem {
    let detail = "what a source seals is JSON (content type 1) or SenML JSON (3)";
    Problem::new(415, "media-type", "media type not taken", detail)
}

#[cfg(test)]
mod tests;
