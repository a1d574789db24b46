//! No secret in anything that a run writes: logs, files, metrics, audit trail, what commands print.

use crate::program::{Aups, text};
use aups_client::SystemClock;
use aups_envelope::{Kek, Secret, b64};
use aups_ktm::{
    KeysTopicsManager as _, Ktm, KtmSettings,
    custody::{KekFile, Keyring},
};
use aups_store::{Embedded, Store as _};
use memchr::memmem;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// A secret by the name that a failure tells.
type Secrets = BTreeMap<String, Vec<u8>>;

/// Everything that may be searched, by where it was found.
type Written = Vec<(String, Vec<u8>)>;

/// The ways in which somebody may have written bytes.
fn spelled(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = secret.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let listed: Vec<_> = secret.iter().map(ToString::to_string).collect();
    let url = b64::encode(secret);
    let standard = url.replace('-', "+").replace('_', "/");
    let texts = [hex.to_uppercase(), hex, listed.join(", "), listed.join(","), url, standard];
    texts.map(String::into_bytes).into_iter().chain([secret.to_vec()]).collect()
}

/// Where secrets are, as `secret in place`.
fn found(secrets: &Secrets, written: &Written) -> Vec<String> {
    let mut found = Vec::new();
    for (name, secret) in secrets {
        for form in spelled(secret) {
            let finder = memmem::Finder::new(&form);
            let places = written.iter().filter(|(_, bytes)| finder.find(bytes).is_some());
            found.extend(places.map(|(place, _)| format!("{name} in {place}")));
        }
    }
    found
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The provider's key, every version of the KEK, everything wrapped in the store, and every key that can be derived.
async fn of_the_realm(data_dir: &Path) -> Secrets {
    let mut secrets = Secrets::new();
    let provider = fs::read(data_dir.join("kek")).unwrap();
    let keyring: Value = serde_json::from_slice(&fs::read(data_dir.join("keyring")).unwrap()).unwrap();
    let mut keks = BTreeMap::new();
    for version in keyring["versions"].as_array().unwrap() {
        let number = u32::try_from(version["version"].as_u64().unwrap()).unwrap();
        let wrapped = b64::decode(version["key"].as_str().unwrap()).unwrap();
        let aad = [&b"keyring"[..], &number.to_be_bytes()].concat();
        let key: Secret<32> = Kek::new(0, Secret::from_slice(&provider).unwrap()).unwrap_array(&aad, &wrapped).unwrap();
        secrets.insert(format!("KEK version {number}"), key.expose().to_vec());
        keks.insert(number, Kek::new(number, key));
    }
    secrets.insert("the provider's key".into(), provider);

    let store = Arc::new(Embedded::open(data_dir.join("store")).await.unwrap());
    for (key, item) in store.list("").await.unwrap().0 {
        let text = text(&item.value);
        for wrapped in text.split("\"wrapped\":\"").skip(1) {
            let wrapped = b64::decode(wrapped.split('"').next().unwrap()).unwrap();
            let kek = &keks[&Kek::version_of(&wrapped).unwrap()];
            let both = kek.unwrap(key.as_bytes(), &wrapped).unwrap();
            secrets.insert(format!("the secret of {key}"), both.expose()[..32].to_vec());
        }
    }
    let keyring = Keyring::open(data_dir.join("keyring"), &KekFile(data_dir.join("kek")), &*store).await.unwrap();
    let ktm = Ktm::open(store, keyring, Arc::new(SystemClock), KtmSettings::default()).await.unwrap();
    for row in ktm.keys().await.unwrap() {
        if let Some(resolved) = ktm.resolve(&row.key_id).await.unwrap() {
            secrets.insert(format!("keyT of {}", row.key_id), resolved.key.key_t.expose().to_vec());
        }
    }
    secrets
}

/// Runs a command, and keeps what it printed.
fn run(aups: &Aups, written: &mut Written, args: &[&str]) -> String {
    let output = aups.run(args);
    written.push((format!("what {args:?} printed"), [output.stdout.clone(), output.stderr].concat()));
    text(&output.stdout)
}

/// What a token or password is, as it stands and as the bytes that it spells.
fn told(secrets: &mut Secrets, name: &str, value: &str) {
    let value = value.trim();
    secrets.insert(name.to_owned(), value.as_bytes().to_vec());
    if let Ok(bytes) = b64::decode(value.split('.').next().unwrap()) {
        secrets.insert(format!("{name}, decoded"), bytes);
    }
}

#[test]
fn no_secret_is_in_anything_that_a_run_writes() {
    let mut aups = Aups::start_with(&["--log", "trace", "--retain", "data/#"]);
    let (mut secrets, mut written) = (Secrets::new(), Written::new());
    told(&mut secrets, "the admin token", &aups.admin_token());
    let (mut alice, credential) = aups.subscribed_alice();
    told(&mut secrets, "the credential of a source", &credential);
    let identity: Value = serde_json::from_slice(&fs::read(aups.file("alice.json")).unwrap()).unwrap();
    for member in ["signingKey", "kemKey"] {
        told(&mut secrets, &format!("alice's {member}"), identity[member].as_str().unwrap());
    }
    told(&mut secrets, "alice's password", identity["mqtt"]["password"].as_str().unwrap());
    aups.send_counts(&credential, 0..5);
    alice.expect_counts(0..5);

    let token = aups.ok(&["user", "add", "bob", "--attr", "roles=gardener"]);
    told(&mut secrets, "bob's enrolment token", &token);
    run(&aups, &mut written, &["enrol", "--token", token.trim(), "--out", "bob.json"]);
    // Wrong input of every kind, with true secrets in it.
    run(&aups, &mut written, &["enrol", "--token", token.trim(), "--out", "bob-again.json"]);
    run(&aups, &mut written, &["sub", "--as", "bob.json", "other/#", "--timeout", "20"]);
    run(&aups, &mut written, &["key", "show", "AAAA"]);
    let admin = aups.admin_token();
    for (path, body, bearer) in [
        ("/v1/users", format!("{{\"sub\":\"{admin}\""), admin.as_str()),
        ("/v1/users", "{}".into(), &credential),
        ("/v1/keys", admin.clone(), ""),
        ("/v1/enrol", token.trim().into(), ""),
        ("/data", format!("{{\"name\":\"{admin}"), &admin),
        ("/data", "1".into(), identity["mqtt"]["password"].as_str().unwrap()),
        ("/registration", format!("{{\"NodeId\":\"{credential}\"}}"), &credential),
        ("/v1/backup", "short".into(), &admin),
    ] {
        let authorization = format!("Bearer {bearer}");
        let answer = aups.post(path, &body, &[("Authorization", &authorization)]);
        assert!(answer.status >= 400, "{path}: {}", answer.status);
        written.push((format!("the answer of {path}"), answer.body.into_bytes()));
    }
    // Keys of every kind of change.
    let key = serde_json::from_str::<Value>(&run(&aups, &mut written, &["key", "list", "--json"])).unwrap();
    let key = key[0]["keyId"].as_str().unwrap().to_owned();
    for args in [
        &["key", "list"][..],
        &["key", "show", &key],
        &["key", "show", &key, "--json"],
        &["key", "rotate", "--all"],
        &["key", "compromise", &key],
        &["user", "list", "--json"],
        &["token", "list", "--json"],
        &["policy", "show"],
        &["audit", "tail", "-n", "1000", "--json"],
    ] {
        run(&aups, &mut written, args);
    }
    aups.send_counts(&credential, 5..9);
    alice.expect_counts(5..9);
    for path in ["/metrics", "/readyz", "/v1/topics"] {
        written.push((format!("what {path} says"), aups.request("GET", path, b"", &[]).body.into_bytes()));
    }
    drop(alice);
    let said = aups.terminate();
    written.push(("what the server printed".into(), [said.stdout, said.stderr].concat()));
    assert!(aups.log().contains("TRACE"), "the log is not as talkative as it can be");

    let realm = tokio::runtime::Runtime::new().unwrap().block_on(async {
        // Before the store is opened again: as a thief finds it.
        written.push(("the log".into(), aups.log().into_bytes()));
        let holds_secrets = ["kek", "keyring", "admin.token"].map(|name| aups.data_dir().join(name));
        for file in files(&aups.data_dir()).into_iter().filter(|file| !holds_secrets.contains(file)) {
            written.push((file.display().to_string(), fs::read(&file).unwrap()));
        }
        of_the_realm(&aups.data_dir()).await
    });
    let kinds = ["KEK", "ktm/root", "ktm/scope", "ktm/realm", "nos/signing-key", "keyT"];
    assert!(kinds.iter().all(|kind| realm.keys().any(|name| name.contains(kind))), "{:?}", realm.keys());
    secrets.extend(realm);
    let places = written.len();
    assert!(places > 30 && secrets.len() > 15, "{places} places, {} secrets", secrets.len());
    assert_eq!(found(&secrets, &written), Vec::<String>::new());

    // The search finds what is there.
    let (name, secret) = secrets.iter().find(|(name, _)| name.contains("keyT")).unwrap();
    for form in spelled(secret) {
        let planted = vec![("a planted place".to_owned(), [b"before ", &form[..], b" after"].concat())];
        assert!(found(&secrets, &planted).contains(&format!("{name} in a planted place")));
    }
}
