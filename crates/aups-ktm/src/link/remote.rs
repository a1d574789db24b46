//! A NOS's end of the link.

use super::{
    ANSWER_BYTES_MAX, AdmissionToken, DisciplinedClock, Enrolled, Enrolment, Follower, LEASE, LEASE_RENEWED_EVERY,
    SCOPES_ASKED_MAX, TopicUse, USES_REPORTED_MAX,
    cache::{AsOf, Cache},
    follow::{self, has_applied},
    history::Point,
    identity::{self, Asking, Given, Held, Identity},
    listener_identity::ListenerIdentity,
    wire::{self, Answer, Base64, KeysOf, path},
};
use crate::{
    KeysTopicsManager, KtmError,
    ca::{NOS_CERTIFICATE_RENEWED_AFTER, SERVER_CERTIFICATE_LIFE},
    service::{Incarnation, Resolved, SealingKeys},
};
use aups_core::{Clock, KeyId, NosId, ScopeId, ScopeSpec, ScopeTag, UnixMillis};
use aups_envelope::{KeyEntry, SecretBytes, VerifyingKey, hash, realm_id};
use aups_store::Revision;
use futures_util::{FutureExt as _, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    sync::{OwnedMutexGuard, Semaphore, watch},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a connection is kept that nobody uses; less than the KTM keeps it.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// Most requests to the KTM that are under way at once; others wait, but for those of the lease and of the certificate.
pub(super) const REQUESTS_MAX: usize = 64;

/// How long to wait until a revision is applied that an answer is of.
const APPLIED_MAX: Duration = Duration::from_secs(5);

/// How often an answer that is of before a change is asked for again, and after how long.
const ASKED_AGAIN_MAX: usize = 50;
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Askers of one thing that wait for each other: as many groups.
const FLIGHTS: usize = 64;

/// How soon a lease is asked for again that was not given.
const LEASE_ASKED_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// How often it is looked whether keys are to be asked for ahead, at least.
const AHEAD_EVERY: Duration = Duration::from_secs(1);

/// How often a clock that is wrong is logged.
const SKEW_LOGGED_EVERY: Duration = Duration::from_mins(1);

/// What a NOS needs to reach its KTM.
#[derive(Debug)]
pub struct LinkSettings {
    /// `https://host:port`.
    pub url: String,
    /// Where its certificate and key are kept, in a file that it alone may read. Made if it is not there.
    pub dir: PathBuf,
    /// For the first time. Not looked at once the NOS was admitted, unless its certificate has expired.
    pub admission: Option<AdmissionToken>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// Why a NOS cannot use its KTM.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LinkError {
    /// Whoever starts us is at fault.
    #[error("`{0}` is not where a KTM is: give it as https://host:port")]
    Url(String),
    /// The administrator has to admit it.
    #[error("this NOS was not admitted yet: make a token with `aups ktm admit-nos NAME` and start with it")]
    NoToken,
    /// It was switched off for longer than its certificate is good.
    #[error(
        "the certificate of this NOS expired at {0}: make a token with `aups ktm admit-nos NAME` and start with it"
    )]
    Expired(UnixMillis),
    /// The token is unknown, used or expired.
    #[error("the KTM does not take this admission token: it holds once and for 15 minutes; make another")]
    Token,
    /// The file of the NOS's certificate and key.
    #[error("{} cannot be read or written", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What the operating system says, or the JSON reader.
        #[source]
        source: std::io::Error,
    },
    /// Others than its owner may read it.
    #[error("{} can be read by others (mode {mode:04o}): remove this NOS and admit it anew", path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The KTM could not be asked, or refused.
    #[error(transparent)]
    Ktm(#[from] KtmError),
}

/// Whether a NOS may seal and serve keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// Until this moment, if the KTM is not heard of before.
    Until(Instant),
    /// It may not: not yet, or no longer.
    Ended,
}

