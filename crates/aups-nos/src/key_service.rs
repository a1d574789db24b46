//! The key service: readers ask for temporary keys and for what they may subscribe to, over [`http`] or [`mqtt`]. DESIGN section 7 to the
//! letter.
//!
//! Checks come in this order, cheap before dear, and those that a stranger could turn against somebody else after the
//! signature: size, form, freshness, rate by origin, reader known and signature, realm, rate by reader, jti, policy, seal,
//! ledger.

pub(crate) mod http;
pub(crate) mod mqtt;

use crate::{
    bounded_log::BoundedLog, config::ConfigInForce, problem::Refusal, rate::Buckets, settings::KeyServiceLimits,
};
use aups_core::{
    Clock, Filter, KeyId, NosId, Principal, Problem, RealmId, ScopeId, ScopeSpec, Sub, UnixMillis,
    limits::REQUEST_AGE_MAX,
};
use aups_envelope::{
    SigningKey, VerifyingKey,
    kem::KemPublicKey,
    key_request::{
        Certificate, ChallengeKey, Freshness, Grants, KeyRequest, KeyRequestError, Wanted, seal_key_response,
    },
    realm_id,
};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_net::sender_network;
use aups_policy::{Pdp, RequestContext, Residuals, judge_by_name};
use futures_util::future::BoxFuture;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, error};

/// How long a challenge can be answered.
const CHALLENGE_LIFE: Duration = REQUEST_AGE_MAX;
/// How long a `jti` is remembered at least: an `iat` may lie ahead as far as behind.
const JTI_LIFE: Duration = Duration::from_secs(2 * REQUEST_AGE_MAX.as_secs() + 1);

/// That a residual cannot be evaluated is logged once in so long, for each scope.
const FAILURES_LOGGED_EVERY: Duration = Duration::from_mins(1);
/// Most scopes for which it is remembered when that was; beyond, all are forgotten.
const FAILURES_REMEMBERED_MAX: usize = 1_024;
/// Most filters that the answer to a refused one names instead.
const FILTERS_NAMED_MAX: usize = 5;

/// Who may ask for keys: a look-up in memory.
///
/// A right that is taken away must find every key that it opened: whoever changes a reader first shows it as
/// [changing](Reader::changing), then looks which scopes it loses, and shows the changed one when their keys are replaced.
/// A request that began before is looked at again before it is answered.
pub trait Readers: Send + Sync + 'static {
    /// A registered reader: the same `Arc` for as long as nothing about it changes.
    fn reader(&self, sub: &Sub) -> Option<Arc<Reader>>;
}

/// A registered reader, as the key service sees it.
#[derive(Debug)]
pub struct Reader {
    /// What policies may ask of it.
    pub principal: Principal,
    /// Its keys, once it has enrolled.
    pub keys: Option<ReaderKeys>,
    /// Its rights are being changed: for these milliseconds it gets no key.
    pub changing: bool,
}

/// The keys of an enrolled reader.
#[derive(Debug)]
pub struct ReaderKeys {
    /// Verifies its requests.
    pub signing_key: VerifyingKey,
    /// What answers are sealed to.
    pub kem: KemPublicKey,
}

/// Where a key request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// HTTP, from this address.
    Http(IpAddr),
    /// MQTT, on the topic of this reader. A broker tells no address.
    Mqtt(Sub),
}

impl Origin {
    /// What policies may ask of it.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Http(address) => Some(address.to_canonical()),
            Self::Mqtt(_) => None,
        }
    }
}

/// Is told of every key that is granted or denied, before the answer leaves.
pub trait KeyLedger: Send + Sync + 'static {
    /// Keeps what came of a request. If it cannot be kept, no key is handed out: the reader is told 503.
    ///
    /// The answer waits for this.
    fn record(&self, outcome: KeyOutcome) -> BoxFuture<'_, Result<(), LedgerError>>;
}

/// The ledger does not take what it is told.
pub type LedgerError = Box<dyn std::error::Error + Send + Sync>;

