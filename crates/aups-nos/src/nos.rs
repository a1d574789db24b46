//! One NOS: its parts put together.

use crate::{
    accept::Acceptance,
    analyse::recent::Recent,
    config::ConfigInForce,
    key_service::{
        KeyLedger, KeyService, KeyServiceParts, Readers,
        http::{get_topics, post_keys},
        mqtt::{WaitingKeyRequests, answer_requests},
    },
    pep::Pep,
    pipeline::{Changes, Pipeline, PipelineParts, backlog::Backlog, dead_letters::DeadLetters},
    problem::method_not_allowed,
    publish::Sink,
    quarantine::Quarantine,
    seal::Sealer,
    settings::NosSettings,
    sources::{Sources, SourcesError},
    southbound::{Meters, Southbound, clear_marks, post_data, post_registration, restore_marks},
    usage::{Usage, UsageError},
};
use aups_core::{Clock, NosId};
use aups_envelope::{Secret, SigningKey, SourceMaster, VerifyingKey, b64};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_policy::{Pdp, Residuals};
use aups_store::{Expect, IngestQueue, QueueError, Store, StoreError};
use axum::{
    Router,
    routing::{get, post},
};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{sync::watch, task::JoinHandle, time};
use tracing::{info, warn};

/// Where the salt of address names is kept.
const ADDRESS_SALT_KEY: &str = "nos/address-salt";

/// What a NOS is made of.
pub struct NosParts {
    /// Its name in the realm.
    pub id: NosId,
    /// The realm's public key.
    pub realm_key: VerifyingKey,
    /// The key that it signs with: always the same one, else readers cannot verify what it signed before.
    pub signing_key: SigningKey,
    /// What the secrets of its sources are derived from: always the same.
    pub source_master: SourceMaster,
    /// Gives keys.
    pub ktm: Arc<dyn KeysTopicsManager>,
    /// The policies in force.
    pub policies: watch::Receiver<Arc<Pdp>>,
    /// Evaluates scopes for those who ask for keys.
    pub residuals: Arc<Residuals>,
    /// Who may ask for keys.
    pub readers: Arc<dyn Readers>,
    /// Is told which keys readers are given and denied; `None`: nobody is.
    pub ledger: Option<Arc<dyn KeyLedger>>,
    /// Key requests that come over MQTT; answered through `sink`.
    pub key_requests: WaitingKeyRequests,
    /// Where messages go.
    pub sink: Arc<dyn Sink>,
    /// Keeps registrations of sources.
    pub store: Arc<dyn Store>,
    /// Keeps what was taken until it is published, as far as [`NosSettings::durability`] says; `None` keeps nothing.
    pub queue: Option<IngestQueue>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is administered while it runs.
    pub config: ConfigInForce,
    /// What it is set up with.
    pub settings: NosSettings,
}

