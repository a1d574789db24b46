use super::*;
use crate::tls::{Trust, tests::Authority};
use rustls::pki_types::ServerName;
use std::{future::pending, net::Ipv4Addr};
use tokio::{io::AsyncReadExt as _, task::JoinHandle};
use tokio_rustls::TlsConnector;

const LIMITS: ListenerLimits =
    ListenerLimits { connections_max: 3, per_address_max: 2, handshake_max: Duration::from_millis(300) };

/// Echoes one byte of each connection, and keeps it open.
async fn echo(limits: ListenerLimits, tls: Option<Arc<ServerConfig>>) -> (SocketAddr, JoinHandle<()>) {
    let settings = ListenerSettings { name: "test", limits, tls, full: b"full", clear: b"speak TLS" };
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), settings).await.unwrap();
    let address = listener.local_addr();
    let serving = tokio::spawn(listener.serve(pending(), async |mut stream: Stream, _| {
        let byte = stream.read_u8().await.unwrap_or_default();
        let _ = stream.write_u8(byte).await;
        let _ = stream.flush().await;
        // Until the peer goes.
        let _ = stream.read_u8().await;
    }));
    (address, serving)
}

async fn echoed(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    stream.write_u8(7).await.is_ok()
        && stream.flush().await.is_ok()
        && stream.read_u8().await.is_ok_and(|byte| byte == 7)
}

async fn from(address: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((address, 0).into()).unwrap();
    socket.connect(to).await.unwrap()
}

async fn everything(mut stream: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // It may be reset after what was said.
    let _ = stream.read_to_end(&mut all).await;
    all
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let (to, _serving) = echo(LIMITS, None).await;
    let mut greedy = [from([127, 0, 0, 2], to).await, from([127, 0, 0, 2], to).await];
    for stream in &mut greedy {
        assert!(echoed(stream).await);
    }
    assert_eq!(everything(from([127, 0, 0, 2], to).await).await, b"full");
    let mut honest = from([127, 0, 0, 3], to).await;
    assert!(echoed(&mut honest).await);
    assert_eq!(everything(from([127, 0, 0, 4], to).await).await, b"full", "more than all places");
    drop(honest);
    // The place is free as soon as the listener sees that it went.
    while !echoed(&mut from([127, 0, 0, 4], to).await).await {}
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_and_holds_up_nobody() {
    let authority = Authority::new();
    let tls = authority.server("localhost").server_config(&[]).unwrap();
    let (to, _serving) = echo(LIMITS, Some(tls)).await;
    let mut stalled = TcpStream::connect(to).await.unwrap();
    stalled.write_all(&[22, 3, 1]).await.unwrap();
    let mut honest = authority.connect(to, "localhost").await.unwrap();
    assert!(echoed(&mut honest).await);
    assert_eq!(everything(stalled).await, b"", "closed without a word");
}

#[tokio::test]
async fn who_speaks_in_clear_is_told_to_speak_tls() {
    let tls = Authority::new().server("localhost").server_config(&[]).unwrap();
    let (to, _serving) = echo(LIMITS, Some(tls)).await;
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(b"G").await.unwrap();
    assert_eq!(everything(stream).await, b"speak TLS");
}

#[tokio::test]
async fn a_certificate_is_replaced_while_the_listener_listens() {
    let (old, new) = (Authority::new(), Authority::new());
    let held = old.server("localhost");
    let (to, _serving) = echo(LIMITS, Some(Arc::clone(&held).server_config(&[]).unwrap())).await;
    assert!(old.connect(to, "localhost").await.is_ok());
    let (chain, key) = new.issue("localhost");
    held.replace(chain, key).unwrap();
    let refused = old.connect(to, "localhost").await.unwrap_err();
    assert!(crate::tls::certificate_fault(&refused).unwrap().contains("/ca.pem"), "{refused:?}");
    assert!(new.connect(to, "localhost").await.is_ok());
}

impl Authority {
    async fn connect(
        &self,
        to: SocketAddr,
        name: &'static str,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let config = Trust::Only(self.authorities()).client_config(&[]).unwrap();
        let stream = TcpStream::connect(to).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name).unwrap(), stream).await
    }
}
