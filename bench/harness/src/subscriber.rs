//! One subscriber: a stock `mosquitto_sub`, which decrypts nothing, so that it costs every contender the same.

use crate::contender::Broker;
use anyhow::Context as _;
use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// Nothing more comes when nothing came for so long.
const QUIET: Duration = Duration::from_millis(500);
/// Longest wait for quiet after a load.
const QUIET_WAIT_MAX: Duration = Duration::from_mins(1);

/// A running subscriber that counts what it gets.
pub(crate) struct Subscriber {
    _process: Child,
    received: Arc<AtomicU64>,
}

impl Subscriber {
    /// Subscribes at QoS 0.
    pub(crate) fn start(broker: &Broker) -> anyhow::Result<Self> {
        let port = broker.address.port().to_string();
        let mut command = Command::new("mosquitto_sub");
        // One byte per message, and the line's end.
        command.args(["-h", "127.0.0.1", "-p", &port, "-t", broker.filter, "-F", "."]);
        if let Some((user, password)) = &broker.login {
            command.args(["-u", user, "-P", password]);
        }
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("mosquitto_sub did not start")?;
        let received = Arc::new(AtomicU64::new(0));
        let mut output = process.stdout.take().context("mosquitto_sub has no output")?;
        tokio::spawn({
            let received = Arc::clone(&received);
            async move {
                let mut chunk = vec![0; 64 << 10];
                while let Ok(read @ 1..) = output.read(&mut chunk).await {
                    let messages = chunk.iter().take(read).filter(|byte| **byte == b'.').count();
                    received.fetch_add(messages as u64, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { _process: process, received })
    }

    /// Messages received so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until nothing more comes; tells when the last message came.
    pub(crate) async fn quiet(&self) -> Instant {
        let started = Instant::now();
        let (mut seen, mut last) = (self.received(), started);
        while last.elapsed() < QUIET && started.elapsed() < QUIET_WAIT_MAX {
            sleep(Duration::from_millis(10)).await;
            let received = self.received();
            if received != seen {
                (seen, last) = (received, Instant::now());
            }
        }
        last
    }
}
