//! Every server role in one process, wired through traits: store, KTM, policies, registry, broker, NOS, HTTP.

mod admin;
mod admin_tokens;
mod audit;
mod digest;
mod enrolment;
mod gate;
mod http;
mod policies;
mod registry;
mod revocation;
mod sink;

use crate::settings::{Durability, Registration, ServerSettings};
use admin::{
    Admin, AppBearers, Sessions, SourcesAdmin,
    access::{Access, Guesses},
};
use admin_tokens::AdminTokens;
use anyhow::Context as _;
use audit::{Audit, Event};
use aups_broker::{Broker, BrokerSettings};
use aups_client::SystemClock;
use aups_core::{Clock, NosId};
use aups_ktm::{Ktm, KtmSettings, custody};
use aups_nos::{
    Nos, NosConfig, NosParts, Sink, Transport,
    publish::{BrokerUrl, RemoteBroker},
};
use aups_policy::{Pdp, Residuals};
use aups_store::{Embedded, IngestQueue, QueueLimits, Store};
use axum::routing::post;
use enrolment::Enrolment;
use gate::RealmGate;
use policies::Policies;
use registry::Registry;
use sink::{EmbeddedBroker, ForeignSessions};
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

/// The one NOS of this process.
const NOS_ID: &str = "nos-1";

/// Scopes whose residuals are kept parsed, some 2 KB each.
const RESIDUALS_MAX: usize = 10_000;

/// How long requests that are under way may keep the server from stopping.
const HTTP_STOP_MAX: Duration = Duration::from_secs(5);

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    http: SocketAddr,
    mqtt: String,
    broker: Option<Arc<Broker>>,
    nos: Nos,
    empty_policy_set: bool,
    admin_token_file: PathBuf,
    audit: Arc<Audit>,
    upkeep: [JoinHandle<()>; 4],
    tokens: Arc<AdminTokens>,
    stop_http: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
}

/// Starts every role; when this returns, everything listens.
pub(crate) async fn start(settings: ServerSettings) -> anyhow::Result<Server> {
    settings.check_listeners()?;
    let metrics = tokio::spawn(http::keep_metrics());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let dir = settings.data_dir.as_path();
    make_private_dir(dir).with_context(|| format!("cannot make the data directory {}", dir.display()))?;

    let store: Arc<dyn Store> = Arc::new(Embedded::open(dir.join("store")).await?);
    let audit = Arc::new(Audit::open(&dir.join("audit"), Arc::clone(&clock))?);
    audit.record(Event::Started { version: env!("CARGO_PKG_VERSION").into() }).await?;
    let kek = custody::kek_file(dir.join("kek"))?;
    let nos_id: NosId = NOS_ID.parse()?;
    let signing_key = custody::nos_signing_key(Arc::clone(&store), &kek, &nos_id).await?;
    let ktm = Ktm::open(Arc::clone(&store), kek, Arc::clone(&clock), KtmSettings::default()).await?;
    let realm = Arc::clone(ktm.realm());
    let ktm = Arc::new(ktm);
    let admin_token_file = dir.join("admin.token");
    let tokens = Arc::new(AdminTokens::open(admin_token_file.clone(), Arc::clone(&store), Arc::clone(&clock)).await?);
    let policies = Arc::new(Policies::open(realm.id(), Arc::clone(&store), Arc::clone(&clock)).await?);
    let residuals = Arc::new(Residuals::new(RESIDUALS_MAX));
    let registry =
        Registry::open(&*store, Arc::clone(&ktm), Arc::clone(&residuals), policies.decisions(), Arc::clone(&clock));
    let registry = Arc::new(registry.await?);

    let active = policies.active().version.clone();
    audit.record(Event::PoliciesLoaded { version: active.number, policies: active.policies }).await?;

    let listener = TcpListener::bind(settings.http).await.with_context(|| listen_failed("http", settings.http))?;
    let http_addr = listener.local_addr()?;
    let mqtt = start_mqtt(&settings, &nos_id, &registry, &policies).await?;

    let nos = Nos::start(NosParts {
        id: nos_id,
        realm_key: realm.public(),
        signing_key,
        ktm: Arc::clone(&ktm) as _,
        policies: policies.decisions(),
        residuals,
        readers: Arc::clone(&registry) as _,
        ledger: None,
        sink: Arc::clone(&mqtt.sink),
        store,
        queue: open_queue(&settings).await?,
        clock: Arc::clone(&clock),
        config: nos_config(&settings),
    })
    .await?;

    let enrolment = Arc::new(Enrolment {
        realm,
        registry: Arc::clone(&registry),
        audit: Arc::clone(&audit),
        sessions: Arc::clone(&mqtt.sessions),
        clock,
        server_url: settings.public_url.clone().unwrap_or_else(|| format!("http://{http_addr}")),
        mqtt_url: mqtt.url,
    });
    let apps = AppBearers::new(Arc::clone(&registry), enrolment.realm.id(), Arc::clone(&enrolment.clock));
    let access = Access {
        tokens: Arc::clone(&tokens),
        guesses: Arc::new(Guesses::default()),
        audit: Arc::clone(&audit),
        clock: Arc::clone(&enrolment.clock),
        apps: Some(Arc::new(apps)),
    };
    let admin = Admin {
        access,
        registry,
        enrolment: Arc::clone(&enrolment),
        policies: Arc::clone(&policies),
        sources: Some(SourcesAdmin { sources: nos.sources(), clock: Arc::clone(&enrolment.clock) }),
        usage: nos.usage(),
        ktm,
        sessions: Arc::clone(&mqtt.sessions),
    };
    let sessions = mqtt.sessions;
    let routes =
        nos.router().merge(admin::router(admin)).route("/v1/enrol", post(enrolment::enrol).with_state(enrolment));
    let app = http::finish(routes, Arc::new(move || mqtt.sink.connected()))
        .into_make_service_with_connect_info::<SocketAddr>();
    let (stop_http, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async {
                // A dropped sender stops the listener as well.
                let _ = stopped.await;
            })
            .await
    });
    Ok(Server {
        http: http_addr,
        mqtt: mqtt.address,
        broker: mqtt.broker,
        nos,
        empty_policy_set: active.policies == 0,
        admin_token_file,
        upkeep: [
            metrics,
            tokio::spawn(Arc::clone(&audit).keep_tally()),
            tokio::spawn(Arc::clone(&tokens).keep_uses()),
            tokio::spawn(review_sessions(policies.decisions(), sessions)),
        ],
        tokens,
        audit,
        stop_http,
        serving,
    })
}

