use super::*;
use crate::server::tests::serve;
use aups_core::ReaderKind;
use aups_envelope::{Secret, enrol::MqttAccess, realm_id, sha256};
use axum::{Router, http::StatusCode, routing::post};

/// A server of the realm of `signed_by`, which takes every token and says that it is of the realm of `says`.
async fn server(signed_by: u8, says: u8) -> String {
    let key = |seed| SigningKey::from_seed(Secret::from_bytes([seed; 32]));
    let enrol = move |request: String| async move {
        let asked = EnrolRequest::verify(request.as_bytes()).expect("a good request");
        assert_eq!(asked.token(), &[9; 32]);
        let realm_key = key(says).public();
        let enrolled = Enrolled {
            rh: sha256(&[request.as_bytes()]),
            kind: ReaderKind::User,
            sub: "alice".parse().expect("a name"),
            realm: realm_id(&realm_key),
            realm_key,
            server: "http://127.0.0.1:1".into(),
            mqtt: MqttAccess { url: "mqtt://127.0.0.1:2".into(), username: "alice".into(), password: "p".into() },
            ca: None,
        };
        (StatusCode::CREATED, enrolled.sign(&key(signed_by)))
    };
    serve(Router::new().route("/v1/enrol", post(enrol))).await
}

/// Enrols with a token that names the realm of seed 1.
async fn enrol_at(server: String) -> Result<Identity, EnrolError> {
    let realm_key = SigningKey::from_seed(Secret::from_bytes([1; 32])).public();
    let token = EnrolmentToken::new(Secret::from_bytes([9; 32]), &realm_key);
    enrol(&server, &token, Kem::XWing, None).await
}

#[tokio::test]
async fn a_token_becomes_an_identity_of_the_realm_that_it_names() {
    let identity = enrol_at(server(1, 1).await).await.expect("an identity");
    assert_eq!(identity.sub().as_str(), "alice");
    assert_eq!((identity.server(), identity.broker()), ("http://127.0.0.1:1", "mqtt://127.0.0.1:2"));
    assert_eq!(identity.file.kem.kem(), Kem::XWing);
}

#[tokio::test]
async fn another_realm_key_than_the_tokens_is_refused() {
    for (signed_by, says) in [(2, 2), (2, 1), (1, 2)] {
        let error = enrol_at(server(signed_by, says).await).await.expect_err("another realm");
        assert!(matches!(error, EnrolError::Answer { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_told_as_such() {
    let url = serve(Router::new().route("/v1/enrol", post(|| async { StatusCode::UNAUTHORIZED }))).await;
    assert!(matches!(enrol_at(url).await, Err(EnrolError::Token { .. })));
    let url = serve(Router::new().route("/v1/enrol", post(|| async { StatusCode::SERVICE_UNAVAILABLE }))).await;
    assert!(matches!(enrol_at(url).await, Err(EnrolError::Server(ServerError::Refused { status: 503, .. }))));
}
