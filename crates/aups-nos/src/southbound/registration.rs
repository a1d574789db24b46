//! `POST /registration`: a source says what it is and gets a credential.

use super::{
    MediaType, Southbound, address, bearer,
    body::{check_content_coding, read_body},
    media_type, media_type_refused,
};
use crate::{
    accept::{Sender, bad_json},
    json::{Document, Value},
    normalise::TEXT_CHARS_MAX,
    problem::Refusal,
    quarantine::Accused,
    sources::{EncryptionScheme, NewSource, Registered, SourcesError, UnknownScheme},
};
use aups_core::{NodeId, Problem, id::NameError};
use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{net::IpAddr, sync::Arc, time::Duration};
use tracing::{error, info};

/// Largest registration.
const REGISTRATION_BYTES_MAX: usize = 8 << 10;

pub(crate) async fn post_registration(State(southbound): State<Arc<Southbound>>, request: Request) -> Response {
    let from = address(&request);
    let (head, mut body) = request.into_parts();
    match register(&southbound, &head.headers, &mut body, from).await {
        Ok(registered) => answer(&registered),
        Err(refusal) => southbound.refuse(refusal, Accused::Address(from), &head, &mut body).await,
    }
}

async fn register(
    southbound: &Southbound,
    headers: &HeaderMap,
    body: &mut Body,
    from: IpAddr,
) -> Result<Registered, Refusal> {
    southbound.admit_address(from)?;
    southbound.charge(&southbound.charges(&Sender::Unregistered(from), from), 1)?;
    let token = bearer(headers)?;
    if !southbound.sources.may_register(token).await.map_err(|error| refused(&error))? {
        return Err(refused(&SourcesError::Token));
    }
    check_content_coding(headers)?;
    match media_type(headers) {
        MediaType::Json => {}
        MediaType::Lines => return Err(media_type_refused("application/x-ndjson", "application/json")),
        MediaType::Senml => return Err(media_type_refused("application/senml+json", "application/json")),
        MediaType::Sealed => return Err(media_type_refused("application/aups", "application/json")),
        MediaType::Other(given) => return Err(media_type_refused(given, "application/json")),
    }
    let body = read_body(body, REGISTRATION_BYTES_MAX).await?;
    let document = Document::read(&body).map_err(|error| bad_json(&error))?;
    let new = new_source(&document)?;
    let registered = southbound.sources.register(new, token).await.map_err(|error| refused(&error))?;
    info!(node = %registered.record.node_id, "source registered");
    Ok(registered)
}

fn answer(registered: &Registered) -> Response {
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::CREATED, no_store, Json(registered.told())).into_response()
}

fn new_source(document: &Document<'_>) -> Result<NewSource, Refusal> {
    let members = document.root().members().ok_or_else(|| {
        let detail = "send an object with NodeId, NodeType, CommunicationMode and, if you like, EncryptionScheme";
        Problem::new(400, "registration", "malformed registration", detail)
    })?;
    let (mut node_id, mut node_type, mut communication_mode) = (None, None, None);
    let mut encryption_scheme = EncryptionScheme::default();
    for (name, value) in &members {
        let checked = match &**name {
            "NodeId" => text(*value).and_then(|text| name_of(&text)).map(|id| node_id = Some(id)),
            "NodeType" => text(*value).map(|text| node_type = Some(text)),
            "CommunicationMode" => text(*value).map(|text| communication_mode = Some(text)),
            "EncryptionScheme" => text(*value).and_then(|text| scheme(&text)).map(|scheme| encryption_scheme = scheme),
            _ => Err("it is not known; leave it out".into()),
        };
        checked.map_err(|wrong| bad_member(name, &wrong, document, *value))?;
    }
    Ok(NewSource {
        node_id: node_id.ok_or_else(|| missing("NodeId"))?,
        node_type: node_type.ok_or_else(|| missing("NodeType"))?,
        communication_mode: communication_mode.ok_or_else(|| missing("CommunicationMode"))?,
        encryption_scheme,
    })
}

fn text(value: Value<'_>) -> Result<Box<str>, String> {
    value
        .string()
        .filter(|text| (1..=TEXT_CHARS_MAX).contains(&text.chars().count()))
        .map(Into::into)
        .ok_or_else(|| format!("it must be a text of 1 to {TEXT_CHARS_MAX} characters"))
}

fn name_of(text: &str) -> Result<NodeId, String> {
    text.parse().map_err(|error: NameError| error.to_string())
}

fn scheme(text: &str) -> Result<EncryptionScheme, String> {
    text.parse().map_err(|error: UnknownScheme| error.to_string())
}

fn bad_member(name: &str, wrong: &str, document: &Document<'_>, value: Value<'_>) -> Problem {
    let name: String = name.chars().take(TEXT_CHARS_MAX).collect();
    let place = document.place_of(value);
    Problem::new(400, "registration", "malformed registration", format!("`{name}`: {wrong}"))
        .at(place.line, place.column)
        .member(name)
}

fn missing(name: &'static str) -> Problem {
    Problem::new(400, "registration", "malformed registration", format!("`{name}` is missing; add it")).member(name)
}

fn refused(error: &SourcesError) -> Refusal {
    match error {
        SourcesError::Exists => Problem::new(
            409,
            "node-exists",
            "NodeId taken",
            "a source of this NodeId is registered already; choose another, or have an administrator remove it first",
        )
        .member("NodeId")
        .into(),
        SourcesError::Token => Problem::new(
            401,
            "claim-token",
            "claim token needed",
            "registration takes a one-time token as `Authorization: Bearer <token>`; an administrator makes one with \
             `aups source invite`",
        )
        .into(),
        error => {
            error!(error = error as &dyn std::error::Error, "a registration was not done");
            let detail = "no more sources can be registered now; try again later, or ask the administrator";
            Refusal::later(Problem::new(503, "unavailable", "not available now", detail), Duration::from_secs(30))
        }
    }
}
