//! What publishing in this process costs: `cargo run --release -p aups-broker --example publish_cost [DATA_DIR]`.
//!
//! Publishes 100,000 messages of 600 bytes in batches of 100 on ten topics, with no subscriber and with one at QoS 1, and prints
//! the time per message until it is routed, until it is released, and until the subscriber has it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "an example measures and prints, or fails")]

use aups_broker::{Broker, BrokerSettings, Connect, Gate, Outgoing, Refusal, Verdict};
use bytes::Bytes;
use rumqttc_v5::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, SessionMode};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

const MESSAGES: u32 = 100_000;
const BATCH: u32 = 100;

struct Open;

impl Gate for Open {
    fn connect(&self, _connect: &Connect<'_>) -> Result<(), Refusal> {
        Ok(())
    }

    fn subscribe(&self, _user: &str, _filter: &str) -> Verdict {
        Verdict::Allow
    }

    fn publish(&self, _user: &str, _topic: &str) -> Verdict {
        Verdict::Deny
    }
}

#[tokio::main]
async fn main() {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let data_dir = std::env::args().nth(1).map(PathBuf::from);
    let settings = BrokerSettings { listen, data_dir, ..BrokerSettings::default() };
    let broker = Broker::start(settings, Arc::new(Open)).await.unwrap();
    println!("no subscriber");
    publish(&broker).await;
    let (_client, mut events) = subscribe(broker.local_addr()).await;
    let reading = tokio::spawn(async move {
        let mut seen = 0;
        while seen < MESSAGES {
            if let Event::Incoming(Packet::Publish(_)) = events.poll().await.unwrap() {
                seen += 1;
            }
        }
    });
    println!("one subscriber with a session");
    let began = Instant::now();
    publish(&broker).await;
    reading.await.unwrap();
    print("received", began);
    broker.shutdown().await;
}

async fn publish(broker: &Broker) {
    let payload = Bytes::from(vec![b'x'; 600]);
    let began = Instant::now();
    let mut last = None;
    for batch in 0..MESSAGES / BATCH {
        let messages = (0..BATCH).map(|n| Outgoing {
            topic: format!("data/{}", (batch + n) % 10),
            payload: payload.clone(),
            content_type: "application/aups+json",
            retain: false,
            at_most_once: false,
        });
        last = Some(broker.publish(messages.collect()).await);
    }
    print("routed", began);
    last.unwrap().await;
    print("released", began);
}

async fn subscribe(address: SocketAddr) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new("reader", (address.ip().to_string(), address.port()));
    options.set_credentials("reader", "password");
    options.set_session_mode(SessionMode::Persistent);
    options.set_session_expiry_interval(Some(60));
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    client.subscribe("data/+", QoS::AtLeastOnce).await.unwrap();
    while !matches!(events.poll().await.unwrap(), Event::Incoming(Packet::SubAck(_))) {}
    (client, events)
}

fn print(what: &str, began: Instant) {
    println!("  {what}: {:.2} us per message", began.elapsed().as_secs_f64() * 1e6 / f64::from(MESSAGES));
}
