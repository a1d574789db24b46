//! The chain without AUPS: the NOS's own reading, normalising and scoring, the same queue and batches, the embedded
//! broker; no registration, no policy, no key, no seal. Only here can data be published in clear.

use anyhow::Context as _;
use aups_broker::{Broker, BrokerSettings, Connect, Gate, Outgoing, Refusal, Verdict};
use aups_core::{Item, ItemId, Source, UnixMillis, topic::TopicTemplate};
use aups_nos::{
    analyse::{Arrival, History, Scored, Scoring, Subject, analyse},
    json::Document,
    normalise::normalise,
    settings::{BacklogLimits, Transport},
};
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use jiff::Timestamp;
use std::{net::Ipv4Addr, sync::Arc};
use tokio::{
    net::TcpListener,
    sync::mpsc::{Receiver, Sender, channel},
};
use uuid::Uuid;

/// Most items that are published together.
const BATCH_ITEMS_MAX: usize = 256;

/// Serves until killed; says where on standard output.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let settings = BrokerSettings { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..BrokerSettings::default() };
    let broker = Broker::start(settings, Arc::new(Everybody)).await?;
    let mqtt = broker.local_addr();
    let (queue, waiting) = channel(BacklogLimits::default().items_max);
    tokio::spawn(publish(waiting, broker));
    let routes = Router::new().route("/data", post(accept)).with_state(Southbound { queue, analysis: Arc::default() });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("ready http={} mqtt={mqtt}", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
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

/// 202 once the item is queued.
async fn accept(State(southbound): State<Southbound>, body: Bytes) -> StatusCode {
    let Ok(item) = item(&body, &southbound.analysis) else { return StatusCode::BAD_REQUEST };
    match southbound.queue.try_send(item) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn item(body: &[u8], (scoring, history): &(Scoring, History)) -> anyhow::Result<Item> {
    let received_at = UnixMillis(u64::try_from(Timestamp::now().as_millisecond())?);
    let document = Document::read(body)?;
    let Ok(normalised) = normalise(document.root(), true) else { anyhow::bail!("a member does not fit") };
    let arrival = Arrival { transport: Transport::Loopback, registered: true, sealed: None, received_at };
    let source = Source {
        node_id: "sensor1".into(),
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
    let template: TopicTemplate = "data/{nodeId}/{name}".parse().context("a constant")?;
    let mut batch = Vec::with_capacity(BATCH_ITEMS_MAX);
    while waiting.recv_many(&mut batch, BATCH_ITEMS_MAX).await > 0 {
        let outgoing: anyhow::Result<Vec<Outgoing>> = batch
            .drain(..)
            .map(|item| {
                let topic = template.fill(&item.source.node_id, &item.data.name)?.to_string();
                let payload = serde_json::to_vec(&item)?.into();
                Ok(Outgoing { topic, payload, content_type: "application/json", retain: false, at_most_once: false })
            })
            .collect();
        broker.publish(outgoing?).await.await;
    }
    Ok(())
}
