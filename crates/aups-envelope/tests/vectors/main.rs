//! Reads every file in `testvectors/` and checks it against the code.

#![cfg(test)]

mod form;
mod testkit;

use aups_core::{Bump, Epoch, Flags, KeyId, Obligations, PublisherSlot, ScopeTag, Session, Suite, UnixMillis};
use aups_envelope::{
    Certificate, ContentType, KeyEntry, KeyTerms, OpeningKey, Plaintext, SealedMessage, SealingKey, Secret, SigningKey,
    SourceMaster, SourceOpener, Spelling, VerifyingKey,
    accept::{Acceptance, AcceptanceLimits, Arrival, KeyRing},
    b64,
    bearer::Bearer,
    enrol::{EnrolRequest, Enrolled},
    identity::IdentityFile,
    kem::KemSecretKey,
    key_request::{KeyRequest, open_key_response},
    schedule,
};
use form::{
    EnrolledCase, Entry, FILES, File, Holdings, IdentityCase, Jose, KeyResponse, KeySchedule, Message, Payload,
    Refused, ScopeIdCase, Sequence, SourceCase, hex,
};
use std::{fmt::Debug, fs, time::Duration};

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2) && text.is_ascii(), "not hex: {text}");
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

fn secret<const N: usize>(text: &str) -> Secret<N> {
    Secret::from_bytes(array(text))
}

/// The name of an error: its innermost variant of ours.
fn error_name(error: &impl Debug) -> String {
    const WRAPPERS: [&str; 5] = ["Jws(", "Format(", "Certificate(", "Kem(", "Publisher("];
    let debug = format!("{error:?}");
    let mut name = debug.as_str();
    while let Some(inner) = WRAPPERS.iter().find_map(|wrapper| name.strip_prefix(wrapper)) {
        name = inner;
    }
    name.chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn verdict<T, E: Debug>(result: &Result<T, E>) -> String {
    result.as_ref().map_or_else(error_name, |_| "Ok".to_owned())
}

fn entry(key: &Entry) -> KeyEntry {
    let terms = KeyTerms {
        suite: Suite::try_from(key.suite).unwrap(),
        flags: Flags::from_bits(key.flags).unwrap(),
        scope: key.scope.parse().unwrap(),
        epoch: Epoch(key.epoch),
        bump: Bump(key.bump),
        nbf: UnixMillis(key.nbf),
        exp: UnixMillis(key.exp),
        dec: UnixMillis(key.dec),
    };
    let key_t = b64::decode_array(&key.key_t).unwrap();
    let key_id = key.key_id.parse().unwrap();
    KeyEntry { key_id, key_t: Secret::from_bytes(key_t), terms, from: UnixMillis(key.from) }
}

fn ring(holdings: &Holdings) -> KeyRing {
    let mut ring = KeyRing::new();
    for key in &holdings.keys {
        ring.insert(entry(key)).unwrap();
    }
    let listed = holdings.publishers.iter().map(|publisher| Certificate {
        nos: "nos-1".parse().unwrap(),
        publisher: PublisherSlot(publisher.publisher),
        signing_key: publisher.signing_key.parse().unwrap(),
        iat: UnixMillis(0),
        exp: UnixMillis(publisher.exp),
    });
    ring.list(listed.collect());
    ring
}

fn bytes(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Binary(hex) => unhex(hex),
        Payload::Text(text) => text.clone().into_bytes(),
    }
}