/// What came of the request of a reader that has proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOutcome {
    /// Who asked.
    pub sub: Sub,
    /// Where from.
    pub origin: Origin,
    /// The keys that it is given, those of the following epoch among them, which it did not ask for.
    pub granted: Vec<GrantedKey>,
    /// The keys that it is not given.
    pub denied: Vec<DeniedKey>,
}

impl KeyOutcome {
    const fn of_nothing(sub: Sub, origin: Origin) -> Self {
        Self { sub, origin, granted: Vec::new(), denied: Vec::new() }
    }
}

/// A key that a reader is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedKey {
    /// The key.
    pub key_id: KeyId,
    /// Whose key it is.
    pub spec: Arc<ScopeSpec>,
    /// Where the reader says that it saw a message under it, or under the key before: nobody has checked that.
    pub topic: String,
}

/// A key that a reader is not given. Why, is for the ledger's eyes only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedKey {
    /// The key.
    pub key_id: KeyId,
    /// The scope that does not take this reader. `None`: unknown, altered, never current, past or destroyed.
    pub spec: Option<Arc<ScopeSpec>>,
    /// Where the reader says that it saw a message under it.
    pub topic: String,
}

/// An answer to a reader that is known.
struct KeyAnswer {
    /// The signed object.
    jws: String,
    /// Whether a key is in it.
    granted: bool,
}

/// Answers key requests.
pub(crate) struct KeyService {
    nos: NosId,
    realm: RealmId,
    realm_key: VerifyingKey,
    signing_key: Arc<SigningKey>,
    ktm: Arc<dyn KeysTopicsManager>,
    readers: Arc<dyn Readers>,
    ledger: Option<Arc<dyn KeyLedger>>,
    policies: watch::Receiver<Arc<Pdp>>,
    /// Says on which first levels of topics something may be published.
    config: ConfigInForce,
    residuals: Arc<Residuals>,
    failures: Mutex<HashMap<ScopeId, BoundedLog>>,
    clock: Arc<dyn Clock>,
    challenges: ChallengeKey,
    by_address: Buckets<IpAddr>,
    by_topic: Buckets<Sub>,
    by_reader: Buckets<Sub>,
    seen: Mutex<Seen>,
    certificate: Mutex<Option<String>>,
}

/// What the key service is made of.
pub(crate) struct KeyServiceParts {
    pub(crate) nos: NosId,
    pub(crate) realm_key: VerifyingKey,
    pub(crate) signing_key: Arc<SigningKey>,
    pub(crate) ktm: Arc<dyn KeysTopicsManager>,
    pub(crate) residuals: Arc<Residuals>,
    pub(crate) readers: Arc<dyn Readers>,
    pub(crate) ledger: Option<Arc<dyn KeyLedger>>,
    pub(crate) policies: watch::Receiver<Arc<Pdp>>,
    pub(crate) config: ConfigInForce,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: KeyServiceLimits,
}

impl KeyService {
    pub(crate) fn new(parts: KeyServiceParts) -> Self {
        let KeyServiceParts {
            nos,
            realm_key,
            signing_key,
            ktm,
            residuals,
            readers,
            ledger,
            policies,
            config,
            clock,
            limits,
        } = parts;
        Self {
            nos,
            realm: realm_id(&realm_key),
            realm_key,
            signing_key,
            ktm,
            readers,
            ledger,
            policies,
            config,
            residuals,
            failures: Mutex::default(),
            clock,
            challenges: ChallengeKey::generate(),
            by_address: Buckets::new(limits.address_rate),
            by_topic: Buckets::new(limits.topic_rate),
            by_reader: Buckets::new(limits.reader_rate),
            seen: Mutex::new(Seen::new(limits.jtis_max, Instant::now())),
            certificate: Mutex::new(None),
        }
    }

