//! `POST /v1/enrol`: a reader trades its one-time token for an identity in the realm.

use super::{
    admin::{
        Sessions,
        access::{unwritable, unwritten_outcome},
        bumped, end_sessions,
    },
    audit::{Audit, Call, Event},
    http::{Refused, read_body},
    registry::{Registry, RegistryError},
};
use aups_core::Problem;
use aups_envelope::{
    b64,
    enrol::{EnrolRequest, Enrolled, MqttAccess},
    random, sha256,
};
use aups_ktm::realm::Realm;
use axum::{
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Largest enrolment request: an X-Wing key in base64url, twice encoded, and room.
pub(super) const ENROL_BODY_BYTES_MAX: usize = 16 << 10;

/// What enrolment needs.
pub(crate) struct Enrolment {
    pub(crate) realm: Arc<Realm>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) audit: Arc<Audit>,
    pub(crate) sessions: Arc<dyn Sessions>,
}

/// How readers reach a NOS: what their identities say.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// The key service.
    pub(crate) server_url: String,
    /// The broker.
    pub(crate) mqtt_url: String,
    /// Whose certificates they find at both, in PEM; none: the system knows, or there is no TLS.
    pub(crate) ca: Option<String>,
}

/// Answers `POST /v1/enrol` as DESIGN section 7 has it.
pub(crate) async fn enrol(
    State((enrolment, reach)): State<(Arc<Enrolment>, Reach)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<Response, Refused> {
    let body = read_body(request, ENROL_BODY_BYTES_MAX).await?;
    enrolment.answer(body, peer.ip(), reach).await
}

impl Enrolment {
    /// The identity for the token in a request. What the reader had before ends.
    pub(crate) async fn answer(self: Arc<Self>, body: Bytes, from: IpAddr, reach: Reach) -> Result<Response, Refused> {
        self.audit.check().map_err(|error| unwritable(&error))?;
        let request = EnrolRequest::verify(&body).map_err(|error| {
            Refused::from(Problem::new(
                400,
                "malformed-enrolment",
                "Malformed enrolment request",
                format!(
                    "{error}; an enrolment request is a compact JWS of type aups-enrol, signed by the key that it carries"
                ),
            ))
        })?;
        // In a task of its own: that the reader goes away does not stop its enrolment half way, nor the record of it.
        let done = tokio::spawn(async move { self.trade(&request, &body, from, reach).await });
        done.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }

    async fn trade(
        &self,
        request: &EnrolRequest,
        body: &[u8],
        from: IpAddr,
        reach: Reach,
    ) -> Result<Response, Refused> {
        let password = b64::encode(&random::<32>());
        let (record, revoked) = self
        .registry
        .enrol(&request.token, request.signing_key, request.kem.clone(), &password)
        .await
        .map_err(|error| match error {
            RegistryError::Token => {
                self.audit.refused(Call::new(None, from, "POST", "/v1/enrol"), 401);
                Refused::from(Problem::new(
                    401,
                    "enrolment-token",
                    "Enrolment refused",
                    "the enrolment token is unknown, used or expired; ask the administrator for a new one: aups user token NAME",
                ))
            }
            other => other.into(),
        })?;
        end_sessions(&*self.sessions, &revoked).await;
        let address = from.to_canonical();
        let enrolled = Event::Enrolled { kind: record.kind, sub: record.sub.clone(), address };
        let events: Vec<_> = std::iter::once(enrolled).chain(bumped(&revoked)).collect();
        self.audit.record_many(&events).await.map_err(|error| unwritten_outcome(&error))?;
        tracing::info!(sub = %record.sub, kind = %record.kind, "reader enrolled");
        let enrolled = Enrolled {
            rh: sha256(&[body]),
            kind: record.kind,
            sub: record.sub.clone(),
            realm: self.realm.id(),
            realm_key: self.realm.public(),
            server: reach.server_url,
            mqtt: MqttAccess { url: reach.mqtt_url, username: record.sub.to_string(), password },
            ca: reach.ca,
        };
        let answer = enrolled.sign(self.realm.signing_key());
        Ok((StatusCode::CREATED, [(CONTENT_TYPE, "application/jose")], answer).into_response())
    }
}