#[test]
fn every_file_is_read_by_a_test() {
    let mut found: Vec<String> = fs::read_dir(form::path("x").parent().unwrap())
        .unwrap()
        .filter_map(|file| Some(file.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, FILES);
}

#[test]
fn vectors_that_must_fail_outnumber_those_that_must_not() {
    let (mut good, mut bad) = (0, 0);
    for name in FILES {
        let file: serde_json::Value = serde_json::from_slice(&fs::read(form::path(name)).unwrap()).unwrap();
        let mut names = std::collections::BTreeSet::new();
        for case in file["cases"].as_array().unwrap() {
            assert!(names.insert(case["name"].as_str().unwrap()), "{name}: {} comes twice", case["name"]);
            let fails = case.get("error").is_some() || case.get("verdict").is_some_and(|verdict| verdict != "Ok");
            *if fails { &mut bad } else { &mut good } += 1;
        }
    }
    assert!(bad > good, "{good} good, {bad} bad");
    assert!(good + bad >= 300, "{good} good, {bad} bad");
}

/// Reads a file of the test kit.
fn case_from_text(text: &str) -> serde_json::Value {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut members = serde_json::Map::new();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        match name {
            "expect" => {}
            "reason" => drop(members.insert("name".into(), value.into())),
            "body" => {
                let (name, body) = match value.split_once('.') {
                    Some((name, kind)) => (name, serde_json::json!({ kind: body })),
                    None => (value, body.into()),
                };
                members.insert(name.into(), body);
            }
            name => drop(members.insert(name.into(), serde_json::from_str(value).unwrap())),
        }
    }
    members.into()
}

#[test]
fn the_test_kit_holds_the_same_cases_one_per_file_with_outcome_and_reason() {
    let mut files = 0;
    for part in FILES {
        let file: File<serde_json::Value> = File::read(part).unwrap();
        let found = fs::read_dir(testkit::folder(part)).unwrap().count();
        assert_eq!(found, file.cases.len(), "{part}: as many files as cases");
        for case in &file.cases {
            let path = testkit::folder(part).join(testkit::file_name(case));
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(case_from_text(&text), *case, "{}", path.display());
            assert_eq!(text, testkit::to_text(case).unwrap(), "{}", path.display());
            let (name, expected) = (case["name"].as_str().unwrap(), testkit::expected(case));
            assert!(text.starts_with(&format!("expect: {expected}\nreason: {name}\n")), "{}", path.display());
        }
        files += found;
    }
    assert!(files >= 300, "{files} files");
}

#[test]
fn key_schedule() {
    for case in File::<KeySchedule>::read("key-schedule").unwrap().cases {
        let (scope, salt) = (case.scope_id.parse().unwrap(), secret(&case.scope_salt));
        let phase = schedule::phase_ms(&salt, &scope, case.life_ms);
        let epoch = schedule::epoch_at(UnixMillis(case.at), phase, case.life_ms);
        let times = schedule::validity(epoch, phase, case.life_ms, case.history_ms);
        assert_eq!((phase, epoch.0), (case.phase_ms, case.epoch), "{}", case.name);
        assert_eq!((times.nbf.0, times.exp.0, times.dec.0), (case.nbf, case.exp, case.dec), "{}", case.name);
        let key_t = schedule::derive_key_t(&secret(&case.root), &salt, &scope, epoch, Bump(case.bump));
        assert_eq!(hex(key_t.expose()), case.key_t, "{}", case.name);
        let terms = KeyTerms {
            suite: Suite::try_from(case.suite).unwrap(),
            flags: Flags::from_bits(case.flags).unwrap(),
            scope,
            epoch,
            bump: Bump(case.bump),
            nbf: times.nbf,
            exp: times.exp,
            dec: times.dec,
        };
        let key_id = schedule::key_id(&key_t, ScopeTag::from_bytes(array(&case.scope_tag)), &terms);
        assert_eq!((hex(&key_id.commit()), key_id.to_string()), (case.commit, case.key_id), "{}", case.name);
        let session = Session(u64::from_be_bytes(array(&case.session)));
        let subkey = schedule::subkey(&key_t, terms.suite, &key_id, PublisherSlot(case.publisher), session);
        assert_eq!(hex(subkey.expose()), format!("{}{}", case.subkey_key, case.subkey_iv), "{}", case.name);
    }
}

