//! Starting and driving the programs under test.

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long anything may take before a test gives up: far above what it takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A policy set that lets meteorologists read everything below `data`.
pub(crate) const METEO: &str = r#"
@id("meteo")
permit(principal, action == Action::"receive", resource in Topic::"data")
when { principal.roles.contains("meteorologist") };
"#;

/// A role of `aups` in a directory of its own. Killed when dropped.
pub(crate) struct Aups {
    child: Option<Child>,
    dir: TempDir,
    /// `up`, `ktm` or `nos`.
    role: &'static str,
    extra: Vec<String>,
    environment: Vec<(String, String)>,
    pub(crate) http: String,
    /// Of the broker; of a KTM, where NOSs connect.
    pub(crate) mqtt_port: u16,
}

impl Aups {
    /// In disk mode with the embedded broker, on free ports.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With further arguments.
    pub(crate) fn start_with(extra: &[&str]) -> Self {
        Self::start_role("up", extra)
    }

    /// One role alone.
    pub(crate) fn start_role(role: &'static str, extra: &[&str]) -> Self {
        let extra = extra.iter().map(ToString::to_string).collect();
        let dir = tempfile::tempdir().unwrap();
        let environment = Vec::new();
        let mut aups = Self { child: None, dir, role, extra, environment, http: String::new(), mqtt_port: 0 };
        aups.up("127.0.0.1:0", "127.0.0.1:0");
        aups
    }

    /// Kills it with SIGKILL and starts it again on the same ports and directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Starts it again on the same ports and directory.
    pub(crate) fn start_again(&mut self) {
        let (http, mqtt) = (self.http.clone(), format!("127.0.0.1:{}", self.mqtt_port));
        self.up(&http, &mqtt);
    }

    /// The same, but does not wait until it is ready.
    pub(crate) fn start_unattended(&mut self) {
        let (http, mqtt) = (self.http.clone(), format!("127.0.0.1:{}", self.mqtt_port));
        self.child = Some(self.spawn_role(&http, &mqtt, Stdio::null()));
    }

    /// What it finds in its environment from the next start on.
    pub(crate) fn set_environment(&mut self, environment: Vec<(String, String)>) {
        self.environment = environment;
    }

    /// Leaves its files where they are, for people to look at.
    pub(crate) fn keep_files(&mut self) -> PathBuf {
        self.dir.disable_cleanup(true);
        self.dir.path().to_owned()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// How it ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().unwrap()
    }

    /// Kills it with SIGKILL while others use it. To be [started again](Self::kill_and_restart).
    pub(crate) fn kill_now(&self) {
        self.signal("-KILL");
    }

