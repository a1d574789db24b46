//! Enrolment: a one-time token becomes an identity. The secret keys are made here and never leave.

use crate::{
    Identity, ServerError, SystemClock,
    server::{Answer, Server},
};
use aups_core::Clock as _;
use aups_envelope::{
    SigningKey, authority,
    enrol::{EnrolError as AnswerError, EnrolRequest, Enrolled, EnrolmentToken},
    identity::IdentityFile,
    kem::Kem,
};
use aups_net::tls::{Authorities, Trust};
use thiserror::Error;

const ENROL_PATH: &str = "/v1/enrol";
const CA_PATH: &str = "/v1/ca";

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
/// At an `https://` URL the server must have a certificate of an authority in `ca` (PEM). Without `ca` it is asked which
/// authority the realm has; what it says counts if the realm key has signed it, and is trusted beside the system's.
///
/// The identity is in memory only: [`Identity::save`] it, for the token is used up. [`ReservedFile`](crate::ReservedFile)
/// makes sure beforehand that there is a place for it.
pub async fn enrol(server: &str, token: &EnrolmentToken, kem: Kem, ca: Option<&str>) -> Result<Identity, EnrolError> {
    let url = server;
    let server = Server::new(url, &trust(url, token, ca).await?)?;
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
            let mut enrolled = Enrolled::verify(&body, request.as_bytes(), token)
                .map_err(|source| EnrolError::Answer { server: url.into(), source })?;
            // An authority that the realm does not know of, an administrator's own, is needed again.
            enrolled.ca = enrolled.ca.or_else(|| ca.map(str::to_owned));
            Ok(Identity { file: IdentityFile::new(enrolled, signing_key, kem) })
        }
        Answer { status: 401, .. } => Err(EnrolError::Token { server: url.into() }),
        other => Err(other.refused().into()),
    }
}

/// Whom to take for the server before the token is shown to anybody.
async fn trust(url: &str, token: &EnrolmentToken, ca: Option<&str>) -> Result<Trust, ServerError> {
    if let Some(ca) = ca {
        return Ok(Trust::Only(Authorities::from_pem(ca.as_bytes())?));
    }
    if !url.starts_with("https:") {
        return Ok(Trust::System);
    }
    let answer = Server::unverified(url)?.get(CA_PATH, None, None).await?;
    Ok(match authority::verify(&answer.body, token.realm()) {
        Ok(ca) => Trust::SystemAnd(Authorities::from_pem(ca.as_bytes())?),
        // Another server than one of this realm, or none of ours: the system may know it.
        Err(_) => Trust::System,
    })
}

#[cfg(test)]
mod tests;