#[test]
fn scope_id() {
    for case in File::<ScopeIdCase>::read("scope-id").unwrap().cases {
        let obligations = Obligations {
            sign: case.sign,
            pad_bytes: case.pad_bytes,
            redact: case.redact.iter().map(|pointer| pointer.parse().unwrap()).collect(),
            notify: case.notify.iter().map(|topic| topic.parse().unwrap()).collect(),
        };
        let (realm, suite) = (case.realm.parse().unwrap(), Suite::try_from(case.suite).unwrap());
        let id = schedule::scope_id(&realm, &case.app, &case.user, &obligations, suite, case.life_ms);
        assert_eq!(id.to_string(), case.scope_id, "{}", case.name);
    }
}

#[test]
fn messages() {
    for case in File::<Message>::read("messages").unwrap().cases {
        let entry = entry(&case.key);
        entry.verify().unwrap();
        let (publisher, session) = (PublisherSlot(case.publisher), Session(u64::from_be_bytes(array(&case.session))));
        let subkey = schedule::subkey(&entry.key_t, entry.terms.suite, &entry.key_id, publisher, session);
        assert_eq!(hex(subkey.expose()), format!("{}{}", case.subkey_key, case.subkey_iv), "{}", case.name);

        let binary = unhex(&case.binary);
        let message = SealedMessage::parse(&binary).unwrap();
        assert_eq!(String::from_utf8(message.to_json()).unwrap(), case.json, "{}", case.name);
        assert_eq!(SealedMessage::parse(case.json.as_bytes()).unwrap().to_binary(), binary, "{}", case.name);
        assert_eq!(case.header, hex(&binary[..56]), "{}", case.name);
        let iv = unhex(&case.subkey_iv);
        let zeros = vec![0; iv.len() - 12];
        let counters = [&zeros, &case.ts.to_be_bytes()[2..], &case.seq.to_be_bytes()[2..]].concat();
        let nonce: Vec<u8> = iv.iter().zip(counters).map(|(iv, counter)| iv ^ counter).collect();
        assert_eq!(case.nonce, hex(&nonce), "{}", case.name);
        let length = u16::try_from(case.topic.len()).unwrap().to_be_bytes();
        let aad = [b"aups/1 message", &binary[..56], &length, case.topic.as_bytes()].concat();
        assert_eq!(case.aad, hex(&aad), "{}", case.name);

        let signer = case.signing_seed.as_deref().map(|seed| SigningKey::from_seed(secret(seed)));
        let opening = OpeningKey::new(&entry, publisher, session);
        let public = signer.as_ref().map(SigningKey::public);
        let opened = opening.open(&case.topic, &message, public.as_ref()).unwrap();
        assert_eq!(hex(&opened), case.plaintext, "{}", case.name);

        let plaintext = Plaintext {
            topic: &case.topic,
            topic_seq: case.topic_seq,
            ts: UnixMillis(case.ts),
            content: ContentType::try_from(case.content_type).unwrap(),
            bytes: &opened,
            pad_bytes: case.pad_bytes,
        };
        // The counter begins at 0: seal as often as it takes to reach the seq of the case.
        for (spelling, expected) in [(Spelling::Binary, &binary[..]), (Spelling::Json, case.json.as_bytes())] {
            let sealing = SealingKey::new(&entry, publisher, session);
            let sealed = (0..=case.seq).map(|_| sealing.seal(&plaintext, signer.as_ref(), spelling).unwrap()).last();
            assert_eq!(sealed.unwrap(), expected, "{}", case.name);
        }
    }
}

#[test]
fn messages_refused() {
    for case in File::<Refused>::read("messages-refused").unwrap().cases {
        let payload = bytes(&case.payload);
        let arrival = Arrival { topic: &case.topic, payload: &payload, retain: false, now: UnixMillis(case.now) };
        let result = Acceptance::new(AcceptanceLimits::default()).accept(&arrival, &ring(&case.holdings));
        assert_eq!(verdict(&result), case.error, "{}", case.name);
    }
}

