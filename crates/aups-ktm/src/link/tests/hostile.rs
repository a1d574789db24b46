//! Garbage, floods of bytes, and silence, on both sides.

use super::*;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection to the KTM without a certificate, to write on what one likes.
async fn raw(realm: &Realm) -> TlsStream<TcpStream> {
    let clock: Arc<dyn Clock> = realm.clock.clone();
    let (tls, _) = identity::stranger(realm.ca.fingerprint().unwrap(), &clock).unwrap();
    let stream = TcpStream::connect(realm.server.local_addr()).await.unwrap();
    TlsConnector::from(Arc::new(tls)).connect("ktm".try_into().unwrap(), stream).await.unwrap()
}

async fn answer(stream: &mut TlsStream<TcpStream>) -> String {
    let mut answer = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut answer)).await.expect("the KTM ends the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_others_go_on() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    // Not even TLS.
    let mut plain = TcpStream::connect(realm.server.local_addr()).await.unwrap();
    plain.write_all(b"GET /link/v1/publishers HTTP/1.1\r\n\r\n").await.unwrap();
    let mut nothing = Vec::new();
    let _ = timeout(SOON, plain.read_to_end(&mut nothing)).await.expect("it is closed");
    assert!(!nothing.starts_with(b"HTTP"));
    // Not even HTTP.
    let mut garbage = raw(&realm).await;
    garbage.write_all(&[0xff; 4_096]).await.unwrap();
    assert!(answer(&mut garbage).await.starts_with("HTTP/1.1 400"));
    // No JSON, another form, a token of another length.
    for body in ["", "nonsense", "{}", r#"{"token":1,"publicKey":""}"#, r#"{"token":"AA","publicKey":"AA"}"#] {
        let mut stream = raw(&realm).await;
        let head =
            format!("POST /link/v1/admit HTTP/1.1\r\nhost: ktm\r\nconnection: close\r\ncontent-length: {}", body.len());
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{body}: {answer}");
    }
    nos.scope(&realm.spec(0)).await;
}

#[tokio::test]
async fn a_body_beyond_all_bounds_is_not_taken() {
    let realm = Realm::new().await;
    let mut stream = raw(&realm).await;
    let head = format!(
        "POST /link/v1/admit HTTP/1.1\r\nhost: ktm\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        u64::MAX / 2
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b' '; 1 << 20];
    // It stops reading long before; how much goes into the buffers between is not ours to say.
    let mut written = 0;
    while written < 64 && stream.write_all(&piece).await.is_ok() {
        written += 1;
    }
    let answer = answer(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(written < 64, "{written} MiB were taken");
}

/// A KTM that answers whatever a test likes, in the realm's name.
async fn impostor(realm: &Realm, answer: &'static [u8]) -> SocketAddr {
    let clock: Arc<dyn Clock> = realm.clock.clone();
    let tls = listener::tls(&realm.ca, &clock).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut request = [0; 4_096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn answers_that_make_no_sense_give_nothing() {
    let realm = Realm::new().await;
    for nonsense in [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".as_slice(),
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{\"now\":1}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n{\"event\":\"snapshot\",\"rev\":true}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n{",
        b"\xff\xfe\xfd",
    ] {
        let Linked { ktm, dir, .. } = realm.nos("nos-1").await;
        drop(ktm);
        let fooled = format!("https://{}", impostor(&realm, nonsense).await);
        let nos = Linked::connect(fooled, dir, None, NOW).await.unwrap();
        let asked = nos.ktm.begin_incarnation(&nos.ktm.name(), SigningKey::generate().public()).await;
        assert!(matches!(asked, Err(KtmError::Away { .. })), "{asked:?}");
        assert!(timeout(Duration::from_millis(200), nos.ktm.ready()).await.is_err());
        assert!(nos.copy.snapshots.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn more_than_may_be_asked_at_once_is_refused() {
    let realm = Realm::new().await;
    let nos = realm.nos("nos-1").await;
    let scopes = (0..=SCOPES_ASKED_MAX).map(|n| realm.spec(u32::try_from(n).unwrap()).id).collect();
    let refused = nos.ktm.remote.post::<_, wire::Keys>(wire::path::KEYS, &wire::AskKeys { scopes }).await;
    let Err(KtmError::Away { why }) = refused else { panic!("{refused:?}") };
    assert!(why.contains("256 scopes"), "{why}");
}