/// The KTM, over a link. Everything that it does ends when this is dropped.
pub struct RemoteKtm {
    pub(super) remote: Arc<Remote>,
    tasks: [JoinHandle<()>; 3],
}

impl fmt::Debug for RemoteKtm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKtm").field("url", &self.remote.url).field("nos", self.name_ref()).finish_non_exhaustive()
    }
}

/// What the tasks of a link share.
pub(crate) struct Remote {
    nos: NosId,
    realm_key: VerifyingKey,
    url: String,
    dir: PathBuf,
    identity: Held,
    http: RwLock<reqwest::Client>,
    pub(crate) follower: Arc<dyn Follower>,
    clock: Arc<DisciplinedClock>,
    cache: Mutex<Cache>,
    pub(super) requests: Semaphore,
    flights: Vec<Arc<tokio::sync::Mutex<()>>>,
    lease: watch::Sender<Lease>,
    /// By the wall clock: the monotonic clock stands while the machine sleeps.
    lease_wall: Mutex<Option<(UnixMillis, Duration)>>,
    /// None: a snapshot is due.
    pub(super) applied: watch::Sender<Option<Point>>,
    revisions: watch::Sender<u64>,
    pub(crate) connected: watch::Sender<bool>,
    skew_logged: Mutex<Option<Instant>>,
}

impl RemoteKtm {
    /// Makes the link: with the certificate that this NOS has, or else with the token, which admits it.
    ///
    /// If it was admitted before, it does not wait for the KTM: what it does is answered with errors until the KTM is heard of
    /// ([`ready`](Self::ready)). The follower is made for the realm of this key, and given
    /// a snapshot first.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub async fn connect(
        settings: LinkSettings,
        follower: impl FnOnce(&VerifyingKey) -> Arc<dyn Follower>,
    ) -> Result<Self, LinkError> {
        let LinkSettings { url, dir, admission, clock } = settings;
        let url = url.trim_end_matches('/').to_owned();
        if !url.starts_with("https://") || reqwest::Url::parse(&url).is_err() {
            return Err(LinkError::Url(url));
        }
        let identity = match (Identity::read(&dir)?, admission) {
            (Some(identity), _) if clock.now() < identity.expires => identity,
            (_, Some(token)) => {
                let identity = admit(&url, &token, &clock).await?;
                identity.write(&dir)?;
                identity
            }
            (Some(identity), None) => return Err(LinkError::Expired(identity.expires)),
            (None, None) => return Err(LinkError::NoToken),
        };
        let follower = follower(&identity.realm_key);
        let wall = Arc::clone(&clock);
        let remote = Arc::new(Remote {
            nos: identity.nos.clone(),
            realm_key: identity.realm_key,
            url,
            dir,
            http: RwLock::new(http(identity.tls(&wall)?)?),
            identity: Held::new(identity),
            follower,
            clock: Arc::new(DisciplinedClock::new(wall)),
            cache: Mutex::default(),
            requests: Semaphore::new(REQUESTS_MAX),
            flights: (0..FLIGHTS).map(|_| Arc::default()).collect(),
            lease: watch::Sender::new(Lease::Ended),
            lease_wall: Mutex::default(),
            applied: watch::Sender::new(None),
            revisions: watch::Sender::new(0),
            connected: watch::Sender::new(false),
            skew_logged: Mutex::default(),
        });
        let tasks = [
            tokio::spawn(follow::follow(Arc::clone(&remote))),
            tokio::spawn(Arc::clone(&remote).keep_lease()),
            tokio::spawn(Arc::clone(&remote).ask_ahead()),
        ];
        Ok(Self { remote, tasks })
    }

    /// What this NOS is called: the KTM says.
    pub fn name(&self) -> NosId {
        self.remote.nos.clone()
    }

    fn name_ref(&self) -> &NosId {
        &self.remote.nos
    }

    /// The realm's public key.
    pub fn realm_key(&self) -> VerifyingKey {
        self.remote.realm_key
    }

    /// Whether keys may be sealed with and served. Moves with every renewal, and when the lease ends.
    pub fn lease(&self) -> watch::Receiver<Lease> {
        self.remote.lease.subscribe()
    }

    /// Waits until this NOS has its copy of what it follows, and a lease.
    pub async fn ready(&self) {
        let mut lease = self.lease();
        // The sender lives as long as this.
        let _ = lease.wait_for(|lease| *lease != Lease::Ended).await;
    }

    /// The KTM's time. What is sealed and judged goes by it.
    pub fn clock(&self) -> Arc<DisciplinedClock> {
        Arc::clone(&self.remote.clock)
    }

    /// The revision up to which everything is applied here. `None`: there is no copy yet, or it has to be made anew.
    pub fn applied(&self) -> Option<Revision> {
        self.remote.applied.borrow().map(|applied| applied.revision)
    }

    /// What the listeners of this NOS show under these names: what it was given before, while that is good for long, else
    /// what the KTM gives it now. It is kept, so that a NOS can start while its KTM is away.
    ///
    /// [`KtmError::Away`] if the KTM is asked in vain, and what there was is no longer good.
    pub async fn listener(&self, names: &[String]) -> Result<ListenerIdentity, KtmError> {
        self.remote.listener(names).await
    }

    /// Has the KTM answer an enrolment.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<Enrolled, KtmError> {
        let Enrolment { request, from, server_url, mqtt_url, ca } = enrolment;
        let asked = wire::Enrol { request: Base64(request), from, server_url, mqtt_url, ca };
        let answer: wire::EnrolAnswer = self.remote.post(path::ENROL, &asked).await?;
        let wire::EnrolAnswer { status, content_type, body: Base64(body) } = answer;
        Ok(Enrolled { status, content_type, body })
    }

    /// Tells the KTM what was published on which topics, under which scopes.
    pub async fn report_uses(&self, uses: Vec<TopicUse>) -> Result<(), KtmError> {
        for some in uses.chunks(USES_REPORTED_MAX) {
            let _: wire::Done = self.remote.post(path::USES, &wire::Uses { uses: some.to_vec() }).await?;
        }
        Ok(())
    }
}

