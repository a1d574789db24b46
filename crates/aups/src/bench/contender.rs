//! What is compared: programs that take `POST /data`, each in processes of its own, so that the processor time and the memory of each are its
//! alone; on loopback, started for a measurement and stopped after it.

mod programs;

use super::{generator::Target, usage::Usage};
use crate::{
    access::Access,
    cli::{admin, failure::Failure, http},
    settings::Durability,
};
use anyhow::{Context as _, bail};
use aups_client::{Identity, enrol};
use aups_envelope::{identity::IdentityFile, kem::Kem};
use aups_nos::settings::BacklogLimits;
use clap::ValueEnum;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, Url};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

pub(crate) use programs::Programs;

/// Longest wait until a program listens.
const START_WAIT_MAX: Duration = Duration::from_secs(30);
/// Sources and readers that are registered at the same time.
const SET_UP_AT_ONCE: usize = 16;
/// Items between 202 and the broker's acknowledgement where memory is scarce: some 6 MB.
const FRUGAL_BACKLOG_ITEMS_MAX: usize = 4_096;
/// How often it is tried whether it does, where it does not say so.
const START_TRIED_EVERY: Duration = Duration::from_millis(20);

/// Which contender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// This program: sources known by their credentials, policies, keys, seal, publish
    With,
    /// The same chain without all that: published in clear. In the bench harness only
    Without,
    /// The same HTTP server library, which reads a body and answers 202
    Bare,
    /// The paper's stack in Node.js, with a Mosquitto
    PaperStack,
}

impl Kind {
    /// As it is named on the command line and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::With => "with",
            Self::Without => "without",
            Self::Bare => "bare",
            Self::PaperStack => "paper-stack",
        }
    }
}

/// How contenders are set up; what does not concern one, it does not notice.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// Sources that are registered, by `NodeId`.
    pub(crate) node_ids: Vec<String>,
    /// Policies that are applied.
    pub(crate) policies: String,
    /// Users that are registered and enrolled, as bodies of `POST /v1/users`. Who subscribes to ciphertext does so as the first of them.
    pub(crate) readers: Vec<Value>,
    /// What a 202 means.
    pub(crate) durability: Durability,
    /// Another broker than the embedded one, which lets anybody publish and subscribe.
    pub(crate) broker: Option<Url>,
    /// As for a machine where memory is scarce: few items may wait to be published, and memory is asked for as it is needed, not
    /// ahead of time: else a limit on what is asked for limits little.
    pub(crate) frugal: bool,
}

/// A running contender. It ends when this is dropped; better [stopped](Self::stop).
pub(crate) struct Contender {
    kind: Kind,
    target: Target,
    subscription: Option<Subscription>,
    identities: Vec<Identity>,
    access: Option<Access>,
    processes: Vec<Child>,
    folder: TempDir,
}

/// Where a contender publishes.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    pub(crate) broker: SocketAddr,
    /// What to subscribe to for everything.
    pub(crate) filter: &'static str,
    /// User name and password.
    pub(crate) login: Option<Login>,
}

/// Who subscribes.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