    /// Answers the bytes of a request.
    async fn answer(&self, bytes: &[u8], origin: &Origin) -> Result<KeyAnswer, Refusal> {
        let unverified = KeyRequest::peek(bytes).map_err(|error| malformed(&error))?;
        let now = self.clock.now();
        self.check_fresh(&unverified.sub, &unverified.freshness, now)?;
        self.check_origin(origin, &unverified.sub)?;
        self.check_current()?;
        let (reader, request) = self.verify(bytes, &unverified.sub)?;
        let Some(keys) = &reader.keys else { return Err(unauthorised().into()) };
        if request.aud != self.realm {
            return Err(unauthorised().into());
        }
        self.check_reader(&request.sub)?;
        self.seen().take(request.sub.clone(), request.jti, Instant::now())?;
        let decided = self.decide(&reader.principal, request.want, now, origin).await;
        let (grants, outcome) = decided.map_err(|error| ktm_failed(&error))?;
        let certificate = self.certificate(&grants.publishers, now)?;
        let jws = seal_key_response(bytes, &grants, now, &self.nos, &certificate, &self.signing_key, &keys.kem)
            .map_err(|error| {
                error!(sub = %request.sub, error = &error as &dyn std::error::Error, "cannot seal to this reader");
                Refusal::from(Problem::new(
                    500,
                    "reader-key",
                    "reader's key unusable",
                    "nothing can be sealed to the key that you enrolled; ask for a new token and enrol again",
                ))
            })?;
        if let Some(ledger) = &self.ledger {
            ledger.record(outcome).await.map_err(|error| unrecorded(&error))?;
        }
        // Last: rights may have been taken away while we waited. What is on record may then be more than was handed out.
        self.check_current()?;
        self.check_unchanged(&reader)?;
        Ok(KeyAnswer { jws, granted: !grants.keys.is_empty() })
    }

    /// Refuses to hand out what was decided about a reader that has changed since, or is changing: it may hold none of the
    /// keys that are being replaced.
    fn check_unchanged(&self, reader: &Arc<Reader>) -> Result<(), Refusal> {
        let same = self.readers.reader(&reader.principal.sub).is_some_and(|now| Arc::ptr_eq(&now, reader));
        if same && !reader.changing { Ok(()) } else { Err(Refusal::later(unavailable(), Duration::from_secs(1))) }
    }

    /// The keys that the reader may have, and the following ones. Everything else is denied, for whatever reason.
    async fn decide(
        &self,
        who: &Principal,
        want: Vec<Wanted>,
        now: UnixMillis,
        origin: &Origin,
    ) -> Result<(Grants, KeyOutcome), KtmError> {
        let context = RequestContext { at: Some(now), address: origin.address() };
        let wanted: BTreeMap<KeyId, String> = want.into_iter().map(|wanted| (wanted.key_id, wanted.topic)).collect();
        let mut grants = Grants { publishers: self.ktm.publishers().await?, ..Grants::default() };
        let mut outcome = KeyOutcome::of_nothing(who.sub.clone(), origin.clone());
        for (key_id, topic) in &wanted {
            match self.ktm.resolve(key_id).await? {
                Some(resolved) if self.may_read(&resolved.spec, who, &context) => {
                    let granted =
                        |key_id| GrantedKey { key_id, spec: Arc::clone(&resolved.spec), topic: topic.clone() };
                    outcome.granted.push(granted(*key_id));
                    grants.keys.push(resolved.key);
                    if let Some(next) = resolved.next.filter(|next| !wanted.contains_key(&next.key_id)) {
                        outcome.granted.push(granted(next.key_id));
                        grants.next.push(next);
                    }
                }
                other => {
                    let spec = other.map(|resolved| resolved.spec);
                    outcome.denied.push(DeniedKey { key_id: *key_id, spec, topic: topic.clone() });
                    grants.denied.push(*key_id);
                }
            }
        }
        let count = |entries: usize| u64::try_from(entries).unwrap_or(u64::MAX);
        metrics::counter!("aups_keys_granted_total").increment(count(grants.keys.len()));
        metrics::counter!("aups_keys_denied_total").increment(count(grants.denied.len()));
        debug!(sub = %who.sub, granted = grants.keys.len(), denied = grants.denied.len(), "key request");
        Ok((grants, outcome))
    }

