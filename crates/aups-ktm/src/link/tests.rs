use super::*;
use crate::{Ca, KeysTopicsManager, Ktm, KtmError, KtmSettings, custody::Keyring, fixture};
use aups_core::{Bump, Clock, ManualClock, ScopeSpec};
use aups_envelope::{KeyEntry, SigningKey};
use aups_store::{Change, Expect, InMemory, Store};
use fixture::{LIFE, NOW, kek};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::{Instant, sleep, timeout},
};

mod admission;
mod conformance;
mod cut;
mod hostile;
mod revisions;

/// Long enough for a machine under load, far shorter than anything that goes wrong would take.
const SOON: Duration = Duration::from_secs(20);

/// A realm with its KTM, to which NOSs are linked.
struct Realm {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
    keyring: Keyring,
    ktm: Arc<Ktm>,
    ca: Arc<Ca>,
    host: Arc<Host>,
    server: LinkServer,
    lease: Duration,
}

impl Realm {
    async fn new() -> Self {
        Self::with_lease(LEASE).await
    }

    async fn with_lease(lease: Duration) -> Self {
        let (store, clock): (Arc<dyn Store>, _) = (Arc::new(InMemory::new()), Arc::new(ManualClock::at(NOW)));
        Self::open(store, clock, kek(), "127.0.0.1:0".parse().unwrap(), lease).await
    }

    async fn open(
        store: Arc<dyn Store>,
        clock: Arc<ManualClock>,
        keyring: Keyring,
        listen: SocketAddr,
        lease: Duration,
    ) -> Self {
        let ktm = Ktm::open(store.clone(), keyring.clone(), clock.clone(), KtmSettings::default()).await.unwrap();
        let (ktm, host) = (Arc::new(ktm), Arc::new(Host::default()));
        let ca = Arc::new(Ca::open(store.clone(), &keyring, clock.clone()).await.unwrap());
        let parts = LinkParts {
            listener: bind(listen).await,
            ktm: ktm.clone(),
            ca: ca.clone(),
            store: store.clone(),
            host: host.clone(),
            clock: clock.clone(),
            prefixes: vec!["reader/".into(), "policy/".into()],
            lease,
        };
        let server = LinkServer::start(parts).await.unwrap();
        Self { store, clock, keyring, ktm, ca, host, server, lease }
    }

    /// The same after a stop and a start, at the same address.
    async fn restarted(self) -> Self {
        let Self { store, clock, keyring, server, lease, .. } = self;
        let address = server.local_addr();
        drop(server);
        Self::open(store, clock, keyring, address, lease).await
    }

    fn spec(&self, n: u32) -> ScopeSpec {
        fixture::spec(self.ktm.realm().id(), n, LIFE)
    }

    fn url(&self) -> String {
        format!("https://{}", self.server.local_addr())
    }

    /// A NOS that is admitted, has its copy and a lease.
    async fn nos(&self, name: &str) -> Linked {
        self.nos_at(name, self.url()).await
    }

