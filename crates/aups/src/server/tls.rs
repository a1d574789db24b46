//! TLS of a process's listeners: by certificates of the realm's own authority, which are renewed, or by the administrator's files,
//! which are read again when they change. And what everybody may know of the authority.

use super::{
    http::{self, Refused},
    process::Process,
    serving::PROTOCOLS,
};
use crate::settings::ServerSettings;
use anyhow::{Context as _, bail};
use aups_core::{Problem, UnixMillis};
use aups_envelope::{SigningKey, authority, enrol::CA_BYTES_MAX};
use aups_ktm::{
    Ca,
    ca::{SERVER_CERTIFICATE_LIFE, ServerIdentity},
    link::RemoteKtm,
};
use aups_net::tls::{self, ServerCertificate};
use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::get,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, DnsName, PrivateKeyDer},
};
use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{interval, sleep, timeout},
};

/// How often it is looked whether a certificate of the realm's is to be renewed.
const RENEWAL_LOOKED_AT_EVERY: Duration = Duration::from_hours(1);
/// How often it is looked whether the administrator's files changed.
const FILES_LOOKED_AT_EVERY: Duration = Duration::from_secs(10);
/// How long a NOS waits for its KTM when it starts without a certificate for its listeners.
const FIRST_CERTIFICATE_MAX: Duration = Duration::from_secs(10);
const FIRST_CERTIFICATE_ASKED_AGAIN: Duration = Duration::from_millis(200);
/// Largest file with certificates or a key that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Who makes certificates.
pub(super) enum Authority {
    /// The realm's, in this process, and the realm's key.
    Here { ca: Arc<Ca>, authority: String },
    /// The realm's, which is asked for over the link.
    AtKtm(Arc<RemoteKtm>),
}

impl Authority {
    pub(super) fn here(ca: Arc<Ca>, realm: &SigningKey) -> Self {
        let authority = authority::sign(ca.certificate_pem(), realm);
        Self::Here { ca, authority }
    }

    async fn issue(&self, names: &[String]) -> anyhow::Result<Issued> {
        match self {
            Self::Here { ca, authority } => Ok(Issued {
                server: ca.issue_listener(names)?,
                known: Known { pem: ca.certificate_pem().to_owned(), statement: authority.clone() },
            }),
            Self::AtKtm(ktm) => {
                let identity = ktm.listener(names).await?;
                let (pem, statement) = identity.authority();
                let known = Known { pem: pem.to_owned(), statement: statement.to_owned() };
                Ok(Issued { server: identity.server()?, known })
            }
        }
    }

    /// A NOS that was just started may have to wait until its KTM has heard of it.
    async fn issue_first(&self, names: &[String]) -> anyhow::Result<Issued> {
        let asked = async {
            loop {
                match self.issue(names).await {
                    Err(error) if error.downcast_ref().is_some_and(aups_ktm::KtmError::is_temporary) => {
                        sleep(FIRST_CERTIFICATE_ASKED_AGAIN).await;
                    }
                    done => return done,
                }
            }
        };
        timeout(FIRST_CERTIFICATE_MAX, asked).await.context("the KTM does not answer")?
    }
}

struct Issued {
    server: ServerIdentity,
    known: Known,
}

/// What everybody may know of the authority.
#[derive(Debug, Clone)]
struct Known {
    pem: String,
    /// The realm's word on it (`aups-ca`).
    statement: String,
}

/// TLS of a process.
#[derive(Debug)]
pub(super) struct Tls {
    /// None: nothing speaks TLS.
    certificate: Option<Arc<ServerCertificate>>,
    /// None: this NOS has not heard from its KTM yet.
    authority: Option<Known>,
    /// Whose certificates readers find.
    readers_trust: Option<String>,
}