#[test]
fn acceptance() {
    for case in File::<Sequence>::read("acceptance").unwrap().cases {
        let max_age = Duration::from_millis(case.max_age_ms);
        let mut acceptance = Acceptance::new(AcceptanceLimits { max_age, ..AcceptanceLimits::default() });
        let ring = ring(&case.holdings);
        for (number, step) in case.steps.iter().enumerate() {
            if step.subscribes {
                acceptance.begin_subscription();
            }
            let payload = bytes(&step.payload);
            let (topic, now) = (step.topic.as_str(), UnixMillis(step.now));
            let arrival = Arrival { topic, payload: &payload, retain: step.retain, now };
            let (verdict, missed) = match acceptance.accept(&arrival, &ring) {
                Ok(accepted) => (format!("{:?}", accepted.outcome), accepted.gap.map_or(0, |gap| gap.missed)),
                Err(rejection) => (error_name(&rejection), 0),
            };
            assert_eq!((verdict, missed), (step.verdict.clone(), step.missed), "{}, step {number}", case.name);
        }
    }
}

#[test]
fn sources() {
    for case in File::<SourceCase>::read("sources").unwrap().cases {
        let master = SourceMaster::new(secret(&case.master));
        let (node, id) = (case.node.parse().unwrap(), case.credential_id.parse().unwrap());
        let suite = Suite::try_from(case.suite).unwrap();
        let (credential, key) = (master.credential(&node, &id), master.key(&node, suite, &id));
        assert_eq!(b64::encode(credential.expose()), case.credential, "{}", case.name);
        assert_eq!(b64::encode(key.expose()), case.key, "{}", case.name);
        let payload = bytes(&case.payload);
        let opened = match SealedMessage::parse(&payload) {
            Err(error) => Err(error_name(&error)),
            Ok(message) => {
                let opener = SourceOpener::new(&node, suite, &key, id, message.header().session);
                opener.open(&message).map_err(|error| error_name(&error))
            }
        };
        assert_eq!(opened.as_ref().map_or_else(String::clone, |_| "Ok".into()), case.verdict, "{}", case.name);
        assert_eq!(opened.ok().map(|plaintext| hex(&plaintext)), case.plaintext, "{}", case.name);
    }
}

fn key(case: &Jose) -> VerifyingKey {
    case.key.as_deref().unwrap().parse().unwrap()
}

#[test]
fn certificates() {
    for case in File::<Jose>::read("certificates").unwrap().cases {
        let result = Certificate::verify(&case.jws, &key(&case), UnixMillis(case.now.unwrap()));
        assert_eq!(verdict(&result), case.verdict, "{}", case.name);
    }
}

#[test]
fn key_requests() {
    for case in File::<Jose>::read("key-requests").unwrap().cases {
        let result = KeyRequest::verify(case.jws.as_bytes(), &key(&case));
        assert_eq!(verdict(&result), case.verdict, "{}", case.name);
    }
}

#[test]
fn bearer() {
    for case in File::<Jose>::read("bearer").unwrap().cases {
        let result = Bearer::verify(case.jws.as_bytes(), &key(&case));
        assert_eq!(verdict(&result), case.verdict, "{}", case.name);
    }
}

#[test]
fn enrolment_requests() {
    for case in File::<Jose>::read("enrolment-requests").unwrap().cases {
        assert_eq!(verdict(&EnrolRequest::verify(case.jws.as_bytes())), case.verdict, "{}", case.name);
    }
}

#[test]
fn enrolled() {
    for case in File::<EnrolledCase>::read("enrolled").unwrap().cases {
        let token = case.token.parse().unwrap();
        let result = Enrolled::verify(case.jws.as_bytes(), case.request.as_bytes(), &token);
        assert_eq!(verdict(&result), case.verdict, "{}", case.name);
    }
}

#[test]
fn identity_files() {
    for case in File::<IdentityCase>::read("identity-files").unwrap().cases {
        assert_eq!(verdict(&IdentityFile::from_json(case.text.as_bytes())), case.verdict, "{}", case.name);
    }
}

