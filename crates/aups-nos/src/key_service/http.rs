//! The key service over HTTP: `POST /v1/keys` and `GET /v1/topics`.

use super::{KeyAnswer, KeyService, Origin, is_fresh, unauthorised};
use crate::{
    problem::Refusal,
    southbound::{
        address, bearer,
        body::{BodyError, DISCARD_BYTES_MAX, check_content_coding, discard, read_body},
    },
};
use aups_core::{Filter, Problem, limits::KEY_REQUEST_BYTES_MAX};
use aups_envelope::bearer::Bearer;
use axum::{
    Json,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc};

/// The media type of compact JWS (RFC 7515 section 9.2.1).
pub(super) const JOSE: &str = "application/jose";

/// `POST /v1/keys`.
pub(crate) async fn post_keys(State(service): State<Arc<KeyService>>, request: Request) -> Response {
    let from = address(&request);
    let (head, mut body) = request.into_parts();
    match keys(&service, &head.headers, &mut body, from).await {
        Ok(answer) => answer.into_response(),
        Err(refusal) => {
            discard(&mut body, &head.headers, DISCARD_BYTES_MAX).await;
            refusal.into_response()
        }
    }
}

/// `GET /v1/topics`.
pub(crate) async fn get_topics(State(service): State<Arc<KeyService>>, request: Request) -> Response {
    topics(&service, &request, address(&request)).unwrap_or_else(IntoResponse::into_response)
}

async fn keys(service: &KeyService, headers: &HeaderMap, body: &mut Body, from: IpAddr) -> Result<KeyAnswer, Refusal> {
    check_content_coding(headers)?;
    check_media_type(headers)?;
    let bytes = read_body(body, KEY_REQUEST_BYTES_MAX).await.map_err(request_unread)?;
    service.answer(&bytes, &Origin::Http(from)).await
}

impl IntoResponse for KeyAnswer {
    fn into_response(self) -> Response {
        let status = if self.granted { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(JOSE)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        (status, headers, self.jws).into_response()
    }
}

fn topics(service: &KeyService, request: &Request, address: IpAddr) -> Result<Response, Refusal> {
    let token = bearer(request.headers())?.ok_or_else(unauthorised)?;
    let sub = Bearer::peek_sub(token.as_bytes()).map_err(|_| unauthorised())?;
    service.check_address(address)?;
    service.check_current()?;
    let reader = service.readers.reader(&sub);
    let bearer = Bearer::verify(token.as_bytes(), &service.verifying_key(reader.as_deref()));
    let (Some(reader), Ok(bearer)) = (reader, bearer) else { return Err(unauthorised().into()) };
    if reader.keys.is_none() || bearer.aud != service.realm {
        return Err(unauthorised().into());
    }
    let now = service.clock.now();
    if !is_fresh(bearer.iat, now) {
        return Err(unauthorised().with("now", now.0).into());
    }
    service.check_reader(&sub)?;
    let pdp = Arc::clone(&service.policies.borrow());
    let answer = match asked_filter(request.uri())? {
        Some(filter) => {
            let (accepted, reason) = service.judge(&pdp, &reader.principal, &filter);
            serde_json::json!({ "filter": filter, "accepted": accepted, "reason": reason })
        }
        None => serde_json::json!({ "items": service.readable(&pdp, &reader.principal) }),
    };
    Ok(Json(answer).into_response())
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let essence = |value: &HeaderValue| {
        value.to_str().ok().map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    };
    match headers.get(header::CONTENT_TYPE).map(essence) {
        None => Ok(()),
        Some(Some(essence)) if essence == JOSE => Ok(()),
        Some(_) => {
            let detail = "send a signed key request as application/jose";
            Err(Problem::new(415, "media-type", "media type not taken", detail).into())
        }
    }
}

/// The filter that the query names: `?filter=data/%23`.
fn asked_filter(uri: &Uri) -> Result<Option<Filter>, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        filter: Option<String>,
    }
    let malformed = |detail: String| Problem::new(400, "malformed-query", "malformed query", detail);
    let Query(Asked { filter }) = Query::try_from_uri(uri)
        .map_err(|_| malformed("nothing may be asked but `filter`, once, percent-encoded".to_owned()))?;
    let Some(filter) = filter else { return Ok(None) };
    let parsed = filter.parse();
    let parsed =
        parsed.map_err(|error| malformed(format!("`{filter}` is no topic filter: {error}")).member("filter"))?;
    Ok(Some(parsed))
}

fn request_unread(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => Problem::new(
            413,
            "too-large",
            "body too large",
            format!("a key request has at most {KEY_REQUEST_BYTES_MAX} bytes; ask for fewer keys at once"),
        )
        .into(),
        other => other.into(),
    }
}