impl Server {
    /// Where HTTP listens.
    pub(crate) const fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where the broker is, the embedded one or another: host and port.
    pub(crate) fn mqtt_addr(&self) -> &str {
        &self.mqtt
    }

    /// The file that holds the administrator's token.
    pub(crate) fn admin_token_file(&self) -> &Path {
        &self.admin_token_file
    }

    /// Whether no policy is in force, so that nobody reads.
    pub(crate) const fn nobody_reads(&self) -> bool {
        self.empty_policy_set
    }

    /// Takes no more data, publishes what was taken, and stops. Keys are served until the last message is out.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.nos.drain().await;
        if let Some(broker) = &self.broker {
            broker.shutdown().await;
        }
        let _ = self.stop_http.send(());
        let mut serving = self.serving;
        match timeout(HTTP_STOP_MAX, &mut serving).await {
            Ok(ended) => ended.context("the HTTP listener broke down")??,
            Err(_) => serving.abort(),
        }
        for task in &self.upkeep {
            task.abort();
        }
        self.tokens.write_uses().await;
        self.audit.stop().await?;
        Ok(())
    }
}

/// The MQTT side: a broker of ours, or the way to another one.
struct Mqtt {
    sink: Arc<dyn Sink>,
    sessions: Arc<dyn Sessions>,
    broker: Option<Arc<Broker>>,
    /// Where it is, as host and port.
    address: String,
    /// The same as readers get it.
    url: String,
}

async fn start_mqtt(
    settings: &ServerSettings,
    nos: &NosId,
    registry: &Arc<Registry>,
    policies: &Policies,
) -> anyhow::Result<Mqtt> {
    if let Some(url) = &settings.broker {
        let url: BrokerUrl = url.parse()?;
        // Shown without user and password: those are the NOS's own.
        let shown = url.to_string();
        let address = shown.trim_start_matches("mqtt://").to_owned();
        let sink = Arc::new(RemoteBroker::connect(url, nos));
        let url = settings.public_mqtt_url.clone().unwrap_or(shown);
        return Ok(Mqtt { sink, sessions: Arc::new(ForeignSessions), broker: None, address, url });
    }
    let gate = RealmGate { registry: Arc::clone(registry), decisions: policies.decisions() };
    let data_dir = (settings.durability == Durability::Disk).then(|| settings.data_dir.join("broker"));
    let broker_settings = BrokerSettings { listen: settings.mqtt, data_dir, ..BrokerSettings::default() };
    let broker =
        Broker::start(broker_settings, Arc::new(gate)).await.with_context(|| listen_failed("mqtt", settings.mqtt))?;
    let broker = Arc::new(broker);
    let url = settings.public_mqtt_url.clone().unwrap_or_else(|| format!("mqtt://{}", broker.local_addr()));
    let embedded = Arc::new(EmbeddedBroker(Arc::clone(&broker)));
    let address = broker.local_addr().to_string();
    Ok(Mqtt { sink: Arc::clone(&embedded) as _, sessions: embedded, broker: Some(broker), address, url })
}

/// When policies change, ends the sessions that hold a subscription which they no longer accept.
async fn review_sessions(mut decisions: watch::Receiver<Arc<Pdp>>, sessions: Arc<dyn Sessions>) {
    while decisions.changed().await.is_ok() {
        sessions.review().await;
    }
}

async fn open_queue(settings: &ServerSettings) -> anyhow::Result<Option<IngestQueue>> {
    match settings.durability {
        Durability::Memory => Ok(None),
        Durability::Disk => {
            let queue = IngestQueue::open(settings.data_dir.join("queue"), QueueLimits::default()).await?;
            Ok(Some(queue))
        }
    }
}

fn nos_config(settings: &ServerSettings) -> NosConfig {
    NosConfig {
        registration: match settings.registration() {
            Registration::Open => aups_nos::Registration::Open,
            Registration::Token => aups_nos::Registration::Token,
        },
        retain: settings.retain.clone(),
        transport: if settings.http.ip().is_loopback() { Transport::Loopback } else { Transport::Clear },
        ..settings.nos.clone()
    }
}

fn make_private_dir(dir: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn listen_failed(name: &str, address: SocketAddr) -> String {
    format!("cannot listen on {address} for {name}; choose another address with --{name} (port 0 picks a free one)")
}
