//! What every provider must do, whatever holds the key: one suite, run on each.

use super::*;
use crate::{custody::Keyring, error::KtmError, fixture::Busy};
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

const CHEAP: PassphraseCost = PassphraseCost { memory_kib: 32, passes: 1, lanes: 1 };

fn secret(text: &str) -> SecretBytes {
    SecretBytes::from_vec(text.as_bytes().to_vec())
}

fn file(path: &Path) -> Box<dyn KekProvider> {
    Box::new(KekFile(path.to_owned()))
}

fn environment(key: u8) -> Box<dyn KekProvider> {
    Box::new(Environment::new(&secret(&b64::encode(&[key; 32]))).unwrap())
}

fn passphrase(text: &str) -> Box<dyn KekProvider> {
    Box::new(Passphrase::new(secret(text), CHEAP).unwrap())
}

/// A provider, the same again as after a restart, and one of its kind with another key.
type Three = [Box<dyn KekProvider>; 3];

fn every_kind(dir: &Path) -> Vec<Three> {
    let elsewhere = dir.join("another-kek");
    fs::write(&elsewhere, [9; 32]).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o400)).unwrap();
    vec![
        [file(&dir.join("kek")), file(&dir.join("kek")), file(&elsewhere)],
        [environment(1), environment(1), environment(2)],
        [passphrase("correct horse battery"), passphrase("correct horse battery"), passphrase("correct horse batterz")],
    ]
}

#[tokio::test]
async fn every_provider_keeps_this() {
    let dir = tempfile::tempdir().unwrap();
    for [provider, again, another] in every_kind(dir.path()) {
        let kind = provider.name();
        let path = dir.path().join(format!("keyring-{kind}"));
        let store = Busy::default();
        let open = async |provider: &dyn KekProvider| Keyring::open(&path, provider, &store).await;

        // It finds the key that it made, again and again.
        let (made, held) = provider.make().unwrap();
        assert_eq!(made.expose(), again.find(&held).unwrap().unwrap().expose(), "{kind}");
        assert_eq!(held.name(), kind);

        // Its keyring opens after a restart, also when it has another version.
        let first = open(&*provider).await.unwrap();
        let wrapped = first.wrap(b"aad", &[5; 32]);
        let after = open(&*again).await.unwrap();
        assert_eq!(after.unwrap::<32>(b"aad", &wrapped).unwrap().expose(), &[5; 32], "{kind}");
        after.begin_version().await.unwrap();
        let later = open(&*again).await.unwrap();
        assert_eq!(later.newest_version(), 2, "{kind}");
        assert_eq!(later.unwrap::<32>(b"aad", &wrapped).unwrap().expose(), &[5; 32], "{kind}");

        // Another key of the kind is refused, in words that name the keyring.
        let refused = open(&*another).await.unwrap_err();
        assert!(matches!(refused, KtmError::Custody(CustodyError::DoesNotOpen { .. })), "{kind}: {refused}");
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");

        // So is another kind, in words that name both.
        for [other, ..] in every_kind(dir.path()).into_iter().filter(|[other, ..]| other.name() != kind) {
            let refused = open(&*other).await.unwrap_err().to_string();
            assert!(refused.contains(&format!("--kek {kind}")) && refused.contains(other.name()), "{refused}");
        }

        // The keyring holds the provider's key as little as its own, and neither shows in what is said about it.
        let on_disk = fs::read(&path).unwrap();
        let shown = format!("{provider:?} {held:?} {first:?}");
        for spelled in [b64::encode(made.expose()), format!("{:?}", made.expose())] {
            assert!(!String::from_utf8_lossy(&on_disk).contains(&spelled) && !shown.contains(&spelled), "{kind}");
        }
        assert!(!shown.contains("correct horse"), "{shown}");
    }
}

#[test]
fn a_key_in_the_environment_is_base64url_of_32_bytes() {
    assert!(Environment::new(&secret(&format!("{}\n", b64::encode(&[1; 32])))).is_ok());
    for wrong in ["", "short", "not base64!", &b64::encode(&[1; 31]), &b64::encode(&[1; 33])] {
        let error = Environment::new(&secret(wrong)).unwrap_err();
        assert!(matches!(error, CustodyError::Environment), "{wrong}");
        assert!(wrong.is_empty() || !error.to_string().contains(wrong));
    }
}

#[test]
fn a_short_passphrase_is_refused() {
    for short in ["", "hunter2", "elevenchars", "äöüäöüäöüäö"] {
        assert!(matches!(Passphrase::new(secret(short), CHEAP).unwrap_err(), CustodyError::PassphraseShort), "{short}");
    }
    Passphrase::new(secret("twelve chars"), CHEAP).unwrap();
}

#[test]
fn a_file_that_was_lost_is_not_made_anew_for_a_keyring_that_exists() {
    let dir = tempfile::tempdir().unwrap();
    let provider = KekFile(dir.path().join("kek"));
    let (_, held) = provider.make().unwrap();
    fs::remove_file(dir.path().join("kek")).unwrap();
    assert!(matches!(provider.find(&held).unwrap_err(), CustodyError::Io { .. }));
    assert!(!dir.path().join("kek").exists());
}

#[test]
fn what_a_keyring_says_about_its_passphrase_is_bounded() {
    let provider = passphrase("correct horse battery");
    let salt = b64::encode(&[1; SALT_BYTES]);
    let held = |memory_kib, passes, salt: &str| Held::Passphrase { salt: salt.into(), memory_kib, passes, lanes: 1 };
    for wrong in [held(u32::MAX, 1, &salt), held(32, u32::MAX, &salt), held(0, 1, &salt), held(32, 1, "AAAA")] {
        assert!(matches!(provider.find(&wrong).unwrap_err(), CustodyError::Cost));
    }
}
