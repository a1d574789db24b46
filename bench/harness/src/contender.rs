//! What is compared: programs that take `POST /data`, each started on loopback and stopped at the end.

use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::{
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr},
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

/// Longest wait until a program listens.
const START_WAIT_MAX: Duration = Duration::from_secs(30);

/// A running contender; it ends when this is dropped.
pub(crate) struct Contender {
    name: &'static str,
    http: SocketAddr,
    bearer: Option<String>,
    broker: Option<Broker>,
    _processes: Vec<Child>,
    _folder: TempDir,
}

/// Where a contender publishes.
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    /// What to subscribe to for everything.
    pub(crate) filter: &'static str,
    /// User and password, if it asks.
    pub(crate) login: Option<(String, String)>,
}

impl Contender {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/data", self.http)
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        self.bearer.as_deref()
    }

    pub(crate) fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// A server that answers 202.
    pub(crate) async fn bare() -> anyhow::Result<Self> {
        let (process, ready) = start(Command::new(env::current_exe()?).arg("bare")).await?;
        Self::alone("bare axum", process, &ready, None)
    }

    /// The chain without AUPS.
    pub(crate) async fn plain() -> anyhow::Result<Self> {
        let (process, ready) = start(Command::new(env::current_exe()?).arg("plain")).await?;
        let broker = Broker {
            address: address(&ready, "mqtt")?,
            filter: "data/#",
            login: Some(("bench".into(), "bench".into())),
        };
        Self::alone("without AUPS", process, &ready, Some(broker))
    }

    fn alone(name: &'static str, process: Child, ready: &str, broker: Option<Broker>) -> anyhow::Result<Self> {
        let http = address(ready, "http")?;
        Ok(Self { name, http, bearer: None, broker, _processes: vec![process], _folder: tempfile::tempdir()? })
    }

    /// `aups up` with one registered source, one policy, one enrolled reader.
    pub(crate) async fn aups(name: &'static str, program: &Path, durability: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data_dir = folder.path().join("data");
        let mut up = Command::new(program);
        up.arg("up").arg("--data-dir").arg(&data_dir).args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        let (process, ready) = start(up.args(["--durability", durability, "--log", "error"])).await?;
        let http = address(&ready, "http")?;
        let server = format!("http://{http}");

        let source = r#"{"NodeId":"sensor1","NodeType":"sensor","CommunicationMode":"discrete"}"#;
        let registered = reqwest::Client::builder()
            .no_proxy()
            .build()?
            .post(format!("{server}/registration"))
            .header("Content-Type", "application/json")
            .body(source)
            .send()
            .await?
            .error_for_status()?;
        let source: Registered = registered.json().await?;

        let policy = folder.path().join("bench.cedar");
        std::fs::write(&policy, "permit(principal, action == Action::\"receive\", resource in Topic::\"data\");")?;
        let identity = folder.path().join("reader.json");
        let admin = [Path::new("--server"), server.as_ref(), Path::new("--data-dir"), &data_dir];
        output(Command::new(program).args(["policy", "apply"]).arg(&policy).args(admin)).await?;
        let token = output(Command::new(program).args(["user", "add", "reader"]).args(admin)).await?;
        let mut enrol = Command::new(program);
        enrol.args(["enrol", "--server", &server, "--token", token.trim(), "--out"]).arg(&identity);
        output(&mut enrol).await?;
        let reader: Identity = serde_json::from_slice(&std::fs::read(&identity)?)?;
        let login = Some((reader.mqtt.username, reader.mqtt.password));

        let broker = Some(Broker { address: address(&ready, "mqtt")?, filter: "data/#", login });
        let bearer = Some(source.credential);
        Ok(Self { name, http, bearer, broker, _processes: vec![process], _folder: folder })
    }

    /// The paper's stack in Node.js with AES-256-GCM, and a Mosquitto.
    pub(crate) async fn paper_stack(peers: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (http, mqtt) = (free_address().await?, free_address().await?);
        let settings = folder.path().join("mosquitto.conf");
        std::fs::write(&settings, format!("listener {} 127.0.0.1\nallow_anonymous true\n", mqtt.port()))?;
        let mosquitto = spawn(Command::new("mosquitto").arg("-c").arg(&settings).stderr(Stdio::null()))?;
        let listening = async {
            while TcpStream::connect(mqtt).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(START_WAIT_MAX, listening).await.context("mosquitto does not listen")?;
        let ports = [http.port().to_string(), mqtt.port().to_string()];
        let mut node = Command::new("node");
        let (node, _) = start(node.current_dir(peers).arg("paper-stack.js").args(ports).args(["aups", "0"])).await?;
        let broker = Some(Broker { address: mqtt, filter: "campodenno/#", login: None });
        Ok(Self {
            name: "paper's stack",
            http,
            bearer: None,
            broker,
            _processes: vec![node, mosquitto],
            _folder: folder,
        })
    }
}

