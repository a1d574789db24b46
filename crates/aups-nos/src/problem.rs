//! What a peer is told, as an HTTP answer: RFC 9457 problem details. The one place that turns errors into responses.

use aups_core::Problem;
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::time::Duration;

/// The media type of RFC 9457.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A problem, and when to come back where that helps.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// Boxed, so that what goes well is not slowed down by the room that an error would take.
    problem: Box<Problem>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// To be tried again after a while.
    pub(crate) fn later(problem: Problem, after: Duration) -> Self {
        Self { problem: problem.into(), retry_after: Some(after) }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> u16 {
        self.problem.status
    }

    /// The code of the problem type.
    pub(crate) fn code(&self) -> &str {
        code(&self.problem)
    }

    /// What is told: the problem, and when to come back, in whole seconds.
    pub(crate) fn told(self) -> (Problem, Option<u64>) {
        count(&self.problem);
        (*self.problem, self.retry_after.map(whole_seconds))
    }

    /// Changes the problem, for instance to name a place.
    pub(crate) fn map(self, change: impl FnOnce(Problem) -> Problem) -> Self {
        Self { problem: change(*self.problem).into(), ..self }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem: problem.into(), retry_after: None }
    }
}

impl From<Box<Problem>> for Refusal {
    fn from(problem: Box<Problem>) -> Self {
        Self { problem, retry_after: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = problem_response(*self.problem);
        if let Some(after) = self.retry_after {
            retry_after(&mut response, after);
        }
        response
    }
}

/// Says when to come back: `Retry-After` (RFC 9110 section 10.2.3), whole seconds, at least one.
pub fn retry_after(response: &mut Response, after: Duration) {
    if let Ok(value) = HeaderValue::try_from(whole_seconds(after).to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
}

/// Rounded up, at least one.
fn whole_seconds(after: Duration) -> u64 {
    u64::try_from(after.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX).max(1)
}

fn count(problem: &Problem) {
    metrics::counter!("aups_requests_refused_total", "code" => code(problem).to_owned()).increment(1);
}

fn code(problem: &Problem) -> &str {
    problem.kind.strip_prefix(aups_core::problem::TYPE_PREFIX).unwrap_or(&problem.kind)
}

/// The code of a body that is compressed: the answer says what is taken (RFC 9110 section 15.5.16).
pub(crate) const CONTENT_CODING: &str = "content-coding";

/// A problem as an HTTP response. 401 carries the challenge that RFC 9110 section 11.6.1 demands.
///
/// Counts `aups_requests_refused_total{code}`.
#[expect(clippy::needless_pass_by_value, reason = "a problem is told once")]
pub fn problem_response(problem: Problem) -> Response {
    count(&problem);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if code(&problem) == CONTENT_CODING {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if problem.status == StatusCode::UNAUTHORIZED.as_u16() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The answer to a wrong method: what the path does take stands in `Allow`.
pub(crate) fn method_not_allowed(allow: &'static str) -> Response {
    let detail = format!("this path takes {allow}");
    let mut response = problem_response(Problem::new(405, "method-not-allowed", "method not allowed", detail));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
