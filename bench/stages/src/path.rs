//! The whole way of an item: from the bytes of an HTTP request to the bytes that a subscriber gets, in this process.

use crate::{
    Stage, measured,
    mqtt::{self, Subscriber},
    runtime,
    sample::{self, NOW},
};
use anyhow::{Context as _, ensure};
use aups_broker::Broker;
use aups_core::{ManualClock, Sub};
use aups_envelope::{Secret, SigningKey, SourceMaster};
use aups_ktm::{Ktm, KtmSettings, custody::Keyring};
use aups_nos::{
    Config, Nos, NosParts, NosSettings, Outgoing, Qos, Reader, Readers, Receipt, Sink, SinkError, config,
    key_request_queue,
};
use aups_policy::{Pdp, PolicySet, Residuals};
use aups_store::InMemory;
use futures_util::{FutureExt as _, future::BoxFuture};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::{
    future::ready,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    try_join,
};

pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "path-post",
        operation: "one reading posted, answered, and received by one subscriber: a registered source, memory mode",
        times: 1_000,
        run: |times| posts(times, 1),
    },
    Stage {
        name: "path-ndjson",
        operation: "the same for one of 1,024 readings of a stream of lines",
        times: 8 * LINES,
        run: |times| posts(times, LINES),
    },
];

/// Readings of one stream.
const LINES: u32 = 1_024;

/// Posts so many readings, so many in each request, and waits until all of them came out again.
fn posts(times: u32, each: u32) -> anyhow::Result<()> {
    // As the server has it: without, counting would cost nothing.
    let _metrics = PrometheusBuilder::new().install_recorder()?;
    let runtime = runtime()?;
    let mut chain = runtime.block_on(Chain::start())?;
    let (media_type, body) = match each {
        1 => ("application/json", sample::reading(0)),
        lines => ("application/x-ndjson", sample::lines(lines)),
    };
    // Keys are made, and maps grow.
    runtime.block_on(chain.pass(media_type, &body, each))?;
    let passes = async {
        for _ in 0..times / each {
            chain.pass(media_type, &body, each).await?;
        }
        Ok(())
    };
    measured(|| runtime.block_on(passes))
}

/// A source, a NOS, its broker and a subscriber.
struct Chain {
    source: Source,
    _nos: Nos,
    subscriber: Subscriber,
}

impl Chain {
    async fn start() -> anyhow::Result<Self> {
        let broker = Arc::new(mqtt::broker().await?);
        let subscriber = Subscriber::connect(broker.local_addr(), "data/#", 0).await?;
        let nos = nos(broker).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut source = Source::connect(listener.local_addr()?).await?;
        let service = nos.router().into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async { axum::serve(listener, service).await });
        source.register().await?;
        Ok(Self { source, _nos: nos, subscriber })
    }

    /// The readings of one request, so many, go in and come out.
    async fn pass(&mut self, media_type: &str, body: &str, readings: u32) -> anyhow::Result<()> {
        let Self { source, subscriber, .. } = self;
        let posted = async {
            let answer = source.post("/data", media_type, body).await?;
            ensure!(answer.ends_with(&format!(r#"{{"accepted":{readings}}}"#)), "{answer}");
            Ok(())
        };
        try_join!(posted, subscriber.receive(readings))?;
        Ok(())
    }
}

/// A NOS with one policy, as `aups up --durability memory` has it.
async fn nos(broker: Arc<Broker>) -> anyhow::Result<Nos> {
    const POLICY: &str = r#"permit(principal, action == Action::"receive", resource in Topic::"data");"#;
    let (store, clock) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
    let keyring = Keyring::in_memory(Secret::from_bytes([7; 32]));
    let ktm = Arc::new(Ktm::open(store.clone(), keyring, clock.clone(), KtmSettings::default()).await?);
    let set = PolicySet::parse(POLICY, "policies").map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    let (_, policies) = watch::channel(Arc::new(Pdp::new(ktm.realm().id(), set)));
    let parts = NosParts {
        id: "nos-1".parse()?,
        realm_key: ktm.realm().public(),
        signing_key: SigningKey::from_seed(Secret::from_bytes([9; 32])),
        source_master: SourceMaster::new(Secret::from_bytes([8; 32])),
        ktm,
        policies,
        residuals: Arc::new(Residuals::new(100)),
        readers: Arc::new(Nobody),
        ledger: None,
        key_requests: key_request_queue().1,
        sink: Arc::new(Embedded(broker)),
        store,
        queue: None,
        clock,
        config: config::fixed(Config::default()).map_err(|errors| anyhow::anyhow!("{errors:?}"))?,
        settings: NosSettings::default(),
    };
    Ok(Nos::start(parts).await?)
}

/// No reader is registered: the subscriber decrypts nothing.
struct Nobody;

impl Readers for Nobody {
    fn reader(&self, _sub: &Sub) -> Option<Arc<Reader>> {
        None
    }
}

struct Embedded(Arc<Broker>);

impl Sink for Embedded {
    fn publish(&self, batch: Vec<Outgoing>) -> BoxFuture<'static, Result<Receipt, SinkError>> {
        let broker = Arc::clone(&self.0);
        let of_broker = |Outgoing { topic, payload, content_type, retain, qos }| {
            let (topic, at_most_once) = (topic.to_string(), qos == Qos::AtMostOnce);
            aups_broker::Outgoing { topic, payload, content_type, retain, at_most_once }
        };
        let messages = batch.into_iter().map(of_broker).collect();
        async move { Ok(broker.publish(messages).await.map(Ok).boxed()) }.boxed()
    }

    fn send(&self, _message: Outgoing) -> BoxFuture<'static, ()> {
        // Answers of the key service: nobody asks.
        ready(()).boxed()
    }

    fn connected(&self) -> bool {
        true
    }
}

/// A source with one connection.
struct Source {
    stream: TcpStream,
    bearer: String,
}

impl Source {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address).await?, bearer: String::new() })
    }

    async fn register(&mut self) -> anyhow::Result<()> {
        let body = r#"{"NodeId":"sensor1","NodeType":"sensor","CommunicationMode":"discrete"}"#;
        let answer = self.post("/registration", "application/json", body).await?;
        let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let registered: serde_json::Value = serde_json::from_str(body)?;
        let credential = registered.get("credential").and_then(|credential| credential.as_str());
        self.bearer = format!("Authorization: Bearer {}\r\n", credential.context("no credential")?);
        Ok(())
    }

    /// Sends a request and reads the answer, which comes as a whole: it is short, and of one write.
    async fn post(&mut self, path: &str, media_type: &str, body: &str) -> anyhow::Result<String> {
        let Self { stream, bearer } = self;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: nos\r\nContent-Type: {media_type}\r\n{bearer}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        let mut answer = [0; 1_024];
        let length = stream.read(&mut answer).await?;
        Ok(str::from_utf8(answer.get(..length).unwrap_or_default())?.to_owned())
    }
}
