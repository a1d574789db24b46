//! What a reader may subscribe.

use crate::{Identity, ServerError, SystemClock, server::Server};
use aups_core::{Clock as _, Filter};
use aups_envelope::{bearer::Bearer, random};
use serde::Deserialize;
use thiserror::Error;

const TOPICS_PATH: &str = "/v1/topics";

/// Why the topics are not known.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TopicsError {
    /// No answer, or a refusal.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The server answers something else: it is at fault.
    #[error("the answer of {server} is not a list of topic filters")]
    Answer {
        /// Where.
        server: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Asks the server what this reader may subscribe. What it can open there, the keys decide.
pub async fn topics(identity: &Identity) -> Result<Vec<Filter>, TopicsError> {
    #[derive(Deserialize)]
    struct Topics {
        items: Vec<Filter>,
    }
    let file = &identity.file;
    let bearer = Bearer { aud: file.realm, sub: file.sub.clone(), iat: SystemClock.now(), jti: random() };
    let answer = Server::new(&file.server)?.get(TOPICS_PATH, &bearer.sign(&file.signing_key)).await?;
    if answer.status != 200 {
        return Err(answer.refused().into());
    }
    let topics: Topics = serde_json::from_slice(&answer.body)
        .map_err(|source| TopicsError::Answer { server: file.server.clone(), source })?;
    Ok(topics.items)
}

#[cfg(test)]
mod tests;
