use super::*;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue},
    response::IntoResponse,
    routing::post,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// A `/data` that answers as told, and remembers what came.
#[derive(Clone, Default)]
struct Nos {
    answers: Arc<Mutex<VecDeque<(u16, Problem)>>>,
    bodies: Arc<Mutex<Vec<String>>>,
}

async fn data(State(nos): State<Nos>, headers: HeaderMap, body: String) -> impl IntoResponse {
    assert_eq!(headers["content-type"], NDJSON);
    assert_eq!(headers["authorization"], "Bearer secret");
    nos.bodies.lock().unwrap().push(body);
    let (status, problem) = nos.answers.lock().unwrap().pop_front().unwrap();
    let mut answer = HeaderMap::new();
    answer.insert(header::RETRY_AFTER, HeaderValue::from_static("0"));
    (StatusCode::from_u16(status).unwrap(), answer, serde_json::to_string(&problem).unwrap())
}

async fn source(answers: impl IntoIterator<Item = (u16, Problem)>) -> (Source, Nos) {
    let nos = Nos { answers: Arc::new(Mutex::new(answers.into_iter().collect())), bodies: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let app = Router::new().route("/data", post(data)).with_state(nos.clone());
    tokio::spawn(async { axum::serve(listener, app).await });
    (Source::new(server, Some("secret".into()), &Trust::System).unwrap(), nos)
}

fn busy(accepted: u64) -> (u16, Problem) {
    (503, Problem::new(503, "busy", "Busy", "come back").with("accepted", accepted))
}

fn done(accepted: u64) -> (u16, Problem) {
    (202, Problem::new(202, "none", "None", "").with("accepted", accepted))
}

#[tokio::test]
async fn what_a_busy_server_did_not_take_is_sent_again_and_nothing_else() {
    let (source, nos) = source([busy(0), busy(2), done(1)]).await;
    assert_eq!(source.send(&["1", "2", "3"]).await.ok(), Some(3));
    assert_eq!(*nos.bodies.lock().unwrap(), ["1\n2\n3\n", "1\n2\n3\n", "3\n"]);
}

#[tokio::test]
async fn a_line_that_is_an_array_counts_for_its_elements() {
    let (source, nos) = source([busy(3), done(3)]).await;
    assert_eq!(source.send(&["[1,[2]]", "3", "[4,5]", "6"]).await.ok(), Some(6));
    assert_eq!(*nos.bodies.lock().unwrap(), ["[1,[2]]\n3\n[4,5]\n6\n", "[4,5]\n6\n"]);
}

#[tokio::test]
async fn a_refused_line_is_named_from_the_start_of_the_batch() {
    let refused = (400, Problem::new(400, "json", "Not JSON", "what is this?").with("accepted", 1).at(2, 1));
    let (source, _) = source([busy(1), refused]).await;
    match source.send(&["1", "2", "x", "4"]).await {
        Err(Untaken { taken, why: Obstacle::Line { index, problem } }) => {
            assert_eq!((taken, index, &*problem.detail), (2, 2, "what is this?"));
        }
        _ => panic!("the line was not refused"),
    }
}

#[tokio::test]
async fn a_refused_source_is_told_so() {
    let (source, _) = source([(401, Problem::new(401, "credential", "Not authenticated", "no such credential"))]).await;
    match source.send(&["1"]).await {
        Err(Untaken { taken: 0, why: Obstacle::All(Failure::Told { error, .. }) }) => {
            assert_eq!(error, "no such credential");
        }
        _ => panic!("the source was not refused"),
    }
}