impl Drop for RemoteKtm {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl KeysTopicsManager for RemoteKtm {
    fn begin_incarnation<'a>(
        &'a self,
        nos: &'a NosId,
        signing_key: VerifyingKey,
    ) -> BoxFuture<'a, Result<Incarnation, KtmError>> {
        async move {
            if *nos != self.remote.nos {
                return Err(KtmError::NotAdmitted);
            }
            let begun: wire::Begun = self.remote.post(path::BEGIN, &wire::Begin { signing_key }).await?;
            Ok(Incarnation { publisher: begun.publisher, incarnation: begun.incarnation })
        }
        .boxed()
    }

    fn ensure_scope<'a>(&'a self, spec: &'a ScopeSpec) -> BoxFuture<'a, Result<ScopeTag, KtmError>> {
        self.remote.ensure_scope(spec).boxed()
    }

    fn current(&self) -> Result<(), KtmError> {
        self.remote.check()
    }

    fn sealing_key<'a>(&'a self, scope: &'a ScopeId) -> BoxFuture<'a, Result<KeyEntry, KtmError>> {
        self.remote.sealing_key(scope).boxed()
    }

    fn resolve<'a>(&'a self, key_id: &'a KeyId) -> BoxFuture<'a, Result<Option<Resolved>, KtmError>> {
        self.remote.resolve(key_id).boxed()
    }

    fn publishers(&self) -> BoxFuture<'_, Result<Vec<String>, KtmError>> {
        self.remote.publishers().boxed()
    }

    fn revisions(&self) -> watch::Receiver<u64> {
        self.remote.revisions.subscribe()
    }

    fn scope_ids(&self) -> BoxFuture<'_, Result<Vec<ScopeId>, KtmError>> {
        async move { Ok(self.remote.get::<wire::ScopeIds>(path::SCOPES).await?.scopes) }.boxed()
    }
}