    fn may_read(&self, scope: &ScopeSpec, who: &Principal, context: &RequestContext) -> bool {
        let decision = self.residuals.satisfies(scope, who, context);
        if !decision.errors.is_empty() {
            metrics::counter!("aups_policy_errors_total").increment(1);
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            if failures.len() >= FAILURES_REMEMBERED_MAX && !failures.contains_key(&scope.id) {
                failures.clear();
            }
            let log = failures.entry(scope.id).or_insert(BoundedLog::every(FAILURES_LOGGED_EVERY));
            if let Some(more) = log.next() {
                error!(sub = %who.sub, scope = %scope.id, more, errors = ?decision.errors, "a residual cannot be evaluated");
            }
        }
        decision.allow
    }

    fn readable(&self, pdp: &Pdp, who: &Principal) -> Vec<Filter> {
        let levels = self.config.borrow().topics.first_levels();
        let first_levels: Vec<_> = levels.iter().map(String::as_str).collect();
        pdp.readable_among(who, &first_levels)
    }

    /// Whether a reader may subscribe to a filter, and why, in words for the reader: they name no policy.
    fn judge(&self, pdp: &Pdp, who: &Principal, filter: &Filter) -> (bool, String) {
        let sub = &who.sub;
        if let Some(verdict) = judge_by_name(sub, filter) {
            return (verdict.is_accepted(), verdict.reason().to_owned());
        }
        if pdp.filter(who, filter).is_accepted() {
            return (true, format!("the policies let {sub} subscribe it; the keys decide each message"));
        }
        let readable = self.readable(pdp, who);
        let named: Vec<_> = readable.iter().take(FILTERS_NAMED_MAX).map(|filter| format!("`{filter}`")).collect();
        let instead = match readable.len().saturating_sub(named.len()) {
            _ if named.is_empty() => "nothing else either".to_owned(),
            0 => format!("only {}", named.join(", ")),
            more => format!("only {} and {more} more", named.join(", ")),
        };
        // The administrator puts it into a shell, where a quotation mark in a name would end the argument.
        let quoted = filter.as_str().replace('\'', r"'\''");
        let reason = format!(
            "the policies do not let {sub} subscribe all that `{filter}` covers: {instead}; the administrator sees why \
             with: aups policy explain --reader {sub} --filter '{quoted}'"
        );
        (false, reason)
    }

    /// A NOS without a lease of its KTM knows neither who may read now nor who is registered.
    pub(super) fn check_current(&self) -> Result<(), Refusal> {
        self.ktm.current().map_err(|_| Refusal::later(unavailable(), Duration::from_secs(1)))
    }

    fn check_fresh(&self, sub: &Sub, freshness: &Freshness, now: UnixMillis) -> Result<(), Refusal> {
        let fresh = match freshness {
            Freshness::IssuedAt(iat) => is_fresh(*iat, now),
            Freshness::Challenge(challenge) => self.challenges.verify(challenge, sub, now).is_ok(),
        };
        if fresh {
            return Ok(());
        }
        let challenge = self.challenges.issue(sub, now, CHALLENGE_LIFE);
        Err(unauthorised().with("now", now.0).with("challenge", challenge).into())
    }

