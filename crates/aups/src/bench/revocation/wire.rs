//! A plain MQTT session: ciphertext as any client gets it, with the time of its arrival.

use crate::cli::failure::Failure;
use anyhow::Context as _;
use aups_envelope::{b64, identity::IdentityFile, random};
use bytes::Bytes;
use reqwest::Url;
use rumqttc::{AsyncClient, Broker, Event, EventLoop, MqttOptions, Packet, QoS, SubscribeFilter};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};

/// Port of MQTT over TCP where the URL names none.
const PORT_DEFAULT: u16 = 1883;
/// Requests to the broker that have not left yet; acknowledgements have room of their own.
const REQUESTS_QUEUED_MAX: usize = 64;
/// Largest packet that is taken.
const PACKET_BYTES_MAX: u32 = 1 << 20;

/// A message as a broker delivered it.
#[derive(Debug)]
pub(super) struct Delivery {
    /// The reader to whom; `None`: the observer, who may have everything.
    pub(super) to: Option<String>,
    pub(super) arrived: Instant,
    pub(super) topic: String,
    pub(super) payload: Bytes,
}

/// A session that ends when it is dropped, or when the broker ends it.
pub(super) struct Session {
    poller: JoinHandle<()>,
    /// The session ends with the last of its clients.
    _client: AsyncClient,
}

impl Session {
    /// Connects and subscribes with QoS 1; what comes goes to `deliveries`.
    pub(super) async fn open(
        identity: &IdentityFile,
        filters: &[String],
        to: Option<&str>,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Result<Self, Failure> {
        let url = &identity.mqtt.url;
        let broken = || format!("no session with the broker at {url}");
        let (client, event_loop) = AsyncClient::builder(options(identity)?).capacity(REQUESTS_QUEUED_MAX).build();
        let poller = tokio::spawn(poll(event_loop, to.map(str::to_owned), deliveries));
        let session = Self { poller, _client: client.clone() };
        let filters = filters.iter().map(|filter| SubscribeFilter::new(filter.as_str(), QoS::AtLeastOnce));
        let notice = client.try_subscribe_many_tracked(filters).with_context(broken)?;
        let answer = notice.wait_async().await.with_context(broken)?;
        if !answer.return_codes.iter().all(|code| matches!(code, rumqttc::SubscribeReasonCode::Success(_))) {
            return Err(Failure::failed(format!(
                "the broker at {url} refuses {} a subscription",
                identity.mqtt.username
            )));
        }
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

fn options(identity: &IdentityFile) -> Result<MqttOptions, Failure> {
    let url: Url = identity.mqtt.url.parse().context("the broker's address")?;
    let host = url.host_str().with_context(|| format!("`{url}` names no broker"))?;
    let client_id = format!("aups-bench-{}", b64::encode(&random::<8>()));
    let mut options = MqttOptions::new(client_id, Broker::tcp(host, url.port().unwrap_or(PORT_DEFAULT)));
    options
        .set_credentials(&identity.mqtt.username, identity.mqtt.password.clone())
        .set_clean_start(true)
        .set_max_packet_size(Some(PACKET_BYTES_MAX));
    Ok(options)
}

/// Ends with the first trouble: a session that the broker ended is not taken up again.
async fn poll(mut event_loop: EventLoop, to: Option<String>, deliveries: mpsc::Sender<Delivery>) {
    while let Ok(event) = event_loop.poll().await {
        if let Event::Incoming(Packet::Publish(publish)) = event {
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let delivery = Delivery { to: to.clone(), arrived: Instant::now(), topic, payload: publish.payload };
            if deliveries.send(delivery).await.is_err() {
                return;
            }
        }
    }
}
