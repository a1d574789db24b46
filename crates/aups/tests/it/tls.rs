//! TLS on every listener, and whom clients trust: `aups` itself, curl, stock MQTT clients and a real Mosquitto.

use crate::program::{Aups, METEO, Mosquitto, PATIENCE, run};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// An authority that is not the realm's, and a certificate of it for 127.0.0.1, as files.
struct Foreign {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Foreign {
    fn new() -> Self {
        let (dir, key) = (tempfile::tempdir().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority of somebody else");
        fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let foreign = Self { dir, issuer: Issuer::new(params, key) };
        foreign.issue("127.0.0.1");
        foreign
    }

    /// Another certificate and key, in the same files.
    fn issue(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        fs::write(self.file("key.pem"), key.serialize_pem()).unwrap();
        fs::write(self.file("cert.pem"), certificate.pem()).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.file(name).to_str().unwrap().to_owned()
    }
}

/// `aups` where no data directory is, as on a reader's machine.
fn elsewhere(dir: &Path, args: &[&str]) -> (Option<i32>, String, String) {
    run(Command::new(env!("CARGO_BIN_EXE_aups")).args(args).current_dir(dir))
}

fn curl(args: &[&str]) -> (Option<i32>, String, String) {
    run(Command::new("curl").args(["-sS", "--max-time", "20"]).args(args))
}

#[test]
fn readers_sources_and_administrators_are_served_over_tls() {
    let aups = Aups::start_with(&["--tls"]);
    let ca = aups.ca();
    let ca = ca.to_str().unwrap();
    // Administrators: the CLI finds the authority in the data directory, curl is given it.
    aups.apply(METEO);
    let identity = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    assert_eq!(identity["server"], aups.url(""));
    assert_eq!(identity["mqtt"]["url"], format!("mqtts://127.0.0.1:{}", aups.mqtt_port));
    assert_eq!(identity["ca"], fs::read_to_string(ca).unwrap());
    let told =
        curl(&["--cacert", ca, "-w", "%{http_version} %{content_type}", "-o", "/dev/null", &aups.url("/ca.pem")]);
    assert_eq!((told.0, told.1.as_str()), (Some(0), "2 application/pem-certificate-chain"), "{}", told.2);
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let versions = ["--tls-max", version.trim_start_matches("--tlsv"), version];
        assert_eq!(curl(&[&versions[..], &["--cacert", ca, &aups.url("/healthz")]].concat()).1, "ok\n", "{version}");
    }
    assert_eq!(curl(&["-o", "/dev/null", &aups.url("/healthz")]).0, Some(60), "curl trusts it without --cacert");
    let clear = curl(&["-w", "%{http_code}", &format!("http://{}/healthz", aups.http)]);
    assert!(clear.1.contains("https://") && clear.1.ends_with("400"), "{clear:?}");

