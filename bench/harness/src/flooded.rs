//! The server that is flooded.

use anyhow::Context as _;
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

/// Longest wait until it listens.
const START_WAIT_MAX: Duration = Duration::from_secs(30);

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
        let http = http_address(&ready)?;
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

/// Starts a program and waits for the line on its standard output that starts with `ready`.
async fn start(command: &mut Command) -> anyhow::Result<(Child, String)> {
    let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    let mut process = started.with_context(|| format!("{command:?} did not start"))?;
    let mut lines = BufReader::new(process.stdout.take().context("no standard output")?).lines();
    let line = timeout(START_WAIT_MAX, lines.next_line()).await;
    let line = line.with_context(|| format!("{command:?} does not get ready"))??;
    Ok((process, line.with_context(|| format!("{command:?} ended before it was ready"))?))
}

/// The address after `http=` in the ready line.
fn http_address(ready: &str) -> anyhow::Result<SocketAddr> {
    let word = ready.split(' ').find_map(|word| word.strip_prefix("http="));
    word.and_then(|word| word.parse().ok()).with_context(|| format!("no http= in `{ready}`"))
}