impl Tls {
    /// What the settings ask for. `listeners`: those of this process.
    pub(super) async fn open(
        process: &mut Process,
        settings: &ServerSettings,
        listeners: &[SocketAddr],
        authority: Authority,
    ) -> anyhow::Result<Self> {
        let wanted = listeners.iter().any(|address| settings.speaks_tls(*address));
        let names = names(settings, listeners);
        let issued = match authority.issue_first(&names).await {
            Ok(issued) => Some(issued),
            Err(error) if wanted && settings.tls_files().is_none() => {
                return Err(error.context(format!("no certificate for {}", names.join(", "))));
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the realm's authority is not known here yet");
                None
            }
        };
        let known = issued.as_ref().map(|issued| issued.known.clone());
        if let Some(known) = &known {
            write_ca(&process.dir.join("ca.pem"), &known.pem)?;
        }
        let mut readers_trust = broker_ca(settings)?;
        let certificate = match (wanted, settings.tls_files(), issued) {
            (false, ..) | (true, None, None) => None,
            (true, Some((chain, key)), _) => Some(follow_files(process, chain, key)?),
            (true, None, Some(Issued { server, known })) => {
                let ServerIdentity { chain, key, expires } = server;
                let held = ServerCertificate::new(chain, key)?;
                tracing::info!(?names, %expires, "TLS by a certificate of the realm's authority; who connects needs ca.pem");
                let clock = Arc::clone(&process.clock);
                let now = move || clock.now();
                process.keep_up(renew(Arc::clone(&held), authority, names, expires, now));
                if readers_trust.is_none() && settings.broker.as_ref().is_some_and(|url| url.starts_with("mqtts:")) {
                    bail!(
                        "readers trust one set of authorities, and the realm's is not that of {}: give the broker's with \
                         --broker-ca, also if the system knows it",
                        settings.broker.as_deref().unwrap_or_default()
                    );
                }
                readers_trust.get_or_insert_default().insert_str(0, &known.pem);
                Some(held)
            }
        };
        let bytes = readers_trust.as_ref().map_or(0, String::len);
        if bytes > CA_BYTES_MAX {
            bail!(
                "the --broker-ca file is too long: readers take {CA_BYTES_MAX} bytes of authorities, and this makes {bytes}"
            );
        }
        Ok(Self { certificate, authority: known, readers_trust })
    }

    /// For the HTTP listener, if it speaks TLS.
    pub(super) fn http(&self, settings: &ServerSettings) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        self.config(settings.speaks_tls(settings.http), &PROTOCOLS)
    }

    /// For that of the broker.
    pub(super) fn mqtt(&self, settings: &ServerSettings) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        self.config(settings.speaks_tls(settings.mqtt), &[])
    }

    fn config(&self, speaks: bool, protocols: &[&[u8]]) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let certificate = self.certificate.as_ref().filter(|_| speaks);
        Ok(certificate.map(|held| Arc::clone(held).server_config(protocols)).transpose()?)
    }

    /// The authorities that readers need to know, in PEM.
    pub(super) fn readers_trust(&self) -> Option<String> {
        self.readers_trust.clone()
    }

    /// `/ca.pem`, and the realm's word on it.
    pub(super) fn routes(&self) -> Router {
        let (pem, statement) = (self.authority.clone(), self.authority.clone());
        Router::new()
            .route("/ca.pem", get(async move || told(pem.map(|known| known.pem), "application/pem-certificate-chain")))
            .route("/v1/ca", get(async move || told(statement.map(|known| known.statement), "application/jose")))
    }
}

fn told(text: Option<String>, media_type: &'static str) -> Response {
    if let Some(text) = text {
        return ([(CONTENT_TYPE, media_type)], text).into_response();
    }
    let detail = "this NOS has not heard of its realm's authority: start it again when its KTM runs";
    let problem = Problem::new(503, "unavailable", "Not available now", detail);
    Refused::later(problem, http::UNAVAILABLE_FOR).into_response()
}

/// Under which names and addresses the listeners are reached.
fn names(settings: &ServerSettings, listeners: &[SocketAddr]) -> Vec<String> {
    let hosts_of_urls = [&settings.public_url, &settings.public_mqtt_url].into_iter().flatten().filter_map(|url| {
        let url = reqwest::Url::parse(url).ok()?;
        Some(url.host_str()?.trim_matches(['[', ']']).to_owned())
    });
    let mut names: Vec<String> = settings.tls_name.iter().cloned().chain(hosts_of_urls).collect();
    for address in listeners {
        if address.ip().is_unspecified() {
            names.extend(outward(*address).map(|ip| ip.to_string()));
            names.extend(host_name());
        } else {
            names.push(address.ip().to_canonical().to_string());
        }
    }
    names.extend(["localhost", "127.0.0.1", "::1"].map(str::to_owned));
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.to_ascii_lowercase()));
    names
}

