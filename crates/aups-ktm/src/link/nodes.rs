//! The NOSs that are admitted: their certificates, what keys they were ever given, their leases.

use super::{ADMISSION_LIFE, AdmissionToken, wire::Base64};
use crate::{
    error::KtmError,
    publisher::PUBLISHERS_MAX,
    records::{Records, put},
    scope,
};
use aups_core::{NosId, ScopeId, UnixMillis};
use aups_envelope::{Secret, constant_time_eq, sha256};
use aups_store::{Change, Expect, Revision, Store};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    str::FromStr as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// How long a NOS may stay behind and still have its lease renewed.
const LAG_MAX: Duration = Duration::from_secs(10);

/// Certificates of one NOS that are taken: the newest, and the one before, for a renewal whose answer was lost.
const CERTIFICATES_MAX: usize = 2;

/// How often a NOS may follow revisions at the same time: once, and once more for each link that it lost and we still hold.
const FOLLOWING_MAX: u32 = 8;

/// Most records of what was given that one transaction removes.
const GIVEN_AT_ONCE: usize = 4_096;

const NODES: &str = "ktm/node/";
const GIVEN: &str = "ktm/given/";

fn node_key(nos: &NosId) -> String {
    format!("{NODES}{nos}")
}

fn given_key(nos: &NosId, scope: &ScopeId) -> String {
    format!("{GIVEN}{nos}/{scope}")
}

/// A NOS as it is stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NodeRecord {
    /// The token that may admit it, anew if it was admitted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    admission: Option<Admission>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    admitted: Option<UnixMillis>,
    /// The newest last.
    certificates: Vec<CertificateRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Admission {
    sha256: Base64,
    expires: UnixMillis,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CertificateRecord {
    sha256: Base64,
    expires: UnixMillis,
}

/// That a NOS was given a key of a scope: it stands in the record's key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenRecord {}

/// The NOSs of a realm, all in memory.
#[derive(Debug)]
pub(crate) struct Nodes {
    records: Records,
    lease: Duration,
    state: Mutex<State>,
    /// Moves when a NOS says what it has applied.
    reported: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    nodes: BTreeMap<NosId, Node>,
    by_certificate: HashMap<[u8; 32], NosId>,
    /// Leases of NOSs that were removed, or admitted anew as another process; they are not renewed.
    leaving: Vec<Standing>,
}

#[derive(Debug)]
struct Node {
    record: NodeRecord,
    given: HashSet<ScopeId>,
    standing: Standing,
    following: u32,
    skew_ms: Option<i64>,
    /// Closes its connections when it drops.
    admitted: watch::Sender<()>,
}

/// How far a NOS is, and how long it may go on.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    lease_until: Option<Instant>,
    applied: Revision,
    /// It must have applied so much to be given a lease once it has none: somebody was told that it holds everywhere.
    owed: Revision,
    /// What it had yet to apply when it was first seen behind.
    behind: Option<(Revision, Instant)>,
}

impl Standing {
    fn holds_lease(&self, now: Instant) -> bool {
        self.lease_until.is_some_and(|until| now < until)
    }

    /// Takes note of how far it is; whether its lease may be renewed.
    fn report(&mut self, applied: Revision, newest: Revision, now: Instant) -> bool {
        self.applied = applied;
        self.behind = self.behind.filter(|(wanted, _)| applied < *wanted);
        if self.behind.is_none() && applied < newest {
            self.behind = Some((newest, now));
        }
        let keeps_up = self.behind.is_none_or(|(_, since)| self.holds_lease(now) && now - since <= LAG_MAX);
        keeps_up && applied >= self.owed
    }
}

/// What is known of a NOS besides its slot.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) nos: NosId,
    pub(crate) admitted: Option<UnixMillis>,
    pub(crate) certificate_expires: Option<UnixMillis>,
    pub(crate) connected: bool,
    pub(crate) lease: Duration,
    pub(crate) applied: Revision,
    pub(crate) skew_ms: Option<i64>,
}

/// SHA-256 of a certificate: what a connection is known by.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    sha256(&[certificate])
}

