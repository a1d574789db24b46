//! Where data comes in: `POST /registration` and `POST /data` (DESIGN section 8).

pub(crate) mod body;
mod data;
mod defence;
mod idempotency;
mod marks;
mod once;
mod quota;
mod registration;
mod sealed;
mod stream;

use crate::{
    accept::Acceptance,
    pipeline::backlog::{Backlog, NotTaken},
    problem::Refusal,
    quarantine::Quarantine,
    rate::NO_ADDRESS,
    sources::Sources,
};
use aups_core::Problem;
use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, header},
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub(crate) use data::post_data;
pub(crate) use idempotency::Idempotency;
pub(crate) use marks::{clear_marks, restore_marks};
pub(crate) use quota::Meters;
pub(crate) use registration::post_registration;

/// How long a source waits before it tries again when there was no room.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What both paths need.
#[derive(Debug)]
pub(crate) struct Southbound {
    pub(crate) sources: Arc<Sources>,
    pub(crate) acceptance: Acceptance,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) meters: Meters,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) idempotency: Arc<Idempotency>,
}

/// Where a request came from.
pub(crate) fn address(request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map_or(NO_ADDRESS, |ConnectInfo(peer)| peer.ip().to_canonical())
}

/// The Bearer token of a request, if it has an `Authorization` at all (RFC 6750 section 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = all.next() else { return Ok(None) };
    let token = first.to_str().ok().and_then(|text| text.split_once(' ')).and_then(|(scheme, token)| {
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    if token.is_some() && all.next().is_none() {
        return Ok(token);
    }
    let detail = "Authorization must be given once, as `Bearer <credential>`; leave it out to send unregistered";
    Err(Problem::new(401, "not-authenticated", "not authenticated", detail).into())
}

/// The media type of a body; JSON where none is given.
fn media_type(headers: &HeaderMap) -> MediaType<'_> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return MediaType::Json };
    let Ok(text) = value.to_str() else { return MediaType::Other("") };
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let in_utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if !in_utf8 {
        MediaType::Other(text)
    } else if essence.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if essence.eq_ignore_ascii_case("application/x-ndjson") {
        MediaType::Lines
    } else if essence.eq_ignore_ascii_case("application/senml+json") {
        MediaType::Senml
    } else if ["application/aups", "application/aups+json"].iter().any(|sealed| essence.eq_ignore_ascii_case(sealed)) {
        MediaType::Sealed
    } else {
        MediaType::Other(text)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MediaType<'a> {
    Json,
    Lines,
    Senml,
    Sealed,
    Other(&'a str),
}

fn media_type_refused(given: &str, taken: &str) -> Refusal {
    let given: String = given.chars().take(100).collect();
    // What `curl -d` says if nobody tells it otherwise.
    let hint = if given == "application/x-www-form-urlencoded" { "; with curl: --json" } else { "" };
    let detail = format!("`{given}` is not taken here; send {taken} in UTF-8 and say so in Content-Type{hint}");
    Problem::new(415, "media-type", "media type not taken", detail).into()
}

fn not_taken(why: NotTaken) -> Refusal {
    let (code, title, detail) = match why {
        NotTaken::Full => ("queue-full", "queue full", "publishing does not keep up; send it again later"),
        NotTaken::Stopping => ("stopping", "stopping", "this NOS is stopping; send it again later"),
        NotTaken::Disk => {
            ("disk", "disk full or failing", "it may have been kept or not; send it again later, with the same content")
        }
        NotTaken::Failing => ("disk", "disk full or failing", "nothing of it was kept; send it again later"),
    };
    Refusal::later(Problem::new(503, code, title, detail), RETRY_AFTER)
}

#[cfg(test)]
mod tests;
