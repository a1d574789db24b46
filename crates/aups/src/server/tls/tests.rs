use super::*;

fn settings(public_url: &str) -> ServerSettings {
    ServerSettings {
        public_url: Some(public_url.into()),
        tls_name: vec!["Roof.example".into()],
        ..ServerSettings::default()
    }
}

#[test]
fn a_certificate_has_every_name_that_the_listeners_are_reached_by_once() {
    let listeners = ["192.0.2.7:8080".parse().unwrap(), "[::1]:1883".parse().unwrap()];
    assert_eq!(
        names(&settings("https://[2001:db8::7]:443/aups"), &listeners),
        ["Roof.example", "2001:db8::7", "192.0.2.7", "::1", "localhost", "127.0.0.1"]
    );
    let again = names(&settings("https://roof.EXAMPLE"), &listeners);
    assert_eq!(again.iter().filter(|name| name.eq_ignore_ascii_case("roof.example")).count(), 1);
}

#[test]
fn who_listens_everywhere_is_reached_by_a_name_or_by_the_way_out() {
    let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
    assert_eq!(reached_at(&settings("https://x"), everywhere), "Roof.example:8080");
    assert!(!reached_at(&ServerSettings::default(), everywhere).starts_with("0.0.0.0"));
    assert_eq!(reached_at(&settings("https://x"), "127.0.0.1:1".parse().unwrap()), "127.0.0.1:1");
}

#[test]
fn files_that_do_not_belong_together_or_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    assert!(read_files(&chain, &key).unwrap_err().to_string().contains("cannot read"));
    fs::write(&chain, "no certificate").unwrap();
    fs::write(&key, "no key").unwrap();
    assert!(read_files(&chain, &key).unwrap_err().to_string().contains("chain.pem cannot be used"));
}

#[test]
fn the_authority_s_file_is_for_everybody_to_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    write_ca(&path, "old").unwrap();
    write_ca(&path, "new").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
}
