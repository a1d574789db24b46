//! `cargo xtask api`: whether the server answers as its own description of the API says, asked by Schemathesis
//! (schemathesis.io), which makes requests of the description, sound ones and others.

use crate::command::{self, cargo, find, program, root};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The version that is run: another one may ask otherwise.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// What must hold of every answer: no 5xx, and a status and a content type that the description names.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance";
/// Longest wait for an answer, in seconds.
const ANSWER_WAIT_S: &str = "20";

/// Runs it against a server of its own: as an administrator, and as nobody.
pub(crate) fn run(options: &[&str]) -> Result<()> {
    let (mut examples, mut seed) = ("4", "1");
    for pair in options.chunks(2) {
        match pair {
            ["--examples", number] => examples = number,
            ["--seed", number] => seed = number,
            _ => bail!("usage: cargo xtask api [--examples 4] [--seed 1]"),
        }
    }
    if find("python3").is_none() {
        println!(
            "SKIPPED: the API is not tested, for there is no python3 here; install it (with its venv) and run this again"
        );
        return Ok(());
    }
    let schemathesis = schemathesis()?;
    let server = Server::start()?;
    let token = format!("Authorization: Bearer {}", server.token()?);
    for (who, headers) in [("an administrator", vec!["-H", token.as_str()]), ("nobody", vec![])] {
        println!("asking as {who}");
        let mut asking = program(&schemathesis, &["run"]);
        asking.arg(root().join("crates/aups/src/server/openapi.json")).args(["--url", &server.url]);
        asking.args(headers).args(["--checks", CHECKS, "--seed", seed, "--max-examples", examples]);
        asking.args(["--phases", "examples,coverage,fuzzing", "--generation-deterministic", "--no-color"]);
        asking.args(["--request-timeout", ANSWER_WAIT_S, "--suppress-health-check", "all", "--warnings", "off"]);
        asking.env("PYTHONPATH", root().join("xtask/src/api")).env("SCHEMATHESIS_HOOKS", "hooks");
        asking.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(&server.dir);
        asking.arg("--report-dir").arg(server.dir.join("report"));
        // The token stays out of what is printed.
        let status = asking.status().context("Schemathesis did not start")?;
        if !status.success() {
            bail!("asked as {who}, the server answers otherwise than its description says: see above");
        }
    }
    Ok(())
}

/// Where Schemathesis is: in an environment of its own beside what cargo builds, made at the first run.
fn schemathesis() -> Result<PathBuf> {
    let dir = target_dir().join("api-venv");
    let found = dir.join("bin/schemathesis");
    if !found.is_file() {
        command::run(program("python3", &["-m", "venv"]).arg(&dir))
            .context("no environment for Schemathesis: is python3-venv installed?")?;
        let pip = dir.join("bin/pip");
        command::run(&mut program(pip, &["install", "--quiet", "--disable-pip-version-check", SCHEMATHESIS]))?;
    }
    Ok(found)
}

fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A server of our own; its folder goes with it.
struct Server {
    child: Child,
    dir: PathBuf,
    url: String,
}

impl Server {
    fn start() -> Result<Self> {
        let program = executable()?;
        let dir = target_dir().join(format!("api-{}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let log = fs::File::create(dir.join("log"))?;
        let mut command = Command::new(program);
        command.args(["up", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--data-dir"]).arg(dir.join("data"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        // From here on it is stopped whatever happens.
        let mut server = Self { child, dir, url: String::new() };
        let mut ready = String::new();
        let output = server.child.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut ready)?;
        let address = ready.split(' ').find_map(|word| word.strip_prefix("http="));
        let address = address.with_context(|| format!("the server did not start: {}", server.log()))?;
        server.url = format!("http://{}", address.trim());
        Ok(server)
    }

    fn token(&self) -> Result<String> {
        Ok(fs::read_to_string(self.dir.join("data/admin.token"))?.trim().to_owned())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What is gone already needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Builds `aups` as the tests build it, and says where it is.
fn executable() -> Result<PathBuf> {
    let build = ["build", "--workspace", "--locked", "--bin", "aups", "--message-format", "json-render-diagnostics"];
    let told = command::output(&mut cargo(&build))?;
    let lines = told.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let path = built.filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from)).next_back();
    path.filter(|path| Path::is_file(path)).context("cargo does not say where it built aups")
}