impl Remote {
    async fn ensure_scope(&self, spec: &ScopeSpec) -> Result<ScopeTag, KtmError> {
        self.check()?;
        if let Some(tag) = self.cache().ensured(&spec.id) {
            return Ok(tag);
        }
        for _ in 0..ASKED_AGAIN_MAX {
            let snapshots = self.cache().snapshots();
            let ensured: wire::Ensured = self.post(path::SCOPES, spec).await?;
            self.wait_for(ensured.revision).await?;
            let as_of = AsOf { revision: ensured.revision, snapshots };
            if self.cache().put_ensured(spec.id, ensured.tag, as_of) {
                return Ok(ensured.tag);
            }
            sleep(ASKED_AGAIN_AFTER).await;
        }
        Err(KtmError::Contended { key: spec.id.to_string() })
    }

    async fn sealing_key(&self, scope: &ScopeId) -> Result<KeyEntry, KtmError> {
        self.check()?;
        if let Some(key) = self.cache().sealing_key(scope, self.clock.now()) {
            return Ok(key);
        }
        let _one_asks = self.flight(scope.as_bytes()).await;
        for _ in 0..ASKED_AGAIN_MAX {
            if let Some(key) = self.cache().sealing_key(scope, self.clock.now()) {
                return Ok(key);
            }
            if let Some(key) = self.ask_keys(vec![*scope]).await?.pop() {
                return key;
            }
            sleep(ASKED_AGAIN_AFTER).await;
        }
        Err(KtmError::Contended { key: scope.to_string() })
    }

    /// Asks for keys and keeps them. Those of before a change that was heard of meanwhile are left out.
    async fn ask_keys(&self, scopes: Vec<ScopeId>) -> Result<Vec<Result<KeyEntry, KtmError>>, KtmError> {
        let snapshots = self.cache().snapshots();
        let answer: wire::Keys = self.post(path::KEYS, &wire::AskKeys { scopes }).await?;
        let mut given = Vec::new();
        for keys in answer.keys {
            match keys {
                KeysOf::Refused { fault, .. } => given.push(Err(fault.into_error())),
                KeysOf::Given { scope, revision, current, next } => {
                    let keys = SealingKeys { current: current.into_entry()?, next: next.into_entry()? };
                    if keys.current.terms.scope != scope {
                        return Err(KtmError::Away { why: "the KTM answered with keys of another scope".to_owned() });
                    }
                    self.wait_for(revision).await?;
                    // What was waited for may have been a change of this very scope.
                    let current = keys.current.duplicate();
                    if self.cache().put_sealing(keys, AsOf { revision, snapshots }, self.clock.now()) {
                        given.push(Ok(current));
                    }
                }
            }
        }
        self.check()?;
        Ok(given)
    }

    async fn resolve(&self, key_id: &KeyId) -> Result<Option<Resolved>, KtmError> {
        self.check()?;
        let kept = self.cache().resolved(key_id, self.clock.now());
        match kept {
            Some((resolved, false)) => Ok(Some(resolved)),
            // Better without the following key than not at all.
            Some((_, true)) => self.or_kept(self.ask_resolve(key_id).await, |cache| {
                cache.resolved(key_id, self.clock.now()).map(|(resolved, _)| Some(resolved))
            }),
            None => self.ask_resolve(key_id).await,
        }
    }

