//! Bodies, in bounded memory and time.

use crate::problem::{CONTENT_CODING, Refusal};
use aups_core::Problem;
use axum::{
    body::{Body, HttpBody as _},
    http::{HeaderMap, HeaderValue, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::time;

/// Longest time that a body of limited length may take.
const BODY_TIME_MAX: Duration = Duration::from_secs(30);
/// A part of a stream may take so long; then its sender is taken to be gone.
const PART_TIME_MAX: Duration = Duration::from_mins(5);
/// Bytes of a refused body that are still read, and thrown away, so that its sender sees the answer and not a connection
/// that broke.
pub(crate) const DISCARD_BYTES_MAX: usize = 16 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// A body that could not be read. The sender, or the way from it, is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("longer than is taken")]
    TooLarge,
    #[error("not complete in time")]
    TooSlow,
    #[error("broke off")]
    Broken,
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Problem::new(413, "too-large", "body too large", "send less at once"),
            BodyError::TooSlow => {
                let detail = format!("the body was not complete within {} s; send it again", BODY_TIME_MAX.as_secs());
                Problem::new(408, "too-slow", "body too slow", detail)
            }
            BodyError::Broken => {
                Problem::new(400, "incomplete", "body incomplete", "the body broke off; send it again")
            }
        }
        .into()
    }
}

/// Bodies come as they are: what is compressed is refused and never decoded, so that a few bytes cannot become many.
pub fn check_content_coding(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity) {
        return Ok(());
    }
    let detail = "a body is taken as it is, without Content-Encoding; send it uncompressed";
    Err(Problem::new(415, CONTENT_CODING, "content coding not taken", detail).into())
}

/// Reads a body of at most so many bytes. One that says that it is longer is not read at all.
pub(crate) async fn read_body(body: &mut Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > bytes_max {
        return Err(BodyError::TooLarge);
    }
    let deadline = time::Instant::now() + BODY_TIME_MAX;
    let mut whole = BytesMut::new();
    loop {
        let part = time::timeout_at(deadline, next_part(body)).await.map_err(|_| BodyError::TooSlow)??;
        let Some(part) = part else { return Ok(whole.freeze()) };
        if whole.len() + part.len() > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(part);
        }
        whole.extend_from_slice(&part);
    }
}

/// The next bytes of a stream; `None` at its end.
pub(crate) async fn read_part(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    time::timeout(PART_TIME_MAX, next_part(body)).await.map_err(|_| BodyError::TooSlow)?
}

async fn next_part(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyError::Broken),
            Some(Ok(frame)) => {
                // Trailers say nothing to us.
                if let Ok(part) = frame.into_data() {
                    return Ok(Some(part));
                }
            }
        }
    }
}

/// Reads what is left of a refused body without keeping any of it. Nothing where the client waits to be told to send it
/// (RFC 9110 section 10.1.1): it is told not to.
pub(crate) async fn discard(body: &mut Body, headers: &HeaderMap, bytes_max: usize) {
    if headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return;
    }
    // All of it or nothing: its sender sees a broken connection in either case.
    if usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX) > bytes_max {
        return;
    }
    let read = async {
        let mut left = bytes_max;
        while let Ok(Some(part)) = next_part(body).await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whether it was all or not: the answer is the same.
    let _ = time::timeout(DISCARD_TIME_MAX, read).await;
}
