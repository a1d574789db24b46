use super::*;
use crate::source::Proof;
use aups_core::{NodeId, Session, Suite};
use aups_envelope::{KeyT, SealedMessage, SourceOpener};
use aups_net::tls::Trust;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderValue},
    response::IntoResponse,
    routing::post,
};
use std::{collections::VecDeque, sync::Arc};

const KEY: [u8; 32] = [2; 32];

/// What came: the key of the request, the session, the plaintext.
type Came = (String, Session, String);

/// A `/data` that answers as told, and remembers what came.
#[derive(Clone, Default)]
struct Nos {
    answers: Arc<Mutex<VecDeque<Problem>>>,
    came: Arc<Mutex<Vec<Came>>>,
}

async fn data(State(nos): State<Nos>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    assert_eq!(headers["content-type"], "application/aups");
    assert!(!headers.contains_key("authorization"), "what it seals proves who it is");
    let message = SealedMessage::parse(&body).unwrap();
    let header = message.header();
    let node: NodeId = "s1".parse().unwrap();
    let opener = SourceOpener::new(&node, Suite::Aes128Gcm, &KeyT::from_bytes(KEY), header.key_id, header.session);
    let text = String::from_utf8(opener.open(&message).unwrap()).unwrap();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    nos.came.lock().unwrap().push((key, header.session, text));
    let problem = nos.answers.lock().unwrap().pop_front().unwrap();
    let mut answer = HeaderMap::new();
    answer.insert(header::RETRY_AFTER, HeaderValue::from_static("0"));
    (StatusCode::from_u16(problem.status).unwrap(), answer, serde_json::to_string(&problem).unwrap())
}

async fn source(answers: impl IntoIterator<Item = Problem>) -> (tempfile::TempDir, Source, Nos) {
    let nos = Nos { answers: Arc::new(Mutex::new(answers.into_iter().collect())), came: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let app = Router::new().route("/data", post(data)).with_state(nos.clone());
    tokio::spawn(async { axum::serve(listener, app).await });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s1.json");
    let (id, key) = (b64::encode(&[1; 24]), b64::encode(&KEY));
    let told = format!(r#"{{"NodeId":"s1","credentialId":"{id}","credential":"c","suite":5,"key":"{key}"}}"#);
    std::fs::write(&file, told).unwrap();
    let Ok(source) = Proof::read(&file).and_then(|proof| Source::proving(server, proof, &Trust::System)) else {
        panic!()
    };
    (dir, source, nos)
}

fn answer(status: u16, code: &'static str, accepted: u64) -> Problem {
    Problem::new(status, code, "Title", "detail").with("accepted", accepted)
}

#[tokio::test]
async fn a_batch_is_sent_with_one_key_until_it_is_taken_and_in_a_new_session_where_it_must() {
    let answers =
        [answer(503, "queue-full", 0), answer(409, "replayed", 0), answer(202, "none", 3), answer(202, "none", 1)];
    let (_dir, source, nos) = source(answers).await;
    assert_eq!(source.send(&["1", "[2,3]"]).await.ok(), Some(3));
    assert_eq!(source.send(&["4"]).await.ok(), Some(1));
    let came = nos.came.lock().unwrap();
    assert!(came[..3].iter().all(|(key, _, text)| *key == came[0].0 && text == "[1\n, 2,3]"), "{came:?}");
    assert!(came[3].0 != came[0].0 && came[3].2 == "[4]");
    assert!(came[1].1 == came[0].1 && came[2].1 > came[1].1 && came[3].1 == came[2].1, "{came:?}");
}

#[tokio::test]
async fn what_comes_before_a_refused_line_is_taken_first() {
    let refused = || answer(400, "malformed-reading", 0);
    let (_dir, source, nos) = source([refused().at(3, 5), answer(202, "none", 2), refused().at(1, 5)]).await;
    match source.send(&["1", "2", "{\"time\":0}", "4"]).await {
        Err(Untaken { taken, why: Obstacle::Line { index, problem } }) => {
            assert_eq!((taken, index, problem.column), (2, 2, Some(4)));
        }
        _ => panic!("the line was not refused"),
    }
    let texts: Vec<_> = nos.came.lock().unwrap().iter().map(|(_, _, text)| text.clone()).collect();
    assert_eq!(texts, ["[1\n,2\n,{\"time\":0}\n,4]", "[1\n,2]", "[{\"time\":0}\n,4]"]);
}

#[tokio::test]
async fn a_server_that_knows_higher_sessions_for_ever_is_not_asked_for_ever() {
    let (_dir, source, nos) = source((0..=SESSIONS_MAX).map(|_| answer(409, "replayed", 0))).await;
    assert!(matches!(source.send(&["1"]).await, Err(Untaken { taken: 0, why: Obstacle::All(_) })));
    assert_eq!(nos.came.lock().unwrap().len(), SESSIONS_MAX + 1);
}
