use super::*;
use crate::{fixture::identity, server::tests::serve};
use aups_envelope::bearer::Bearer;
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::get,
};

async fn server(body: &'static str) -> String {
    let topics = move |headers: HeaderMap| async move {
        let bearer = headers["authorization"].to_str().expect("text").strip_prefix("Bearer ").expect("a bearer");
        let identity = identity("", "");
        match Bearer::verify(bearer.as_bytes(), &identity.file.signing_key.public()) {
            Ok(bearer) if bearer.aud == identity.realm() && &bearer.sub == identity.sub() => body.into_response(),
            _ => StatusCode::UNAUTHORIZED.into_response(),
        }
    };
    serve(Router::new().route("/v1/topics", get(topics))).await
}

#[tokio::test]
async fn a_reader_that_shows_who_it_is_is_told_its_filters() {
    let identity = identity(&server(r#"{"items":["data/s1/#","greensboro/+/humidity"]}"#).await, "");
    let topics = topics(&identity).await.expect("topics");
    assert_eq!(topics.iter().map(Filter::as_str).collect::<Vec<_>>(), ["data/s1/#", "greensboro/+/humidity"]);
}

#[tokio::test]
async fn a_reader_asks_about_one_filter() {
    let echo = get(|uri: axum::http::Uri| async move {
        assert_eq!(uri.query(), Some("filter=a+b%2F%23"));
        r#"{"filter":"a b/#","accepted":false,"reason":"so"}"#
    });
    let identity = identity(&serve(Router::new().route("/v1/topics", echo)).await, "");
    let filter: Filter = "a b/#".parse().expect("a filter");
    let answer = may_subscribe(&identity, &filter).await.expect("an answer");
    assert_eq!(answer, FilterAnswer { filter, accepted: false, reason: "so".into() });
}

#[tokio::test]
async fn what_is_no_list_of_filters_is_not_taken() {
    for body in [r#"{"items":["data/#/x"]}"#, r#"["data/#"]"#, "<html>"] {
        let identity = identity(&server(body).await, "");
        assert!(matches!(topics(&identity).await, Err(TopicsError::Answer { .. })), "{body}");
    }
}

#[tokio::test]
async fn another_reader_is_refused_with_the_servers_words() {
    let mut identity = identity(&server("{}").await, "");
    identity.file.sub = "bob".parse().expect("a name");
    let error = topics(&identity).await.expect_err("refused");
    assert!(error.to_string().ends_with("answers 401: Unauthorized"), "{error}");
}
