//! A source: posts readings to `/data` and sees every batch through.

mod batch;
mod node;
mod pace;
mod sealed;

use crate::cli::{
    failure::Failure,
    http::{self, at},
};
use aups_core::Problem;
use aups_net::tls::Trust;
use bytes::Bytes;
use reqwest::{Client, Response, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(crate) use node::Proof;
pub(crate) use pace::{Pace, Rate};
use sealed::Sealed;

/// One JSON text.
const JSON: &str = "application/json";
/// The NOS's name for a stream of JSON lines.
const NDJSON: &str = "application/x-ndjson";
/// How long to wait where the server does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(1);
/// Longest single wait, whatever the server says.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a server may be busy without taking anything.
const BUSY_MAX: Duration = Duration::from_mins(2);

/// Somebody who may send to a server. The credential is not printed: no `Debug`.
pub(crate) struct Source {
    http: Client,
    server: Url,
    /// None: unregistered, or it seals.
    credential: Option<String>,
    /// Where it seals what it sends.
    sealed: Option<Sealed>,
}

/// A batch of which not everything was taken.
pub(crate) struct Untaken {
    /// Readings that were taken.
    pub(crate) taken: usize,
    /// Why no more.
    pub(crate) why: Obstacle,
}

/// What stands in the way of a batch.
pub(crate) enum Obstacle {
    /// A line was refused; those before it were taken, none after it was.
    Line {
        /// Which line of the batch, from 0.
        index: usize,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// The source was refused, or the server could not be asked.
    All(Failure),
}

/// What a server answers to a stream of lines.
#[derive(Deserialize)]
struct Accepted {
    accepted: usize,
}

impl Source {
    /// A source that sends to `server`, with the credential of its registration or without one.
    pub(crate) fn new(server: Url, credential: Option<String>, trust: &Trust) -> Result<Self, Failure> {
        Ok(Self { http: http::client(&server, trust)?, server, credential, sealed: None })
    }

    /// A source that proves who it is in one way or the other.
    pub(crate) fn proving(server: Url, proof: Proof, trust: &Trust) -> Result<Self, Failure> {
        match proof {
            Proof::Credential(credential) => Self::new(server, Some(credential), trust),
            Proof::Seal(sealing) => {
                Ok(Self { sealed: Some(Sealed::begin(*sealing)?), ..Self::new(server, None, trust)? })
            }
        }
    }

    /// Sends JSON texts, one a line; comes back when all are taken. Waits as the server asks when it is busy.
    ///
    /// How many readings were taken: a line that is an array holds several.
    pub(crate) async fn send(&self, lines: &[impl AsRef<str>]) -> Result<usize, Untaken> {
        if let Some(sealed) = &self.sealed {
            return self.send_sealed(sealed, lines).await;
        }
        self.send_as(NDJSON, lines).await
    }

    /// Sends one JSON text in a request of its own; the same otherwise. For a source that does not seal.
    pub(crate) async fn send_one(&self, text: &str) -> Result<usize, Untaken> {
        self.send_as(JSON, &[text]).await
    }

    async fn send_as(&self, media_type: &'static str, lines: &[impl AsRef<str>]) -> Result<usize, Untaken> {
        let (mut taken, mut first) = (0, 0);
        let mut progress = Instant::now();
        while let Some(rest) = lines.get(first..).filter(|rest| !rest.is_empty()) {
            let answer = match self.post(media_type, join(rest)).await {
                Ok(answer) => answer,
                Err(failure) => return Err(Untaken { taken, why: Obstacle::All(failure) }),
            };
            // A problem tells what was taken before it, as a success does.
            let accepted = answer.accepted();
            taken += accepted;
            if answer.status.is_success() {
                return Ok(taken);
            }
            let problem = http::problem(answer.status, &answer.body);
            match answer.status {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                    first += problem.line.map_or_else(|| lines_of(rest, accepted), |line| line.saturating_sub(1));
                    if accepted > 0 {
                        progress = Instant::now();
                    } else if progress.elapsed() > BUSY_MAX {
                        let failure = Failure::answered(&problem).help("the server stays busy: send later, or slower");
                        return Err(Untaken { taken, why: Obstacle::All(failure) });
                    }
                    sleep(answer.wait).await;
                }
                StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                    let index =
                        first + problem.line.map_or_else(|| lines_of(rest, accepted), |line| line.saturating_sub(1));
                    return Err(Untaken { taken, why: Obstacle::Line { index, problem: Box::new(problem) } });
                }
                _ => return Err(Untaken { taken, why: Obstacle::All(Failure::answered(&problem)) }),
            }
        }
        Ok(taken)
    }

    async fn post(&self, media_type: &'static str, body: Bytes) -> Result<Answer, Failure> {
        let mut request = self.http.post(at(&self.server, "/data")).header(header::CONTENT_TYPE, media_type).body(body);
        if let Some(credential) = &self.credential {
            request = request.bearer_auth(credential);
        }
        let response = request.send().await.map_err(|error| http::unanswered(&self.server, &error))?;
        Answer::read(&self.server, response).await
    }
}

/// An answer, whatever its status.
struct Answer {
    status: StatusCode,
    wait: Duration,
    body: Vec<u8>,
}

impl Answer {
    async fn read(server: &Url, response: Response) -> Result<Self, Failure> {
        let (status, wait) = (response.status(), retry_after(&response));
        Ok(Self { status, wait, body: http::bounded(server, response).await? })
    }

    /// How many readings were taken; a problem may tell it, too.
    fn accepted(&self) -> usize {
        serde_json::from_slice(&self.body).map_or(0, |Accepted { accepted }| accepted)
    }
}

fn join(lines: &[impl AsRef<str>]) -> Bytes {
    let mut body = String::with_capacity(lines.iter().map(|line| line.as_ref().len() + 1).sum());
    for line in lines {
        body.push_str(line.as_ref());
        body.push('\n');
    }
    body.into()
}

/// How many lines from the start make so many readings: a server takes lines whole.
fn lines_of(lines: &[impl AsRef<str>], readings: usize) -> usize {
    let mut so_far = 0;
    lines
        .iter()
        .take_while(|line| {
            so_far += readings_in(line.as_ref());
            so_far <= readings
        })
        .count()
}

/// An array holds as many as its elements, anything else is one.
fn readings_in(line: &str) -> usize {
    match serde_json::from_str::<Vec<&RawValue>>(line) {
        Ok(elements) => elements.len(),
        Err(_) => 1,
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3).
fn retry_after(response: &Response) -> Duration {
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(WAIT_DEFAULT, Duration::from_secs).min(WAIT_MAX)
}

#[cfg(test)]
mod tests;