/// How others name a listener that listens everywhere, unless they are told: by its name, or the address of the way out.
pub(super) fn reached_at(settings: &ServerSettings, address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let named = settings.tls_name.first().cloned();
    let host = named.unwrap_or_else(|| outward(address).unwrap_or(Ipv4Addr::LOCALHOST.into()).to_string());
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("{host}:{}", address.port())
}

/// This machine's address on the way to others. Nothing is sent.
fn outward(listener: SocketAddr) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849): nobody has them.
    let (here, there) = if listener.is_ipv4() { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(here).ok()?;
    socket.connect(there).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}

/// This machine's name, where the system has a file that tells it.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname")).ok()?;
    let name = name.trim();
    // A machine may be called what no certificate can name.
    (name != "(none)" && DnsName::try_from(name).is_ok()).then(|| name.to_owned())
}

/// The authorities of another broker, which readers connect to as well.
fn broker_ca(settings: &ServerSettings) -> anyhow::Result<Option<String>> {
    let Some(path) = settings.broker_ca.as_ref().filter(|_| settings.broker.is_some()) else { return Ok(None) };
    let pem = read_bounded(path)?;
    tls::Authorities::from_pem(&pem).with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(Some(String::from_utf8_lossy(&pem).into_owned()))
}

async fn renew(
    held: Arc<ServerCertificate>,
    authority: Authority,
    names: Vec<String>,
    mut expires: UnixMillis,
    now: impl Fn() -> UnixMillis,
) {
    loop {
        sleep(RENEWAL_LOOKED_AT_EVERY).await;
        if expires.since(now()) > SERVER_CERTIFICATE_LIFE / 2 {
            continue;
        }
        let renewed = authority.issue(&names).await.and_then(|Issued { server, .. }| {
            held.replace(server.chain, server.key)?;
            Ok(server.expires)
        });
        match renewed {
            Ok(until) => {
                tracing::info!(expires = %until, "renewed the certificate of the listeners");
                expires = until;
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), %expires, "cannot renew the certificate of the listeners");
            }
        }
    }
}

/// A certificate of the administrator's, read again when its files change or SIGHUP comes.
fn follow_files(process: &mut Process, chain: PathBuf, key: PathBuf) -> anyhow::Result<Arc<ServerCertificate>> {
    let (certificates, private_key) = read_files(&chain, &key)?;
    let belongs = || format!("{} is not the key of {}", key.display(), chain.display());
    let held = ServerCertificate::new(certificates, private_key).with_context(belongs)?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let follower = Arc::clone(&held);
    process.keep_up(async move {
        let (mut read, mut ticks) = (changed(&chain, &key), interval(FILES_LOOKED_AT_EVERY));
        loop {
            let asked = tokio::select! {
                _ = ticks.tick() => false,
                _ = hang_up.recv() => true,
            };
            let found = changed(&chain, &key);
            if found == read && !asked {
                continue;
            }
            let replaced = read_files(&chain, &key).and_then(|(chain, key)| Ok(follower.replace(chain, key)?));
            match replaced {
                Ok(()) => {
                    read = found;
                    tracing::info!(certificate = %chain.display(), "read the certificate of the listeners again");
                }
                Err(error) => tracing::error!(error = format!("{error:#}"), "the certificate stays the one before"),
            }
        }
    });
    Ok(held)
}

fn changed(chain: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [chain, key].map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_files(chain: &Path, key: &Path) -> anyhow::Result<ChainAndKey> {
    let certificates =
        tls::chain_from_pem(&read_bounded(chain)?).with_context(|| format!("{} cannot be used", chain.display()))?;
    let key_pem = aups_envelope::SecretBytes::from_vec(read_bounded(key)?);
    let private_key =
        tls::key_from_pem(key_pem.expose()).with_context(|| format!("{} cannot be used", key.display()))?;
    Ok((certificates, private_key))
}

fn read_bounded(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let bytes = fs::metadata(path).with_context(failed)?.len();
    anyhow::ensure!(bytes <= FILE_BYTES_MAX, "{} is larger than {FILE_BYTES_MAX} bytes", path.display());
    fs::read(path).with_context(failed)
}

/// For whoever may look into the data directory; everybody else gets it over HTTP.
fn write_ca(path: &Path, pem: &str) -> anyhow::Result<()> {
    let write = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut aside = tempfile::NamedTempFile::new_in(dir)?;
        aside.write_all(pem.as_bytes())?;
        aside.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        aside.as_file().sync_all()?;
        aside.persist(path).map_err(|error| error.error)
    };
    write().map(drop).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests;