impl Nodes {
    /// Reads the NOSs. Each counts as holding a lease from now on: we do not know when the one it has ends. Nor do we know which
    /// revisions were said to hold everywhere: each owes all that there are.
    pub(crate) async fn load(store: Arc<dyn Store>, lease: Duration) -> Result<Self, KtmError> {
        let records = Records::new(store);
        let lease_until = Instant::now() + lease;
        let mut state = State::default();
        let (found, owed) = records.list_as_of::<NodeRecord>(NODES).await?;
        for (key, record, _) in found {
            let nos = key.strip_prefix(NODES).and_then(|name| NosId::from_str(name).ok());
            let mut node = Node::new(record);
            node.standing.owed = owed;
            node.standing.lease_until = node.record.admitted.map(|_| lease_until);
            state.put(nos.ok_or(KtmError::Altered { key })?, node);
        }
        let scopes: HashSet<String> =
            records.list::<serde::de::IgnoredAny>(scope::PREFIX).await?.into_iter().map(|(key, _, _)| key).collect();
        let mut spent = Vec::new();
        for (key, GivenRecord {}, _) in records.list(GIVEN).await? {
            let parts = key.strip_prefix(GIVEN).and_then(|rest| rest.split_once('/'));
            let parts = parts.and_then(|(nos, scope)| Some((nos.parse().ok()?, scope.parse().ok()?)));
            let (nos, scope): (NosId, ScopeId) = parts.ok_or_else(|| KtmError::Altered { key: key.clone() })?;
            match state.nodes.get_mut(&nos) {
                Some(node) if scopes.contains(&scope::key(&scope)) => drop(node.given.insert(scope)),
                // The scope is gone, and its keys with it; or its NOS.
                _ => spent.push(key),
            }
        }
        let nodes = Self { records, lease, state: Mutex::new(state), reported: watch::Sender::new(0) };
        nodes.forget(spent).await?;
        Ok(nodes)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if it did, what is in there is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives out an admission token; one that was given out before holds no more.
    pub(crate) async fn admit(
        &self,
        nos: &NosId,
        authority: [u8; 32],
        now: UnixMillis,
    ) -> Result<AdmissionToken, KtmError> {
        let secret = Secret::random();
        let sha256 = Base64::of(&sha256(&[secret.expose()]));
        let mut record = self.record(nos).unwrap_or_default();
        if self.lock().nodes.len() >= PUBLISHERS_MAX && self.record(nos).is_none() {
            return Err(KtmError::PublishersFull { most: PUBLISHERS_MAX });
        }
        record.admission = Some(Admission { sha256, expires: now.plus(ADMISSION_LIFE) });
        self.write(nos, record).await?;
        Ok(AdmissionToken { secret, authority })
    }

    /// Which NOS a token is for, if it holds.
    pub(crate) fn admission(&self, token: &Secret<32>, now: UnixMillis) -> Option<NosId> {
        let hash = sha256(&[token.expose()]);
        let state = self.lock();
        let mut nodes = state.nodes.iter();
        let fits = |node: &Node| {
            let admission = node.record.admission.as_ref().filter(|admission| now < admission.expires);
            admission.is_some_and(|admission| constant_time_eq(&admission.sha256.0, &hash))
        };
        nodes.find(|(_, node)| fits(node)).map(|(nos, _)| nos.clone())
    }

    /// Uses a token up: from now on the NOS is known by this certificate alone.
    pub(crate) async fn admitted(
        &self,
        nos: &NosId,
        certificate: &CertificateDer<'_>,
        expires: UnixMillis,
        now: UnixMillis,
    ) -> Result<(), KtmError> {
        let certificates = vec![CertificateRecord { sha256: Base64::of(&fingerprint(certificate)), expires }];
        self.write(nos, NodeRecord { admission: None, admitted: Some(now), certificates }).await
    }

    /// The NOS is known by this certificate as well, and no longer by those before the one it has.
    pub(crate) async fn renewed(
        &self,
        nos: &NosId,
        certificate: &CertificateDer<'_>,
        expires: UnixMillis,
        held: &[u8; 32],
    ) -> Result<(), KtmError> {
        let mut record = self.record(nos).ok_or(KtmError::NotAdmitted)?;
        record.certificates.retain(|kept| *kept.sha256.0 == *held);
        record.certificates.push(CertificateRecord { sha256: Base64::of(&fingerprint(certificate)), expires });
        debug_assert!(record.certificates.len() <= CERTIFICATES_MAX);
        self.write(nos, record).await
    }

    /// Which NOS shows this certificate, if it may.
    pub(crate) fn known(&self, certificate: &[u8; 32], now: UnixMillis) -> Option<NosId> {
        let state = self.lock();
        let nos = state.by_certificate.get(certificate)?;
        let mut certificates = state.nodes.get(nos)?.record.certificates.iter();
        certificates.any(|kept| *kept.sha256.0 == *certificate && now < kept.expires).then(|| nos.clone())
    }

    /// Ends when the NOS is removed, or admitted anew.
    pub(crate) fn gone(&self, nos: &NosId) -> Option<watch::Receiver<()>> {
        self.lock().nodes.get(nos).map(|node| node.admitted.subscribe())
    }

    /// Writes down that a NOS is given keys of these scopes, before it is.
    pub(crate) async fn give(&self, nos: &NosId, scopes: &BTreeSet<ScopeId>) -> Result<(), KtmError> {
        let new: Vec<ScopeId> = {
            let state = self.lock();
            let given = &state.nodes.get(nos).ok_or(KtmError::NotAdmitted)?.given;
            scopes.iter().filter(|scope| !given.contains(*scope)).copied().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let changes = new.iter().map(|scope| put(&given_key(nos, scope), &GivenRecord {}, Expect::Any));
        self.records.commit(changes.collect::<Result<_, _>>()?).await?;
        if let Some(node) = self.lock().nodes.get_mut(nos) {
            node.given.extend(new);
        }
        Ok(())
    }

    /// Every scope that a NOS was ever given a key of, and the change that forgets the NOS. `None`: there is no such NOS.
    pub(crate) fn removing(&self, nos: &NosId) -> Option<(BTreeSet<ScopeId>, Change)> {
        let state = self.lock();
        let given = state.nodes.get(nos)?.given.iter().copied().collect();
        Some((given, Change::delete(node_key(nos), Expect::Any)))
    }

    /// To be called when that change was made.
    pub(crate) async fn removed(&self, nos: &NosId) -> Result<(), KtmError> {
        let Some(node) = self.lock().remove(nos) else { return Ok(()) };
        self.forget(node.given.iter().map(|scope| given_key(nos, scope)).collect()).await
    }

    async fn forget(&self, keys: Vec<String>) -> Result<(), KtmError> {
        for some in keys.chunks(GIVEN_AT_ONCE) {
            self.records.commit(some.iter().map(|key| Change::delete(key, Expect::Any)).collect()).await?;
        }
        Ok(())
    }

    /// Takes note of how far the NOS with this certificate is; the lease that it has from now on, zero if it is not renewed.
    pub(crate) fn renew_lease(
        &self,
        certificate: &[u8; 32],
        applied: Revision,
        newest: Revision,
        skew_ms: Option<i64>,
    ) -> Result<Duration, KtmError> {
        let (now, mut state) = (Instant::now(), self.lock());
        let State { nodes, by_certificate, .. } = &mut *state;
        // Not by name: the name may have passed to another process since the request came.
        let node = by_certificate.get(certificate).and_then(|nos| nodes.get_mut(nos)).ok_or(KtmError::NotAdmitted)?;
        node.skew_ms = skew_ms;
        let granted = node.standing.report(applied, newest, now);
        if granted {
            node.standing.lease_until = Some(now + self.lease);
        }
        drop(state);
        self.reported.send_modify(|reports| *reports += 1);
        Ok(if granted { self.lease } else { Duration::ZERO })
    }

    /// Waits until every NOS whose lease may still run has applied a revision. Those without a lease get none before they have.
    pub(crate) async fn settled(&self, revision: Revision) {
        let mut reported = self.reported.subscribe();
        while let Some(until) = self.unsettled(revision) {
            tokio::select! {
                () = sleep_until(until) => {}
                changed = reported.changed() => if changed.is_err() { return },
            }
        }
    }

    /// When the next lease ends of those that have not applied a revision.
    fn unsettled(&self, revision: Revision) -> Option<Instant> {
        let (now, mut state) = (Instant::now(), self.lock());
        let State { nodes, leaving, .. } = &mut *state;
        leaving.retain(|standing| standing.holds_lease(now));
        let standings = nodes.values_mut().map(|node| &mut node.standing).chain(leaving);
        let behind = standings.filter(|standing| standing.applied < revision).filter_map(|standing| {
            standing.owed = standing.owed.max(revision);
            standing.lease_until.filter(|until| now < *until)
        });
        behind.min()
    }

    /// Notes that a NOS follows revisions, for as long as the returned value lives. `None`: it does so too often already.
    pub(crate) fn follow(self: &Arc<Self>, nos: &NosId) -> Option<Following> {
        let mut state = self.lock();
        let node = state.nodes.get_mut(nos).filter(|node| node.following < FOLLOWING_MAX)?;
        node.following += 1;
        Some(Following { nodes: Arc::clone(self), nos: nos.clone() })
    }

    /// All of them, by name.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let (now, state) = (Instant::now(), self.lock());
        let rows = state.nodes.iter().map(|(nos, node)| Row {
            nos: nos.clone(),
            admitted: node.record.admitted,
            certificate_expires: node.record.certificates.last().map(|kept| kept.expires),
            connected: node.following > 0,
            lease: node.standing.lease_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now)),
            applied: node.standing.applied,
            skew_ms: node.skew_ms,
        });
        rows.collect()
    }

    fn record(&self, nos: &NosId) -> Option<NodeRecord> {
        self.lock().nodes.get(nos).map(|node| node.record.clone())
    }

    async fn write(&self, nos: &NosId, record: NodeRecord) -> Result<(), KtmError> {
        // One change at a time: see `Link::membership`.
        self.records.commit(vec![put(&node_key(nos), &record, Expect::Any)?]).await?;
        let mut state = self.lock();
        let anew =
            record.admission.is_none() && state.nodes.get(nos).is_some_and(|node| node.record.admission.is_some());
        let mut node = state.take(nos).unwrap_or_else(|| Node::new(NodeRecord::default()));
        node.record = record;
        if anew {
            // Whoever holds an older certificate is cut off; the lease that it has runs on.
            node.admitted = watch::Sender::new(());
            let owed = node.standing.owed;
            state.leave(std::mem::replace(&mut node.standing, Standing { owed, ..Standing::default() }));
        }
        state.put(nos.clone(), node);
        Ok(())
    }
}