    /// Sends it a signal: `-STOP` lets it neither answer nor hang up, `-CONT` lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The most memory that it had at once so far (Linux).
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.as_ref().unwrap().id());
        let status = fs::read_to_string(status).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self) -> Output {
        let child = self.child.take().unwrap();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait_with_output().unwrap()
    }

    fn up(&mut self, http: &str, mqtt: &str) {
        let mut child = self.spawn_role(http, mqtt, Stdio::piped());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(rest) = line.trim().strip_prefix("ready http=") else {
            panic!("`aups {}` said {line:?}, and to its log:\n{}", self.role, self.log());
        };
        let (http, other) = rest.split_once(' ').unwrap();
        self.http = http.into();
        self.mqtt_port = other.rsplit_once(':').unwrap().1.parse().unwrap();
        self.child = Some(child);
    }

    fn spawn_role(&self, http: &str, mqtt: &str, stdout: Stdio) -> Child {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        Command::new(env!("CARGO_BIN_EXE_aups"))
            .args([self.role, "--http", http, if self.role == "ktm" { "--link" } else { "--mqtt" }, mqtt])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(&self.extra)
            .envs(self.environment.iter().cloned())
            .stdout(stdout)
            .stderr(log)
            .spawn()
            .unwrap()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("aups-data")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        let scheme = if self.speaks_tls() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.http)
    }

    fn speaks_tls(&self) -> bool {
        self.extra.iter().any(|argument| argument.starts_with("--tls"))
    }

    /// The realm's authority, which vouches for its listeners.
    pub(crate) fn ca(&self) -> PathBuf {
        self.data_dir().join("ca.pem")
    }

    pub(crate) fn admin_token(&self) -> String {
        fs::read_to_string(self.data_dir().join("admin.token")).unwrap().trim().into()
    }

    /// Runs a subcommand against this server.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_with(args, &[])
    }

    /// The same with variables in the environment.
    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Output {
        self.aups(args).envs(environment.iter().copied()).stdin(Stdio::null()).output().unwrap()
    }

    /// A subcommand against this server, not yet started.
    pub(crate) fn aups(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
        command.args(args).args(["--server", &self.url("")]).arg("--data-dir").arg(self.data_dir());
        command.current_dir(self.dir.path());
        command
    }

    /// Runs a subcommand that must succeed, and gives what it printed.
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "aups {args:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }

    /// Applies a policy set.
    pub(crate) fn apply(&self, policies: &str) -> String {
        fs::write(self.file("policies.cedar"), policies).unwrap();
        self.ok(&["policy", "apply", "policies.cedar"])
    }

    /// Registers a user with these arguments and enrols it; gives its identity.
    pub(crate) fn reader(&self, name: &str, args: &[&str]) -> Value {
        let token = self.ok(&[&["user", "add", name][..], args].concat());
        let out = format!("{name}.json");
        self.enrol(token.trim(), &out, &[]);
        serde_json::from_slice(&fs::read(self.file(&out)).unwrap()).unwrap()
    }

    pub(crate) fn enrol(&self, token: &str, out: &str, args: &[&str]) {
        self.ok(&[&["enrol", "--token", token, "--out", out][..], args].concat());
    }

    /// Registers a source; gives its credential.
    pub(crate) fn source(&self, node: &str) -> String {
        let body = json!({"NodeId": node, "NodeType": "sensor", "CommunicationMode": "discrete"});
        let answer = self.post("/registration", &body.to_string(), &[("Content-Type", "application/json")]);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["credential"].as_str().unwrap().into()
    }

    /// Sends data as a registered source.
    pub(crate) fn send(&self, credential: &str, body: &str) -> Answer {
        self.post("/data", body, &[("Authorization", &format!("Bearer {credential}"))])
    }

    pub(crate) fn post(&self, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("POST", path, body.as_bytes(), headers)
    }

    /// One HTTP request over a connection of its own.
    pub(crate) fn request(&self, method: &str, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        curl(&self.url(path), self.speaks_tls().then(|| self.ca()).as_deref(), method, body, headers)
    }

    /// A request with the administrator's token.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        self.admin_with(method, path, body, &[])
    }

    /// The same with further headers.
    pub(crate) fn admin_with(&self, method: &str, path: &str, body: &str, headers: &[(&str, &str)]) -> Answer {
        let authorization = format!("Bearer {}", self.admin_token());
        self.request(method, path, body.as_bytes(), &[&[("Authorization", authorization.as_str())], headers].concat())
    }

    /// `aups sub --json` of a meteorologist who is subscribed to all data, and the credential of a source.
    pub(crate) fn subscribed_alice(&self) -> (Lines, String) {
        self.apply(METEO);
        self.reader("alice", &["--attr", "roles=meteorologist"]);
        let credential = self.source("sensor1");
        let mut alice = self.spawn(&["sub", "--as", "alice.json", "data/#", "--json"]);
        // Subscribed when the first item came.
        while alice.next_within(Duration::from_millis(300)).is_none() {
            assert_eq!(self.send(&credential, r#"{"name":"start","value":0}"#).status, 202);
        }
        (alice, credential)
    }

    /// Sends the numbers of a range as readings named `count`, as a stream of lines.
    pub(crate) fn send_counts(&self, credential: &str, values: std::ops::Range<u64>) {
        let accepted = values.end - values.start;
        let lines: Vec<String> = values.map(|value| format!(r#"{{"name":"count","value":{value}}}"#)).collect();
        let authorization = format!("Bearer {credential}");
        let headers = [("Content-Type", "application/x-ndjson"), ("Authorization", authorization.as_str())];
        assert_eq!(self.post("/data", &lines.join("\n"), &headers).json()["accepted"], accepted);
    }

    /// A stock `mosquitto_sub` with this identity (or none), not yet started.
    pub(crate) fn mosquitto_sub(&self, identity: Option<&Value>, args: &[&str]) -> Command {
        mosquitto("mosquitto_sub", self.mqtt_port, identity, args)
    }

    /// A stock `mosquitto_pub`, likewise.
    pub(crate) fn mosquitto_pub(&self, identity: Option<&Value>, args: &[&str]) -> Command {
        mosquitto("mosquitto_pub", self.mqtt_port, identity, args)
    }

    /// A subcommand that runs on, its lines to be read as they come.
    pub(crate) fn spawn(&self, args: &[&str]) -> Lines {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aups"));
        command.args(args).current_dir(self.dir.path());
        Lines::of(&mut command)
    }
}

impl Drop for Aups {
    fn drop(&mut self) {
        self.kill();
    }
}

fn mosquitto(program: &str, port: u16, identity: Option<&Value>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(args);
    if let Some(identity) = identity {
        let mqtt = &identity["mqtt"];
        command.args(["-u", mqtt["username"].as_str().unwrap(), "-P", mqtt["password"].as_str().unwrap()]);
    }
    command
}

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) etag: String,
    /// `Aups-Item-Id`, empty where there is none.
    pub(crate) item_id: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// Asserts a problem+json of this status and gives its code.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.content_type, "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().len() > 10 && problem["title"].is_string(), "{problem}");
        problem["type"].as_str().unwrap().strip_prefix("urn:aups:error:").unwrap().into()
    }
}

