//! The chain without AUPS: the NOS's own reading, normalising and scoring, the same queue and batches, the same broker;
//! no registration, no policy, no key, no seal. Only here can data be published in clear.

use anyhow::Context as _;
use aups_broker::{Broker, BrokerSettings, Connect, Gate, Refusal, Verdict};
use aups_core::{
    Item, ItemId, Source, UnixMillis,
    topic::{Topic, TopicTemplate},
};
use aups_net::tls::Trust;
use aups_nos::{
    Config, Qos, Sink as _,
    analyse::{Arrival, History, Scored, Scoring, Subject, analyse},
    config::fixed,
    json::Document,
    key_request_queue,
    normalise::normalise,
    publish::{BrokerUrl, RemoteBroker},
    settings::{BacklogLimits, Transport},
};
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use clap::Args;
use jiff::Timestamp;
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::mpsc::{Receiver, Sender, channel},
    time::timeout,
};
use uuid::Uuid;

/// Most items that are published together.
const BATCH_ITEMS_MAX: usize = 256;

/// Batches whose acknowledgement another broker still owes, as in the NOS.
const BATCHES_IN_FLIGHT_MAX: usize = 8;
const CONTENT_TYPE: &str = "application/json";

/// Where to publish.
#[derive(Debug, Args)]
pub(crate) struct Plain {
    /// Publish to this broker; no embedded one starts
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
}

impl Plain {
    /// Serves until killed; says where on standard output.
    pub(crate) async fn serve(self) -> anyhow::Result<()> {
        let (queue, waiting) = channel(BacklogLimits::default().items_max);
        let mqtt = match self.broker {
            None => {
                let settings = BrokerSettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..BrokerSettings::default() };
                let broker = Broker::start(settings, Arc::new(Everybody)).await?;
                let mqtt = broker.local_addr().to_string();
                tokio::spawn(publish(waiting, broker));
                mqtt
            }
            Some(url) => {
                let url: BrokerUrl = url.parse()?;
                let mqtt = url.address();
                let config = fixed(Config::default()).map_err(|_| anyhow::anyhow!("the default configuration"))?;
                let broker =
                    RemoteBroker::connect(url, &Trust::System, &"plain".parse()?, key_request_queue().0, config)?;
                broker.wait_connected().await;
                tokio::spawn(publish_elsewhere(waiting, broker));
                mqtt
            }
        };
        let routes =
            Router::new().route("/data", post(accept)).with_state(Southbound { queue, analysis: Arc::default() });
        let routes = routes.layer(DefaultBodyLimit::disable());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("ready http={} mqtt={mqtt}", listener.local_addr()?);
        axum::serve(listener, routes).await?;
        Ok(())
    }
}

/// Any name and password may connect and subscribe; nobody else may publish.
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

#[derive(Clone)]
struct Southbound {
    queue: Sender<Item>,
    analysis: Arc<(Scoring, History)>,
}

/// 202 once the item is queued, or all items of a stream of lines are.
async fn accept(State(southbound): State<Southbound>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let node_id = node_id(&headers);
    let is_stream = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/x-ndjson");
    let read = |text| item(text, node_id, &southbound.analysis);
    let items: anyhow::Result<Vec<Item>> = if is_stream {
        body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect()
    } else {
        read(&body).map(|item| vec![item])
    };
    let Ok(items) = items else { return StatusCode::BAD_REQUEST };
    // As in the NOS, a stream waits for room.
    let wait_max = if is_stream { BacklogLimits::default().wait_max } else { Duration::ZERO };
    match timeout(wait_max, southbound.queue.reserve_many(items.len())).await {
        Ok(Ok(room)) => room.zip(items).for_each(|(place, item)| place.send(item)),
        _ => return StatusCode::SERVICE_UNAVAILABLE,
    }
    StatusCode::ACCEPTED
}

/// Who sends says which node it is, where one of AUPS shows its credential: nobody looks it up.
fn node_id(headers: &HeaderMap) -> &str {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    said.unwrap_or("sensor1")
}

fn item(body: &[u8], node_id: &str, (scoring, history): &(Scoring, History)) -> anyhow::Result<Item> {
    let received_at = UnixMillis(u64::try_from(Timestamp::now().as_millisecond())?);
    let document = Document::read(body)?;
    let Ok(normalised) = normalise(document.root(), true) else { anyhow::bail!("a member does not fit") };
    let arrival = Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at };
    let source = Source {
        node_id: node_id.into(),
        node_type: "sensor".into(),
        communication_mode: "discrete".into(),
        registered: true,
    };
    let schema = normalised.schema.as_str();
    let subject = Subject { reading: &normalised.reading, schema, source: &source };
    let Scored { security, quality, .. } = analyse(&subject, None, arrival, scoring, history);
    let (id, schema) = (ItemId(Uuid::now_v7()), schema.into());
    Ok(Item { id, source, schema, received_at, data: normalised.reading, security, quality })
}

/// Publishes in order what is queued, in batches.
async fn publish(mut waiting: Receiver<Item>, broker: Broker) -> anyhow::Result<()> {
    let (template, mut batch) = (template()?, Vec::with_capacity(BATCH_ITEMS_MAX));
    while waiting.recv_many(&mut batch, BATCH_ITEMS_MAX).await > 0 {
        let outgoing = batch.drain(..).map(|item| {
            let (topic, payload) = message(&item, &template)?;
            let topic = topic.to_string();
            Ok(aups_broker::Outgoing { topic, payload, content_type: CONTENT_TYPE, retain: false, at_most_once: false })
        });
        broker.publish(outgoing.collect::<anyhow::Result<_>>()?).await.await;
    }
    Ok(())
}

/// The same to another broker.
async fn publish_elsewhere(mut waiting: Receiver<Item>, broker: RemoteBroker) -> anyhow::Result<()> {
    let (template, mut batch) = (template()?, Vec::with_capacity(BATCH_ITEMS_MAX));
    let (in_flight, mut receipts) = channel::<aups_nos::Receipt>(BATCHES_IN_FLIGHT_MAX);
    tokio::spawn(async move {
        while let Some(receipt) = receipts.recv().await {
            if let Err(error) = receipt.await {
                eprintln!("{error}");
            }
        }
    });
    while waiting.recv_many(&mut batch, BATCH_ITEMS_MAX).await > 0 {
        let outgoing = batch.drain(..).map(|item| {
            let (topic, payload) = message(&item, &template)?;
            let qos = Qos::AtLeastOnce;
            Ok(aups_nos::Outgoing { topic, payload, content_type: CONTENT_TYPE, retain: false, qos })
        });
        let receipt = broker.publish(outgoing.collect::<anyhow::Result<_>>()?).await?;
        // Whoever waits for receipts never ends before this.
        let _ = in_flight.send(receipt).await;
    }
    Ok(())
}

fn template() -> anyhow::Result<TopicTemplate> {
    "data/{nodeId}/{name}".parse().context("a constant")
}

fn message(item: &Item, template: &TopicTemplate) -> anyhow::Result<(Topic, Bytes)> {
    Ok((template.fill(&item.source.node_id, &item.data.name)?, item.to_json().into()))
}
