use super::*;
use std::fs;

fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("passphrase");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (dir, path)
}

#[test]
fn a_passphrase_is_the_first_line_of_its_file() {
    for text in
        ["correct horse battery", "correct horse battery\n", "correct horse battery\r\n", "correct horse battery\nx"]
    {
        let (_dir, path) = file(text.as_bytes(), 0o600);
        assert_eq!(from_file(&path).unwrap().expose(), b"correct horse battery", "{text:?}");
    }
}

#[test]
fn a_passphrase_file_that_others_read_or_that_is_none_is_refused_by_name() {
    let (_dir, loose) = file(b"correct horse battery", 0o640);
    assert!(from_file(&loose).unwrap_err().to_string().contains("chmod 0400"));
    let (_dir, long) = file(&[b'x'; 1_025], 0o600);
    assert!(from_file(&long).unwrap_err().to_string().contains("1024 bytes"));
    let missing = loose.with_file_name("missing");
    assert!(from_file(&missing).unwrap_err().to_string().contains(&missing.display().to_string()));
}

#[test]
fn the_holder_that_the_settings_name_is_the_one_that_is_asked() {
    let (dir, path) = file(b"correct horse battery\n", 0o600);
    let settings = |kek, kek_passphrase_file| ServerSettings {
        data_dir: dir.path().to_owned(),
        kek,
        kek_passphrase_file,
        ..ServerSettings::default()
    };
    assert_eq!(provider(&settings(KekHolder::File, None)).unwrap().name(), "file");
    assert_eq!(provider(&settings(KekHolder::Passphrase, Some(path))).unwrap().name(), "passphrase");
    let error = provider(&settings(KekHolder::Env, None)).unwrap_err().to_string();
    assert!(error.contains(KEK_VARIABLE), "{error}");
}
