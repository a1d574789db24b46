//! Who is let in, and how those are answered who are not.

use super::{
    Southbound, bearer,
    body::{DISCARD_BYTES_MAX, discard},
};
use crate::{
    accept::Sender,
    problem::Refusal,
    quarantine::{Accused, Offence},
    sources::SourceRecord,
};
use aups_core::Problem;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Version, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use std::{net::IpAddr, time::Duration};
use tokio::time;

/// How long senders in quarantine wait for the answer: one that sends the next request only then is slowed down at no cost.
const LATE_BY: Duration = Duration::from_secs(1);
/// Bytes of a body that are still read when its sender sent too much already.
const DISCARD_OVER_QUOTA_BYTES_MAX: usize = 64 << 10;

/// A sender that is let in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) sender: Sender,
    /// Whether it did something wrong not long ago.
    pub(super) is_known: bool,
}

impl Southbound {
    /// Who sends a request, by its credential, unless that sender is in quarantine. Before anything of the body is read.
    pub(super) fn admit(&self, headers: &HeaderMap, from: IpAddr) -> Result<Admitted, Refusal> {
        match bearer(headers) {
            Ok(None) => {
                let is_known = self.admit_address(from)?;
                Ok(Admitted { sender: Sender::Unregistered(from), is_known })
            }
            Ok(Some(credential)) => match self.sources.authenticate(credential) {
                Some(source) => {
                    let is_known = self.check(Accused::Source(&source.node_id))?;
                    Ok(Admitted { sender: Sender::Registered { source, sealed: None }, is_known })
                }
                None => Err(self.admit_address(from).err().unwrap_or_else(|| unknown().into())),
            },
            Err(refusal) => Err(self.admit_address(from).err().unwrap_or(refusal)),
        }
    }

    /// Whether who does not prove to be a registered source may come from an address; says whether it did something wrong not
    /// long ago.
    pub(super) fn admit_address(&self, from: IpAddr) -> Result<bool, Refusal> {
        self.check(Accused::Address(from))
    }

    /// Whether a source may send that proved to be one by what it sealed.
    pub(super) fn admit_source(&self, source: &SourceRecord) -> Result<(), Refusal> {
        self.check(Accused::Source(&source.node_id)).map(drop)
    }

    fn check(&self, who: Accused<'_>) -> Result<bool, Refusal> {
        self.quarantine.check(who).map_err(|left| {
            let detail = "this sender did too much that is refused (see the guide on quotas and quarantine); what it sends is \
                          not looked at until as many seconds have passed as Retry-After says";
            Refusal::later(Problem::new(429, QUARANTINED, "in quarantine", detail), left)
        })
    }

    /// Answers a refusal, and counts it against who is to answer for it.
    pub(super) async fn refuse(&self, refusal: Refusal, who: Accused<'_>, head: &Parts, body: &mut Body) -> Response {
        if let Some(offence) = Offence::of(refusal.status(), refusal.code()) {
            self.quarantine.offence(who, offence);
        }
        if refusal.code() == QUARANTINED {
            if let Some(_held) = self.quarantine.late_answer() {
                time::sleep(LATE_BY).await;
            }
            let mut response = refusal.into_response();
            // Its body is still to come: nothing of it is read.
            if head.version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            return response;
        }
        let over_quota = refusal.status() == 429;
        let bytes_max = if over_quota { DISCARD_OVER_QUOTA_BYTES_MAX } else { DISCARD_BYTES_MAX };
        discard(body, &head.headers, bytes_max).await;
        refusal.into_response()
    }
}

impl Sender {
    /// Who answers for what it sends.
    pub(super) fn accused(&self) -> Accused<'_> {
        match self {
            Self::Registered { source, .. } => Accused::Source(&source.node_id),
            Self::Unregistered(address) => Accused::Address(*address),
        }
    }
}

const QUARANTINED: &str = "quarantined";

fn unknown() -> Problem {
    Problem::new(
        401,
        "not-authenticated",
        "not authenticated",
        "the credential is not that of a registered source; register again, or leave Authorization out to send unregistered",
    )
}

#[cfg(test)]
mod tests;