    async fn nos_at(&self, name: &str, url: String) -> Linked {
        let token = self.server.admit(&name.parse().unwrap()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let linked = Linked::connect(url, dir, Some(token), self.clock.now()).await.unwrap();
        timeout(SOON, linked.ktm.ready()).await.expect("the NOS gets its copy and a lease");
        linked
    }

    /// Changes a record that NOSs follow.
    async fn put(&self, key: &str, value: &'static str) -> Revision {
        self.store.put_if(key, value.into(), Expect::Any).await.unwrap()
    }

    fn status(&self, nos: &str) -> NodeStatus {
        self.server.nodes().into_iter().find(|node| node.nos.as_str() == nos).unwrap()
    }
}

async fn bind(address: SocketAddr) -> TcpListener {
    // The one before lets go of the address when its task is gone.
    for _ in 0..500 {
        if let Ok(listener) = LinkServer::bind(address).await {
            return listener;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{address} stays in use");
}

/// A NOS's end, with what it follows.
struct Linked {
    ktm: RemoteKtm,
    copy: Arc<Copy>,
    wall: Arc<ManualClock>,
    url: String,
    dir: TempDir,
}

impl Linked {
    async fn connect(
        url: String,
        dir: TempDir,
        admission: Option<AdmissionToken>,
        now: UnixMillis,
    ) -> Result<Self, LinkError> {
        let (copy, wall) = (Arc::new(Copy::default()), Arc::new(ManualClock::at(now)));
        let settings = LinkSettings { url: url.clone(), dir: dir.path().into(), admission, clock: wall.clone() };
        let ktm = RemoteKtm::connect(settings, |_| copy.clone()).await?;
        Ok(Self { ktm, copy, wall, url, dir })
    }

    /// The same NOS after a restart.
    async fn restarted(self) -> Self {
        let Self { ktm, wall, url, dir, .. } = self;
        drop(ktm);
        Self::connect(url, dir, None, wall.now()).await.unwrap()
    }

    async fn scope(&self, spec: &ScopeSpec) -> KeyEntry {
        self.ktm.ensure_scope(spec).await.unwrap();
        self.ktm.sealing_key(&spec.id).await.unwrap()
    }

    async fn applied(&self, revision: Revision) {
        let mut applied = self.ktm.remote.applied.subscribe();
        let waited = timeout(SOON, applied.wait_for(|applied| follow::has_applied(*applied, revision))).await;
        waited.expect("the revision comes").unwrap();
    }
}

/// What a NOS follows, kept as it comes.
#[derive(Debug, Default)]
struct Copy {
    records: Mutex<BTreeMap<String, Bytes>>,
    snapshots: Mutex<Vec<Revision>>,
    commits: Mutex<Vec<Revision>>,
    broken: AtomicBool,
    /// Held by a test: nothing is applied meanwhile.
    gate: tokio::sync::Mutex<()>,
}

impl Copy {
    fn get(&self, key: &str) -> Option<Bytes> {
        self.records.lock().unwrap().get(key).cloned()
    }

    fn broken(&self) -> Result<(), HostError> {
        if self.broken.load(Ordering::SeqCst) { Err("the copy cannot be written".into()) } else { Ok(()) }
    }
}

impl Follower for Copy {
    fn snapshot(&self, revision: Revision, records: Vec<Record>) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move {
            let _open = self.gate.lock().await;
            self.broken()?;
            *self.records.lock().unwrap() = records.into_iter().map(|record| (record.key, record.value)).collect();
            self.snapshots.lock().unwrap().push(revision);
            Ok(())
        })
    }

    fn apply(&self, revision: Revision, changes: Vec<Changed>) -> BoxFuture<'_, Result<(), HostError>> {
        Box::pin(async move {
            let _open = self.gate.lock().await;
            self.broken()?;
            for change in changes {
                let mut records = self.records.lock().unwrap();
                match change.value {
                    Some(value) => drop(records.insert(change.key, value)),
                    None => drop(records.remove(&change.key)),
                }
            }
            self.commits.lock().unwrap().push(revision);
            Ok(())
        })
    }
}

/// The rest of the KTM's process.
#[derive(Debug, Default)]
struct Host {
    enrolments: Mutex<Vec<(NosId, Enrolment)>>,
    uses: Mutex<Vec<(NosId, TopicUse)>>,
}

impl LinkHost for Host {
    fn enrol<'a>(&'a self, nos: &'a NosId, enrolment: Enrolment) -> BoxFuture<'a, Enrolled> {
        self.enrolments.lock().unwrap().push((nos.clone(), enrolment));
        let enrolled = Enrolled { status: 201, content_type: "application/jose".into(), body: "jws".into() };
        Box::pin(async { enrolled })
    }

    fn uses<'a>(&'a self, nos: &'a NosId, uses: Vec<TopicUse>) -> BoxFuture<'a, Result<(), HostError>> {
        self.uses.lock().unwrap().extend(uses.into_iter().map(|used| (nos.clone(), used)));
        Box::pin(async { Ok(()) })
    }
}

/// A way to the KTM that a test can cut.
struct Proxy {
    address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Proxy {
    async fn to(realm: &Realm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, to) = (listener.local_addr().unwrap(), realm.server.local_addr());
        let whole = watch::Sender::new(true);
        let cut = whole.subscribe();
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let mut cut = cut.clone();
                if *cut.borrow_and_update() {
                    tokio::spawn(async move {
                        tokio::select! {
                            () = pass(from, to) => {}
                            _ = cut.wait_for(|whole| !whole) => {}
                        }
                    });
                }
            }
        });
        Self { address, whole }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    fn cut(&self) {
        self.whole.send_replace(false);
    }

    fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut from: TcpStream, to: SocketAddr) {
    if let Ok(mut to) = TcpStream::connect(to).await {
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}

#[test]
fn an_admission_token_comes_back_from_its_text() {
    let token = AdmissionToken { secret: Secret::from_bytes([1; 32]), authority: [2; 32] };
    let text = token.expose();
    let again: AdmissionToken = text.parse().unwrap();
    assert_eq!((again.secret.expose(), again.authority), (&[1; 32], [2; 32]));
    assert!(!format!("{token:?}").contains(text.split_once('.').unwrap().0));
    for wrong in ["", ".", "a.b", text.get(1..).unwrap(), &format!("{text}.x"), &text.replace('.', ":")] {
        assert!(wrong.parse::<AdmissionToken>().is_err(), "{wrong}");
    }
}
