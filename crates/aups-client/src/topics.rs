//! What a reader may subscribe.

use crate::{Identity, ServerError, server::Server};
use aups_core::Filter;
use serde::{Deserialize, de::DeserializeOwned};
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
    #[error("the answer of {server} is not what may be subscribed")]
    Answer {
        /// Where.
        server: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Whether a reader may subscribe to a filter, and why.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FilterAnswer {
    /// The filter.
    pub filter: Filter,
    /// Whether it may.
    pub accepted: bool,
    /// Why, in words; if it may not, with what its administrator can do.
    pub reason: String,
}

/// Asks the server what this reader may subscribe. What it can open there, the keys decide.
pub async fn topics(identity: &Identity) -> Result<Vec<Filter>, TopicsError> {
    #[derive(Deserialize)]
    struct Topics {
        items: Vec<Filter>,
    }
    let topics: Topics = ask(identity, None).await?;
    Ok(topics.items)
}

/// Asks the server whether this reader may subscribe to a filter, and why.
pub async fn may_subscribe(identity: &Identity, filter: &Filter) -> Result<FilterAnswer, TopicsError> {
    ask(identity, Some(("filter", filter.as_str()))).await
}

async fn ask<T: DeserializeOwned>(identity: &Identity, query: Option<(&str, &str)>) -> Result<T, TopicsError> {
    let file = &identity.file;
    let answer =
        Server::new(&file.server, &identity.trust()?)?.get(TOPICS_PATH, query, Some(&identity.bearer())).await?;
    if answer.status != 200 {
        return Err(answer.refused().into());
    }
    serde_json::from_slice(&answer.body).map_err(|source| TopicsError::Answer { server: file.server.clone(), source })
}

#[cfg(test)]
mod tests;
