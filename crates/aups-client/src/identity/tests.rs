use super::*;
use crate::fixture::identity;
use std::os::unix::fs::PermissionsExt as _;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn what_was_saved_is_loaded_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.json");
    let saved = identity("http://127.0.0.1:8080", "mqtt://127.0.0.1:1883");
    saved.save(&path).expect("saved");
    assert_eq!(mode(&path), 0o600);
    let loaded = Identity::load(&path).expect("loaded");
    assert_eq!(loaded.file.to_json().expose(), saved.file.to_json().expose());
    assert_eq!(loaded.sub().as_str(), "alice");
    assert_eq!((loaded.server(), loaded.broker()), ("http://127.0.0.1:8080", "mqtt://127.0.0.1:1883"));
}

#[test]
fn a_file_that_exists_is_not_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.json");
    fs::write(&path, "precious").expect("written");
    let error = identity("http://s", "mqtt://b").save(&path).expect_err("exists");
    assert!(matches!(error, IdentityFileError::Exists(_)), "{error}");
    assert_eq!(fs::read(&path).expect("read"), b"precious");
}

#[test]
fn a_file_that_others_may_read_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.json");
    identity("http://s", "mqtt://b").save(&path).expect("saved");
    for loose in [0o640, 0o604, 0o644, 0o660] {
        fs::set_permissions(&path, fs::Permissions::from_mode(loose)).expect("chmod");
        let error = Identity::load(&path).expect_err("loose");
        assert!(error.to_string().contains(&format!("mode {loose:04o}): chmod 600 ")), "{error}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).expect("chmod");
    Identity::load(&path).expect("read-only is as good");
}

#[test]
fn what_is_no_identity_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.json");
    assert!(matches!(Identity::load(&path), Err(IdentityFileError::Io { .. })));
    let file = ReservedFile::create(&path).expect("a file");
    file.file.set_len(FILE_BYTES_MAX + 1).expect("grown");
    assert!(matches!(Identity::load(&path), Err(IdentityFileError::TooLarge(_))));
    file.file.set_len(2).expect("shrunk");
    assert!(matches!(Identity::load(&path), Err(IdentityFileError::Content { .. })));
}

#[test]
fn a_reserved_file_goes_away_unwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("alice.json");
    let reserved = ReservedFile::create(&path).expect("a file");
    assert_eq!(mode(&path), 0o600);
    drop(reserved);
    assert!(!path.exists());
}
