//! What the errors of the reader's side mean to a command.

use super::{Exit, Failure};
use aups_client::{ConnectError, EnrolError, IdentityFileError, ReaderError, ServerError, SubscribeError, TopicsError};

impl From<IdentityFileError> for Failure {
    fn from(error: IdentityFileError) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl From<ServerError> for Failure {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::Refused { status, detail, .. } => {
                Self::Told { exit: Exit::of_status(status), error: detail, help: None }
            }
            error @ ServerError::Unreachable { .. } => {
                Self::from(anyhow::Error::from(error)).help("start one with `aups up`")
            }
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<EnrolError> for Failure {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Server(error) => error.into(),
            error @ EnrolError::Token { .. } => Self::denied(error.to_string()),
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<TopicsError> for Failure {
    fn from(error: TopicsError) -> Self {
        match error {
            TopicsError::Server(error) => error.into(),
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            error @ ConnectError::Refused { .. } => Self::denied(error.to_string()),
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<ReaderError> for Failure {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Broker(error) => error.into(),
            ReaderError::Server(error) => error.into(),
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<SubscribeError> for Failure {
    fn from(error: SubscribeError) -> Self {
        match error {
            error @ SubscribeError::Refused(_) => Self::denied(error.to_string()),
            error => anyhow::Error::from(error).into(),
        }
    }
}
