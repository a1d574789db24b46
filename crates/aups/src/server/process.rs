//! What every role's process has: a data directory with a store, an audit trail, and admin tokens.

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
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::JoinHandle;

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
        allow_connections();
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

/// Every connection is an open file: as many as this process may ask for.
fn allow_connections() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // It stays as it is where that is not allowed; then connections are refused sooner, which is logged.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
