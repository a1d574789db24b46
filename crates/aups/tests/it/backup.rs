//! A realm that is lost, and comes back from a backup.

use crate::program::{Aups, Lines, text};
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

fn secret_file(path: &Path, text: &str) -> String {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn bumps(aups: &Aups) -> Vec<u64> {
    let scopes = aups.admin("GET", "/v1/scopes", "").json();
    let scope = scopes["items"][0]["scope"].as_str().unwrap().to_owned();
    let shown = aups.admin("GET", &format!("/v1/keys/{scope}"), "").json();
    shown["bumps"].as_array().unwrap().iter().map(|bump| bump["bump"].as_u64().unwrap()).collect()
}

#[test]
fn a_lost_realm_comes_back_and_its_readers_go_on() {
    let mut aups = Aups::start();
    let (mut alice, credential) = aups.subscribed_alice();
    // What a subscriber of a stock client keeps of the time before.
    let identity: Value = serde_json::from_slice(&fs::read(aups.file("alice.json")).unwrap()).unwrap();
    let mut stock = Lines::of(&mut aups.mosquitto_sub(Some(&identity), &["-t", "data/#", "-q", "1"]));
    aups.send_counts(&credential, 0..3);
    alice.expect_counts(0..3);
    let sealed: Value = serde_json::from_str(&stock.next()).unwrap();
    aups.ok(&["key", "rotate", "--all"]);

    let passphrase = secret_file(&aups.file("passphrase"), "correct horse battery\n");
    let out = aups.file("realm.backup");
    let saved = aups.ok(&["backup", "realm.backup", "--passphrase-file", &passphrase]);
    assert!(saved.starts_with("saved "), "{saved}");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let again = aups.run(&["backup", "realm.backup", "--passphrase-file", &passphrase]);
    assert_eq!(again.status.code(), Some(1), "a backup is not replaced");
    aups.admin("POST", "/v1/backup", "short").problem(400);

    // It goes on, and is lost.
    aups.ok(&["key", "rotate", "--all"]);
    aups.ok(&["user", "add", "later"]);
    let full = aups.run(&["restore", "realm.backup", "--passphrase-file", &passphrase]);
    assert_eq!(full.status.code(), Some(4), "{}", text(&full.stderr));
    assert!(text(&full.stderr).contains("not empty"));
    let token = fs::read_to_string(aups.data_dir().join("admin.token")).unwrap();
    drop((alice, stock));
    aups.terminate();
    fs::rename(aups.data_dir(), aups.file("lost")).unwrap();

    let wrong = secret_file(&aups.file("wrong"), "incorrect horse battery");
    let refused = aups.run(&["restore", "realm.backup", "--passphrase-file", &wrong]);
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused.stderr));
    let bytes = fs::read(&out).unwrap();
    fs::write(aups.file("cut"), &bytes[..bytes.len() - 5]).unwrap();
    let refused = aups.run(&["restore", "cut", "--passphrase-file", &passphrase]);
    assert_eq!((refused.status.code(), text(&refused.stderr).contains("cut off")), (Some(4), true));
    let left: Vec<_> = fs::read_dir(aups.file("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("restoring")), "{left:?}");
    assert!(!aups.data_dir().exists());

    let restored = aups.ok(&["restore", "realm.backup", "--passphrase-file", &passphrase]);
    assert!(restored.starts_with("restored "), "{restored}");
    secret_file(&aups.data_dir().join("admin.token"), &token);
    aups.start_again();
    assert_eq!(bumps(&aups), [0, 1, 257], "the bump that was lost is not given again");
    let users = aups.admin("GET", "/v1/users", "").json();
    assert_eq!(users["items"].as_array().unwrap().len(), 1, "{users}");

    // The key of what was sealed before is still there, and readers go on with what they have.
    let key = sealed["keyId"].as_str().unwrap();
    let shown = aups.admin("GET", &format!("/v1/keys/{key}"), "").json();
    assert_eq!(shown["keys"][0]["state"], "deactivated", "{shown}");
    let mut alice = aups.spawn(&["sub", "--as", "alice.json", "data/#", "--json"]);
    while alice.next_within(Duration::from_millis(300)).is_none() {
        assert_eq!(aups.send(&credential, r#"{"name":"start","value":0}"#).status, 202);
    }
    aups.send_counts(&credential, 3..6);
    alice.expect_counts(3..6);
}
