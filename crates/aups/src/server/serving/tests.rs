use super::*;
use axum::{
    body::Bytes,
    routing::{get, post},
};
use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::Instant,
};

async fn serve(routes: Router) -> Serving {
    Serving::start(listen((Ipv4Addr::LOCALHOST, 0).into(), None).await.unwrap(), routes)
}

async fn hello() -> Serving {
    serve(Router::new().route("/", get(|| async { "hello" }).post(|body: String| async { body }))).await
}

/// What comes until the server closes, and after how long.
async fn until_closed(mut stream: TcpStream) -> (String, Duration) {
    let (began, mut all) = (Instant::now(), Vec::new());
    // It may be reset when not all was read.
    let _ = stream.read_to_end(&mut all).await;
    (String::from_utf8_lossy(&all).into_owned(), began.elapsed())
}

async fn said(to: &Serving, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(to.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dribbles_is_cut_off() {
    let server = hello().await;
    for head in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let stream = said(&server, head).await;
        let (answer, after) = until_closed(stream).await;
        assert_eq!(answer, "");
        assert!(after >= HEAD_MAX && after < HEAD_MAX + 2 * LOOKED_AT_EVERY, "{head:?}: {after:?}");
    }
    // The second head of a connection: its bytes come one by one, and it is cut all the same.
    let mut stream = said(&server, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut answer = [0; 64];
    assert!(stream.read(&mut answer).await.unwrap() > 0);
    let began = Instant::now();
    while stream.write_all(b"X").await.is_ok() && began.elapsed() < 2 * IDLE_MAX {
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert!(began.elapsed() < HEAD_MAX + 5 * LOOKED_AT_EVERY, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while() {
    let server = hello().await;
    let (answer, after) = until_closed(said(&server, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(after >= IDLE_MAX && after < IDLE_MAX + 2 * LOOKED_AT_EVERY, "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_the_answer_is_cut_off_and_who_waits_for_it_is_not() {
    let gone = Arc::new(Notify::new());
    let (large, slow) = (vec![0_u8; 64 << 20], Arc::clone(&gone));
    let routes = Router::new()
        .route("/large", get(move || async { (axum::http::StatusCode::OK, large) }))
        .route("/slow", get(move || async move { slow.notified().await }));
    let server = serve(routes).await;
    let waiting = said(&server, "GET /slow HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let mut stream = said(&server, "GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // Nothing is read, far beyond the time that it may take nothing.
    tokio::time::sleep(STALLED_MAX + 3 * LOOKED_AT_EVERY).await;
    let mut read = 0;
    let mut part = vec![0; 1 << 20];
    while let Ok(more @ 1..) = stream.read(&mut part).await {
        read += more;
    }
    assert!(read < 64 << 20, "cut in the middle");
    gone.notify_one();
    assert!(until_closed(waiting).await.0.starts_with("HTTP/1.1 200"), "this one waited for us");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = hello().await;
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(HEAD_BYTES_MAX + 1));
    let many = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX));
    for head in [long, many] {
        let (answer, _) = until_closed(said(&server, &head).await).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    let most = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{}\r\n", "x: y\r\n".repeat(HEADERS_MAX - 2));
    assert!(until_closed(said(&server, &most).await).await.0.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn a_stop_lets_a_request_end_and_closes_what_is_idle() {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (seen, awaited) = (Arc::clone(&begun), Arc::clone(&end));
    let routes = Router::new().route(
        "/",
        get(move || async move {
            seen.notify_one();
            awaited.notified().await;
            "done"
        }),
    );
    let server = serve(routes).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let working = said(&server, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    begun.notified().await;
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    assert_eq!(until_closed(idle).await.0, "");
    end.notify_one();
    assert!(until_closed(working).await.0.ends_with("done"));
    stopping.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:method`, `:scheme http`, `:path /`, `:authority a` (RFC 7541 appendix A).
const fn request(method: u8) -> [u8; 6] {
    [method, 0x86, 0x84, 0x41, 1, b'a']
}
const GET: u8 = 0x82;
const POST: u8 = 0x83;

async fn http2(to: &Serving) -> TcpStream {
    let mut stream = said(to, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
    stream
}

/// Type, stream and payload of the next frame.
async fn next_frame(stream: &mut TcpStream) -> Option<(u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.ok()?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    stream.read_exact(&mut payload).await.ok()?;
    Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let server = hello().await;
    let mut stream = http2(&server).await;
    stream.write_all(&frame(HEADERS, END_HEADERS, 1, &request(POST))).await.unwrap();
    stream.write_all(&frame(DATA, END_STREAM, 1, b"over http/2")).await.unwrap();
    let mut status = None;
    while let Some((kind, _, payload)) = next_frame(&mut stream).await {
        match kind {
            HEADERS => status = payload.first().copied(),
            DATA => {
                assert_eq!(payload, b"over http/2");
                break;
            }
            _ => {}
        }
    }
    assert_eq!(status, Some(0x88), ":status 200");
}

#[tokio::test]
async fn who_opens_and_resets_streams_by_the_thousand_is_sent_away() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let routes = Router::new().route(
        "/",
        post(|body: Bytes| async { body }).get(move || async move {
            counted.fetch_add(1, Ordering::Relaxed);
        }),
    );
    let server = serve(routes).await;
    let mut stream = http2(&server).await;
    let mut flood = Vec::new();
    for id in (1..20_000).step_by(2) {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &request(GET)));
        flood.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    let (mut from, mut to) = stream.split();
    let sent = async { drop(to.write_all(&flood).await) };
    let told = async {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all).await;
        all
    };
    let (told, ()) = tokio::join!(told, sent);
    // ENHANCE_YOUR_CALM
    let calm = |frame: &[u8]| frame[3] == GOAWAY && frame[13..17] == 11_u32.to_be_bytes();
    assert!(told.windows(17).any(calm), "{told:?}");
    assert!(asked.load(Ordering::Relaxed) < 5_000, "{asked:?}");
    let (answer, _) = until_closed(said(&server, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "others are served: {answer}");
}
