//! What every role's process has: a data directory with a store, an audit trail, admin tokens, and one HTTP listener.

use super::{
    admin::{
        AppBearers,
        access::{Access, Guesses},
    },
    admin_tokens::AdminTokens,
    audit::{Audit, Event},
    http,
    nodes::Nodes,
};
use anyhow::Context as _;
use aups_client::SystemClock;
use aups_core::Clock;
use aups_store::{Embedded, Store};
use axum::Router;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

/// How long requests that are under way may keep the server from stopping.
const HTTP_STOP_MAX: Duration = Duration::from_secs(5);

/// The state of a process, and its upkeep.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) dir: PathBuf,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) audit: Arc<Audit>,
    pub(super) tokens: Arc<AdminTokens>,
    upkeep: Vec<JoinHandle<()>>,
}

impl Process {
    /// Opens the data directory, or makes it. The trail says that the program started before anything is served.
    pub(super) async fn open(dir: &Path) -> anyhow::Result<Self> {
        let metrics = tokio::spawn(http::keep_metrics());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        make_private_dir(dir).with_context(|| format!("cannot make the data directory {}", dir.display()))?;
        let store: Arc<dyn Store> = Arc::new(Embedded::open(dir.join("store")).await?);
        let audit = Arc::new(Audit::open(&dir.join("audit"), Arc::clone(&clock))?);
        audit.record(Event::Started { version: env!("CARGO_PKG_VERSION").into() }).await?;
        let tokens = AdminTokens::open(dir.join("admin.token"), Arc::clone(&store), Arc::clone(&clock)).await?;
        let tokens = Arc::new(tokens);
        let upkeep = vec![
            metrics,
            tokio::spawn(Arc::clone(&audit).keep_tally()),
            tokio::spawn(Arc::clone(&audit).keep_signed()),
            tokio::spawn(Arc::clone(&tokens).keep_uses()),
        ];
        Ok(Self { dir: dir.to_owned(), clock, store, audit, tokens, upkeep })
    }

    /// Who may administer this process.
    pub(super) fn access(&self, apps: Option<Arc<AppBearers>>, nodes: Option<Nodes>) -> Access {
        Access {
            tokens: Arc::clone(&self.tokens),
            guesses: Arc::new(Guesses::default()),
            audit: Arc::clone(&self.audit),
            clock: Arc::clone(&self.clock),
            apps,
            nodes,
        }
    }

    /// The file that holds the first administrator's token.
    pub(super) fn admin_token_file(&self) -> PathBuf {
        self.dir.join("admin.token")
    }

    /// Does this until the process stops.
    pub(super) fn keep_up(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.upkeep.push(tokio::spawn(task));
    }

    /// Ends the trail of this run.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        for task in &self.upkeep {
            task.abort();
        }
        self.tokens.write_uses().await;
        self.audit.stop().await?;
        Ok(())
    }
}

/// An HTTP listener at work.
#[derive(Debug)]
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

impl Serving {
    pub(super) fn start(listener: TcpListener, routes: Router) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move {
            axum::serve(listener, service)
                .with_graceful_shutdown(async {
                    // A dropped sender stops the listener as well.
                    let _ = stopped.await;
                })
                .await
        });
        Ok(Self { address, stop, task })
    }

    /// Takes no more requests; those that are under way have a while to end.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let Self { stop, mut task, .. } = self;
        let _ = stop.send(());
        match timeout(HTTP_STOP_MAX, &mut task).await {
            Ok(ended) => ended.context("the HTTP listener broke down")??,
            Err(_) => task.abort(),
        }
        Ok(())
    }
}

/// Listens. `name` is that of the setting.
pub(super) async fn listen(name: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| listen_failed(name, address))
}

pub(super) fn listen_failed(name: &str, address: SocketAddr) -> String {
    format!("cannot listen on {address} for {name}; choose another address with --{name} (port 0 picks a free one)")
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
