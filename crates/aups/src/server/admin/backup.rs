//! `/v1/backup`: everything in the store with its keyring, sealed under a passphrase.

use super::{Admin, storage_problem};
use crate::server::{
    audit::Note,
    http::{Refused, read_body},
};
use aups_core::Problem;
use aups_envelope::{SecretBytes, passphrase::PassphraseCost};
use aups_ktm::{KtmError, custody::CustodyError};
use axum::{
    Extension, Router,
    body::Body,
    extract::{Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures_util::stream;
use std::convert::Infallible;

/// Longest passphrase, in bytes.
const PASSPHRASE_BYTES_MAX: usize = 1_024;

pub(super) fn router() -> Router<Admin> {
    Router::new().route("/v1/backup", post(backup))
}

/// The body is the passphrase, as it is: nothing parses it, so nothing else holds a copy.
async fn backup(
    State(admin): State<Admin>,
    Extension(note): Extension<Note>,
    request: Request,
) -> Result<Response, Refused> {
    let passphrase = SecretBytes::from_vec(read_body(request, PASSPHRASE_BYTES_MAX).await?.into());
    let backup = match admin.ktm.backup(passphrase, PassphraseCost::default()).await {
        Err(KtmError::Custody(error @ CustodyError::PassphraseShort)) => {
            return Err(Problem::new(400, "passphrase", "Passphrase too short", error.to_string()).into());
        }
        done => done.map_err(|error| Refused::from(storage_problem(&error)))?,
    };
    note.add("revision", backup.revision);
    note.add("items", backup.items);
    let pieces = stream::iter(backup.map(Ok::<_, Infallible>));
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::from_stream(pieces)).into_response())
}
