//! Sends what it seals: batches that are taken once, however often they are sent.

use super::{Answer, BUSY_MAX, Obstacle, Source, Untaken, WAIT_DEFAULT, batch::Batch, node::Sealing};
use crate::cli::{
    failure::Failure,
    http::{self, at},
};
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::{Clock as _, Problem};
use aups_envelope::{ContentType, SealError, SourceSealer, Spelling, b64, random};
use reqwest::{StatusCode, header};
use std::sync::{Mutex, PoisonError};
use tokio::time::{Instant, sleep};

/// How often a batch is sealed in another session because the one before was not above what the server knows.
const SESSIONS_MAX: usize = 3;

/// A source in a session.
pub(super) struct Sealed {
    sealing: Sealing,
    sealer: Mutex<SourceSealer>,
}

impl Sealed {
    pub(super) fn begin(sealing: Sealing) -> Result<Self, Failure> {
        let sealer = Mutex::new(sealing.begin()?);
        Ok(Self { sealing, sealer })
    }

    fn begin_again(&self) -> Result<(), Failure> {
        *self.sealer.lock().unwrap_or_else(PoisonError::into_inner) = self.sealing.begin()?;
        Ok(())
    }

    fn seal(&self, text: &str) -> Result<Vec<u8>, Failure> {
        let seal = || {
            let sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
            sealer.seal(ContentType::Json, text.as_bytes(), SystemClock.now(), Spelling::Binary)
        };
        match seal() {
            Err(SealError::Exhausted) => {
                self.begin_again()?;
                Ok(seal().context("sealing")?)
            }
            sealed => Ok(sealed.context("sealing")?),
        }
    }
}

impl Source {
    /// As [`Source::send`], in batches that are taken as a whole.
    pub(super) async fn send_sealed(&self, sealed: &Sealed, lines: &[impl AsRef<str>]) -> Result<usize, Untaken> {
        let (mut taken, mut first, mut end) = (0, 0, lines.len());
        while let Some(rest) = lines.get(first..end).filter(|rest| !rest.is_empty()) {
            let refused = match Batch::of(rest) {
                Ok(batch) => match self.post_sealed(sealed, &batch).await {
                    Ok(accepted) => {
                        taken += accepted;
                        first += batch.lines;
                        end = lines.len();
                        continue;
                    }
                    Err(refused) => refused,
                },
                Err(problem) => Obstacle::Line { index: 0, problem },
            };
            match refused {
                // None of the batch was taken: what comes before the line goes alone, then it is refused by itself.
                Obstacle::Line { index, .. } if index > 0 => end = first + index,
                Obstacle::Line { problem, .. } => {
                    return Err(Untaken { taken, why: Obstacle::Line { index: first, problem } });
                }
                Obstacle::All(failure) => return Err(Untaken { taken, why: Obstacle::All(failure) }),
            }
        }
        Ok(taken)
    }

    /// Sends a batch until it is taken or refused. A line is counted from the start of the batch.
    async fn post_sealed(&self, sealed: &Sealed, batch: &Batch) -> Result<usize, Obstacle> {
        let key = format!("\"{}\"", b64::encode(&random::<16>()));
        let began = Instant::now();
        let (mut is_first, mut sessions) = (true, 0);
        loop {
            let answer = match self.post_once(sealed, batch, &key).await {
                Ok(Ok(answer)) => answer,
                // It may have been taken: with the same key nothing is taken twice.
                Ok(Err(error)) if began.elapsed() < BUSY_MAX && !(is_first && error.is_connect()) => {
                    is_first = false;
                    sleep(WAIT_DEFAULT).await;
                    continue;
                }
                Ok(Err(error)) => return Err(Obstacle::All(http::unanswered(&self.server, &error))),
                Err(failure) => return Err(Obstacle::All(failure)),
            };
            is_first = false;
            if answer.status.is_success() {
                return Ok(answer.accepted());
            }
            let problem = http::problem(answer.status, &answer.body);
            let is_busy = matches!(answer.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
            if problem.kind.ends_with(":replayed") && sessions < SESSIONS_MAX {
                sessions += 1;
                sealed.begin_again().map_err(Obstacle::All)?;
            } else if is_busy || problem.kind.ends_with(":idempotency-under-way") {
                if began.elapsed() > BUSY_MAX {
                    let failure = Failure::answered(&problem).help("the server stays busy: send later, or slower");
                    return Err(Obstacle::All(failure));
                }
                sleep(answer.wait).await;
            } else {
                return Err(refused(problem, batch));
            }
        }
    }

    async fn post_once(
        &self,
        sealed: &Sealed,
        batch: &Batch,
        key: &str,
    ) -> Result<Result<Answer, reqwest::Error>, Failure> {
        let request = self
            .http
            .post(at(&self.server, "/data"))
            .header(header::CONTENT_TYPE, Spelling::Binary.mqtt_content_type())
            .header("idempotency-key", key)
            .body(sealed.seal(&batch.text)?);
        match request.send().await {
            Ok(response) => Answer::read(&self.server, response).await.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}

/// The line that is refused; the lines of a batch are its own, one column further to the right.
fn refused(problem: Problem, batch: &Batch) -> Obstacle {
    let is_of_a_line = matches!(problem.status, 400 | 413);
    match problem.line.filter(|line| is_of_a_line && (1..=batch.lines).contains(line)) {
        Some(line) => {
            let problem = Problem { column: problem.column.map(|column| column.saturating_sub(1).max(1)), ..problem };
            Obstacle::Line { index: line - 1, problem: Box::new(problem) }
        }
        None => Obstacle::All(Failure::answered(&problem)),
    }
}

#[cfg(test)]
mod tests;