/// A server with honest sources and one whose credential attackers have; it ends when this is dropped.
pub(crate) struct Flooded {
    http: SocketAddr,
    honest: Vec<String>,
    flooder: String,
    admin_token: String,
    client: reqwest::Client,
    _process: Child,
    _folder: TempDir,
}

impl Flooded {
    /// Honest sources.
    pub(crate) const HONEST: usize = 10;

    /// `aups up` as it is by default, but for a quota of a registered source: 200 items a second.
    pub(crate) async fn start(program: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let data_dir = folder.path().join("data");
        let mut up = Command::new(program);
        up.arg("up").arg("--data-dir").arg(&data_dir).args(["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        let (process, ready) = start(up.args(["--log", "error"])).await?;
        let http = address(&ready, "http")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        let admin_token = std::fs::read_to_string(data_dir.join("admin.token"))?.trim().to_owned();
        let config = r#"{"quotas":{"registered":{"items":{"perSecond":200,"burst":200}}}}"#;
        let put = client.put(format!("http://{http}/v1/config")).bearer_auth(&admin_token);
        put.header("Content-Type", "application/json").body(config).send().await?.error_for_status()?;
        let mut credentials = Vec::new();
        for number in 0..=Self::HONEST {
            let source = format!(r#"{{"NodeId":"s{number}","NodeType":"t","CommunicationMode":"m"}}"#);
            let registered = client.post(format!("http://{http}/registration")).body(source).send().await?;
            let Registered { credential } = registered.error_for_status()?.json().await?;
            credentials.push(credential);
        }
        let flooder = credentials.pop().context("none is registered")?;
        Ok(Self { http, honest: credentials, flooder, admin_token, client, _process: process, _folder: folder })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/data", self.http)
    }

    /// The credential of the honest source whose turn it is.
    pub(crate) fn honest(&self, turn: u32) -> &str {
        let turn = usize::try_from(turn).unwrap_or_default() % self.honest.len().max(1);
        self.honest.get(turn).map_or("", String::as_str)
    }

    /// A credential that attackers have.
    pub(crate) fn flooder(&self) -> &str {
        &self.flooder
    }

    /// Whether an attacker's address is in quarantine, or the source whose credential attackers have.
    pub(crate) async fn keeps_out(&self, address: IpAddr) -> anyhow::Result<bool> {
        let asked = self.client.get(format!("http://{}/v1/quarantine", self.http)).bearer_auth(&self.admin_token);
        let listed = asked.send().await?.error_for_status()?.text().await?;
        let last = format!("source:s{}\"", Self::HONEST);
        Ok(listed.contains(&format!("address:{address}\"")) || listed.contains(&last))
    }
}

/// The 201 body of a registration, as far as it concerns us.
#[derive(Deserialize)]
struct Registered {
    credential: String,
}

/// An identity file, as far as it concerns us.
#[derive(Deserialize)]
struct Identity {
    mqtt: MqttLogin,
}

#[derive(Deserialize)]
struct MqttLogin {
    username: String,
    password: String,
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
        bail!("{command:?} ended before it was ready")
    };
    let ready = timeout(START_WAIT_MAX, ready).await.with_context(|| format!("{command:?} does not get ready"))??;
    Ok((process, ready))
}

fn spawn(command: &mut Command) -> anyhow::Result<Child> {
    command.stdin(Stdio::null()).kill_on_drop(true).spawn().with_context(|| format!("{command:?} did not start"))
}

/// Runs a program to its end and takes what it prints.
async fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().await.with_context(|| format!("{command:?} did not start"))?;
    if !output.status.success() {
        bail!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The address after `name=` in a line of words.
fn address(ready: &str, name: &str) -> anyhow::Result<SocketAddr> {
    let word = ready.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    word.with_context(|| format!("no {name}= in `{ready}`"))?.parse().with_context(|| format!("in `{ready}`"))
}

/// A loopback address that is free now, for programs that cannot pick one.
async fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}
