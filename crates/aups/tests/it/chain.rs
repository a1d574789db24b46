//! From a source's POST to what each reader gets, as the paper has it.

use crate::program::{Aups, Lines, METEO, run};
use serde_json::Value;

/// Waits until a subscriber of the readers' own CLI is subscribed: it says so on stderr, and its first item proves it.
fn sub<'a>(name: &'a str, filter: &'a str) -> [&'a str; 5] {
    ["sub", "--as", name, filter, "--json"]
}

#[test]
fn an_entitled_reader_opens_what_a_source_sent() {
    let aups = Aups::start();
    aups.apply(METEO);
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    let mut alice = aups.spawn(&[&sub("alice.json", "data/#")[..], &["--count", "2", "--timeout", "50"]].concat());
    let items = send_until_seen(
        &aups,
        &credential,
        &mut alice,
        r#"{"name":"temperature","value":10.50,"unit":"Cel","time":"1988-01-01T01:00:00-05:00","observed":7}"#,
    );
    let first: Value = serde_json::from_str(&items).unwrap();
    assert_eq!((first["topic"].as_str(), first["status"].as_str()), (Some("data/sensor1/temperature"), Some("fresh")));
    let item = &first["item"];
    assert!(items.contains("10.50"), "the number stays as it was written: {items}");
    assert_eq!(item["data"]["unit"], "Cel");
    assert_eq!(item["data"]["observed"], 7);
    assert_eq!(item["source"]["nodeId"], "sensor1");
    assert_eq!(item["source"]["registered"], true);
    for score in ["confidentiality", "integrity", "privacy", "authentication"] {
        assert!(item["security"][score].as_f64().is_some_and(|s| (0.0..=1.0).contains(&s)), "{item}");
    }
    for score in ["accuracy", "precision", "timeliness", "completeness"] {
        assert!(item["quality"][score].as_f64().is_some_and(|s| (0.0..=1.0).contains(&s)), "{item}");
    }
    assert_eq!(aups.send(&credential, "21").status, 202);
    let (code, rest, errors) = alice.finish();
    assert_eq!(code, Some(0), "{errors}");
    assert!(!rest.is_empty());
}

/// A subscription is in force when the first item arrives; until then the source repeats itself.
fn send_until_seen(aups: &Aups, credential: &str, lines: &mut Lines, body: &str) -> String {
    for _ in 0..100 {
        let answer = aups.send(credential, body);
        assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"accepted":1}"#));
        if let Some(line) = lines.next_within(std::time::Duration::from_millis(300)) {
            return line;
        }
    }
    panic!("nothing arrived; the server's log:\n{}", aups.log());
}

#[test]
fn the_broker_sees_ciphertext_and_stock_clients_get_no_more() {
    let aups = Aups::start();
    aups.apply(METEO);
    let alice = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let credential = aups.source("sensor1");
    for version in ["mqttv311", "mqttv5"] {
        let mut stock = Lines::of(&mut aups.mosquitto_sub(Some(&alice), &["-V", version, "-t", "data/#", "-q", "1"]));
        let line = send_until_seen(&aups, &credential, &mut stock, r#"{"name":"secret","value":"plain as day"}"#);
        let message: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(message.as_object().unwrap().len(), 2, "{line}");
        assert!(message["data"].is_string(), "{line}");
        assert_eq!(message["keyId"].as_str().unwrap().len(), 32);
        assert!(!line.contains("plain as day") && !line.contains("sensor1"), "{line}");
    }
}

#[test]
fn strangers_do_not_connect_and_rights_end_where_policies_end() {
    let aups = Aups::start();
    aups.apply(METEO);
    let alice = aups.reader("alice", &["--attr", "roles=meteorologist"]);
    let bob = aups.reader("bob", &["--attr", "roles=gardener"]);

    let (code, _, errors) = run(&mut aups.mosquitto_sub(None, &["-t", "data/#", "-W", "10"]));
    assert!(code != Some(0) && errors.to_lowercase().contains("not authori"), "anonymous: {code:?} {errors}");
    let mut wrong = alice.clone();
    wrong["mqtt"]["password"] = "wrong".into();
    let (code, _, errors) = run(&mut aups.mosquitto_sub(Some(&wrong), &["-t", "data/#", "-W", "10"]));
    assert!(code != Some(0) && !errors.is_empty(), "wrong password: {code:?} {errors}");

    for (identity, filter) in [
        (&alice, "#"),
        (&alice, "+/x"),
        (&alice, "other/#"),
        (&alice, "aups/ks/bob"),
        (&alice, "$SYS/#"),
        (&bob, "data/#"),
    ] {
        for version in ["mqttv311", "mqttv5"] {
            let (_, out, errors) =
                run(&mut aups.mosquitto_sub(Some(identity), &["-V", version, "-d", "-t", filter, "-W", "5"]));
            let said = format!("{out}{errors}");
            assert!(
                said.contains("ubscription")
                    && (said.contains("128") || said.contains("135") || said.contains("rejected")),
                "{filter} in {version}: {said}"
            );
        }
    }
    for topic in ["data/sensor1/temperature", "aups/ks/alice", "aups/kr/bob"] {
        let (_, out, errors) =
            run(&mut aups.mosquitto_pub(Some(&alice), &["-V", "mqttv5", "-d", "-q", "1", "-t", topic, "-m", "forged"]));
        let said = format!("{out}{errors}");
        assert!(
            said.contains("RC:135") || said.contains("not authori") || said.contains("Not authori"),
            "{topic}: {said}"
        );
    }
}

#[test]
fn a_reader_without_rights_is_told_so_and_exits_3() {
    let aups = Aups::start();
    // The condition on the item lets the filter pass; the key is what is refused.
    aups.apply(&format!(
        "{METEO}\npermit(principal, action, resource in Topic::\"data\") when {{ resource.name == \"public\" }};"
    ));
    aups.reader("alice", &["--attr", "roles=meteorologist"]);
    aups.reader("bob", &[]);
    let credential = aups.source("sensor1");
    let mut alice = aups.spawn(&sub("alice.json", "data/#"));
    let bob = aups.spawn(&[&sub("bob.json", "data/#")[..], &["--timeout", "8"]].concat());
    send_until_seen(&aups, &credential, &mut alice, r#"{"name":"temperature","value":1}"#);
    for _ in 0..20 {
        aups.send(&credential, r#"{"name":"temperature","value":1}"#);
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let (code, items, errors) = bob.finish();
    assert_eq!((code, items.len()), (Some(3), 0), "{errors}");
    assert!(errors.contains("denied"), "{errors}");

    let refused = aups.run(&["sub", "--as", "bob.json", "other/#", "--timeout", "20"]);
    assert_eq!(refused.status.code(), Some(3));
    assert!(crate::program::text(&refused.stderr).contains("other/#"));
}

#[test]
fn neither_the_kek_nor_a_credential_lies_in_the_servers_files() {
    let mut aups = Aups::start();
    aups.apply(METEO);
    let credential = aups.source("sensor1");
    assert_eq!(aups.send(&credential, r#"{"name":"n","value":1}"#).status, 202);
    aups.terminate();
    let kek = std::fs::read(aups.data_dir().join("kek")).unwrap();
    assert!(aups.data_dir().join("keyring").exists());
    for entry in walk(&aups.data_dir()) {
        let bytes = std::fs::read(&entry).unwrap();
        if entry.file_name().unwrap() != "kek" {
            assert!(!bytes.windows(kek.len()).any(|w| w == kek), "{} holds the KEK", entry.display());
        }
        assert!(!bytes.windows(credential.len()).any(|w| w == credential.as_bytes()), "{}", entry.display());
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}