    // Readers: with the identity alone, from anywhere.
    let credential = aups.source("sensor1");
    let mut alice = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json", "--count", "1"]);
    let args = ["--cafile", ca, "-t", "data/#", "-C", "1", "-W", "60", "-q", "1"];
    let mut stock = crate::program::Lines::of(&mut aups.mosquitto_sub(Some(&identity), &args));
    let deadline = Instant::now() + PATIENCE;
    let (mut item, mut sealed) = (None, None);
    while item.is_none() || sealed.is_none() {
        assert!(Instant::now() < deadline, "nothing arrives:\n{}", aups.log());
        assert_eq!(aups.send(&credential, r#"{"name":"t","value":"plain as day"}"#).status, 202);
        item = item.or_else(|| alice.next_within(Duration::from_millis(300)));
        sealed = sealed.or_else(|| stock.next_within(Duration::from_millis(300)));
    }
    let item: Value = serde_json::from_str(&item.unwrap()).unwrap();
    assert_eq!(item["item"]["data"]["value"], "plain as day");
    assert!(!sealed.unwrap().contains("plain"));
    let args = ["-t", "data/#", "-C", "1", "-W", "5"];
    let in_clear = run(&mut aups.mosquitto_sub(Some(&identity), &args));
    assert_ne!(in_clear.0, Some(0), "{in_clear:?}");

    // Sources.
    let node = aups.file("node.json");
    let body = r#"{"NodeId":"sensor2","NodeType":"sensor","CommunicationMode":"discrete"}"#;
    let registered = aups.post("/registration", body, &[("Content-Type", "application/json")]);
    fs::write(&node, registered.body).unwrap();
    fs::write(aups.file("one.ndjson"), "1\n").unwrap();
    assert!(aups.ok(&["send", "--node", "node.json", "one.ndjson"]).contains("sent 1 reading"));
}

#[test]
fn a_reader_elsewhere_knows_the_server_by_its_token_and_nobody_else_is_believed() {
    let aups = Aups::start_with(&["--tls"]);
    let (foreign, dir) = (Foreign::new(), tempfile::tempdir().unwrap());
    let token = |name: &str| aups.ok(&["user", "add", name]).trim().to_owned();
    let server = aups.url("");
    let enrol = |token: &str, out: &str, args: &[&str]| {
        elsewhere(dir.path(), &[&["enrol", "--server", &server, "--token", token, "--out", out][..], args].concat())
    };
    let alice = enrol(&token("alice"), "alice.json", &[]);
    assert_eq!(alice.0, Some(0), "{}", alice.2);
    assert_eq!(elsewhere(dir.path(), &["topics", "--as", "alice.json"]).0, Some(0));
    // A token of another realm leads nowhere, and is not shown to this one.
    let other = Aups::start();
    let of_other = other.ok(&["user", "add", "mallory"]);
    let refused = enrol(of_other.trim(), "mallory.json", &[]);
    assert!(refused.0 == Some(1) && refused.2.contains("cannot be trusted"), "{refused:?}");
    other.enrol(of_other.trim(), "mallory.json", &[]);
    // Another authority than the server's.
    let bob = token("bob");
    let refused = enrol(&bob, "bob.json", &["--ca", &foreign.path("ca.pem")]);
    assert!(refused.0 == Some(1) && refused.2.contains("/ca.pem"), "{refused:?}");
    assert!(!dir.path().join("bob.json").exists());
    assert_eq!(enrol(&bob, "bob.json", &["--ca", aups.ca().to_str().unwrap()]).0, Some(0), "the token was not used up");
    // An administrator without the authority, with another, and with the right one.
    let token_file = aups.data_dir().join("admin.token");
    let list = |args: &[&str]| {
        let base = ["user", "list", "--server", &server, "--admin-token-file", token_file.to_str().unwrap()];
        elsewhere(dir.path(), &[&base[..], args].concat())
    };
    for args in [&[][..], &["--ca", &foreign.path("ca.pem")]] {
        let refused = list(args);
        assert!(refused.0 == Some(1) && refused.2.contains("/ca.pem"), "{refused:?}");
    }
    assert_eq!(list(&["--ca", aups.ca().to_str().unwrap()]).0, Some(0));
    let unread = list(&["--ca", "missing.pem"]);
    assert!(unread.0 == Some(1) && unread.2.contains("missing.pem"), "{unread:?}");
}

#[test]
fn an_administrators_own_certificate_is_read_again_when_it_changes() {
    let foreign = Foreign::new();
    let (cert, key, ca) = (foreign.path("cert.pem"), foreign.path("key.pem"), foreign.path("ca.pem"));
    let aups = Aups::start_with(&["--tls-cert", &cert, "--tls-key", &key]);
    let serial = || curl(&["--cacert", &ca, "-o", "/dev/null", "-w", "%{certs}", &aups.url("/healthz")]).1;
    let before = serial();
    assert!(before.contains("BEGIN CERTIFICATE"), "{before}");
    // Something that cannot be used changes nothing.
    fs::write(&cert, "nonsense").unwrap();
    aups.signal("-HUP");
    let deadline = Instant::now() + PATIENCE;
    while !aups.log().contains("the certificate stays the one before") {
        assert!(Instant::now() < deadline, "{}", aups.log());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(serial(), before);
    foreign.issue("127.0.0.1");
    aups.signal("-HUP");
    while serial() == before {
        assert!(Instant::now() < deadline, "{}", aups.log());
        sleep(Duration::from_millis(20));
    }
    // The realm does not know this authority: the reader keeps what it was given.
    let token = run(&mut aups.aups(&["user", "add", "alice", "--ca", &ca])).1;
    let enrolled = run(&mut aups.aups(&["enrol", "--token", token.trim(), "--out", "alice.json", "--ca", &ca]));
    assert_eq!(enrolled.0, Some(0), "{}", enrolled.2);
    assert_eq!(elsewhere(aups.file("").as_path(), &["topics", "--as", "alice.json"]).0, Some(0));
}

#[test]
fn what_contradicts_itself_about_tls_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (args, word) in [
        (&["--tls", "--insecure"][..], "say one of them"),
        (&["--tls-cert", "cert.pem"], "--tls-key"),
        (&["--tls-cert", "missing.pem", "--tls-key", "missing.key"], "missing.pem"),
        (&["--tls", "--tls-name", "ktm.aups.internal"], "aups.internal"),
        (&["--broker-ca", "ca.pem"], "--broker"),
    ] {
        let up = ["up", "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"];
        let refused = elsewhere(dir.path(), &[&up[..], args].concat());
        assert!(refused.0 == Some(1) && refused.2.contains(word), "{args:?}: {refused:?}");
    }
}

#[test]
fn a_nos_apart_gets_its_certificate_from_its_ktm() {
    let mosquitto = Mosquitto::start();
    let ktm = Aups::start_role("ktm", &["--tls"]);
    let token = ktm.ok(&["ktm", "admit-nos", "roof"]);
    let link = format!("https://127.0.0.1:{}", ktm.mqtt_port);
    let broker = format!("mqtt://127.0.0.1:{}", mosquitto.port);
    let mut nos = Aups::start_role("nos", &["--tls", "--ktm", &link, "--admission", token.trim(), "--broker", &broker]);
    assert_eq!(fs::read(nos.ca()).unwrap(), fs::read(ktm.ca()).unwrap());
    assert_eq!(nos.request("GET", "/ca.pem", b"", &[]).body, fs::read_to_string(ktm.ca()).unwrap());
    let token = ktm.ok(&["user", "add", "alice"]);
    nos.enrol(token.trim(), "alice.json", &[]);
    nos.ok(&["topics", "--as", "alice.json"]);
    // It can start again while its KTM is away: what it was given, it has.
    drop(ktm);
    nos.kill_and_restart();
    assert_eq!(nos.request("GET", "/healthz", b"", &[]).status, 200);
}

#[test]
fn a_broker_elsewhere_is_reached_over_tls() {
    let foreign = Foreign::new();
    let config = format!("certfile {}\nkeyfile {}\n", foreign.path("cert.pem"), foreign.path("key.pem"));
    let mosquitto = Mosquitto::start_with(&config);
    let broker = format!("mqtts://127.0.0.1:{}", mosquitto.port);
    let aups = Aups::start_with(&["--broker", &broker, "--broker-ca", &foreign.path("ca.pem")]);
    let (mut alice, credential) = aups.subscribed_alice();
    aups.send_counts(&credential, 0..5);
    alice.expect_counts(0..5);
    let unknown = Aups::start_with(&["--broker", &broker]);
    let deadline = Instant::now() + PATIENCE;
    while !unknown.log().contains("--broker-ca") {
        assert!(Instant::now() < deadline, "{}", unknown.log());
        sleep(Duration::from_millis(50));
    }
    assert_eq!(unknown.request("GET", "/readyz", b"", &[]).status, 503);
}
