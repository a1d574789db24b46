//! Clients that hold a connection and say nothing, or too much.

use crate::client::{Realm, settings};
use aups_broker::{Broker, BrokerLimits, BrokerSettings};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

async fn start(limits: BrokerLimits) -> Broker {
    let settings = BrokerSettings { limits, ..settings(None) };
    Broker::start(settings, Arc::new(Realm::default())).await.unwrap()
}

/// How long it takes until the broker closes.
async fn closed(mut stream: TcpStream) -> Duration {
    let began = Instant::now();
    let _ = stream.read_to_end(&mut Vec::new()).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_connect_is_cut_off() {
    let broker = start(BrokerLimits::default()).await;
    for said in [&b""[..], &[0x10, 60, 0, 4, b'M', b'Q']] {
        let mut stream = TcpStream::connect(broker.local_addr()).await.unwrap();
        stream.write_all(said).await.unwrap();
        let after = closed(stream).await;
        assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&after), "{said:?}: {after:?}");
    }
}

#[tokio::test]
async fn a_packet_that_says_it_is_too_large_is_not_waited_for() {
    let broker = start(BrokerLimits { packet_bytes_max: 4_096, ..BrokerLimits::default() }).await;
    let mut stream = TcpStream::connect(broker.local_addr()).await.unwrap();
    // A PUBLISH of 256 MiB before anything else.
    stream.write_all(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
    assert!(timeout(Duration::from_secs(5), closed(stream)).await.is_ok());
}

#[tokio::test]
async fn connections_of_one_address_are_limited_before_they_say_who_they_are() {
    let broker = start(BrokerLimits { clients_per_address_max: 2, ..BrokerLimits::default() }).await;
    let connect = || TcpStream::connect(broker.local_addr());
    let held = [connect().await.unwrap(), connect().await.unwrap()];
    assert!(timeout(Duration::from_secs(5), closed(connect().await.unwrap())).await.is_ok());
    drop(held);
    // A place is free again once the broker sees that they went.
    let served = async {
        loop {
            let stream = connect().await.unwrap();
            if timeout(Duration::from_millis(200), closed(stream)).await.is_err() {
                break;
            }
        }
    };
    timeout(Duration::from_secs(10), served).await.unwrap();
}