fn curl(url: &str, ca: Option<&Path>, method: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
    let mut command = Command::new("curl");
    command.args([
        "-sS",
        "--max-time",
        "60",
        "-X",
        method,
        url,
        "-w",
        "\n%{http_code}\t%{content_type}\t%header{etag}\t%header{aups-item-id}",
    ]);
    if let Some(ca) = ca {
        command.arg("--cacert").arg(ca);
    }
    // No header unless a test says so: curl would claim a form.
    command.args(["-H", "Content-Type:", "-H", "Expect:"]);
    for (name, value) in headers {
        command.args(["-H", &format!("{name}: {value}")]);
    }
    if !body.is_empty() {
        command.args(["--data-binary", "@-"]);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A server may refuse a body before it has read it all.
    let _ = child.stdin.take().unwrap().write_all(body);
    let output = text(&child.wait_with_output().unwrap().stdout);
    let (body, status) = output.rsplit_once('\n').unwrap();
    let mut told = status.split('\t').map(str::to_owned);
    let mut next = || told.next().unwrap_or_default();
    Answer { status: next().parse().unwrap(), content_type: next(), etag: next(), item_id: next(), body: body.into() }
}

/// A program whose output is read line by line. Killed when dropped.
pub(crate) struct Lines {
    child: Child,
    received: std::sync::mpsc::Receiver<String>,
    errors: std::thread::JoinHandle<String>,
}

impl Lines {
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, received) = std::sync::mpsc::sync_channel(100_000);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let errors = std::thread::spawn(move || {
            let mut all = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stderr, &mut all);
            text(&all)
        });
        Self { child, received, errors }
    }

    /// The next line, waited for.
    pub(crate) fn next(&mut self) -> String {
        self.next_within(PATIENCE).unwrap_or_else(|| panic!("no line came"))
    }

    pub(crate) fn next_within(&mut self, patience: Duration) -> Option<String> {
        self.received.recv_timeout(patience).ok()
    }

    /// Waits for the end: exit code, what was not read yet of stdout, and stderr.
    pub(crate) fn finish(mut self) -> (Option<i32>, Vec<String>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    let _ = self.child.kill();
                    break self.child.wait().unwrap();
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let rest = self.received.iter().collect();
        let errors = std::mem::replace(&mut self.errors, std::thread::spawn(String::new)).join().unwrap();
        (status.code(), rest, errors)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Lines {
    /// Reads items of [`Aups::send_counts`] until each of these values came, once.
    pub(crate) fn expect_counts(&mut self, values: std::ops::Range<u64>) {
        let mut missing: std::collections::HashSet<u64> = values.collect();
        while !missing.is_empty() {
            let line = self.next_within(PATIENCE).unwrap_or_else(|| panic!("{} values are missing", missing.len()));
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["item"]["data"]["name"] == "count" {
                let value = line["item"]["data"]["value"].as_u64().unwrap();
                assert!(missing.remove(&value), "{value} came twice");
            }
        }
    }
}

/// Runs a command to its end: exit code, stdout, stderr.
pub(crate) fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A real Mosquitto that takes anybody, on a port of its own, in a directory of its own.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Mosquitto {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// With further lines of its configuration.
    pub(crate) fn start_with(config: &str) -> Self {
        // Mosquitto cannot tell which port 0 became: take one that is free now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let location = dir.path().display();
        let config = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {location}/\nuser root\n\
             max_queued_messages 0\n{config}"
        );
        fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::spawn(dir.path(), port);
        Self { child, port, dir }
    }

    /// The same, with rules on who may do what.
    pub(crate) fn start_with_acl(rules: &str) -> Self {
        let mut mosquitto = Self::start();
        mosquitto.stop();
        fs::write(mosquitto.acl_file(), rules).unwrap();
        mosquitto.start_again();
        mosquitto
    }

    /// Changes the rules while it runs.
    pub(crate) fn set_acl(&self, rules: &str) {
        fs::write(self.acl_file(), rules).unwrap();
        assert!(Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap().success());
    }

    fn acl_file(&self) -> PathBuf {
        self.dir.path().join("acl")
    }

    fn spawn(dir: &Path, port: u16) -> Child {
        let config = dir.join("mosquitto.conf");
        let acl = dir.join("acl");
        if acl.exists() {
            let line = format!("acl_file {}\n", acl.display());
            fs::OpenOptions::new().append(true).open(&config).unwrap().write_all(line.as_bytes()).unwrap();
        }
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child =
            Command::new(program).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        child
    }

    /// Ends it, saving its sessions, as a service manager would.
    pub(crate) fn stop(&mut self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap();
    }

    pub(crate) fn start_again(&mut self) {
        self.child = Self::spawn(self.dir.path(), self.port);
    }

    pub(crate) fn sub(&self, args: &[&str]) -> Lines {
        Lines::of(&mut self.sub_command(args))
    }

    /// A stock `mosquitto_sub`, not yet started.
    pub(crate) fn sub_command(&self, args: &[&str]) -> Command {
        mosquitto("mosquitto_sub", self.port, None, args)
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
