//! The roles of a realm, wired through traits: all in one process, or each in its own.

mod admin;
mod admin_tokens;
mod administration;
pub(crate) mod audit;
mod config;
mod data_path;
mod digest;
mod enrolment;
mod gate;
mod http;
mod ktm;
mod metrics;
mod nodes;
mod nos;
mod policies;
mod process;
mod registry;
mod replica;
mod revocation;
mod serving;
mod sink;
mod status;
mod tls;
mod versions;

use crate::settings::ServerSettings;
use admin::SourcesAdmin;
use administration::{Administration, Surroundings};
use aups_core::NosId;
use aups_ktm::{Ca, custody::Keyring};
use aups_net::Listener;
use aups_store::Store;
use data_path::{DataPath, Realm};
use enrolment::Reach;
pub(crate) use ktm::{KtmServer, start_ktm};
pub(crate) use nos::start_nos;
use process::Process;
use serving::{Serving, listen};
use std::{net::SocketAddr, path::PathBuf, sync::Arc};
use tls::{Authority, Tls, reached_at};

/// The one NOS of a process that has every role.
const NOS_ID: &str = "nos-1";

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    serving: Serving,
    data_path: DataPath,
    nobody_reads: bool,
}

/// Starts every role; when this returns, everything listens.
pub(crate) async fn start(settings: ServerSettings) -> anyhow::Result<Server> {
    settings.check_tls()?;
    let mut process = Process::open(&settings.data_dir).await?;
    let keyring = open_keyring(&settings, &*process.store).await?;
    let nos_id: NosId = NOS_ID.parse()?;
    let administration = Administration::open(&mut process, keyring.clone(), settings.initial_config()).await?;
    let ca = Ca::open(Arc::clone(&process.store), &keyring, Arc::clone(&process.clock)).await?;
    let authority = Authority::here(Arc::new(ca), administration.realm.signing_key());
    let tls = Tls::open(&mut process, &settings, &settings.listeners(), authority).await?;
    let listener = listen(settings.http, tls.http(&settings)?).await?;
    let server_url = http_url(&settings, &listener);
    let realm = Realm {
        key: administration.realm.public(),
        ktm: Arc::clone(&administration.ktm) as _,
        decisions: administration.policies.decisions(),
        residuals: Arc::clone(&administration.residuals),
        readers: Arc::clone(&administration.registry) as _,
        clock: Arc::clone(&process.clock),
        config: administration.config.in_force(),
    };
    let data_path = DataPath::start(&mut process, &settings, &tls, nos_id, &keyring, realm).await?;
    let DataPath { nos, mqtt } = &data_path;
    let surroundings = Surroundings {
        sessions: Arc::clone(&mqtt.sessions),
        sources: Some(SourcesAdmin {
            recent: nos.recent(),
            sources: nos.sources(),
            quarantine: nos.quarantine(),
            clock: Arc::clone(&process.clock),
        }),
        dead_letters: Some(nos.dead_letters()),
        usage: nos.usage(),
        reach: Some(Reach { server_url, mqtt_url: mqtt.url.clone(), ca: tls.readers_trust() }),
        nodes: None,
    };
    let enrolment = administration.enrolment(&process, Arc::clone(&mqtt.sessions));
    let routes = nos.router().merge(administration.routes(&process, enrolment, surroundings)).merge(tls.routes());
    let (sink, takes_data) = (Arc::clone(&mqtt.sink), nos.takes_data());
    let serving = Serving::start(listener, http::finish(routes, Arc::new(move || sink.connected() && takes_data())));
    Ok(Server { process, serving, data_path, nobody_reads: administration.nobody_reads() })
}

/// How others reach an HTTP listener.
fn http_url(settings: &ServerSettings, listener: &Listener) -> String {
    let scheme = if listener.speaks_tls() { "https" } else { "http" };
    let by_address = || format!("{scheme}://{}", reached_at(settings, listener.local_addr()));
    settings.public_url.clone().unwrap_or_else(by_address)
}

/// The keyring of the data directory, held by what the settings name.
async fn open_keyring(settings: &ServerSettings, store: &dyn Store) -> anyhow::Result<Keyring> {
    let provider = crate::custody::provider(settings)?;
    crate::custody::keep_memory_private();
    Ok(Keyring::open(crate::custody::keyring_file(&settings.data_dir), &*provider, store).await?)
}

impl Server {
    /// Where HTTP listens.
    pub(crate) const fn http_addr(&self) -> SocketAddr {
        self.serving.address
    }

    /// Where the broker is, the embedded one or another: host and port.
    pub(crate) fn mqtt_addr(&self) -> &str {
        &self.data_path.mqtt.address
    }

    /// The file that holds the administrator's token.
    pub(crate) fn admin_token_file(&self) -> PathBuf {
        self.process.admin_token_file()
    }

    /// Whether no policy was in force at the start, so that nobody reads.
    pub(crate) const fn nobody_reads(&self) -> bool {
        self.nobody_reads
    }

    /// Takes no more data, publishes what was taken, and stops. Keys are served until the last message is out.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.data_path.drain().await;
        self.serving.stop().await?;
        self.process.stop().await
    }
}
