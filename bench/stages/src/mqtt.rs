//! The least MQTT 5 client that can subscribe: what it costs itself is little beside what is counted.

use anyhow::{Context as _, ensure};
use aups_broker::{Broker, BrokerSettings, Connect, Gate, Refusal, Verdict};
use bytes::{Buf as _, BytesMut};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A broker on loopback that lets everybody read.
pub(crate) async fn broker() -> anyhow::Result<Broker> {
    let settings = BrokerSettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..BrokerSettings::default() };
    Ok(Broker::start(settings, Arc::new(Everybody)).await?)
}

struct Everybody;

impl Gate for Everybody {
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

/// Packet types (MQTT 5 section 2.1.2) with the flags that they have.
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// A client with one subscription.
pub(crate) struct Subscriber {
    stream: TcpStream,
    received: BytesMut,
    /// Not yet sent.
    acknowledgements: Vec<u8>,
}

impl Subscriber {
    /// Connects and subscribes at a QoS of 0 or 1.
    pub(crate) async fn connect(address: SocketAddr, filter: &str, qos: u8) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let mut subscriber = Self { stream, received: BytesMut::new(), acknowledgements: Vec::new() };
        // Version 5, user name, password and a clean start, no keep-alive, no properties; client id, user, password.
        let head = [&text("MQTT")?, &[5, 0xc2, 0, 0, 0][..]].concat();
        subscriber.send(CONNECT, &[head, text("reader")?, text("reader")?, text("reader")?].concat()).await?;
        subscriber.expect(CONNACK).await?;
        // Packet id 1, no properties.
        subscriber.send(SUBSCRIBE, &[&[0, 1, 0], &*text(filter)?, &[qos]].concat()).await?;
        subscriber.expect(SUBACK).await?;
        Ok(subscriber)
    }

    /// Waits for so many messages, and acknowledges those at QoS 1.
    pub(crate) async fn receive(&mut self, count: u32) -> anyhow::Result<()> {
        for _ in 0..count {
            let (first, body) = self.packet().await?;
            ensure!(first & 0xf0 == PUBLISH, "the broker sent {first:#04x} and not a message");
            if first & 0x06 != 0 {
                let topic_bytes = usize::from(body.first_chunk().copied().map_or(0, u16::from_be_bytes));
                let id = body.get(2 + topic_bytes..4 + topic_bytes).context("a message without a packet id")?;
                self.acknowledgements.extend([&[PUBACK, 2], id].concat());
            }
        }
        self.acknowledge().await
    }

    async fn acknowledge(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.acknowledgements)).await?;
        Ok(())
    }

    async fn expect(&mut self, wanted: u8) -> anyhow::Result<()> {
        let (first, _) = self.packet().await?;
        ensure!(first == wanted, "the broker sent {first:#04x} and not {wanted:#04x}");
        Ok(())
    }

    async fn send(&mut self, first: u8, body: &[u8]) -> anyhow::Result<()> {
        // Below 128 the length is one byte.
        let packet =
            [&[first, u8::try_from(body.len()).ok().filter(|length| *length < 128).context("too long")?], body];
        Ok(self.stream.write_all(&packet.concat()).await?)
    }

    /// The next packet: its first byte, and what follows the length.
    async fn packet(&mut self) -> anyhow::Result<(u8, BytesMut)> {
        loop {
            if let Some((head_bytes, body_bytes)) = lengths(&self.received)
                && self.received.len() >= head_bytes + body_bytes
            {
                let first = self.received.first().copied().unwrap_or_default();
                self.received.advance(head_bytes);
                return Ok((first, self.received.split_to(body_bytes)));
            }
            // The broker may wait for these before it sends more.
            self.acknowledge().await?;
            self.received.reserve(1 << 16);
            ensure!(self.stream.read_buf(&mut self.received).await? > 0, "the broker closed the connection");
        }
    }
}

/// The lengths of a packet's fixed header and of the rest (MQTT 5 section 1.5.5), once they are there.
fn lengths(received: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, byte) in received.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((place + 2, length));
        }
    }
    None
}

/// A text with its length before it.
fn text(text: &str) -> anyhow::Result<Vec<u8>> {
    Ok([&u16::try_from(text.len())?.to_be_bytes(), text.as_bytes()].concat())
}
