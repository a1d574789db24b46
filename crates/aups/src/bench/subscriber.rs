//! A subscriber that counts messages and opens none: plain MQTT 3.1.1 at QoS 0, so that it costs every contender the same, and itself little.

use super::contender::{Login, Subscription};
use anyhow::{Context as _, ensure};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::sleep,
};

/// Nothing more comes when nothing came for so long.
const QUIET: Duration = Duration::from_secs(2);
/// How often it is looked whether something came.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Packet types of MQTT (section 2.2.1), in the upper half of a packet's first byte.
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const SUBACK: u8 = 9;

/// A running subscriber. It leaves when this is dropped.
pub(super) struct Subscriber {
    reader: JoinHandle<()>,
    received: Arc<Mutex<Received>>,
}

/// What came so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received {
    pub(super) messages: u64,
    /// When the last of them came; at first, when the subscription began.
    pub(super) last: Instant,
}

impl Subscriber {
    /// Subscribes, and counts from then on.
    pub(super) async fn start(subscription: &Subscription) -> anyhow::Result<Self> {
        let broken = || format!("no session with the broker at {}", subscription.broker);
        let mut stream = TcpStream::connect(subscription.broker).await.with_context(broken)?;
        stream.write_all(&connect(subscription.login.as_ref())?).await.with_context(broken)?;
        ensure!(
            answered(&mut stream, CONNACK).await.with_context(broken)? == 0,
            "the broker lets nobody in who subscribes"
        );
        stream.write_all(&subscribe(subscription.filter)?).await.with_context(broken)?;
        ensure!(answered(&mut stream, SUBACK).await.with_context(broken)? == 0, "the broker refuses a subscription");
        let received = Arc::new(Mutex::new(Received { messages: 0, last: Instant::now() }));
        let reader = tokio::spawn(count(stream, Arc::clone(&received)));
        Ok(Self { reader, received })
    }

    pub(super) fn received(&self) -> Received {
        *self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so many came, or nothing more comes.
    pub(super) async fn until(&self, messages: u64) -> Received {
        let mut seen = self.received();
        let mut since = Instant::now();
        while seen.messages < messages && since.elapsed() < QUIET {
            sleep(LOOK_EVERY).await;
            let now = self.received();
            if now.messages > seen.messages {
                (seen, since) = (now, Instant::now());
            }
        }
        seen
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Counts until the broker hangs up.
async fn count(mut stream: TcpStream, received: Arc<Mutex<Received>>) {
    let (mut packets, mut chunk) = (Packets::default(), vec![0; CHUNK_BYTES]);
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        let messages = packets.publishes_in(chunk.get(..read).unwrap_or_default());
        if messages > 0 {
            let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
            *received = Received { messages: received.messages + messages, last: Instant::now() };
        }
    }
}

/// Where in a stream of packets one is.
#[derive(Debug, Default)]
struct Packets {
    /// The type of the packet whose length is being read.
    kind: Option<u8>,
    /// Its length as far as it was read (section 2.2.3), and where the next seven bits of it go.
    length: usize,
    shift: u32,
    /// Bytes of a packet that are still to be passed over.
    rest: usize,
}

impl Packets {
    /// How many messages begin in these bytes.
    fn publishes_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut publishes = 0;
        loop {
            let passed = self.rest.min(bytes.len());
            self.rest -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            let Some((byte, others)) = bytes.split_first() else { return publishes };
            bytes = others;
            let Some(kind) = self.kind else {
                self.kind = Some(byte >> 4);
                continue;
            };
            self.length |= usize::from(byte & 0x7f) << self.shift;
            self.shift += 7;
            if byte & 0x80 == 0 {
                publishes += u64::from(kind == PUBLISH);
                *self = Self { rest: self.length, ..Self::default() };
            }
        }
    }
}

/// The packet that opens a session without a name, which ends with its connection (section 3.1).
fn connect(login: Option<&Login>) -> anyhow::Result<Vec<u8>> {
    const CLEAN_SESSION: u8 = 0x02;
    const USER_NAME_AND_PASSWORD: u8 = 0xc0;
    let flags = if login.is_some() { CLEAN_SESSION | USER_NAME_AND_PASSWORD } else { CLEAN_SESSION };
    let mut rest = text("MQTT")?;
    // Level 4 is 3.1.1; the connection may be silent for ever; no client id.
    rest.extend([4, flags, 0, 0, 0, 0]);
    if let Some(Login { username, password }) = login {
        rest.extend(text(username)?);
        rest.extend(text(password)?);
    }
    packet(0x10, &rest)
}

/// The packet that asks for all messages that a filter matches, at QoS 0 (section 3.8).
fn subscribe(filter: &str) -> anyhow::Result<Vec<u8>> {
    let rest = [&[0, 1], text(filter)?.as_slice(), &[0]].concat();
    packet(0x82, &rest)
}

fn text(text: &str) -> anyhow::Result<Vec<u8>> {
    let length = u16::try_from(text.len()).context("a text of MQTT has at most 65,535 bytes")?;
    Ok([&length.to_be_bytes(), text.as_bytes()].concat())
}

fn packet(first: u8, rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u8::try_from(rest.len()).ok().filter(|length| *length < 0x80);
    let length = length.context("a name, a password or a filter is too long for this subscriber")?;
    Ok([&[first, length], rest].concat())
}

/// Reads the answer to a packet; the code that is its last byte.
async fn answered(stream: &mut TcpStream, kind: u8) -> io::Result<u8> {
    let [first, length] = [stream.read_u8().await?, stream.read_u8().await?];
    if first >> 4 != kind {
        return Err(io::Error::other(format!("packet {first:#04x} in place of an answer")));
    }
    let mut rest = vec![0; length.into()];
    stream.read_exact(&mut rest).await?;
    rest.last().copied().ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
