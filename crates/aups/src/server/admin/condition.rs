//! Versions in `ETag` and `If-Match`: a change that is made only to what its author has seen.

use crate::server::http::Refused;
use aups_core::Problem;
use axum::{
    http::{
        HeaderMap,
        header::{ETAG, IF_MATCH},
    },
    response::{IntoResponse, Response},
};

/// An answer that is the state of a version, with its entity tag.
pub(super) fn of_version(version: u64, body: impl IntoResponse) -> Response {
    ([(ETAG, format!("\"{version}\""))], body).into_response()
}

/// The version that the request expects to be in force: `If-Match: "3"`; `*` and nothing expect no particular one.
pub(super) fn expected_version(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let tag = value.to_str().unwrap_or_default().trim();
    if tag == "*" {
        return Ok(None);
    }
    let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).and_then(|tag| tag.parse().ok());
    number.map(Some).ok_or_else(|| {
        let detail = "If-Match takes the ETag that GET gave, with its quotation marks, as in \"3\"";
        Refused::from(Problem::new(400, "malformed-if-match", "Malformed If-Match", detail))
    })
}