impl Contender {
    /// Starts one. It listens when this comes back.
    pub(crate) async fn start(kind: Kind, setup: &Setup, programs: &Programs) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("aups-").tempdir().context("cannot make a temporary directory")?;
        match kind {
            Kind::With => Self::with(setup, folder).await,
            Kind::Without => Ok(Self::without(setup, programs.harness()?, folder).await?),
            Kind::Bare => {
                let (process, ready) = start(Command::new(programs.harness()?).arg("bare")).await?;
                Ok(Self::unregistered(kind, setup, address(&ready, "http")?, vec![process], folder))
            }
            Kind::PaperStack => Ok(Self::paper_stack(setup, programs.peers()?, folder).await?),
        }
    }

    /// Which one.
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Where to post, and as whom.
    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    /// Where it publishes; `None`: nowhere.
    pub(crate) const fn subscription(&self) -> Option<&Subscription> {
        self.subscription.as_ref()
    }

    /// The enrolled readers, in the order of the set-up; none where nobody enrols, or after they were taken.
    pub(crate) fn take_identities(&mut self) -> Vec<Identity> {
        std::mem::take(&mut self.identities)
    }

    /// Its administrator, where it has one.
    pub(crate) const fn access(&self) -> Option<&Access> {
        self.access.as_ref()
    }

    /// What one of its metrics says, named with its labels; nothing where it has none.
    pub(crate) async fn metric(&self, name: &str) -> Result<Option<f64>, Failure> {
        let Some(access) = &self.access else { return Ok(None) };
        let answer = access.http().get(http::at(access.url(), "/metrics")).send().await;
        let text = answer.context("the server's metrics")?.text().await.context("the server's metrics")?;
        Ok(text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok()))
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().filter_map(Child::id).collect()
    }

    /// What its processes took so far.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        self.processes.iter().try_fold(Usage::default(), |sum, process| {
            let pid = process.id().with_context(|| format!("`{}` has ended", self.kind.name()))?;
            Ok(sum + Usage::of(pid)?)
        })
    }

    /// Ends its processes and removes its folder.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        for process in &mut self.processes {
            process.kill().await.context("cannot stop a contender")?;
        }
        self.folder.close().context("cannot remove a temporary directory")?;
        Ok(())
    }

    async fn with(setup: &Setup, folder: TempDir) -> Result<Self, Failure> {
        let data_dir = folder.path().join("data");
        let mut up = Command::new(std::env::current_exe().context("this program's own file")?);
        up.args(["up", "--log", "error", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir);
        up.args(["--durability", if setup.durability == Durability::Memory { "memory" } else { "disk" }]);
        if let Some(broker) = &setup.broker {
            up.args(["--broker", broker.as_str()]);
        }
        if setup.frugal {
            up.env("MIMALLOC_ARENA_EAGER_COMMIT", "0").env("MIMALLOC_PAGE_COMMIT_ON_DEMAND", "1");
        }
        let (process, ready) = start(&mut up).await?;
        let http = address(&ready, "http")?;
        let url = format!("http://{http}").parse().context("the server's own address")?;
        let access = Access::new(url, admin::read_token(&data_dir.join("admin.token"))?)?;
        let credentials = register_sources(&access, setup).await?;
        access.apply(setup.policies.clone()).await?;
        let identities = enrol_readers(&access, &setup.readers).await?;
        let subscription = Subscription {
            broker: match &setup.broker {
                Some(broker) => at(broker).await?,
                None => address(&ready, "mqtt")?,
            },
            filter: "data/#",
            login: identities.first().map(login).transpose()?,
        };
        Ok(Self {
            kind: Kind::With,
            target: Target { http, credentials },
            subscription: Some(subscription),
            identities,
            access: Some(access),
            processes: vec![process],
            folder,
        })
    }

    async fn without(setup: &Setup, harness: &Path, folder: TempDir) -> anyhow::Result<Self> {
        let mut plain = Command::new(harness);
        plain.arg("plain");
        if let Some(broker) = &setup.broker {
            plain.args(["--broker", broker.as_str()]);
        }
        let (process, ready) = start(&mut plain).await?;
        let broker = match &setup.broker {
            Some(broker) => at(broker).await?,
            None => address(&ready, "mqtt")?,
        };
        let login = Some(Login { username: "bench".into(), password: "bench".into() });
        let contender = Self::unregistered(Kind::Without, setup, address(&ready, "http")?, vec![process], folder);
        Ok(Self { subscription: Some(Subscription { broker, filter: "data/#", login }), ..contender })
    }

    async fn paper_stack(setup: &Setup, peers: &Path, folder: TempDir) -> anyhow::Result<Self> {
        let (http, broker) = (free_address().await?, free_address().await?);
        let settings = folder.path().join("mosquitto.conf");
        fs::write(&settings, format!("listener {} 127.0.0.1\nallow_anonymous true\n", broker.port()))?;
        let mosquitto = spawn(Command::new("mosquitto").arg("-c").arg(&settings).stderr(Stdio::null()))?;
        let listening = async {
            while TcpStream::connect(broker).await.is_err() {
                sleep(START_TRIED_EVERY).await;
            }
        };
        timeout(START_WAIT_MAX, listening).await.context("mosquitto does not listen")?;
        let ports = [http.port().to_string(), broker.port().to_string()];
        let mut node = Command::new("node");
        let (node, _) = start(node.current_dir(peers).arg("paper-stack.js").args(ports).args(["aups", "0"])).await?;
        let contender = Self::unregistered(Kind::PaperStack, setup, http, vec![node, mosquitto], folder);
        Ok(Self { subscription: Some(Subscription { broker, filter: "campodenno/#", login: None }), ..contender })
    }

    /// A contender that asks nobody who he is: whoever sends says which node it is in place of a credential.
    fn unregistered(kind: Kind, setup: &Setup, http: SocketAddr, processes: Vec<Child>, folder: TempDir) -> Self {
        let target = Target { http, credentials: setup.node_ids.clone() };
        Self { kind, target, subscription: None, identities: Vec::new(), access: None, processes, folder }
    }
}