    async fn ask_resolve(&self, key_id: &KeyId) -> Result<Option<Resolved>, KtmError> {
        let _one_asks = self.flight(key_id.as_bytes()).await;
        if let Some((resolved, false)) = self.cache().resolved(key_id, self.clock.now()) {
            return Ok(Some(resolved));
        }
        for _ in 0..ASKED_AGAIN_MAX {
            let snapshots = self.cache().snapshots();
            let answer: wire::Resolution = self.post(path::RESOLVE, &wire::Resolve { key_id: *key_id }).await?;
            let Some(found) = answer.found else { return Ok(None) };
            let revision = found.revision;
            let resolved = found.into_resolved()?;
            if resolved.key.key_id != *key_id || resolved.key.terms.scope != resolved.spec.id {
                return Err(KtmError::Away { why: "the KTM answered with another key".to_owned() });
            }
            self.wait_for(revision).await?;
            self.check()?;
            let kept = resolved.duplicate();
            if self.cache().put_resolved(kept, AsOf { revision, snapshots }, self.clock.now()) {
                return Ok(Some(resolved));
            }
            sleep(ASKED_AGAIN_AFTER).await;
        }
        Err(KtmError::Contended { key: key_id.to_string() })
    }

    async fn publishers(&self) -> Result<Vec<String>, KtmError> {
        self.check()?;
        let kept = self.cache().publishers(self.clock.now());
        match kept {
            Some((certificates, false)) => Ok(certificates),
            Some((_, true)) => self.or_kept(self.ask_publishers().await, |cache| {
                cache.publishers(self.clock.now()).map(|(certificates, _)| certificates)
            }),
            None => self.ask_publishers().await,
        }
    }

    async fn ask_publishers(&self) -> Result<Vec<String>, KtmError> {
        let _one_asks = self.flight(b"publishers").await;
        for _ in 0..ASKED_AGAIN_MAX {
            if let Some((certificates, false)) = self.cache().publishers(self.clock.now()) {
                return Ok(certificates);
            }
            let snapshots = self.cache().snapshots();
            let answer: wire::Publishers = self.get(path::PUBLISHERS).await?;
            self.check()?;
            let (now, wire::Publishers { revision, certificates }) = (self.clock.now(), answer);
            if self.cache().put_publishers(certificates.clone(), AsOf { revision, snapshots }, now) {
                return Ok(certificates);
            }
            sleep(ASKED_AGAIN_AFTER).await;
        }
        Err(KtmError::Contended { key: "publishers".to_owned() })
    }

    /// What was asked for; if the KTM is away, what is kept of it: now, for it may have changed while the question was out.
    fn or_kept<T>(&self, asked: Result<T, KtmError>, kept: impl FnOnce(&Cache) -> Option<T>) -> Result<T, KtmError> {
        match asked {
            Err(KtmError::Away { why }) => {
                self.check()?;
                kept(&self.cache()).ok_or(KtmError::Away { why })
            }
            asked => asked,
        }
    }

    /// Whether anything may be sealed or served at all.
    fn check(&self) -> Result<(), KtmError> {
        if let Some(skew_ms) = self.clock.too_skewed() {
            self.log_skew(skew_ms);
            return Err(KtmError::Skew { skew_ms });
        }
        let held = matches!(*self.lease.borrow(), Lease::Until(until) if Instant::now() < until);
        let awake = self.lease_wall().is_some_and(|(since, lease)| self.clock.wall().since(since) < lease);
        if held && awake { Ok(()) } else { Err(KtmError::NoLease) }
    }

    fn log_skew(&self, skew_ms: i64) {
        let (now, mut logged) = (Instant::now(), self.skew_logged.lock().unwrap_or_else(PoisonError::into_inner));
        if logged.is_none_or(|logged| now.duration_since(logged) >= SKEW_LOGGED_EVERY) {
            *logged = Some(now);
            tracing::error!(
                skew_ms,
                "the clock of this NOS, or of the KTM, is wrong: nothing is sealed, no key is served"
            );
        }
    }

