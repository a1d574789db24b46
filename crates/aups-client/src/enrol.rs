//! Enrolment: a one-time token becomes an identity. The secret keys are made here and never leave.

use crate::{
    Identity, ServerError, SystemClock,
    server::{Answer, Server},
};
use aups_core::Clock as _;
use aups_envelope::{
    SigningKey,
    enrol::{EnrolError as AnswerError, EnrolRequest, Enrolled, EnrolmentToken},
    identity::IdentityFile,
    kem::Kem,
};
use thiserror::Error;

const ENROL_PATH: &str = "/v1/enrol";

/// Why there is no identity.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EnrolError {
    /// The token was used, has expired, or is not of this server.
    #[error(
        "{server} does not take the token: it was used, is older than 15 minutes, or is for another realm; ask for a new one (`aups user token`)"
    )]
    Token {
        /// Where.
        server: String,
    },
    /// No answer, or a refusal for another reason.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The answer is not one of the realm that the token names. The token is used up: somebody may stand between.
    #[error("the answer of {server} is not taken")]
    Answer {
        /// Where.
        server: String,
        /// What is wrong with it.
        source: AnswerError,
    },
}

/// Makes keys, tells the server at the URL `server` their public halves, and takes its answer if it is signed by the realm
/// key that `token` names. `kem`: how keys are to be sealed to this reader from then on.
///
/// The identity is in memory only: [`Identity::save`] it, for the token is used up. [`ReservedFile`](crate::ReservedFile)
/// makes sure beforehand that there is a place for it.
pub async fn enrol(server: &str, token: &EnrolmentToken, kem: Kem) -> Result<Identity, EnrolError> {
    let url = server;
    let server = Server::new(url)?;
    let (signing_key, kem) = (SigningKey::generate(), kem.generate());
    let request = EnrolRequest {
        token: token.secret().duplicate(),
        signing_key: signing_key.public(),
        kem: kem.public(),
        iat: SystemClock.now(),
    };
    let request = request.sign(&signing_key);
    let answer = server.post_jose(ENROL_PATH, request.clone()).await?;
    match answer {
        Answer { status: 201, body, .. } => {
            let enrolled = Enrolled::verify(&body, request.as_bytes(), token)
                .map_err(|source| EnrolError::Answer { server: url.into(), source })?;
            Ok(Identity { file: IdentityFile::new(enrolled, signing_key, kem) })
        }
        Answer { status: 401, .. } => Err(EnrolError::Token { server: url.into() }),
        other => Err(other.refused().into()),
    }
}

#[cfg(test)]
mod tests;