impl Node {
    fn new(record: NodeRecord) -> Self {
        Self {
            record,
            given: HashSet::new(),
            standing: Standing::default(),
            following: 0,
            skew_ms: None,
            admitted: watch::Sender::new(()),
        }
    }
}

impl State {
    fn put(&mut self, nos: NosId, node: Node) {
        for kept in &node.record.certificates {
            if let Ok(certificate) = <[u8; 32]>::try_from(&*kept.sha256.0) {
                self.by_certificate.insert(certificate, nos.clone());
            }
        }
        self.nodes.insert(nos, node);
    }

    fn take(&mut self, nos: &NosId) -> Option<Node> {
        self.by_certificate.retain(|_, known| known != nos);
        self.nodes.remove(nos)
    }

    fn remove(&mut self, nos: &NosId) -> Option<Node> {
        let node = self.take(nos)?;
        self.leave(node.standing);
        Some(node)
    }

    /// Notes a lease that nobody renews. Those that ended are let go of: there are only as many as NOSs come within one lease.
    fn leave(&mut self, standing: Standing) {
        let now = Instant::now();
        self.leaving.push(standing);
        self.leaving.retain(|standing| standing.holds_lease(now));
    }
}

/// That a NOS follows revisions.
#[derive(Debug)]
pub(crate) struct Following {
    nodes: Arc<Nodes>,
    nos: NosId,
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(node) = self.nodes.lock().nodes.get_mut(&self.nos) {
            node.following = node.following.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
