//! The realm's own process: the KTM, the policies, the registrations, and the API by which they are administered.

use super::{
    admin::{self, Admin, AppBearers, Sessions, SourcesAdmin},
    audit::{Event, KeyHistory, Signer, state},
    config::Configuration,
    enrolment::{self, Enrolment, Reach},
    nodes::Nodes,
    policies::Policies,
    process::Process,
    registry::Registry,
};
use aups_ktm::{Ktm, KtmSettings, Realm, custody::Keyring};
use aups_nos::{Config, DeadLetters, Usage};
use aups_policy::Residuals;
use axum::{Router, routing::post};
use std::sync::Arc;

/// Scopes whose residuals are kept parsed, some 2 KB each.
pub(super) const RESIDUALS_MAX: usize = 10_000;

/// What one process of a realm keeps for all of it.
pub(super) struct Administration {
    pub(super) ktm: Arc<Ktm>,
    pub(super) realm: Arc<Realm>,
    pub(super) policies: Arc<Policies>,
    pub(super) config: Arc<Configuration>,
    pub(super) residuals: Arc<Residuals>,
    pub(super) registry: Arc<Registry>,
}

/// What the API works on besides.
pub(super) struct Surroundings {
    pub(super) sessions: Arc<dyn Sessions>,
    /// Of this process, if it is a NOS.
    pub(super) sources: Option<SourcesAdmin>,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) usage: Arc<Usage>,
    /// How readers that enrol here reach their NOS; `None`: they enrol elsewhere.
    pub(super) reach: Option<Reach>,
    /// NOSs that run apart, if there may be any.
    pub(super) nodes: Option<Nodes>,
}

impl Administration {
    /// Takes up the realm of the process's store, or makes one.
    pub(super) async fn open(process: &mut Process, keyring: Keyring, initial: Config) -> anyhow::Result<Self> {
        let keys = KeyHistory::begin(Arc::clone(&process.store)).await?;
        process.keep_up(keys.tell(Arc::clone(&process.audit)));
        let (store, clock) = (&process.store, &process.clock);
        let ktm = Ktm::open(Arc::clone(store), keyring, Arc::clone(clock), KtmSettings::default()).await?;
        let (realm, ktm) = (Arc::clone(ktm.realm()), Arc::new(ktm));
        process.audit.sign_with(Signer::realm(Arc::clone(&realm)));
        let policies = Arc::new(Policies::open(realm.id(), Arc::clone(store), Arc::clone(clock)).await?);
        let config = Configuration::open(Arc::clone(store), Arc::clone(clock), initial).await?;
        let config = Arc::new(config);
        let residuals = Arc::new(Residuals::new(RESIDUALS_MAX));
        let registry =
            Registry::open(&**store, Arc::clone(&ktm), Arc::clone(&residuals), policies.decisions(), Arc::clone(clock));
        let registry = Arc::new(registry.await?);
        let active = policies.active().version.clone();
        let policies_loaded = policies.decisions().borrow().set().len();
        process.audit.record(Event::PoliciesLoaded { version: active.number, policies: policies_loaded }).await?;
        process.audit.record(Event::ConfigLoaded { version: config.active().version.number }).await?;
        let told = (Arc::clone(&registry), Arc::clone(&policies));
        process.audit.tell_state(move || state::whole(&told.0, &told.1)).await?;
        Ok(Self { ktm, realm, policies, config, residuals, registry })
    }

    /// Whether no policy is in force, so that nobody reads.
    pub(super) fn nobody_reads(&self) -> bool {
        self.policies.decisions().borrow().set().is_empty()
    }

    /// Where readers get their identities.
    pub(super) fn enrolment(&self, process: &Process, sessions: Arc<dyn Sessions>) -> Arc<Enrolment> {
        Arc::new(Enrolment {
            realm: Arc::clone(&self.realm),
            registry: Arc::clone(&self.registry),
            audit: Arc::clone(&process.audit),
            sessions,
        })
    }

    /// Where readers enrol, and what administrators may ask.
    pub(super) fn routes(&self, process: &Process, enrolment: Arc<Enrolment>, surroundings: Surroundings) -> Router {
        let Surroundings { sessions, sources, dead_letters, usage, reach, nodes } = surroundings;
        let apps = AppBearers::new(Arc::clone(&self.registry), self.realm.id(), Arc::clone(&process.clock));
        let admin = Admin {
            access: process.access(Some(Arc::new(apps)), nodes.clone()),
            nodes,
            registry: Arc::clone(&self.registry),
            realm: Arc::clone(&self.realm),
            policies: Arc::clone(&self.policies),
            config: Arc::clone(&self.config),
            sources,
            dead_letters,
            usage,
            ktm: Arc::clone(&self.ktm),
            sessions,
        };
        let routes = admin::router(admin);
        match reach {
            Some(reach) => routes.route("/v1/enrol", post(enrolment::enrol).with_state((enrolment, reach))),
            None => routes,
        }
    }
}
