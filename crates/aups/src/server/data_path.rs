//! A NOS with its broker: what takes data in and gives it out.

use super::{
    admin::Sessions,
    audit::{KeyAudit, tell_quarantines},
    gate::{Credentials, RealmGate},
    process::Process,
    serving::listen_failed,
    sink::{EmbeddedBroker, ForeignSessions},
    status::Status,
    tls::{Tls, reached_at},
};
use crate::settings::{Durability, Registration, ServerSettings};
use anyhow::Context as _;
use aups_broker::{Broker, BrokerSettings};
use aups_core::{Clock, NosId};
use aups_envelope::VerifyingKey;
use aups_ktm::{
    KeysTopicsManager,
    custody::{self, Keyring},
};
use aups_net::tls::{Authorities, Trust};
use aups_nos::{
    ConfigInForce, KeyRequests, Nos, NosParts, NosSettings, Sink, Transport, key_request_queue,
    publish::{BrokerUrl, RemoteBroker},
};
use aups_policy::{Pdp, Residuals};
use aups_store::{IngestQueue, QueueLimits};
use std::{fs, sync::Arc};
use tokio::sync::watch;

/// What a NOS knows of its realm, wherever that is kept.
pub(super) struct Realm {
    pub(super) key: VerifyingKey,
    pub(super) ktm: Arc<dyn KeysTopicsManager>,
    pub(super) decisions: watch::Receiver<Arc<Pdp>>,
    pub(super) residuals: Arc<Residuals>,
    pub(super) readers: Arc<dyn Credentials>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: ConfigInForce,
}

/// A NOS at work.
#[derive(Debug)]
pub(super) struct DataPath {
    pub(super) nos: Nos,
    pub(super) mqtt: Mqtt,
}

impl DataPath {
    /// Starts the broker, or the way to another one, and the NOS.
    pub(super) async fn start(
        process: &mut Process,
        settings: &ServerSettings,
        tls: &Tls,
        id: NosId,
        keyring: &Keyring,
        realm: Realm,
    ) -> anyhow::Result<Self> {
        let Realm { key, ktm, decisions, residuals, readers, clock, config } = realm;
        let store = || Arc::clone(&process.store);
        let signing_key = custody::nos_signing_key(store(), keyring, &id).await?;
        let source_master = custody::source_master(store(), keyring, &id).await?;
        let (key_requests_in, key_requests) = key_request_queue();
        let started =
            Mqtt::start(settings, tls, &id, Arc::clone(&readers), decisions.clone(), key_requests_in, &config);
        let mqtt = started.await?;
        let nos = Nos::start(NosParts {
            id,
            realm_key: key,
            signing_key,
            source_master,
            ktm,
            policies: decisions.clone(),
            residuals,
            readers,
            sink: Arc::clone(&mqtt.sink),
            store: store(),
            queue: Some(open_queue(settings).await?),
            clock,
            config,
            settings: nos_settings(settings),
            ledger: Some(Arc::new(KeyAudit::new(Arc::clone(&process.audit)))),
            key_requests,
        });
        let nos = nos.await?;
        process.keep_up(tell_quarantines(nos.quarantine().follow(), Arc::clone(&process.audit)));
        process.keep_up(review_sessions(decisions, Arc::clone(&mqtt.sessions)));
        if let Some(status) = &mqtt.status {
            process.keep_up(status.clone().keep());
        }
        Ok(Self { nos, mqtt })
    }

    /// Takes no more data, and publishes what was taken.
    pub(super) async fn drain(self) {
        self.nos.drain().await;
        if let Some(status) = &self.mqtt.status {
            status.end().await;
            status.broker.shutdown().await;
        }
    }
}

/// The MQTT side: a broker of ours, or the way to another one.
pub(super) struct Mqtt {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) sessions: Arc<dyn Sessions>,
    /// Of the embedded broker.
    status: Option<Status>,
    /// Where it is, as host and port.
    pub(super) address: String,
    /// The same as readers get it.
    pub(super) url: String,
}

impl Mqtt {
    async fn start(
        settings: &ServerSettings,
        tls: &Tls,
        nos: &NosId,
        readers: Arc<dyn Credentials>,
        decisions: watch::Receiver<Arc<Pdp>>,
        key_requests: KeyRequests,
        config: &ConfigInForce,
    ) -> anyhow::Result<Self> {
        if let Some(url) = &settings.broker {
            let url: BrokerUrl = url.parse()?;
            // Shown without user and password: those are the NOS's own.
            let shown = url.to_string();
            let address = url.address();
            let sink =
                Arc::new(RemoteBroker::connect(url, &trust_in_broker(settings)?, nos, key_requests, config.clone())?);
            let url = settings.public_mqtt_url.clone().unwrap_or(shown);
            return Ok(Self { sink, sessions: Arc::new(ForeignSessions), status: None, address, url });
        }
        let gate = RealmGate { readers, decisions, key_requests };
        let data_dir = (settings.durability == Durability::Disk).then(|| settings.data_dir.join("broker"));
        let tls = tls.mqtt(settings)?;
        let scheme = if tls.is_some() { "mqtts" } else { "mqtt" };
        let broker_settings = BrokerSettings { listen: settings.mqtt, tls, data_dir, ..BrokerSettings::default() };
        let broker = Broker::start(broker_settings, Arc::new(gate))
            .await
            .with_context(|| listen_failed("mqtt", settings.mqtt))?;
        let broker = Arc::new(broker);
        let by_address = || format!("{scheme}://{}", reached_at(settings, broker.local_addr()));
        let url = settings.public_mqtt_url.clone().unwrap_or_else(by_address);
        let embedded = Arc::new(EmbeddedBroker(Arc::clone(&broker)));
        let address = broker.local_addr().to_string();
        let status = Status { broker, nos: nos.clone(), config: config.clone() };
        Ok(Self { sink: Arc::clone(&embedded) as _, sessions: embedded, status: Some(status), address, url })
    }
}

/// Whom to take for another broker.
fn trust_in_broker(settings: &ServerSettings) -> anyhow::Result<Trust> {
    let Some(path) = &settings.broker_ca else { return Ok(Trust::System) };
    let pem = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let authorities = Authorities::from_pem(&pem).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(Trust::Only(authorities))
}

/// When policies change, ends the sessions that hold a subscription which they no longer accept.
async fn review_sessions(mut decisions: watch::Receiver<Arc<Pdp>>, sessions: Arc<dyn Sessions>) {
    while decisions.changed().await.is_ok() {
        sessions.review().await;
    }
}

async fn open_queue(settings: &ServerSettings) -> anyhow::Result<IngestQueue> {
    Ok(IngestQueue::open(settings.data_dir.join("queue"), QueueLimits::default()).await?)
}

fn nos_settings(settings: &ServerSettings) -> NosSettings {
    NosSettings {
        registration: match settings.registration() {
            Registration::Open => aups_nos::Registration::Open,
            Registration::Token => aups_nos::Registration::Token,
        },
        durability: match settings.durability {
            Durability::Disk => aups_nos::Durability::Disk,
            Durability::Memory => aups_nos::Durability::Memory,
        },
        transport: match settings.speaks_tls(settings.http) {
            true => Transport::Tls,
            false if settings.http.ip().is_loopback() => Transport::Loopback,
            false => Transport::Clear,
        },
        ..NosSettings::default()
    }
}

impl std::fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mqtt").field("url", &self.url).finish_non_exhaustive()
    }
}
