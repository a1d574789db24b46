use super::*;
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::IntoResponse as _,
    routing::{get, post},
};

/// Serves the routes on a free port; answers its URL.
pub(crate) async fn serve(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test]
async fn a_jws_is_posted_as_what_it_is() {
    let echo = |headers: HeaderMap, body: String| async move {
        format!("{} {body}", headers["content-type"].to_str().expect("text"))
    };
    let url = serve(Router::new().route("/v1/keys", post(echo))).await;
    let answer =
        Server::new(&format!("{url}/"), &Trust::System).expect("a server").post_jose("/v1/keys", "a.b.c".into()).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"application/jose a.b.c"[..]));
}

#[tokio::test]
async fn a_refusal_speaks_with_the_servers_words() {
    let refuse = || async {
        let body = r#"{"type":"urn:aups:error:rate","title":"Too many","status":429,"detail":"ask again in 3 s"}"#;
        (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3")], body).into_response()
    };
    let url = serve(Router::new().route("/v1/topics", get(refuse))).await;
    let answer = Server::new(&url, &Trust::System)
        .expect("a server")
        .get("/v1/topics", None, Some("token"))
        .await
        .expect("an answer");
    assert_eq!(answer.retry_after, Some(Duration::from_secs(3)));
    assert_eq!(answer.refused().to_string(), format!("{url}/v1/topics answers 429: ask again in 3 s"));
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let url = serve(Router::new().route("/v1/keys", post(|| async { vec![0; ANSWER_BYTES_MAX + 1] }))).await;
    let error = Server::new(&url, &Trust::System)
        .expect("a server")
        .post_jose("/v1/keys", String::new())
        .await
        .expect_err("too large");
    assert!(matches!(error, ServerError::TooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let url =
        serve(Router::new().route("/v1/topics", get(|| async { (StatusCode::FOUND, [("location", "/x")]) }))).await;
    let answer = Server::new(&url, &Trust::System)
        .expect("a server")
        .get("/v1/topics", None, Some("token"))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 302);
}

#[test]
fn what_is_not_the_address_of_a_server_is_refused() {
    for url in ["127.0.0.1:8080", "ftp://host", "", "mqtt://host"] {
        assert!(matches!(Server::new(url, &Trust::System), Err(ServerError::Url(_))), "{url}");
    }
}

#[test]
fn only_this_machine_is_loopback() {
    assert!(["localhost", "127.0.0.1", "127.1.2.3", "[::1]"].into_iter().all(is_loopback));
    assert!(!["example.org", "10.0.0.1", "[::2]", "localhost.example.org"].into_iter().any(is_loopback));
}
