//! The realm's own process alone, for NOSs that run apart.

use super::{
    administration::{Administration, Surroundings},
    http,
    nodes::{Host, Nodes},
    open_keyring,
    process::Process,
    replica::FOLLOWED,
    serving::{Serving, listen, listen_failed},
    sink::ForeignSessions,
    tls::{Authority, Tls},
};
use crate::settings::ServerSettings;
use anyhow::Context as _;
use aups_ktm::{
    Ca,
    link::{LEASE, LinkParts, LinkServer},
};
use aups_nos::Usage;
use std::{net::SocketAddr, sync::Arc};

/// What NOSs answer, each for itself.
const OF_NOSS: [&str; 12] = [
    "/registration",
    "/data",
    "/v1/enrol",
    "/v1/keys",
    "/v1/topics",
    "/v1/sources",
    "/v1/sources/{*rest}",
    "/v1/scores/{id}",
    "/v1/quarantine",
    "/v1/quarantine/{who}",
    "/v1/dead-letters",
    "/v1/dead-letters/{*rest}",
];

/// A running KTM.
#[derive(Debug)]
pub(crate) struct KtmServer {
    process: Process,
    serving: Serving,
    link: Arc<LinkServer>,
    nobody_reads: bool,
}

/// Starts the realm's own process; when this returns, administrators and NOSs are served.
pub(crate) async fn start_ktm(settings: ServerSettings) -> anyhow::Result<KtmServer> {
    settings.check_tls()?;
    let mut process = Process::open(&settings.data_dir).await?;
    let keyring = open_keyring(&settings, &*process.store).await?;
    let administration = Administration::open(&mut process, keyring.clone(), settings.initial_config()).await?;
    let ca = Ca::open(Arc::clone(&process.store), &keyring, Arc::clone(&process.clock)).await?;
    let usage = Arc::new(Usage::open(Arc::clone(&process.store)).await?);
    let ca = Arc::new(ca);
    let authority = Authority::here(Arc::clone(&ca), administration.realm.signing_key());
    let tls = Tls::open(&mut process, &settings, &[settings.http], authority).await?;
    let listener = listen(settings.http, tls.http(&settings)?).await?;
    // The sessions are those of the NOSs' brokers, which end them when they hear of a change.
    let enrolment = administration.enrolment(&process, Arc::new(ForeignSessions));
    let link = LinkServer::start(LinkParts {
        listener: LinkServer::bind(settings.link).await.with_context(|| listen_failed("link", settings.link))?,
        ktm: Arc::clone(&administration.ktm),
        ca,
        store: Arc::clone(&process.store),
        host: Arc::new(Host { enrolment: Arc::clone(&enrolment), usage: Arc::clone(&usage) }),
        clock: Arc::clone(&process.clock),
        prefixes: FOLLOWED.map(str::to_owned).into(),
        lease: LEASE,
    });
    let link = Arc::new(link.await?);
    let nodes = Nodes { link: Arc::clone(&link), store: Arc::clone(&process.store), clock: Arc::clone(&process.clock) };
    let surroundings = Surroundings {
        sessions: Arc::new(ForeignSessions),
        sources: None,
        dead_letters: None,
        usage,
        // Readers enrol at a NOS, which passes it on: their identities name that NOS and its broker.
        reach: None,
        nodes: Some(nodes),
    };
    let routes = administration
        .routes(&process, enrolment, surroundings)
        .merge(tls.routes())
        .merge(http::elsewhere(&OF_NOSS, "the NOSs of this realm: give the address of one with --server"));
    let serving = Serving::start(listener, http::finish(routes, Arc::new(|| true)));
    let nobody_reads = administration.nobody_reads();
    Ok(KtmServer { process, serving, link, nobody_reads })
}

impl KtmServer {
    /// Where administrators are served.
    pub(crate) const fn http_addr(&self) -> SocketAddr {
        self.serving.address
    }

    /// Where NOSs are served.
    pub(crate) fn link_addr(&self) -> SocketAddr {
        self.link.local_addr()
    }

    /// Whether no policy was in force at the start, so that nobody reads.
    pub(crate) const fn nobody_reads(&self) -> bool {
        self.nobody_reads
    }

    /// Stops: NOSs go on for as long as their leases run.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.serving.stop().await?;
        drop(self.link);
        self.process.stop().await
    }
}
