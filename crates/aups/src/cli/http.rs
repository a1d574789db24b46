//! HTTP as the commands use it: one client per server, answers of bounded size, problems told as they are.

use super::failure::Failure;
use aups_core::Problem;
use aups_net::tls::Trust;
use reqwest::{Client, Response, StatusCode, Url};
use std::{borrow::Cow, fmt::Write as _, time::Duration};

/// Longest wait for a connection.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the next byte of an answer.
const READ_WAIT_MAX: Duration = Duration::from_mins(1);
/// Largest answer that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The address that commands talk to unless told otherwise: the default of `aups up`.
pub(crate) const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

/// A client for one server.
pub(crate) fn client(server: &Url, trust: &Trust) -> Result<Client, Failure> {
    let mut builder = Client::builder().connect_timeout(CONNECT_WAIT_MAX).read_timeout(READ_WAIT_MAX);
    if is_loopback(server) {
        // A proxy that the environment names cannot reach this machine's loopback.
        builder = builder.no_proxy();
    }
    if server.scheme() == "http" {
        // Without TLS there is nothing to verify: do not demand root certificates, which a bare container lacks.
        builder = builder.tls_certs_only([]);
    } else {
        let tls = trust.client_config(&[b"http/1.1"]);
        let tls = tls.map_err(|error| Failure::failed(format!("cannot set up TLS: {}", chain(&error))))?;
        builder = builder.tls_backend_preconfigured(tls);
    }
    builder.build().map_err(|error| Failure::failed(format!("cannot set up HTTP: {}", chain(&error))))
}

/// A server's address: `http://` or `https://`.
pub(crate) fn server_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        _ => Err(format!("use http://HOST:PORT or https://HOST:PORT, as in {SERVER_DEFAULT}")),
    }
}

/// Where a path is on a server, which may itself live below a path.
pub(crate) fn at(server: &Url, path: &str) -> String {
    format!("{}{path}", server.as_str().trim_end_matches('/'))
}

/// A path with a query.
pub(crate) fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            // Writing to a String does not fail.
            _ => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// A request that got no answer.
pub(crate) fn unanswered(server: &Url, error: &reqwest::Error) -> Failure {
    if let Some(fault) = aups_net::tls::certificate_fault(error) {
        Failure::failed(format!("{} cannot be trusted", server.as_str().trim_end_matches('/'))).help(fault)
    } else if error.is_connect() {
        Failure::failed(format!("no server answers at {}", server.as_str().trim_end_matches('/')))
            .help("start one with `aups up`, or name another with --server URL")
    } else {
        Failure::failed(format!("{server}: {}", chain(error)))
    }
}

/// The body of a good answer; a failure that tells the problem of any other.
pub(crate) async fn body(server: &Url, response: Response) -> Result<Vec<u8>, Failure> {
    answer(server, response).await?.map_err(|problem| Failure::answered(&problem))
}

/// The body of a good answer; the problem of any other.
pub(crate) async fn answer(server: &Url, response: Response) -> Result<Result<Vec<u8>, Problem>, Failure> {
    let status = response.status();
    let body = bounded(server, response).await?;
    Ok(if status.is_success() { Ok(body) } else { Err(problem(status, &body)) })
}

/// Reads an answer up to the limit.
pub(crate) async fn bounded(server: &Url, mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(server, &error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Failure::failed(format!("{server} answered more than {ANSWER_BYTES_MAX} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The problem that a body tells; if it is none (a proxy answered, say), one made of the status.
pub(crate) fn problem(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let mut problem = Problem::new(status.as_u16(), "other", "The server answered otherwise than expected", "");
        problem.detail = Cow::Owned(format!("the server answered {status}"));
        problem
    })
}

fn is_loopback(server: &Url) -> bool {
    match server.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
