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
    let secured: BrokerUrl = "mqtts://h".parse().unwrap();
    assert_eq!((secured.address(), secured.to_string()), ("h:8883".into(), "mqtts://h:8883".into()));
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
    /// Whether it knows shared subscriptions.
    shares: bool,
}

const PLAIN: Manners = Manners { speaks_v5: true, puback: Some(0), shares: true };

/// As much of a broker as a publisher sees: CONNACK and PUBACK.
struct FakeBroker {
    listener: TcpListener,
    manners: Manners,
    connects: Vec<Vec<u8>>,
    topics: Vec<String>,
    filters: Vec<String>,
}

impl FakeBroker {
    async fn new(manners: Manners) -> (Self, BrokerUrl) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("mqtt://user:pa%20ss@{}", listener.local_addr().unwrap()).parse().unwrap();
        (Self { listener, manners, connects: Vec::new(), topics: Vec::new(), filters: Vec::new() }, url)
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
                8 => {
                    let at = if v5 { 3 } else { 2 };
                    let filter = String::from_utf8(packet[at + 2..packet.len() - 1].to_vec()).unwrap();
                    let refused = filter.starts_with("$share") && !self.manners.shares;
                    self.filters.push(filter);
                    let mut answer = if v5 {
                        vec![0x90, 4, packet[0], packet[1], 0, if refused { 0x9e } else { 1 }]
                    } else {
                        vec![0x90, 3, packet[0], packet[1], 1]
                    };
                    if !refused {
                        for (retain, payload) in [(1, "old"), (0, "new")] {
                            answer.extend(publish_packet(v5, retain, "aups/kr/alice", payload));
                        }
                    }
                    answer
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

/// At QoS 0.
fn publish_packet(v5: bool, retain: u8, topic: &str, payload: &str) -> Vec<u8> {
    let mut packet = vec![0, u8::try_from(topic.len()).unwrap()];
    packet.extend_from_slice(topic.as_bytes());
    packet.extend(v5.then_some(0));
    packet.extend_from_slice(payload.as_bytes());
    [vec![0x30 | retain, u8::try_from(packet.len()).unwrap()], packet].concat()
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

/// The default configuration.
fn plain() -> ConfigInForce {
    crate::config::fixed(crate::Config::default()).unwrap()
}

fn batch(names: &[&str]) -> Vec<Outgoing> {
    let message = |name: &&str| Outgoing {
        topic: name.parse().unwrap(),
        payload: Bytes::from_static(b"{}"),
        content_type: "application/aups+json",
        retain: false,
        qos: Qos::AtLeastOnce,
    };
    names.iter().map(message).collect()
}

fn remote(url: BrokerUrl) -> RemoteBroker {
    RemoteBroker::connect(url, &Trust::System, &"nos-1".parse().unwrap(), crate::key_request_queue().0, plain())
        .unwrap()
}

#[tokio::test]
async fn a_receipt_resolves_when_the_broker_has_acknowledged() {
    let (mut broker, url) = FakeBroker::new(PLAIN).await;
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
    let (mut broker, url) = FakeBroker::new(Manners { speaks_v5: false, ..PLAIN }).await;
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
    let (mut broker, url) = FakeBroker::new(Manners { puback: None, ..PLAIN }).await;
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
    let (mut broker, url) = FakeBroker::new(Manners { puback: Some(not_authorised), ..PLAIN }).await;
    let remote = remote(url);
    let publish = async {
        remote.wait_connected().await;
        let receipt = remote.publish(batch(&["a"])).await.unwrap();
        assert!(matches!(receipt.await, Err(SinkError::Refused(_))));
    };
    tokio::select! { () = publish => {}, () = broker.serve_one() => panic!("the connection ended") }
}

#[tokio::test]
async fn key_requests_come_by_a_shared_subscription_or_where_there_is_none_by_a_plain_one() {
    let shared = vec!["$share/nos/aups/kr/+"];
    for (manners, filters) in [
        (PLAIN, shared.clone()),
        (Manners { shares: false, ..PLAIN }, [shared, vec!["aups/kr/+"]].concat()),
        (Manners { speaks_v5: false, ..PLAIN }, vec!["aups/kr/+"]),
    ] {
        let (mut broker, url) = FakeBroker::new(manners).await;
        let (requests, mut waiting) = crate::key_request_queue();
        let remote = RemoteBroker::connect(url, &Trust::System, &"nos-1".parse().unwrap(), requests, plain()).unwrap();
        let answer = async {
            // What the broker retained is no request of now.
            assert_eq!(waiting.next().await, ("alice".parse().unwrap(), Bytes::from("new")));
            remote.send(batch(&["aups/ks/alice"]).remove(0)).await;
            // A message at QoS 1 after it shows that it went.
            let _ = remote.publish(batch(&["last"])).await.unwrap().await;
        };
        let serve = async {
            while broker.topics.len() < 2 {
                broker.serve_one().await;
            }
        };
        tokio::select! { () = answer => {}, () = serve => {} }
        assert_eq!(broker.filters, filters, "{manners:?}");
        assert_eq!(broker.topics.first().map(String::as_str), Some("aups/ks/alice"), "{manners:?}");
    }
}