/// The credentials of its sources.
async fn register_sources(access: &Access, setup: &Setup) -> Result<Vec<String>, Failure> {
    // Registrations count as items of the unregistered, of whom one address may send few.
    let backlog_items_max = if setup.frugal { FRUGAL_BACKLOG_ITEMS_MAX } else { BacklogLimits::default().items_max };
    let limits = json!({ "backlogItemsMax": backlog_items_max });
    let config = json!({ "quotas": { "unregistered": null }, "limits": limits });
    let _: Value = access.admin().send_json(Method::PUT, "/v1/config", &config).await?;
    let registered = setup.node_ids.iter().map(|node_id| access.register_source(node_id));
    stream::iter(registered).buffered(SET_UP_AT_ONCE).try_collect().await
}

async fn enrol_readers(access: &Access, readers: &[Value]) -> Result<Vec<Identity>, Failure> {
    let enrolled = readers.iter().map(async |reader| {
        let token = access.register_reader("users", reader).await?;
        let enrolled = enrol(access.url().as_str(), &token, Kem::X25519, None).await;
        Ok::<_, Failure>(enrolled.context("a reader does not enrol")?)
    });
    stream::iter(enrolled).buffered(SET_UP_AT_ONCE).try_collect().await
}

/// How a reader logs in at the broker.
fn login(identity: &Identity) -> anyhow::Result<Login> {
    let IdentityFile { mqtt, .. } = identity_file(identity)?;
    Ok(Login { username: mqtt.username, password: mqtt.password })
}

/// What an identity holds, which the SDK shows to nobody but its file.
pub(super) fn identity_file(identity: &Identity) -> anyhow::Result<IdentityFile> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("identity.json");
    identity.save(&path)?;
    Ok(IdentityFile::from_json(&fs::read(path)?)?)
}

/// Starts a program and waits for the line on its standard output that starts with `ready`.
async fn start(command: &mut Command) -> anyhow::Result<(Child, String)> {
    let mut process = spawn(command.stdout(Stdio::piped()))?;
    let mut lines = BufReader::new(process.stdout.take().context("no standard output")?).lines();
    let ready = async {
        while let Some(line) = lines.next_line().await? {
            if line.starts_with("ready") {
                return Ok(line);
            }
        }
        bail!("{} ended before it was ready", program(command))
    };
    let ready = timeout(START_WAIT_MAX, ready).await;
    Ok((process, ready.with_context(|| format!("{} does not get ready", program(command)))??))
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    // Ctrl-C is for the bench alone: it ends what it started.
    let child = command.stdin(Stdio::null()).process_group(0).kill_on_drop(true).spawn();
    child.with_context(|| format!("{} did not start", program(command)))
}

fn program(command: &Command) -> String {
    command.as_std().get_program().to_string_lossy().into_owned()
}

/// The address after `name=` in a line of words.
fn address(ready: &str, name: &str) -> anyhow::Result<SocketAddr> {
    let word = ready.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.with_context(|| format!("no {name}= in `{ready}`"))?.parse().with_context(|| format!("in `{ready}`"))
}

/// The address of a broker.
async fn at(broker: &Url) -> anyhow::Result<SocketAddr> {
    let host = broker.host_str().with_context(|| format!("`{broker}` names no host"))?;
    let mut found = tokio::net::lookup_host((host, broker.port().unwrap_or(MQTT_PORT))).await?;
    found.next().with_context(|| format!("`{host}` has no address"))
}

/// Port of MQTT over TCP where a URL names none.
const MQTT_PORT: u16 = 1883;

/// A loopback address that is free now, for programs that cannot pick one.
async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}
