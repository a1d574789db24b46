//! HTTP to the realm's server: bounded answers, no redirects, one error that says who is at fault.

use aups_core::Problem;
use aups_envelope::{b64, key_request::KEY_RESPONSE_BYTES_MAX, sha256};
use aups_net::tls::{TlsError, Trust, certificate_fault};
use reqwest::{Client, ClientBuilder, RequestBuilder, StatusCode, Url, header, redirect};
use std::time::Duration;
use thiserror::Error;

/// How long an answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// Largest answer that is read; the answers to key requests are the largest.
const ANSWER_BYTES_MAX: usize = KEY_RESPONSE_BYTES_MAX;
/// The media type of a JWS (RFC 7515).
const JOSE: &str = "application/jose";

/// Why the server gave no answer that we can use.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The address is not one of a server.
    #[error("`{0}` does not name a server: use http://host:port or https://host")]
    Url(String),
    /// There is a server, and it cannot show that it is the right one.
    #[error("{url} cannot be trusted: {fault}")]
    Certificate {
        /// Where.
        url: String,
        /// What its certificate lacks, and what to do.
        fault: &'static str,
    },
    /// The authorities of the identity, or those that were given, or the system's, cannot be used.
    #[error("the certificates of authorities cannot be used")]
    Authorities(#[from] TlsError),
    /// No connection, or it broke.
    #[error("no answer from {url}: see that the server runs and that the address is right")]
    Unreachable {
        /// Where.
        url: String,
        /// What the network said.
        source: reqwest::Error,
    },
    /// More than anybody may answer.
    #[error("the answer from {url} is larger than {ANSWER_BYTES_MAX} bytes: is this an AUPS server?")]
    TooLarge {
        /// Where.
        url: String,
    },
    /// Nobody answers over MQTT.
    #[error(
        "no answer to a key request came on {topic}: see that the server is connected to the broker, and may read and \
             publish below aups/ there"
    )]
    Silent {
        /// Where answers come.
        topic: String,
    },
    /// The broker does not let the reader have answers.
    #[error("the broker refuses {topic}, where keys come: let the reader subscribe it, or ask for keys over HTTP")]
    NoAnswersHere {
        /// Where answers would come.
        topic: String,
    },
    /// The server refuses, and says why.
    #[error("{url} answers {status}: {detail}")]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The server's own words.
        detail: String,
    },
}

/// An answer that is not a failure of the transport. What its status means depends on the question.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A refusal that came over MQTT, if it is of this request. Its body says what HTTP says outside of it.
    pub(crate) fn of_message(topic: String, body: &[u8], request: &str) -> Option<Self> {
        let problem: Problem = serde_json::from_slice(body).ok()?;
        if problem.further.get("rh")?.as_str()? != b64::encode(&sha256(&[request.as_bytes()])) {
            return None;
        }
        let retry_after =
            problem.further.get("retryAfter").and_then(serde_json::Value::as_u64).map(Duration::from_secs);
        Some(Self { url: topic, status: problem.status, retry_after, body: body.to_vec() })
    }

    /// The problem that the server tells, if the body is one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The answer as an error.
    pub(crate) fn refused(&self) -> ServerError {
        let detail = match self.problem() {
            Some(problem) => problem.detail.into_owned(),
            None => StatusCode::from_u16(self.status)
                .ok()
                .and_then(|status| status.canonical_reason())
                .unwrap_or("no reason given")
                .into(),
        };
        ServerError::Refused { url: self.url.clone(), status: self.status, detail }
    }
}

/// The realm's server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    http: Client,
    base: String,
}

impl Server {
    pub(crate) fn new(base: &str, trust: &Trust) -> Result<Self, ServerError> {
        let https = |http: ClientBuilder| Ok(http.tls_backend_preconfigured(trust.client_config(&[b"http/1.1"])?));
        Self::with(base, https)
    }

    /// A server that anybody may be: for what is signed by whoever is asked, and to be told nothing.
    pub(crate) fn unverified(base: &str) -> Result<Self, ServerError> {
        Self::with(base, |http| Ok(http.tls_danger_accept_invalid_certs(true)))
    }

    fn with(
        base: &str,
        https: impl FnOnce(ClientBuilder) -> Result<ClientBuilder, TlsError>,
    ) -> Result<Self, ServerError> {
        let wrong = || ServerError::Url(base.into());
        let url = Url::parse(base).map_err(|_| wrong())?;
        let host = url.host_str().ok_or_else(wrong)?;
        let mut http = Client::builder()
            .timeout(ANSWER_TIME_MAX)
            .connect_timeout(CONNECT_TIME_MAX)
            .redirect(redirect::Policy::none());
        if is_loopback(host) {
            http = http.no_proxy();
        }
        http = match url.scheme() {
            "https" => https(http)?,
            // No certificate is looked at, so a machine without any must not be an error.
            "http" => http.tls_certs_only([]),
            _ => return Err(wrong()),
        };
        let base = base.trim_end_matches('/').to_owned();
        let http = http.build().map_err(|source| ServerError::Unreachable { url: base.clone(), source })?;
        Ok(Self { http, base })
    }

    /// Posts a JWS.
    pub(crate) async fn post_jose(&self, path: &str, jws: String) -> Result<Answer, ServerError> {
        let url = format!("{}{path}", self.base);
        let request = self.http.post(&url).header(header::CONTENT_TYPE, JOSE).body(jws);
        answer(url, request).await
    }

    /// Gets with a bearer.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: Option<(&str, &str)>,
        bearer: Option<&str>,
    ) -> Result<Answer, ServerError> {
        let url = format!("{}{path}", self.base);
        let mut asked = Url::parse(&url).map_err(|_| ServerError::Url(url.clone()))?;
        if let Some((name, value)) = query {
            asked.query_pairs_mut().append_pair(name, value);
        }
        let request = self.http.get(asked);
        let request = bearer.into_iter().fold(request, RequestBuilder::bearer_auth);
        answer(url, request).await
    }
}

async fn answer(url: String, request: RequestBuilder) -> Result<Answer, ServerError> {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(source) => {
            return Err(match certificate_fault(&source) {
                Some(fault) => ServerError::Certificate { url, fault },
                None => ServerError::Unreachable { url, source },
            });
        }
    };
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(header::RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(ServerError::TooLarge { url });
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(source) => return Err(ServerError::Unreachable { url, source }),
        }
    }
    Ok(Answer { url, status, retry_after: retry_after.map(Duration::from_secs), body })
}

/// A proxy of the environment does not lead to this machine's own services.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
pub(crate) mod tests;