#[test]
fn key_responses() {
    for case in File::<KeyResponse>::read("key-responses").unwrap().cases {
        let realm_key = case.realm_key.parse().unwrap();
        let kem = KemSecretKey::from_bytes(case.kem.parse().unwrap(), secret(&case.kem_key));
        let (request, response) = (case.request.as_bytes(), case.response.as_bytes());
        let result = open_key_response(request, response, &realm_key, &kem, UnixMillis(case.now));
        assert_eq!(verdict(&result), case.verdict, "{}", case.name);
        let Ok(opened) = result else { continue };
        let ids = |entries: &[KeyEntry]| entries.iter().map(|entry| entry.key_id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&opened.grants.keys), case.keys, "{}", case.name);
        assert_eq!(ids(&opened.grants.next), case.next, "{}", case.name);
        let slots: Vec<u32> = opened.publishers.iter().map(|certificate| certificate.publisher.0).collect();
        assert_eq!(slots, case.publishers, "{}", case.name);
        let refused: Vec<String> = opened.refused.iter().map(error_name).collect();
        assert_eq!(refused, case.refused, "{}", case.name);
    }
}

#[test]
fn a_key_id_has_the_parts_that_the_schedule_says() {
    for case in File::<KeySchedule>::read("key-schedule").unwrap().cases {
        let id: KeyId = case.key_id.parse().unwrap();
        assert_eq!(hex(id.as_bytes()), format!("{}{:08x}{:04x}{}", case.scope_tag, case.epoch, case.bump, case.commit));
    }
}

#[test]
fn the_worked_example_of_the_protocol_is_a_vector() {
    let protocol = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md")).unwrap();
    let cases = File::<Message>::read("messages").unwrap().cases;
    let hello = cases.iter().find(|case| case.name == "hello").unwrap();
    let entry = entry(&hello.key);
    let result = unhex(&hello.binary)[56..].to_vec();
    let (ciphertext, tag) = result.split_at(5);
    for shown in [
        hex(entry.terms.scope.as_bytes()),
        hex(entry.key_t.expose()),
        hex(&entry.key_id.commit()),
        hello.subkey_key.clone(),
        hello.subkey_iv.clone(),
        hello.nonce.clone(),
        format!("{} {}", hex(ciphertext), hex(tag)),
        hello.json.clone(),
    ] {
        assert!(protocol.contains(&shown), "{shown} is not in docs/protocol.md");
    }
}

#[test]
fn the_other_examples_of_the_protocol_are_vectors() {
    let protocol = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md")).unwrap();
    let case_of = |file: &str, name: &str| {
        let cases = File::<serde_json::Value>::read(file).unwrap().cases;
        cases.into_iter().find(|case| case["name"] == name).unwrap()
    };
    let text = |case: &serde_json::Value, member: &str| case[member].as_str().unwrap().to_owned();
    let ascon = case_of("messages", "the smallest, ascon-aead128");
    let request = case_of("key-requests", "good");
    let answer = case_of("key-responses", "granted, x25519");
    assert_eq!(request["jws"], answer["request"]);
    let jws = text(&request, "jws");
    let parts: Vec<&str> = jws.split('.').collect();
    let decoded = |part: &str| String::from_utf8(b64::decode(part).unwrap()).unwrap();
    for shown in [
        text(&ascon, "subkeyKey"),
        text(&ascon, "subkeyIv"),
        text(&ascon, "nonce"),
        text(&ascon, "header"),
        text(&ascon, "binary").split_off(112),
        decoded(parts[0]),
        decoded(parts[1]),
        parts[2].to_owned(),
        text(&request, "key"),
        hex(&aups_envelope::sha256(&[jws.as_bytes()])),
        text(&answer, "kemKey"),
    ] {
        assert!(protocol.contains(&shown), "{shown} is not in docs/protocol.md");
    }
}