    /// What is published on a reader's topic is that reader's. How much, whoever takes it from the broker has looked at.
    fn check_origin(&self, origin: &Origin, sub: &Sub) -> Result<(), Refusal> {
        match origin {
            Origin::Http(address) => self.check_address(*address),
            Origin::Mqtt(of_topic) if of_topic == sub => Ok(()),
            Origin::Mqtt(_) => Err(unauthorised().into()),
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refusal> {
        self.by_address.take(sender_network(address), 1, Instant::now()).map_err(too_many)
    }

    fn check_reader(&self, sub: &Sub) -> Result<(), Refusal> {
        self.by_reader.take(sub.clone(), 1, Instant::now()).map_err(too_many)
    }

    /// The same answer, after the same work, for an unknown reader and for a bad signature.
    fn verify(&self, bytes: &[u8], sub: &Sub) -> Result<(Arc<Reader>, KeyRequest), Refusal> {
        let reader = self.readers.reader(sub);
        let request = KeyRequest::verify(bytes, &self.verifying_key(reader.as_deref()));
        match (reader, request) {
            (Some(reader), Ok(request)) if reader.keys.is_some() => Ok((reader, request)),
            _ => Err(unauthorised().into()),
        }
    }

    /// A reader's key; for one who has none, the NOS's own, under which no request of a reader verifies.
    fn verifying_key(&self, reader: Option<&Reader>) -> VerifyingKey {
        reader
            .and_then(|reader| reader.keys.as_ref())
            .map_or_else(|| self.signing_key.public(), |keys| keys.signing_key)
    }

    /// This NOS's own certificate among those of all.
    fn certificate(&self, all: &[String], now: UnixMillis) -> Result<String, Refusal> {
        let mut known = self.certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = known.as_ref().filter(|certificate| all.contains(certificate)) {
            return Ok(certificate.clone());
        }
        let is_ours = |jws: &&String| {
            Certificate::verify(jws, &self.realm_key, now).is_ok_and(|certificate| certificate.nos == self.nos)
        };
        *known = all.iter().find(is_ours).cloned();
        known.clone().ok_or_else(|| {
            error!(nos = %self.nos, "the KTM lists no certificate of this NOS: key requests cannot be answered");
            Refusal::later(unavailable(), Duration::from_secs(5))
        })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The `jti`s of the requests of the last [`JTI_LIFE`] or two.
#[derive(Debug)]
struct Seen {
    young: HashSet<(Sub, [u8; 16])>,
    old: HashSet<(Sub, [u8; 16])>,
    since: Instant,
    entries_max: usize,
}

impl Seen {
    fn new(entries_max: usize, now: Instant) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), since: now, entries_max }
    }

    /// Remembers a `jti`, if it is new and there is room.
    fn take(&mut self, sub: Sub, jti: [u8; 16], now: Instant) -> Result<(), Refusal> {
        let age = now.saturating_duration_since(self.since);
        if age >= JTI_LIFE {
            self.old = std::mem::take(&mut self.young);
            if age >= 2 * JTI_LIFE {
                self.old.clear();
            }
            self.since = now;
        }
        let request = (sub, jti);
        if self.old.contains(&request) || self.young.contains(&request) {
            let detail = "this request was made before; make a new one with a new jti";
            return Err(Problem::new(409, "request-repeated", "request repeated", detail).into());
        }
        if self.young.len() + self.old.len() >= self.entries_max {
            return Err(Refusal::later(unavailable(), JTI_LIFE.saturating_sub(age)));
        }
        self.young.insert(request);
        Ok(())
    }
}

/// Whether a request that was signed at `iat` may be answered at `now`: it lies no more than [`REQUEST_AGE_MAX`] behind or ahead.
pub fn is_fresh(iat: UnixMillis, now: UnixMillis) -> bool {
    iat.since(now) <= REQUEST_AGE_MAX && now.since(iat) <= REQUEST_AGE_MAX
}

/// One body for an unknown reader and a bad signature: a stranger learns nothing.
fn unauthorised() -> Problem {
    Problem::new(
        401,
        "not-authenticated",
        "not authenticated",
        "the request must be signed by a reader enrolled in this realm, with iat within 60 s of now; \
         check the clock and the identity file, or enrol again",
    )
}

fn malformed(error: &KeyRequestError) -> Refusal {
    Problem::new(400, "key-request", "malformed key request", format!("{error}; docs/protocol.md has the form")).into()
}

fn too_many(after: Duration) -> Refusal {
    let detail = "too many requests; come back after as many seconds as Retry-After says";
    Refusal::later(Problem::new(429, "too-many-requests", "too many requests", detail), after)
}

fn unavailable() -> Problem {
    Problem::new(503, "unavailable", "not available now", "keys cannot be served now; try again later")
}

/// Nothing is handed out, and nothing is called denied that only could not be looked up.
fn ktm_failed(error: &KtmError) -> Refusal {
    error!(error = error as &dyn std::error::Error, "the KTM did not answer a key request");
    Refusal::later(unavailable(), Duration::from_secs(1))
}

/// Nothing is handed out that is not on record.
fn unrecorded(error: &LedgerError) -> Refusal {
    error!(error = &**error as &dyn std::error::Error, "the outcome of a key request cannot be recorded");
    Refusal::later(unavailable(), Duration::from_secs(1))
}

#[cfg(test)]
mod tests;
