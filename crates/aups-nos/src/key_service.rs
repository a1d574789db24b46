//! The key service: readers ask for temporary keys (`POST /v1/keys`) and for what they may subscribe to
//! (`GET /v1/topics`). DESIGN section 7 to the letter.
//!
//! Checks come in this order, cheap before dear, and those that a stranger could turn against somebody else after the
//! signature: size, form, freshness, rate by address, reader known and signature, realm, rate by reader, jti, policy, seal.

use crate::{
    bounded_log::BoundedLog,
    config::KeyServiceLimits,
    problem::Refusal,
    rate::{Buckets, sender_network},
    southbound::{
        address, bearer,
        body::{BodyError, discard, read_body},
    },
};
use aups_core::{
    Clock, Filter, KeyId, NosId, Principal, Problem, RealmId, ScopeId, ScopeSpec, Sub, UnixMillis,
    limits::{KEY_REQUEST_BYTES_MAX, REQUEST_AGE_MAX},
};
use aups_envelope::{
    SigningKey, VerifyingKey,
    bearer::Bearer,
    kem::KemPublicKey,
    key_request::{
        Certificate, ChallengeKey, Freshness, Grants, KeyRequest, KeyRequestError, Wanted, seal_key_response,
    },
    realm_id,
};
use aups_ktm::{KeysTopicsManager, KtmError};
use aups_policy::{Pdp, RequestContext, Residuals, judge_by_name};
use axum::{
    Json,
    body::Body,
    extract::{Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tracing::{debug, error};

/// The media type of compact JWS (RFC 7515 section 9.2.1).
const JOSE: &str = "application/jose";
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

/// Answers key requests.
pub(crate) struct KeyService {
    nos: NosId,
    realm: RealmId,
    realm_key: VerifyingKey,
    signing_key: Arc<SigningKey>,
    ktm: Arc<dyn KeysTopicsManager>,
    readers: Arc<dyn Readers>,
    policies: watch::Receiver<Arc<Pdp>>,
    /// First levels of topics on which something may be published.
    first_levels: Vec<String>,
    residuals: Arc<Residuals>,
    failures: Mutex<HashMap<ScopeId, BoundedLog>>,
    clock: Arc<dyn Clock>,
    challenges: ChallengeKey,
    by_address: Buckets<IpAddr>,
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
    pub(crate) policies: watch::Receiver<Arc<Pdp>>,
    pub(crate) first_levels: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: KeyServiceLimits,
}

/// `POST /v1/keys`.
pub(crate) async fn post_keys(State(service): State<Arc<KeyService>>, request: Request) -> Response {
    let from = address(&request);
    let (head, mut body) = request.into_parts();
    match service.answer(&head.headers, &mut body, from).await {
        Ok(response) => response,
        Err(refusal) => {
            discard(&mut body, &head.headers).await;
            refusal.into_response()
        }
    }
}

/// `GET /v1/topics`.
pub(crate) async fn get_topics(State(service): State<Arc<KeyService>>, request: Request) -> Response {
    service.topics(&request, address(&request)).unwrap_or_else(IntoResponse::into_response)
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
            policies,
            first_levels,
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
            policies,
            first_levels,
            residuals,
            failures: Mutex::default(),
            clock,
            challenges: ChallengeKey::generate(),
            by_address: Buckets::new(limits.address_rate),
            by_reader: Buckets::new(limits.reader_rate),
            seen: Mutex::new(Seen::new(limits.jtis_max, Instant::now())),
            certificate: Mutex::new(None),
        }
    }

    async fn answer(&self, headers: &HeaderMap, body: &mut Body, address: IpAddr) -> Result<Response, Refusal> {
        check_media_type(headers)?;
        let bytes = read_body(body, KEY_REQUEST_BYTES_MAX).await.map_err(request_unread)?;
        let unverified = KeyRequest::peek(&bytes).map_err(|error| malformed(&error))?;
        let now = self.clock.now();
        self.check_fresh(&unverified.sub, &unverified.freshness, now)?;
        self.check_address(address)?;
        let (reader, request) = self.verify(&bytes, &unverified.sub)?;
        let Some(keys) = &reader.keys else { return Err(unauthorised().into()) };
        if request.aud != self.realm {
            return Err(unauthorised().into());
        }
        self.check_reader(&request.sub)?;
        self.seen().take(request.sub.clone(), request.jti, Instant::now())?;
        let grants =
            self.decide(&reader.principal, &request.want, now, address).await.map_err(|error| ktm_failed(&error))?;
        self.check_unchanged(&reader)?;
        let certificate = self.certificate(&grants.publishers, now)?;
        let granted = !grants.keys.is_empty();
        let body = seal_key_response(&bytes, &grants, now, &self.nos, &certificate, &self.signing_key, &keys.kem)
            .map_err(|error| {
                error!(sub = %request.sub, error = &error as &dyn std::error::Error, "cannot seal to this reader");
                Refusal::from(Problem::new(
                    500,
                    "reader-key",
                    "reader's key unusable",
                    "nothing can be sealed to the key that you enrolled; ask for a new token and enrol again",
                ))
            })?;
        let status = if granted { StatusCode::OK } else { StatusCode::FORBIDDEN };
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static(JOSE)),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ];
        Ok((status, headers, body).into_response())
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
        want: &[Wanted],
        now: UnixMillis,
        address: IpAddr,
    ) -> Result<Grants, KtmError> {
        let context = RequestContext { at: Some(now), address: Some(address.to_canonical()) };
        let wanted: BTreeSet<KeyId> = want.iter().map(|wanted| wanted.key_id).collect();
        let mut grants = Grants { publishers: self.ktm.publishers().await?, ..Grants::default() };
        for key_id in &wanted {
            match self.ktm.resolve(key_id).await? {
                Some(resolved) if self.may_read(&resolved.spec, who, &context) => {
                    grants.keys.push(resolved.key);
                    grants.next.extend(resolved.next.filter(|next| !wanted.contains(&next.key_id)));
                }
                _ => grants.denied.push(*key_id),
            }
        }
        let count = |entries: usize| u64::try_from(entries).unwrap_or(u64::MAX);
        metrics::counter!("aups_keys_granted_total").increment(count(grants.keys.len()));
        metrics::counter!("aups_keys_denied_total").increment(count(grants.denied.len()));
        debug!(sub = %who.sub, granted = grants.keys.len(), denied = grants.denied.len(), "key request");
        Ok(grants)
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

    fn topics(&self, request: &Request, address: IpAddr) -> Result<Response, Refusal> {
        let token = bearer(request.headers())?.ok_or_else(unauthorised)?;
        let sub = Bearer::peek_sub(token.as_bytes()).map_err(|_| unauthorised())?;
        self.check_address(address)?;
        let reader = self.readers.reader(&sub);
        let bearer = Bearer::verify(token.as_bytes(), &self.verifying_key(reader.as_deref()));
        let (Some(reader), Ok(bearer)) = (reader, bearer) else { return Err(unauthorised().into()) };
        if reader.keys.is_none() || bearer.aud != self.realm {
            return Err(unauthorised().into());
        }
        let now = self.clock.now();
        if !is_fresh(bearer.iat, now) {
            return Err(unauthorised().with("now", now.0).into());
        }
        self.check_reader(&sub)?;
        let pdp = Arc::clone(&self.policies.borrow());
        let answer = match asked_filter(request.uri())? {
            Some(filter) => {
                let (accepted, reason) = self.judge(&pdp, &reader.principal, &filter);
                serde_json::json!({ "filter": filter, "accepted": accepted, "reason": reason })
            }
            None => serde_json::json!({ "items": self.readable(&pdp, &reader.principal) }),
        };
        Ok(Json(answer).into_response())
    }

    fn readable(&self, pdp: &Pdp, who: &Principal) -> Vec<Filter> {
        let first_levels: Vec<_> = self.first_levels.iter().map(String::as_str).collect();
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

fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let essence = |value: &HeaderValue| {
        value.to_str().ok().map(|text| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    };
    match headers.get(header::CONTENT_TYPE).map(essence) {
        None => Ok(()),
        Some(Some(essence)) if essence == JOSE => Ok(()),
        Some(_) => {
            let detail = "send a signed key request as application/jose";
            Err(Problem::new(415, "media-type", "media type not taken", detail).into())
        }
    }
}

/// The filter that the query names: `?filter=data/%23`.
fn asked_filter(uri: &Uri) -> Result<Option<Filter>, Refusal> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        filter: Option<String>,
    }
    let malformed = |detail: String| Problem::new(400, "malformed-query", "malformed query", detail);
    let Query(Asked { filter }) = Query::try_from_uri(uri)
        .map_err(|_| malformed("nothing may be asked but `filter`, once, percent-encoded".to_owned()))?;
    let Some(filter) = filter else { return Ok(None) };
    let parsed = filter.parse();
    let parsed =
        parsed.map_err(|error| malformed(format!("`{filter}` is no topic filter: {error}")).member("filter"))?;
    Ok(Some(parsed))
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

fn request_unread(error: BodyError) -> Refusal {
    match error {
        BodyError::TooLarge => Problem::new(
            413,
            "too-large",
            "body too large",
            format!("a key request has at most {KEY_REQUEST_BYTES_MAX} bytes; ask for fewer keys at once"),
        )
        .into(),
        other => other.into(),
    }
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

#[cfg(test)]
mod tests;