    /// Waits until what an answer is of is applied here.
    async fn wait_for(&self, revision: Revision) -> Result<(), KtmError> {
        let mut applied = self.applied.subscribe();
        let waited = timeout(APPLIED_MAX, applied.wait_for(|applied| has_applied(*applied, revision))).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(KtmError::Away { why: format!("revision {revision} did not come in time") }),
        }
    }

    /// Renews the lease and the certificate.
    async fn keep_lease(self: Arc<Self>) {
        let mut applied = self.applied.subscribe();
        loop {
            let point = *applied.borrow_and_update();
            let granted = match point {
                Some(point) => self.renew_lease(point).await,
                None => false,
            };
            self.show();
            self.renew_certificate().await;
            let wait = if granted { LEASE_RENEWED_EVERY } else { LEASE_ASKED_AGAIN_AFTER };
            let until = match *self.lease.borrow() {
                Lease::Until(until) => until.saturating_duration_since(Instant::now()),
                Lease::Ended => wait,
            };
            tokio::select! {
                // The sender is ours.
                _ = applied.changed() => {}
                () = sleep(wait.min(until)) => {}
            }
            self.end_lease();
        }
    }

    async fn renew_lease(&self, Point { history, revision: applied }: Point) -> bool {
        let (sent, wall) = (Instant::now(), self.clock.wall());
        let asked = wire::AskLease { history, applied, skew_ms: self.clock.skew_ms() };
        let leased: Result<wire::Leased, _> = self.post_ahead(path::LEASE, &asked).await;
        match leased {
            Ok(wire::Leased { lease_ms: 0, .. }) => false,
            // What happened to our copy meanwhile counts: without one, or with one of another history, there is no lease.
            Ok(leased) if self.applied.borrow().is_some_and(|applied| applied.history == history) => {
                let lease = Duration::from_millis(leased.lease_ms).min(LEASE);
                *self.lease_wall() = Some((wall, lease));
                self.lease.send_replace(Lease::Until(sent + lease));
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "the lease is not renewed");
                false
            }
        }
    }

    fn end_lease(&self) {
        let ended = self.lease.send_if_modified(|lease| {
            let ended = matches!(*lease, Lease::Until(until) if until <= Instant::now());
            if ended {
                *lease = Lease::Ended;
            }
            ended
        });
        if ended {
            tracing::warn!(
                "the lease ended without word of the KTM: nothing is sealed, no key is served until it is heard of"
            );
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge")]
    fn show(&self) {
        if let Some(skew_ms) = self.clock.skew_ms() {
            metrics::gauge!("aups_ktm_skew_seconds").set(skew_ms as f64 / 1_000.0);
        }
        if let Some(skew_ms) = self.clock.too_skewed() {
            self.log_skew(skew_ms);
        }
        let held = *self.lease.borrow() != Lease::Ended;
        metrics::gauge!("aups_ktm_lease_held").set(if held { 1.0 } else { 0.0 });
    }

    async fn renew_certificate(&self) {
        let identity = self.identity.get();
        if self.clock.now().since(identity.issued) < NOS_CERTIFICATE_RENEWED_AFTER {
            return;
        }
        match self.renewed(&identity).await {
            Ok(()) => tracing::info!(expires = %self.identity.get().expires, "the certificate of this NOS is renewed"),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the certificate is not renewed yet");
            }
        }
    }

    async fn renewed(&self, identity: &Identity) -> Result<(), LinkError> {
        let asking = Asking::new()?;
        let asked = wire::Renew { public_key: Base64::of(&asking.public_key) };
        let issued = self.clock.now();
        let renewed: wire::Renewed = self.post_ahead(path::RENEW, &asked).await?;
        let given = Given { certificate: renewed.certificate.0.to_vec(), issued, expires: renewed.expires };
        let identity = identity.renewed(asking, given);
        identity.write(&self.dir)?;
        let clock: Arc<dyn Clock> = self.clock.clone();
        *self.http.write().unwrap_or_else(PoisonError::into_inner) = http(identity.tls(&clock)?)?;
        self.identity.replace(identity);
        Ok(())
    }

    async fn listener(&self, names: &[String]) -> Result<ListenerIdentity, KtmError> {
        let (realm, now) = (realm_id(&self.realm_key), self.clock.now());
        let kept = ListenerIdentity::read(&self.dir, names, realm).filter(|kept| now < kept.expires());
        if let Some(kept) = kept.as_ref().filter(|kept| kept.expires().since(now) > SERVER_CERTIFICATE_LIFE / 2) {
            return Ok(kept.clone());
        }
        let asking = Asking::new()?;
        let asked = wire::Listener { public_key: Base64::of(&asking.public_key), names: names.to_vec() };
        let given: Result<wire::ListenerCertificate, _> = self.post_ahead(path::LISTENER, &asked).await;
        match (given, kept) {
            (Ok(given), _) => {
                let identity = ListenerIdentity::given(names, asking, given, self.identity.get().authority(), realm)?;
                identity.write(&self.dir)?;
                Ok(identity)
            }
            (Err(error), Some(kept)) => {
                tracing::warn!(%error, expires = %kept.expires(), "the listeners' certificate is not renewed yet");
                Ok(kept)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Asks for the keys of the next epochs before they are needed.
    async fn ask_ahead(self: Arc<Self>) {
        loop {
            let now = self.clock.now();
            let due = self.cache().take_due(now, SCOPES_ASKED_MAX);
            if due.is_empty() {
                let next = self.cache().next_due();
                sleep(next.map_or(AHEAD_EVERY, |due| due.since(now).clamp(Duration::from_millis(1), AHEAD_EVERY)))
                    .await;
                continue;
            }
            let asked = u64::try_from(due.len()).unwrap_or(u64::MAX);
            metrics::counter!("aups_ktm_keys_asked_ahead_total").increment(asked);
            if let Err(error) = self.ask_keys(due).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "the next keys are asked for again later");
            }
        }
    }

    /// Everything up to here is done. `keys_changed`: keys are others than before, or gone.
    pub(crate) fn applied(&self, point: Point, keys_changed: bool) {
        // First: whoever sees that it is applied sees also that keys are others.
        if keys_changed {
            self.revisions.send_modify(|revisions| *revisions += 1);
        }
        self.applied.send_replace(Some(point));
    }

    /// From where to follow. None: a snapshot is wanted.
    pub(crate) fn followed_up_to(&self) -> Option<Point> {
        *self.applied.borrow()
    }

    /// The copy cannot be brought up to date: nothing is decided by it when the lease ends, and it is made anew.
    pub(crate) fn lost_track(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> KtmError {
        tracing::error!(error = error as &dyn std::error::Error, "what the KTM changed cannot be applied");
        self.applied.send_replace(None);
        KtmError::Away { why: "what the KTM changed cannot be applied".to_owned() }
    }

    pub(crate) fn cache(&self) -> MutexGuard<'_, Cache> {
        // Nothing panics while it is held.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_wall(&self) -> MutexGuard<'_, Option<(UnixMillis, Duration)>> {
        self.lease_wall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while something is asked for, by all who ask for it, and some others.
    pub(super) async fn flight(&self, of: &[u8]) -> OwnedMutexGuard<()> {
        let [first, ..] = hash::sha256(&[of]);
        let flight = self.flights.get(usize::from(first) % FLIGHTS).cloned();
        flight.unwrap_or_default().lock_owned().await
    }

    pub(crate) fn http(&self) -> reqwest::Client {
        self.http.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    pub(super) async fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &str, asked: &Q) -> Result<A, KtmError> {
        self.ask(self.posting(path, asked)?).await
    }

    /// The same ahead of all that wait to be asked: for what the others depend on.
    async fn post_ahead<Q: Serialize, A: DeserializeOwned>(&self, path: &str, asked: &Q) -> Result<A, KtmError> {
        in_time(self.ask_ahead_of_others(self.posting(path, asked)?)).await
    }

    fn posting<Q: Serialize>(&self, path: &str, asked: &Q) -> Result<reqwest::RequestBuilder, KtmError> {
        let body = wire::to_bytes(asked).map_err(|error| KtmError::Away { why: error.to_string() })?;
        Ok(self.http().post(self.url(path)).header("content-type", "application/json").body(body))
    }

    async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, KtmError> {
        self.ask(self.http().get(self.url(path))).await
    }

    async fn ask<A: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<A, KtmError> {
        let answered = async {
            let _request = self.requests.acquire().await.map_err(|_| KtmError::Stopping)?;
            self.ask_ahead_of_others(request).await
        };
        in_time(answered).await
    }

    async fn ask_ahead_of_others<A: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<A, KtmError> {
        let sent = Instant::now();
        let answer: Answer<A> = read(request.send().await.map_err(away)?).await?;
        self.clock.observe(answer.now, sent, Instant::now());
        outcome(answer)
    }

    /// Why a request was refused that is not answered in our form if it is granted.
    pub(crate) async fn refused(&self, response: reqwest::Response) -> KtmError {
        let answer = in_time(read::<wire::Done>(response)).await;
        answer.and_then(outcome).err().unwrap_or(KtmError::NotAdmitted)
    }
}

/// What is asked of the KTM takes so long at most, waiting included.
async fn in_time<T>(asked: impl Future<Output = Result<T, KtmError>>) -> Result<T, KtmError> {
    let late = |_| KtmError::Away { why: "it did not answer in time".to_owned() };
    timeout(ANSWER_MAX, asked).await.map_err(late)?
}

fn outcome<A>(answer: Answer<A>) -> Result<A, KtmError> {
    match answer {
        Answer { ok: Some(ok), error: None, .. } => Ok(ok),
        Answer { error: Some(fault), .. } => Err(fault.into_error()),
        Answer { .. } => Err(KtmError::Away { why: "its answer says neither yes nor no".to_owned() }),
    }
}

async fn read<A: DeserializeOwned>(mut response: reqwest::Response) -> Result<Answer<A>, KtmError> {
    let too_long = || KtmError::Away { why: format!("its answer is longer than {ANSWER_BYTES_MAX} bytes") };
    let length = response.content_length().and_then(|length| usize::try_from(length).ok());
    // As long as it will be, so that no piece of a secret stays where the buffer was before it grew.
    let mut body = Vec::with_capacity(length.unwrap_or_default().min(ANSWER_BYTES_MAX));
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    let body = SecretBytes::from_vec(body);
    wire::from_bytes(body.expose())
        .map_err(|error| KtmError::Away { why: format!("its answer cannot be read: {error}") })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn away(error: reqwest::Error) -> KtmError {
    KtmError::Away { why: in_full(&error) }
}

/// An error with its causes: what reqwest says first says little.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn http(tls: rustls::ClientConfig) -> Result<reqwest::Client, KtmError> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .https_only(true)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .pool_idle_timeout(IDLE_MAX)
        .tcp_nodelay(true)
        .build();
    client.map_err(|error| KtmError::Away { why: in_full(&error) })
}

/// Has this NOS admitted.
async fn admit(url: &str, token: &AdmissionToken, clock: &Arc<dyn Clock>) -> Result<Identity, LinkError> {
    let (tls, verifier) = identity::stranger(token.authority, clock)?;
    let asking = Asking::new()?;
    let token = wire::SecretText::of(token.secret.expose());
    let asked = wire::Admit { token, public_key: Base64::of(&asking.public_key) };
    let body = wire::to_bytes(&asked).map_err(|error| KtmError::Away { why: error.to_string() })?;
    let request =
        http(tls)?.post(format!("{url}{}", path::ADMIT)).header("content-type", "application/json").body(body);
    let issued = clock.now();
    let answer: Answer<wire::Admitted> = in_time(async { read(request.send().await.map_err(away)?).await }).await?;
    let admitted = match outcome(answer) {
        Err(KtmError::NotAdmitted) => return Err(LinkError::Token),
        answered => answered?,
    };
    let authority = verifier.authority().ok_or(KtmError::NotAdmitted)?;
    let wire::Admitted { nos, realm_key, certificate, expires } = admitted;
    let given = Given { certificate: certificate.0.to_vec(), issued, expires };
    Ok(Identity::admitted(nos, realm_key, authority, asking, given))
}