impl fmt::Debug for NosParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NosParts").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Why a NOS does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// The KTM's fault.
    #[error("the KTM does not let this NOS begin")]
    Ktm(#[from] KtmError),
    /// The store's fault: the registered sources.
    #[error("the registered sources cannot be read")]
    Sources(#[from] SourcesError),
    /// The store's fault: the topics in use.
    #[error("the topics in use cannot be read")]
    Usage(#[from] UsageError),
    /// The disk's fault: what is known of messages and requests that were taken.
    #[error("the ingest queue cannot be read")]
    Queue(#[from] QueueError),
    /// The store's fault.
    #[error("the store cannot be used")]
    Store(#[from] StoreError),
    /// The store's fault: a record of ours that we did not write.
    #[error("the record `{ADDRESS_SALT_KEY}` is not 32 bytes in base64url; restore a backup")]
    AddressSalt,
}

/// A running NOS. Dropped without [`Nos::drain`], it stops at once.
pub struct Nos {
    southbound: Arc<Southbound>,
    key_service: Arc<KeyService>,
    backlog: Arc<Backlog>,
    usage: Arc<Usage>,
    worker: JoinHandle<()>,
    key_answers: JoinHandle<()>,
    releases: JoinHandle<()>,
    marks: JoinHandle<()>,
    drain_max: Duration,
}

impl Nos {
    /// Starts a NOS: begins an incarnation and goes on with what the queue holds. While a KTM elsewhere is away, it takes data in.
    pub async fn start(parts: NosParts) -> Result<Self, StartError> {
        let NosParts {
            id,
            realm_key,
            signing_key,
            source_master,
            ktm,
            policies,
            residuals,
            readers,
            ledger,
            key_requests,
            sink,
            store,
            queue,
            clock,
            config,
            settings,
        } = parts;
        let signing_key = Arc::new(signing_key);
        let address_salt = address_salt(&*store).await?;
        let usage = Arc::new(usage_of_scopes(Arc::clone(&store), &*ktm).await?);
        let limits = config.borrow().config.limits.clone();
        let sources =
            Sources::open(store, Arc::clone(&clock), source_master, settings.registration, limits.sources_max);
        let sources = sources.await?.reserving(id.as_str().parse().ok());
        let mut sealer = Sealer::new(
            id.clone(),
            Arc::clone(&ktm),
            Arc::clone(&clock),
            Arc::clone(&signing_key),
            Arc::clone(&usage),
            settings.counters_max,
        );
        // A KTM elsewhere may be away: then the pipeline begins, and waits.
        match sealer.begin_session().await {
            Err(error) if !error.is_temporary() => return Err(error.into()),
            _ => {}
        }
        let sources = Arc::new(sources);
        let pep =
            Pep::new(id.clone(), policies.clone(), Arc::clone(&ktm), Arc::clone(&sources), limits.scopes_per_level_max);
        let backlog = Backlog::new(config.clone(), queue, settings.durability);
        let idempotency = restore_marks(&backlog, &sources, Arc::clone(&clock)).await?;
        let changes = Changes::new(policies.clone(), &*ktm, &sources);
        let pipeline = Pipeline::new(PipelineParts {
            nos: id.clone(),
            backlog: Arc::clone(&backlog),
            pep,
            sealer,
            sink: Arc::clone(&sink),
            usage: Arc::clone(&usage),
            clock: Arc::clone(&clock),
            sources: Arc::clone(&sources),
            config: config.clone(),
            changes,
        });
        let worker = tokio::spawn(pipeline.run());
        let key_service = Arc::new(KeyService::new(KeyServiceParts {
            nos: id,
            realm_key,
            signing_key,
            ktm,
            residuals,
            readers,
            ledger,
            policies,
            config: config.clone(),
            clock: Arc::clone(&clock),
            limits: settings.key_service,
        }));
        let key_answers = tokio::spawn(answer_requests(Arc::clone(&key_service), key_requests, sink));
        let (quarantine, releases) = Quarantine::start(config.clone(), Arc::clone(&clock));
        let southbound = Southbound {
            sources,
            acceptance: Acceptance::new(config, settings.transport, clock, address_salt),
            backlog: Arc::clone(&backlog),
            meters: Meters::default(),
            quarantine,
            idempotency,
        };
        let southbound = Arc::new(southbound);
        Ok(Self {
            marks: tokio::spawn(clear_marks(Arc::downgrade(&southbound))),
            southbound,
            key_service,
            backlog,
            usage,
            worker,
            key_answers,
            releases,
            drain_max: settings.drain_max,
        })
    }

    /// The paths of this NOS: `/registration`, `/data`, `/v1/keys`, `/v1/topics`.
    ///
    /// To be served with the peer's address (`into_make_service_with_connect_info::<SocketAddr>()`), else all senders
    /// count as one.
    pub fn router(&self) -> Router {
        let only_post = || async { method_not_allowed("POST") };
        let southbound = Router::new()
            .route("/registration", post(post_registration).fallback(only_post))
            .route("/data", post(post_data).fallback(only_post))
            .with_state(Arc::clone(&self.southbound));
        let key_service = Router::new()
            .route("/v1/keys", post(post_keys).fallback(only_post))
            .route("/v1/topics", get(get_topics).fallback(|| async { method_not_allowed("GET, HEAD") }))
            .with_state(Arc::clone(&self.key_service));
        southbound.merge(key_service)
    }

    /// The last items that it has taken, and what their scores follow from.
    pub fn recent(&self) -> Arc<Recent> {
        self.backlog.recent()
    }

    /// The registered sources, to be administered.
    pub fn sources(&self) -> Arc<Sources> {
        Arc::clone(&self.southbound.sources)
    }

    /// Who is kept out.
    pub fn quarantine(&self) -> Arc<Quarantine> {
        Arc::clone(&self.southbound.quarantine)
    }

    /// The topics in use, and the scopes under which something was published on them.
    pub fn usage(&self) -> Arc<Usage> {
        Arc::clone(&self.usage)
    }

    /// Items that could be taken no further.
    pub fn dead_letters(&self) -> DeadLetters {
        DeadLetters::new(Arc::clone(&self.backlog))
    }

    /// Items that were taken and are not yet withheld, or published and acknowledged.
    pub fn unacknowledged(&self) -> u64 {
        self.backlog.unacknowledged()
    }

    /// Items in memory that wait to be sealed.
    #[cfg(test)]
    pub(crate) fn in_memory(&self) -> usize {
        self.backlog.in_memory()
    }

    /// Tells at any time whether the disk takes what sources send.
    pub fn takes_data(&self) -> impl Fn() -> bool + Send + Sync + use<> {
        let backlog = Arc::clone(&self.backlog);
        move || backlog.takes()
    }

    /// Takes nothing more, publishes what was taken, and stops; after [`NosSettings::drain_max`] in any case. In disk mode
    /// what is left then is published after the next start.
    pub async fn drain(mut self) {
        self.backlog.stop();
        if time::timeout(self.drain_max, &mut self.worker).await.is_ok() {
            return;
        }
        let items = self.unacknowledged();
        if self.backlog.is_durable() {
            info!(items, "stopping with items on disk; they are published after the next start");
        } else {
            warn!(items, "stopping with items that the broker did not acknowledge; they are lost");
        }
    }
}

impl Drop for Nos {
    fn drop(&mut self) {
        self.backlog.stop();
        self.worker.abort();
        self.key_answers.abort();
        self.releases.abort();
        self.marks.abort();
    }
}

impl fmt::Debug for Nos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nos").field("unacknowledged", &self.unacknowledged()).finish_non_exhaustive()
    }
}

/// The topics in use, without scopes that the KTM no longer has.
async fn usage_of_scopes(store: Arc<dyn Store>, ktm: &dyn KeysTopicsManager) -> Result<Usage, StartError> {
    let usage = Usage::open(store).await?;
    let mut gone: BTreeSet<_> = usage.topics_by_scope().into_keys().collect();
    let known = match ktm.scope_ids().await {
        Err(error) if error.is_temporary() => return Ok(usage),
        known => known?,
    };
    for scope in known {
        gone.remove(&scope);
    }
    usage.forget(&gone).await?;
    Ok(usage)
}

/// The salt under which addresses become names; made at the first start, so that names stay.
async fn address_salt(store: &dyn Store) -> Result<[u8; 32], StartError> {
    let fresh = b64::encode(Secret::<32>::random().expose());
    match store.put_if(ADDRESS_SALT_KEY, fresh.into(), Expect::Absent).await {
        Ok(_) | Err(StoreError::Conflict { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let kept = store.get(ADDRESS_SALT_KEY).await?.ok_or(StartError::AddressSalt)?;
    let text = std::str::from_utf8(&kept.value).map_err(|_| StartError::AddressSalt)?;
    b64::decode_array(text).map_err(|_| StartError::AddressSalt)
}
