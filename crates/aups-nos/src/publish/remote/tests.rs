use super::*;
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

#[test]
fn a_broker_url_names_host_port_and_who_we_are() {
    let url: BrokerUrl = "mqtt://nos%40x:p%3a%25@broker.example:1884".parse().unwrap();
    let (user, password) = url.credentials.as_ref().unwrap();
    assert_eq!((&*url.host, url.port, &**user, password.expose()), ("broker.example", 1884, "nos@x", &b"p:%"[..]));
    assert_eq!(format!("{url} {url:?}"), "mqtt://broker.example:1884 mqtt://broker.example:1884");
    let url: BrokerUrl = "mqtt://[::1]/".parse().unwrap();
    assert_eq!((&*url.host, url.port, url.credentials.is_none()), ("::1", 1883, true));
}

#[test]
fn what_is_no_broker_url_is_refused_without_repeating_it() {
    assert_eq!("mqtts://h".parse::<BrokerUrl>().unwrap_err(), BrokerUrlError::Tls);
    for bad in
        ["", "h", "mqtt://", "mqtt://h:x", "mqtt://h/path", "mqtt://h?x=1", "http://h", "mqtt://u%zz@h", "mqtt://u%f@h"]
    {
        assert_eq!(bad.parse::<BrokerUrl>().unwrap_err(), BrokerUrlError::Form, "{bad}");
    }
}

/// How a broker that the test plays behaves.
#[derive(Debug, Clone, Copy)]
struct Manners {
    /// Whether it speaks MQTT 5 besides 3.1.1.
    speaks_v5: bool,
    /// The answer to a PUBLISH; `None` hangs up instead.
    puback: Option<u8>,
}

/// As much of a broker as a publisher sees: CONNACK and PUBACK.
struct FakeBroker {
    listener: TcpListener,
    manners: Manners,
    connects: Vec<Vec<u8>>,
    topics: Vec<String>,
}

impl FakeBroker {
    async fn new(manners: Manners) -> (Self, BrokerUrl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://user:pa%20ss@{}", listener.local_addr().unwrap()).parse().unwrap();
        (Self { listener, manners, connects: Vec::new(), topics: Vec::new() }, url)
    }

    /// Serves one connection to its end.
    async fn serve_one(&mut self) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let mut v5 = false;
        while let Some((kind, packet)) = read_packet(&mut stream).await {
            let answer = match kind >> 4 {
                1 => {
                    v5 = packet[6] == 5;
                    self.connects.push(packet);
                    match (v5, self.manners.speaks_v5) {
                        // The answer of MQTT 3.1.1: unacceptable protocol version.
                        (true, false) => vec![0x20, 2, 0, 1],
                        (true, true) => vec![0x20, 3, 0, 0, 0],
                        (false, _) => vec![0x20, 2, 0, 0],
                    }
                }
                3 => {
                    let end = 2 + usize::from(u16::from_be_bytes([packet[0], packet[1]]));
                    self.topics.push(String::from_utf8(packet[2..end].to_vec()).unwrap());
                    match self.manners.puback {
                        None => return,
                        Some(0) => vec![0x40, 2, packet[end], packet[end + 1]],
                        Some(reason) => vec![0x40, 3, packet[end], packet[end + 1], reason],
                    }
                }
                _ => continue,
            };
            stream.write_all(&answer).await.unwrap();
            if v5 && !self.manners.speaks_v5 {
                return;
            }
        }
    }
}

async fn read_packet(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let kind = stream.read_u8().await.ok()?;
    let mut length = 0;
    for shift in (0..28).step_by(7) {
        let byte = stream.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await.ok()?;
    Some((kind, packet))
}

fn batch(names: &[&str]) -> Vec<Outgoing> {
    let message = |name: &&str| Outgoing {
        topic: name.parse().unwrap(),
        payload: Bytes::from_static(b"{}"),
        content_type: "application/aups+json",
        retain: false,
    };
    names.iter().map(message).collect()
}

fn remote(url: BrokerUrl) -> RemoteBroker {
    RemoteBroker::connect(url, &"nos-1".parse().unwrap())
}

#[tokio::test]
async fn a_receipt_resolves_when_the_broker_has_acknowledged() {
    let (mut broker, url) = FakeBroker::new(Manners { speaks_v5: true, puback: Some(0) }).await;
    let remote = remote(url);
    assert!(!remote.connected());
    assert!(remote.publish(batch(&["a"])).await.is_err(), "not before there is a connection");
    let publish = async {
        remote.wait_connected().await;
        let first = remote.publish(batch(&["a", "b"])).await.unwrap();
        let second = remote.publish(batch(&["c"])).await.unwrap();
        first.await.unwrap();
        second.await.unwrap();
    };
    tokio::select! { () = publish => {}, () = broker.serve_one() => panic!("the connection ended") }
    assert_eq!(broker.topics, ["a", "b", "c"]);
    let connect = broker.connects[0].windows(5);
    assert!(
        connect.clone().any(|bytes| bytes == b"pa ss")
            && broker.connects[0].windows(14).any(|id| id == b"aups-nos-nos-1")
    );
}

#[tokio::test]
async fn a_broker_without_mqtt_5_is_spoken_to_in_3_1_1() {
    let (mut broker, url) = FakeBroker::new(Manners { speaks_v5: false, puback: Some(0) }).await;
    let remote = remote(url);
    let publish = async {
        remote.wait_connected().await;
        remote.publish(batch(&["a"])).await.unwrap().await.unwrap();
    };
    let serve = async {
        broker.serve_one().await;
        broker.serve_one().await;
    };
    tokio::select! { () = publish => {}, () = serve => panic!("the second connection ended") }
    let levels: Vec<_> = broker.connects.iter().map(|connect| connect[6]).collect();
    assert_eq!((levels, broker.topics), (vec![5, 4], vec!["a".to_owned()]));
}

#[tokio::test]
async fn a_connection_that_breaks_fails_its_receipts_and_the_next_one_takes_over() {
    let (mut broker, url) = FakeBroker::new(Manners { speaks_v5: true, puback: None }).await;
    let remote = remote(url);
    let publish = async {
        remote.wait_connected().await;
        let receipt = remote.publish(batch(&["a", "b"])).await.unwrap();
        assert!(matches!(receipt.await, Err(SinkError::Unreachable(_))));
    };
    tokio::join!(publish, broker.serve_one());
    broker.manners.puback = Some(0);
    let again = async {
        remote.connection.clone().wait_for(Option::is_none).await.unwrap();
        remote.wait_connected().await;
        remote.publish(batch(&["a", "b"])).await.unwrap().await.unwrap();
    };
    tokio::select! { () = again => {}, () = broker.serve_one() => panic!("the connection ended") }
    assert_eq!(broker.topics.iter().rev().take(2).collect::<Vec<_>>(), ["b", "a"]);
    assert!(broker.topics.len() <= 4, "nothing is replayed behind our back: {:?}", broker.topics);
}

#[tokio::test]
async fn a_broker_that_refuses_a_message_says_so() {
    let not_authorised = 0x87;
    let (mut broker, url) = FakeBroker::new(Manners { speaks_v5: true, puback: Some(not_authorised) }).await;
    let remote = remote(url);
    let publish = async {
        remote.wait_connected().await;
        let receipt = remote.publish(batch(&["a"])).await.unwrap();
        assert!(matches!(receipt.await, Err(SinkError::Refused(_))));
    };
    tokio::select! { () = publish => {}, () = broker.serve_one() => panic!("the connection ended") }
}
