//! Writes `testvectors/`: `cargo xtask vectors`.
//!
//! Everything is made from fixed secrets, so that the files change only when the protocol does. HPKE alone takes fresh
//! randomness: an answer that stands in the file already is kept as long as it opens to the same text.
//! What a vector must end in is written here, not asked of the code; `tests/vectors` compares the two.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a generator may stop at the first thing that is not as it should be"
)]
#![expect(clippy::too_many_lines, reason = "a list of vectors is read as a list")]

#[path = "../tests/vectors/form.rs"]
mod form;
#[path = "../tests/vectors/testkit.rs"]
mod testkit;

use aups_core::{
    Bump, Epoch, Flags, KeyId, NodeId, NosId, Obligations, PublisherSlot, RealmId, ScopeId, ScopeTag, Session, Suite,
    UnixMillis,
};
use aups_envelope::{
    Certificate, ContentType, KeyEntry, KeyTerms, Plaintext, SealedMessage, SealingKey, Secret, SigningKey,
    SourceMaster, SourceSealer, Spelling, b64,
    enrol::{Enrolled, EnrolmentToken, MqttAccess},
    identity::IdentityFile,
    kem::{Kem, KemSecretKey, SealedTo},
    realm_id, schedule, sha256,
};
use form::{
    EnrolledCase, Entry, File, Holdings, IdentityCase, Jose, KeyResponse, KeySchedule, Listed, Message, Payload,
    Refused, ScopeIdCase, Sequence, SourceCase, Step, hex,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::fs;

const NBF: u64 = 1_767_225_600_000;
const LIFE_MS: u64 = 300_000;
const HISTORY_MS: u64 = 604_800_000;
const NOW: u64 = NBF + 100_000;
const DEC: u64 = NBF + LIFE_MS + HISTORY_MS;
const DAY_MS: u64 = 86_400_000;
const SKEW_MS: u64 = 30_000;
const TOPIC: &str = "data/sensor1/temperature";
const PUBLISHER: u32 = 7;
const SESSION: u64 = 0x0000_0003_dead_beef;
const ITEM: &str = r#"{"id":"019b7640-2000-7000-8000-000000000001","source":{"nodeId":"sensor1","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-01-01T00:01:40.000Z","data":{"name":"temperature","value":10.0,"unit":"Cel"},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,"authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    key_schedule()?;
    scope_id()?;
    messages()?;
    messages_refused()?;
    acceptance()?;
    sources()?;
    certificates()?;
    key_requests()?;
    bearer()?;
    enrolment()?;
    identity_files()?;
    key_responses()
}

fn write<C: Serialize>(name: &str, description: &str, cases: Vec<C>) -> Outcome {
    assert!(form::FILES.contains(&name), "{name} is not in the list of files");
    let file = File { description: description.into(), cases };
    let mut json = serde_json::to_string_pretty(&file)?;
    json.push('\n');
    fs::write(form::path(name), json)?;
    write_testkit(name, &file.cases.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?)
}

/// Writes the cases of a part, and nothing else, into its folder.
fn write_testkit(part: &str, cases: &[Value]) -> Outcome {
    let folder = testkit::folder(part);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    for case in cases {
        let file = folder.join(testkit::file_name(case));
        if file.exists() {
            return Err(format!("two cases would be {}", file.display()).into());
        }
        fs::write(file, testkit::to_text(case)?)?;
    }
    Ok(())
}

/// A fixed secret that is called something.
fn secret(name: &str) -> Secret<32> {
    Secret::from_bytes(sha256(&[b"aups test vectors: ", name.as_bytes()]))
}

fn signing(name: &str) -> SigningKey {
    SigningKey::from_seed(secret(name))
}

fn realm() -> RealmId {
    realm_id(&signing("realm").public())
}

fn tag() -> ScopeTag {
    ScopeTag::from_bytes(*b"scopetag")
}

fn terms(suite: Suite, flags: Flags, epoch: u32, bump: u16) -> KeyTerms {
    let (nbf, exp) = (UnixMillis(NBF), UnixMillis(NBF + LIFE_MS));
    let scope = ScopeId::from_bytes(sha256(&[b"a scope"]));
    KeyTerms {
        suite,
        flags,
        scope,
        epoch: Epoch(epoch),
        bump: Bump(bump),
        nbf,
        exp,
        dec: UnixMillis(exp.0 + HISTORY_MS),
    }
}

fn entry_of(suite: Suite, flags: Flags, epoch: u32, bump: u16, from: u64) -> KeyEntry {
    KeyEntry::new(tag(), secret("keyT"), terms(suite, flags, epoch, bump), UnixMillis(from))
}

fn entry(suite: Suite, flags: Flags) -> KeyEntry {
    entry_of(suite, flags, 9, 0, NBF)
}

fn plain() -> KeyEntry {
    entry(Suite::Aes256Gcm, Flags::NONE)
}

fn key(entry: &KeyEntry) -> Entry {
    let KeyTerms { suite, flags, scope, epoch, bump, nbf, exp, dec } = entry.terms;
    Entry {
        key_id: entry.key_id.to_string(),
        key_t: b64::encode(entry.key_t.expose()),
        suite: suite.into(),
        flags: flags.bits(),
        scope: scope.to_string(),
        epoch: epoch.0,
        bump: bump.0,
        nbf: nbf.0,
        exp: exp.0,
        dec: dec.0,
        from: entry.from.0,
    }
}

fn publisher(slot: u32, exp: u64) -> Listed {
    Listed { publisher: slot, signing_key: signing("nos").public().to_string(), exp }
}

fn holdings(keys: &[&KeyEntry]) -> Holdings {
    Holdings {
        keys: keys.iter().map(|entry| key(entry)).collect(),
        publishers: vec![publisher(PUBLISHER, NBF + 9 * DAY_MS)],
    }
}

fn item(number: u64) -> String {
    format!(r#"{{"id":"019b7640-2000-7000-8000-{number:012x}"}}"#)
}

fn plaintext(bytes: &str) -> Plaintext<'_> {
    let bytes = bytes.as_bytes();
    Plaintext { topic: TOPIC, topic_seq: 0, ts: UnixMillis(NOW), content: ContentType::Json, bytes, pad_bytes: 0 }
}

fn sealing(entry: &KeyEntry) -> SealingKey {
    SealingKey::new(entry, PublisherSlot(PUBLISHER), Session(SESSION))
}

fn seal(entry: &KeyEntry, plaintext: &Plaintext<'_>) -> Vec<u8> {
    sealing(entry).seal(plaintext, Some(&signing("nos")), Spelling::Binary).unwrap()
}

/// The JSON spelling of anything that is long enough to have one.
fn spell(binary: &[u8]) -> String {
    let (front, rest) = binary.split_at(32);
    let (key_id, body) = rest.split_at(24);
    format!(r#"{{"keyId":"{}","data":"{}"}}"#, b64::encode(key_id), b64::encode(&[front, body].concat()))
}

fn key_schedule() -> Outcome {
    let case = |name: &str, suite: Suite, flags: Flags, life_ms: u64, at: u64, bump: u16, session: u64| {
        let (root, salt) = (secret("root"), secret("salt"));
        let scope = ScopeId::from_bytes(sha256(&[name.as_bytes()]));
        let phase = schedule::phase_ms(&salt, &scope, life_ms);
        let epoch = schedule::epoch_at(UnixMillis(at), phase, life_ms);
        let times = schedule::validity(epoch, phase, life_ms, HISTORY_MS);
        let key_t = schedule::derive_key_t(&root, &salt, &scope, epoch, Bump(bump));
        let (nbf, exp, dec) = (times.nbf, times.exp, times.dec);
        let terms = KeyTerms { suite, flags, scope, epoch, bump: Bump(bump), nbf, exp, dec };
        let key_id = schedule::key_id(&key_t, tag(), &terms);
        let subkey = schedule::subkey(&key_t, suite, &key_id, PublisherSlot(PUBLISHER), Session(session));
        let (subkey_key, subkey_iv) = subkey.expose().split_at(schedule::subkey_key_bytes(suite));
        KeySchedule {
            name: name.into(),
            root: hex(root.expose()),
            scope_salt: hex(salt.expose()),
            scope_id: scope.to_string(),
            scope_tag: hex(tag().as_bytes()),
            life_ms,
            history_ms: HISTORY_MS,
            at,
            bump,
            suite: suite.into(),
            flags: flags.bits(),
            publisher: PUBLISHER,
            session: hex(&session.to_be_bytes()),
            phase_ms: phase,
            epoch: epoch.0,
            nbf: nbf.0,
            exp: exp.0,
            dec: dec.0,
            key_t: hex(key_t.expose()),
            commit: hex(&key_id.commit()),
            key_id: key_id.to_string(),
            subkey_key: hex(subkey_key),
            subkey_iv: hex(subkey_iv),
        }
    };
    let (gcm, chacha) = (Suite::Aes256Gcm, Suite::ChaCha20Poly1305);
    let all = Flags::SIGNED.union(Flags::PADDED);
    let cases = vec![
        case("five minutes", gcm, Flags::NONE, LIFE_MS, NOW, 0, SESSION),
        case("the next epoch", gcm, Flags::NONE, LIFE_MS, NOW + LIFE_MS, 0, SESSION),
        case("after a bump", gcm, Flags::NONE, LIFE_MS, NOW, 1, SESSION),
        case("the last bump", gcm, Flags::NONE, LIFE_MS, NOW, u16::MAX, SESSION),
        case("chacha20-poly1305", chacha, Flags::NONE, LIFE_MS, NOW, 0, SESSION),
        case("ascon-aead128", Suite::AsconAead128, Flags::NONE, LIFE_MS, NOW, 0, SESSION),
        case("signed", gcm, Flags::SIGNED, LIFE_MS, NOW, 0, SESSION),
        case("padded", gcm, Flags::PADDED, LIFE_MS, NOW, 0, SESSION),
        case("signed and padded", chacha, all, LIFE_MS, NOW, 0, SESSION),
        case("the shortest life", gcm, Flags::NONE, 1_000, NOW, 0, SESSION),
        case("a day", gcm, Flags::NONE, DAY_MS, NOW, 0, SESSION),
        case("another session", gcm, Flags::NONE, LIFE_MS, NOW, 0, u64::MAX),
        case("a life that is no power of anything", gcm, Flags::NONE, 777_777, NOW, 2, 1),
    ];
    let description = "keyT, phase, epoch, validity, commitment, key id and subkey (DESIGN sections 4 and 5)";
    write("key-schedule", description, cases)
}

fn scope_id() -> Outcome {
    let case = |name: &str, app: &str, user: &str, obligations: Obligations, suite: Suite, life_ms| {
        let id = schedule::scope_id(&realm(), app, user, &obligations, suite, life_ms);
        ScopeIdCase {
            name: name.into(),
            realm: realm().to_string(),
            app: app.into(),
            user: user.into(),
            sign: obligations.sign,
            pad_bytes: obligations.pad_bytes,
            redact: obligations.redact.iter().map(ToString::to_string).collect(),
            notify: obligations.notify.iter().map(ToString::to_string).collect(),
            suite: suite.into(),
            life_ms,
            scope_id: id.to_string(),
        }
    };
    let padded = |pad_bytes| Obligations { pad_bytes, ..Obligations::default() };
    let texts = |redact: &[&str], notify: &[&str]| Obligations {
        redact: redact.iter().map(|pointer| pointer.parse().unwrap()).collect(),
        notify: notify.iter().map(|topic| topic.parse().unwrap()).collect(),
        ..Obligations::default()
    };
    let (none, signed) = (Obligations::default, || Obligations { sign: true, ..Obligations::default() });
    let permit = r#"permit(principal, action, resource) when { principal.roles.contains("meteorologist") };"#;
    let (gcm, chacha) = (Suite::Aes256Gcm, Suite::ChaCha20Poly1305);
    let cases = vec![
        case("nobody", "", "", none(), gcm, LIFE_MS),
        case("users", "", permit, none(), gcm, LIFE_MS),
        case("apps", permit, "", none(), gcm, LIFE_MS),
        case("both", permit, permit, none(), gcm, LIFE_MS),
        case("signed", permit, permit, signed(), gcm, LIFE_MS),
        case("padded to 32", permit, permit, padded(32), gcm, LIFE_MS),
        case("padded to 257", permit, permit, padded(257), gcm, LIFE_MS),
        case("chacha20-poly1305", permit, permit, none(), chacha, LIFE_MS),
        case("ascon-aead128", permit, permit, none(), Suite::AsconAead128, LIFE_MS),
        case("a day", permit, permit, none(), gcm, DAY_MS),
        case("not ASCII", "é", "日本", none(), gcm, LIFE_MS),
        case("one redaction", permit, permit, texts(&["/data/gps"], &[]), gcm, LIFE_MS),
        case(
            "redactions, sorted",
            permit,
            permit,
            texts(&["/data/gps/lon", "/data/a~1b", "/data/gps/lat"], &[]),
            gcm,
            LIFE_MS,
        ),
        case("one topic to notify", permit, permit, texts(&[], &["alerts/hot"]), gcm, LIFE_MS),
        case("topics to notify, sorted", permit, permit, texts(&[], &["b", "a/b", "a"]), gcm, LIFE_MS),
        case(
            "every obligation",
            permit,
            permit,
            Obligations { sign: true, pad_bytes: 256, ..texts(&["/data/é"], &["alerts/é"]) },
            chacha,
            LIFE_MS,
        ),
    ];
    write("scope-id", "scopeId (DESIGN section 6, canonicaliser version 1)", cases)
}

/// `IV xor (0… ‖ ts ‖ seq)`.
fn nonce(iv: &[u8], header: &[u8]) -> Vec<u8> {
    let zeros = vec![0; iv.len() - 12];
    let counters = [&zeros, header.get(22..28).unwrap(), header.get(16..22).unwrap()].concat();
    iv.iter().zip(counters).map(|(iv, counter)| iv ^ counter).collect()
}

fn messages() -> Outcome {
    struct Given<'a> {
        name: &'a str,
        entry: KeyEntry,
        seq: u64,
        plaintext: Plaintext<'a>,
    }
    let message = |given: Given<'_>| {
        let Given { name, entry, seq, plaintext } = given;
        let signed = entry.terms.flags.contains(Flags::SIGNED);
        let (publisher, session) = (PublisherSlot(PUBLISHER), Session(SESSION));
        let sealing = sealing(&entry);
        let mut binary = Vec::new();
        for _ in 0..=seq {
            binary = sealing.seal(&plaintext, Some(&signing("nos")), Spelling::Binary).unwrap();
        }
        let subkey = schedule::subkey(&entry.key_t, entry.terms.suite, &entry.key_id, publisher, session);
        let (subkey_key, subkey_iv) = subkey.expose().split_at(schedule::subkey_key_bytes(entry.terms.suite));
        let (header, _) = binary.split_at(56);
        let nonce = nonce(subkey_iv, header);
        let length = u16::try_from(plaintext.topic.len()).unwrap().to_be_bytes();
        Message {
            name: name.into(),
            key: key(&entry),
            signing_seed: signed.then(|| hex(secret("nos").expose())),
            publisher: PUBLISHER,
            session: hex(&SESSION.to_be_bytes()),
            seq,
            ts: plaintext.ts.0,
            topic: plaintext.topic.into(),
            topic_seq: plaintext.topic_seq,
            content_type: plaintext.content as u8,
            pad_bytes: plaintext.pad_bytes,
            plaintext: hex(plaintext.bytes),
            subkey_key: hex(subkey_key),
            subkey_iv: hex(subkey_iv),
            header: hex(header),
            nonce: hex(&nonce),
            aad: hex(&[b"aups/1 message", header, &length, plaintext.topic.as_bytes()].concat()),
            json: String::from_utf8(SealedMessage::parse(&binary).unwrap().to_json()).unwrap(),
            binary: hex(&binary),
        }
    };
    let both = Flags::SIGNED.union(Flags::PADDED);
    let base = plaintext(ITEM);
    let (gcm, chacha, ascon) = (Suite::Aes256Gcm, Suite::ChaCha20Poly1305, Suite::AsconAead128);
    let given = |name, suite, flags, seq, plaintext| Given { name, entry: entry(suite, flags), seq, plaintext };
    let long_topic = "a/".repeat(15) + &"t".repeat(994);
    let padded = Plaintext { pad_bytes: 32, ..base };
    let cases = [
        given("the smallest", gcm, Flags::NONE, 0, Plaintext { content: ContentType::Octets, ..plaintext("") }),
        given("hello", gcm, Flags::NONE, 0, Plaintext { content: ContentType::Octets, ..plaintext("hello") }),
        given("an item", gcm, Flags::NONE, 0, base),
        given("an item, later", gcm, Flags::NONE, 258, Plaintext { topic_seq: 0x0102_0304, ..base }),
        given("an item, chacha20-poly1305", chacha, Flags::NONE, 1, base),
        given(
            "the smallest, ascon-aead128",
            ascon,
            Flags::NONE,
            0,
            Plaintext { content: ContentType::Octets, ..plaintext("") },
        ),
        given("an item, ascon-aead128", ascon, Flags::NONE, 258, base),
        given("an item, signed", gcm, Flags::SIGNED, 0, base),
        given("an item, padded", gcm, Flags::PADDED, 0, padded),
        given("an item, signed and padded", gcm, both, 2, padded),
        given("an item, signed and padded, chacha20-poly1305", chacha, both, 2, padded),
        given("an item, signed and padded, ascon-aead128", ascon, both, 2, padded),
        given("padded though nobody demands it", gcm, Flags::NONE, 0, padded),
        given("nothing, padded", gcm, Flags::PADDED, 0, Plaintext { pad_bytes: 16, ..plaintext("") }),
        given(
            "a whole block, padded",
            gcm,
            Flags::PADDED,
            0,
            Plaintext { pad_bytes: 16, ..plaintext("0123456789abcdef") },
        ),
        given("cbor", gcm, Flags::NONE, 0, Plaintext { content: ContentType::Cbor, ..plaintext("\x01") }),
        given("senml", gcm, Flags::NONE, 0, Plaintext { content: ContentType::SenmlJson, ..plaintext("[]") }),
        given("at the first instant of the key", gcm, Flags::NONE, 0, Plaintext { ts: UnixMillis(NBF), ..base }),
        given("at the last instant", gcm, Flags::NONE, 0, Plaintext { ts: UnixMillis(NBF + LIFE_MS - 1), ..base }),
        given("a topic that is not ASCII", gcm, Flags::NONE, 0, Plaintext { topic: "données/température", ..base }),
        given("the longest topic", gcm, Flags::NONE, 0, Plaintext { topic: &long_topic, ..base }),
        given("the last topic seq", gcm, Flags::NONE, 0, Plaintext { topic_seq: u32::MAX, ..base }),
    ]
    .map(message)
    .into();
    write("messages", "Sealed messages with everything that goes in (DESIGN section 4)", cases)
}

fn messages_refused() -> Outcome {
    let good = seal(&plain(), &plaintext(&item(1)));
    let text = spell(&good);
    let case = |name: &str, payload: Payload, error: &str| Refused {
        name: name.into(),
        holdings: holdings(&[&plain()]),
        topic: TOPIC.into(),
        now: NOW,
        payload,
        error: error.into(),
    };
    let binary = |name: &str, bytes: &[u8], error| case(name, Payload::Binary(hex(bytes)), error);
    let json = |name: &str, text: &str, error| case(name, Payload::Text(text.into()), error);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        *bytes.get_mut(at).unwrap() = byte;
        bytes
    };
    let mut cases = Vec::new();

    // Every byte, one bit of it, in both spellings.
    for (at, byte) in good.iter().enumerate() {
        let flipped = with(at, byte ^ 1);
        let error = match at {
            0 => "UnknownVersion",
            // Suite 1 becomes 0.
            1 => "UnknownSuite",
            // Now it says that it is signed, and is too short for that.
            2 => "TooShort",
            4..8 => "UnknownPublisher",
            // Hours to years off; the lower bytes of ts stay in the key's time.
            22..25 => "OutsideValidity",
            32..56 => "UnknownKey",
            _ => "BadTag",
        };
        cases.push(binary(&format!("byte {at} changed, binary"), &flipped, error));
        if at % 4 == 0 {
            cases.push(json(&format!("byte {at} changed, json"), &spell(&flipped), error));
        }
    }
    for suite in [Suite::ChaCha20Poly1305, Suite::AsconAead128] {
        let entry = entry(suite, Flags::NONE);
        let good = seal(&entry, &plaintext(&item(1)));
        for (at, byte) in good.iter().enumerate().filter(|(at, _)| *at < 57 || *at >= good.len() - 16) {
            let mut flipped = good.clone();
            *flipped.get_mut(at).unwrap() = byte ^ 1;
            let error = match at {
                0 => "UnknownVersion",
                1 => "SuiteMismatch",
                2 => "TooShort",
                4..8 => "UnknownPublisher",
                22..25 => "OutsideValidity",
                32..56 => "UnknownKey",
                _ => "BadTag",
            };
            let name = format!("{suite}, byte {at} changed");
            let payload = if at % 2 == 0 { Payload::Binary(hex(&flipped)) } else { Payload::Text(spell(&flipped)) };
            cases.push(Refused { holdings: holdings(&[&entry]), ..case(&name, payload, error) });
        }
        cases.push(Refused {
            holdings: holdings(&[&entry]),
            topic: "data/sensor2/temperature".into(),
            ..binary(&format!("{suite}, moved to another topic"), &good, "BadTag")
        });
    }
    for (name, at, byte, error) in [
        ("version 0", 0, 0, "UnknownVersion"),
        ("version 2", 0, 2, "UnknownVersion"),
        ("version 255", 0, 0xff, "UnknownVersion"),
        ("suite 2, the key's is 1", 1, 2, "SuiteMismatch"),
        ("suite 3, the key's is 1", 1, 3, "SuiteMismatch"),
        ("suite 4, not in this version", 1, 4, "UnknownSuite"),
        ("suite 5, for sources only", 1, 5, "SuiteMismatch"),
        ("suite 255", 1, 0xff, "UnknownSuite"),
        ("flag 2", 2, 4, "UnknownFlag"),
        ("flag 7", 2, 0x80, "UnknownFlag"),
        ("all flags", 2, 0xff, "UnknownFlag"),
        ("padded, the sealer did not say so", 2, 2, "BadTag"),
        ("content type 4", 3, 4, "UnknownContentType"),
        ("content type 255", 3, 0xff, "UnknownContentType"),
        ("content type changed", 3, 0, "BadTag"),
    ] {
        cases.push(binary(name, &with(at, byte), error));
        if at > 0 {
            cases.push(json(&format!("{name}, json"), &spell(&with(at, byte)), error));
        }
    }

    // Lengths.
    for length in [1, 3, 31, 55, 56, 71] {
        cases.push(binary(&format!("{length} bytes"), good.get(..length).unwrap(), "TooShort"));
    }
    cases.push(binary("nothing", b"", "Empty"));
    cases.push(binary("a byte less", good.get(..good.len() - 1).unwrap(), "BadTag"));
    cases.push(binary("a byte more", &[&good[..], &[0]].concat(), "BadTag"));
    cases.push(binary("a zero more in front", &[&[0], &good[..]].concat(), "UnknownVersion"));
    let mut padded_empty = with(2, 2);
    padded_empty.truncate(72);
    cases.push(binary("padded without a byte of padding", &padded_empty, "TooShort"));

    // The JSON spelling.
    let value: Value = serde_json::from_str(&text)?;
    let (key_id, data) = (value["keyId"].as_str().unwrap(), value["data"].as_str().unwrap());
    let cut = |text: &str, by: usize| text.get(..text.len() - by).unwrap().to_owned();
    let object = |key_id: &str, data: &str| format!(r#"{{"keyId":"{key_id}","data":"{data}"}}"#);
    for (name, text, error) in [
        ("an open brace", "{".to_owned(), "Json"),
        ("an empty object", "{}".into(), "MissingMember"),
        ("an empty array", "[]".into(), "UnknownVersion"),
        ("null", "null".into(), "UnknownVersion"),
        ("white space in front", format!(" {text}"), "UnknownVersion"),
        ("a byte order mark in front", format!("\u{feff}{text}"), "UnknownVersion"),
        ("no data", format!(r#"{{"keyId":"{key_id}"}}"#), "MissingMember"),
        ("no keyId", format!(r#"{{"data":"{data}"}}"#), "MissingMember"),
        ("keyId twice", text.replace('}', &format!(r#","keyId":"{key_id}"}}"#)), "DuplicateMember"),
        ("data twice", text.replace('}', &format!(r#","data":"{data}"}}"#)), "DuplicateMember"),
        ("another data behind", text.replace('}', r#","data":""}"#), "DuplicateMember"),
        ("a member more", text.replace('}', r#","alg":"none"}"#), "UnknownMember"),
        ("a member more in front", text.replacen('{', r#"{"ts":0,"#, 1), "UnknownMember"),
        ("another case", text.replace("keyId", "keyid"), "UnknownMember"),
        ("an empty name", text.replace("keyId", ""), "UnknownMember"),
        ("an escape in a name", text.replace("keyId", "key\\u0049d"), "Escape"),
        ("an escape in keyId", object(&format!("\\u0041{key_id}"), data), "Escape"),
        ("an escape in data", object(key_id, &format!("{data}\\/")), "Escape"),
        ("keyId is a number", text.replace(&format!(r#""{key_id}""#), "1"), "NotText"),
        ("data is null", text.replace(&format!(r#""{data}""#), "null"), "NotText"),
        ("data is an array", text.replace(&format!(r#""{data}""#), &format!(r#"["{data}"]"#)), "NotText"),
        ("a comma at the end", text.replace('}', ",}"), "Json"),
        ("no comma", text.replace("\",\"", "\"\""), "Json"),
        ("no colon", text.replacen(':', "", 1), "Json"),
        ("no closing brace", cut(&text, 1), "Json"),
        ("no closing quote", cut(&text, 2), "Json"),
        ("a comment", text.replacen('{', "{/**/", 1), "Json"),
        ("a line feed in data", object(key_id, &format!("{data}\n")), "Json"),
        ("a NUL in data", object(key_id, &format!("{data}\0")), "Json"),
        ("a byte behind", format!("{text}x"), "TrailingBytes"),
        ("a NUL behind", format!("{text}\0"), "TrailingBytes"),
        ("two objects", format!("{text}{text}"), "TrailingBytes"),
        ("an empty keyId", object("", data), "KeyIdLength"),
        ("a short keyId", object(&cut(key_id, 1), data), "KeyIdLength"),
        ("a long keyId", object(&format!("{key_id}A"), data), "KeyIdLength"),
        ("a keyId in another alphabet", object(&format!("{}+", cut(key_id, 1)), data), "KeyIdEncoding"),
        ("a padded keyId", object(&format!("{}=", cut(key_id, 1)), data), "KeyIdEncoding"),
        ("an empty data", object(key_id, ""), "TooShort"),
        ("data of one character", object(key_id, "A"), "DataEncoding"),
        ("data in another alphabet", object(key_id, &format!("{}/", cut(data, 1))), "DataEncoding"),
        ("padded data", object(key_id, &format!("{data}=")), "DataEncoding"),
        ("white space in data", object(key_id, &format!("{data} ")), "DataEncoding"),
        ("data that is not ASCII", object(key_id, &format!("é{data}")), "DataEncoding"),
        ("another keyId", object(&"A".repeat(32), data), "UnknownKey"),
    ] {
        cases.push(json(name, &text, error));
    }
    // 32 + 45 + 16 bytes end in a full group; one byte less ends in two characters that carry trailing bits.
    let shorter = seal(&plain(), &Plaintext { bytes: b"x", ..plaintext("") });
    let trailing = spell(&shorter);
    assert_ne!((32 + 1 + 16) % 3, 0);
    let last = trailing.len() - 3;
    let with_bits: String =
        trailing.char_indices().map(|(at, c)| if at == last { next_character(c) } else { c }).collect();
    cases.push(json("trailing bits in data", &with_bits, "DataEncoding"));

    // What the key and the reader's holdings demand.
    let moved = |name: &str, topic: &str| Refused { topic: topic.into(), ..binary(name, &good, "BadTag") };
    cases.push(moved("moved to another topic", "data/sensor2/temperature"));
    cases.push(moved("moved to a longer topic", "data/sensor1/temperature/x"));
    cases.push(moved("moved to a shorter topic", "data/sensor1"));
    let held = |name: &str, entry: &KeyEntry, payload: &[u8], error| Refused {
        holdings: holdings(&[entry]),
        ..binary(name, payload, error)
    };
    let renamed = |entry: &KeyEntry, payload: &[u8]| {
        let (header, body) = payload.split_at(56);
        [header.get(..32).unwrap(), entry.key_id.as_bytes(), body].concat()
    };
    let (signed, padded) = (entry(Suite::Aes256Gcm, Flags::SIGNED), entry(Suite::Aes256Gcm, Flags::PADDED));
    let chacha = entry(Suite::ChaCha20Poly1305, Flags::NONE);
    cases.push(held("not signed, the key demands it", &signed, &renamed(&signed, &good), "FlagMissing"));
    cases.push(held("not padded, the key demands it", &padded, &renamed(&padded, &good), "FlagMissing"));
    cases.push(held("AES-GCM, the key is for ChaCha20-Poly1305", &chacha, &renamed(&chacha, &good), "SuiteMismatch"));
    let signed_message = seal(&signed, &plaintext(&item(1)));
    let (without, _) = signed_message.split_at(signed_message.len() - 64);
    cases.push(held("the signature is cut off", &signed, without, "TooShort"));
    let long = seal(&signed, &plaintext(ITEM));
    let (long_without, _) = long.split_at(long.len() - 64);
    cases.push(held("the signature of a long message is cut off", &signed, long_without, "BadTag"));
    for at in [1, 32, 63] {
        let mut altered = signed_message.clone();
        let place = altered.len() - 64 + at;
        *altered.get_mut(place).unwrap() ^= 1;
        cases.push(held(&format!("byte {at} of the signature changed"), &signed, &altered, "BadSignature"));
    }
    let by_other =
        sealing(&signed).seal(&plaintext(&item(1)), Some(&signing("another nos")), Spelling::Binary).unwrap();
    cases.push(held("signed by another key", &signed, &by_other, "BadSignature"));
    let mut zero_signature = without.to_vec();
    zero_signature.extend_from_slice(&[0; 64]);
    cases.push(held("a signature of zeros", &signed, &zero_signature, "BadSignature"));

    let at = |name: &str, now: u64, error| Refused { now, ..binary(name, &good, error) };
    cases.push(at("a millisecond after dec", NBF + LIFE_MS + HISTORY_MS + 1, "TooOld"));
    cases.push(at("long after dec", NBF + 365 * DAY_MS, "TooOld"));
    let loose = |ts: u64| {
        let mut loose = plain();
        (loose.terms.nbf, loose.terms.exp) = (UnixMillis(0), UnixMillis(u64::MAX));
        seal(&loose, &Plaintext { ts: UnixMillis(ts), ..plaintext(&item(1)) })
    };
    cases.push(binary("sealed before the key's time", &loose(NBF - SKEW_MS - 1), "OutsideValidity"));
    cases.push(binary("sealed after the key's time", &loose(NBF + LIFE_MS + SKEW_MS + 1), "OutsideValidity"));
    cases.push(binary("sealed in 1970", &loose(0), "OutsideValidity"));
    let with_publishers = |name: &str, publishers, error| Refused {
        holdings: Holdings { publishers, ..holdings(&[&plain()]) },
        ..binary(name, &good, error)
    };
    cases.push(with_publishers("no publisher is listed", vec![], "UnknownPublisher"));
    cases.push(with_publishers("another publisher is listed", vec![publisher(8, NBF + DAY_MS)], "UnknownPublisher"));
    let expired = vec![publisher(PUBLISHER, NOW - SKEW_MS - 1)];
    cases.push(with_publishers("the certificate has expired", expired, "UnknownPublisher"));
    let bumped = entry_of(Suite::Aes256Gcm, Flags::NONE, 9, 1, NOW - SKEW_MS);
    let superseded = Holdings { ..holdings(&[&plain(), &bumped]) };
    cases.push(Refused { holdings: superseded, ..binary("sealed after its key was revoked", &good, "Superseded") });
    for (name, content) in
        [("no id", "{}"), ("an id that is no UUID", r#"{"id":"1"}"#), ("no JSON", "hello"), ("an array", "[]")]
    {
        cases.push(binary(&format!("the item has {name}"), &seal(&plain(), &plaintext(content)), "BadItem"));
    }
    for (name, content) in [("no end", "abc"), ("only zeros", "\0\0\0"), ("a one behind", "abc\u{80}\u{1}")] {
        // Sealed by the rules of padding, then read as what stands there: a NOS that sets the flag and does not pad.
        let unpadded = unpadded_message(&padded, content.as_bytes());
        cases.push(held(&format!("padding with {name}"), &padded, &unpadded, "BadPadding"));
    }
    let description = "Messages that a reader with these holdings must refuse, each with its error (docs/protocol.md)";
    write("messages-refused", description, cases)
}

fn next_character(character: char) -> char {
    const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    ALPHABET.chars().cycle().skip_while(|c| *c != character).nth(1).unwrap()
}

/// A message that says it is padded and holds `content` as it is: sealed here by hand, for our sealer does not.
fn unpadded_message(entry: &KeyEntry, content: &[u8]) -> Vec<u8> {
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let model = seal(entry, &Plaintext { pad_bytes: 16, ..plaintext("") });
    let (header, _) = model.split_at(56);
    let (publisher, session) = (PublisherSlot(PUBLISHER), Session(SESSION));
    let subkey = schedule::subkey(&entry.key_t, entry.terms.suite, &entry.key_id, publisher, session);
    let (key, iv) = subkey.expose().split_at(schedule::subkey_key_bytes(entry.terms.suite));
    let nonce = nonce(iv, header);
    let length = u16::try_from(TOPIC.len()).unwrap().to_be_bytes();
    let aad = [b"aups/1 message", header, &length, TOPIC.as_bytes()].concat();
    let mut body = content.to_vec();
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
        .seal_in_place_append_tag(Nonce::try_assume_unique_for_key(&nonce).unwrap(), Aad::from(aad), &mut body)
        .unwrap();
    [header, &body].concat()
}

/// What sources seal, and what a NOS refuses of it.
fn sources() -> Outcome {
    let (node, id): (NodeId, _) = ("sensor1".parse()?, KeyId::from_bytes(*b"credential of the sensor"));
    let master = || SourceMaster::new(secret("source master"));
    let sealer = |node: &NodeId, suite, id| {
        SourceSealer::new(node, suite, &master().key(node, suite, &id), id, Session(SESSION))
    };
    let sealed = |suite, content, plaintext: &[u8], ts, spelling| {
        sealer(&node, suite, id).seal(content, plaintext, UnixMillis(ts), spelling).unwrap()
    };
    let case = |name: &str, suite: Suite, payload: Payload, plaintext: Option<&[u8]>, verdict: &str| SourceCase {
        name: name.into(),
        master: hex(secret("source master").expose()),
        node: node.to_string(),
        suite: suite.into(),
        credential_id: id.to_string(),
        credential: b64::encode(master().credential(&node, &id).expose()),
        key: b64::encode(master().key(&node, suite, &id).expose()),
        payload,
        plaintext: plaintext.map(hex),
        verdict: verdict.into(),
    };
    let (json, reading) = (ContentType::Json, &br#"{"name":"temperature","value":21.5,"unit":"Cel"}"#[..]);
    let mut cases = Vec::new();
    for suite in Suite::ALL {
        let binary = Payload::Binary(hex(&sealed(suite, json, reading, NOW, Spelling::Binary)));
        cases.push(case(&format!("{suite}, binary"), suite, binary, Some(reading), "Ok"));
        let text = String::from_utf8(sealed(suite, json, reading, NOW, Spelling::Json)).unwrap();
        cases.push(case(&format!("{suite}, json"), suite, Payload::Text(text), Some(reading), "Ok"));
    }
    let gcm = Suite::Aes128Gcm;
    let binary = |name: &str, payload: &[u8], plaintext, verdict: &str| {
        case(name, gcm, Payload::Binary(hex(payload)), plaintext, verdict)
    };
    let senml = &br#"[{"n":"temperature","u":"Cel","v":21.5}]"#[..];
    let of = |content, plaintext: &[u8], ts| sealed(gcm, content, plaintext, ts, Spelling::Binary);
    cases.push(binary("SenML", &of(ContentType::SenmlJson, senml, NOW), Some(senml), "Ok"));
    cases.push(binary("a batch", &of(json, b"[1,2,3]", NOW), Some(b"[1,2,3]"), "Ok"));
    cases.push(binary("a source without a clock", &of(json, reading, 0), Some(reading), "Ok"));
    cases.push(binary("nothing", &of(json, b"", NOW), Some(b""), "Ok"));
    let fourth = sealer(&node, gcm, id);
    let fourth = (0..4).map(|_| fourth.seal(json, reading, UnixMillis(NOW), Spelling::Binary).unwrap()).last();
    cases.push(binary("the fourth of its session", &fourth.unwrap(), Some(reading), "Ok"));

    let good = of(json, reading, NOW);
    let with = |at: usize, byte| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    for (name, at, byte, error) in [
        ("version 2", 0, 2, "UnknownVersion"),
        ("suite 1, registered with 5", 1, 1, "SuiteMismatch"),
        ("suite 4", 1, 4, "UnknownSuite"),
        ("padded", 2, 2, "NotOfASource"),
        ("flag 2", 2, 4, "UnknownFlag"),
        ("another content type", 3, 0, "BadTag"),
        ("publisher 1", 7, 1, "NotOfASource"),
        ("another session", 15, 0, "BadTag"),
        ("another seq", 21, 1, "BadTag"),
        ("another time", 27, 0, "BadTag"),
        ("topic seq 1", 31, 1, "NotOfASource"),
        ("another credential id", 55, 0, "OtherKey"),
        ("another ciphertext", 56, good[56] ^ 1, "BadTag"),
        ("another tag", good.len() - 1, good[good.len() - 1] ^ 1, "BadTag"),
    ] {
        cases.push(binary(name, &with(at, byte), None, error));
    }
    cases.push(binary("a byte less", &good[..good.len() - 1], None, "BadTag"));
    cases.push(binary("a header alone", &good[..56], None, "TooShort"));
    let other: NodeId = "sensor2".parse()?;
    let of_other = sealer(&other, gcm, id).seal(json, reading, UnixMillis(NOW), Spelling::Binary)?;
    cases.push(binary("sealed by another node of the same credential id", &of_other, None, "BadTag"));
    let entry = entry_of(Suite::Aes256Gcm, Flags::NONE, 9, 0, NBF);
    let of_a_nos = sealing(&entry).seal(&plaintext(ITEM), None, Spelling::Binary)?;
    cases.push(binary("sealed by a NOS", &of_a_nos, None, "OtherKey"));
    write(
        "sources",
        "what sources seal for their NOS: master, credential, key, message (DESIGN sections 4 and 8)",
        cases,
    )
}

fn acceptance() -> Outcome {
    let (entry, next) = (plain(), entry_of(Suite::Aes256Gcm, Flags::NONE, 10, 0, NBF));
    let newer = Session(SESSION + (1 << 32));
    let sealed = |number: u64, topic_seq: u32, ts: u64| {
        Payload::Binary(hex(&seal(&entry, &Plaintext { topic_seq, ts: UnixMillis(ts), ..plaintext(&item(number)) })))
    };
    let by = |entry: &KeyEntry, session: Session, number: u64, topic_seq: u32| {
        let sealing = SealingKey::new(entry, PublisherSlot(PUBLISHER), session);
        let item = item(number);
        let plaintext = Plaintext { topic_seq, ..plaintext(&item) };
        Payload::Binary(hex(&sealing.seal(&plaintext, None, Spelling::Binary).unwrap()))
    };
    let step = |payload: &Payload, verdict: &str, missed: u32| Step {
        subscribes: false,
        topic: TOPIC.into(),
        now: NOW,
        retain: false,
        payload: payload.clone(),
        verdict: verdict.into(),
        missed,
    };
    let retained = |payload: &Payload, verdict: &str| Step { retain: true, ..step(payload, verdict, 0) };
    let sequence = |name: &str, steps| Sequence {
        name: name.into(),
        max_age_ms: 60_000,
        holdings: holdings(&[&entry, &next]),
        steps,
    };
    let loose = |ts: u64| {
        let mut loose = plain();
        (loose.terms.nbf, loose.terms.exp) = (UnixMillis(0), UnixMillis(u64::MAX));
        Payload::Binary(hex(&seal(&loose, &Plaintext { ts: UnixMillis(ts), ..plaintext(&item(1)) })))
    };
    let at = |payload: &Payload, now: u64, verdict: &str| Step { now, ..step(payload, verdict, 0) };
    let bumped = |name: &str, from: u64, verdict: &str| Sequence {
        holdings: holdings(&[&entry, &entry_of(Suite::Aes256Gcm, Flags::NONE, 9, 1, from)]),
        ..sequence(name, vec![step(&sealed(1, 0, NOW), verdict, 0)])
    };
    let (zero, one, four) = (sealed(1, 0, NOW), sealed(2, 1, NOW), sealed(5, 4, NOW));
    let text = Payload::Text(spell(&seal(&entry, &plaintext(&item(1)))));
    let (far, edge) = (sealed(3, 1_025, NOW), sealed(4, 2, NOW));
    let mut again = step(&sealed(3, 3, NOW - 5), "Retained", 0);
    (again.subscribes, again.retain) = (true, true);
    let cases = vec![
        sequence("in order", vec![step(&zero, "Fresh", 0), step(&one, "Fresh", 0)]),
        sequence("twice", vec![step(&zero, "Fresh", 0), step(&zero, "Duplicate", 0)]),
        sequence("twice, in the other spelling", vec![step(&zero, "Fresh", 0), step(&text, "Duplicate", 0)]),
        sequence(
            "a gap, and what was missing comes late",
            vec![step(&zero, "Fresh", 0), step(&four, "Fresh", 3), step(&one, "Late", 0), step(&one, "Duplicate", 0)],
        ),
        sequence("the first that is seen makes no gap", vec![step(&four, "Fresh", 0)]),
        sequence(
            "below the window",
            vec![step(&far, "Fresh", 0), step(&zero, "Stale", 0), step(&one, "Stale", 0), step(&edge, "Late", 0)],
        ),
        sequence(
            "as old as a fresh message may be, and older",
            vec![step(&sealed(1, 0, NOW - 60_000), "Fresh", 0), step(&sealed(2, 1, NOW - 60_001), "Late", 0)],
        ),
        sequence(
            "an item again in another message",
            vec![step(&zero, "Fresh", 0), step(&sealed(1, 1, NOW), "Duplicate", 0), step(&edge, "Fresh", 0)],
        ),
        sequence(
            "an older incarnation",
            vec![step(&zero, "Fresh", 0), step(&by(&entry, newer, 8, 0), "Fresh", 0), step(&one, "Late", 0)],
        ),
        sequence(
            "the counter goes on in the next epoch",
            vec![
                step(&zero, "Fresh", 0),
                step(&by(&next, Session(SESSION), 9, 0), "Duplicate", 0),
                step(&by(&next, Session(SESSION), 9, 2), "Fresh", 1),
            ],
        ),
        sequence(
            "retained, once per subscription and only if newer",
            vec![
                retained(&sealed(1, 0, NOW - 9), "Retained"),
                retained(&sealed(2, 1, NOW - 8), "RetainedAgain"),
                step(&sealed(4, 2, NOW - 7), "Fresh", 1),
                again,
                retained(&sealed(2, 1, NOW - 8), "RetainedAgain"),
            ],
        ),
        sequence(
            "retained, older than what came",
            vec![step(&one, "Fresh", 0), retained(&sealed(1, 0, NOW - 1), "RetainedNotNewer")],
        ),
        sequence("retained, and it came before", vec![step(&one, "Fresh", 0), retained(&one, "Duplicate")]),
        sequence(
            "a message that was changed is not remembered",
            vec![step(&zero, "Fresh", 0), step(&altered(&one), "BadTag", 0), step(&one, "Fresh", 0)],
        ),
        sequence("sealed as early as the skew allows", vec![step(&loose(NBF - SKEW_MS), "Late", 0)]),
        sequence("sealed a millisecond earlier", vec![step(&loose(NBF - SKEW_MS - 1), "OutsideValidity", 0)]),
        sequence(
            "sealed as late as the skew allows",
            vec![at(&loose(NBF + LIFE_MS + SKEW_MS), NBF + LIFE_MS, "Fresh")],
        ),
        sequence(
            "sealed a millisecond later",
            vec![at(&loose(NBF + LIFE_MS + SKEW_MS + 1), NBF + LIFE_MS, "OutsideValidity")],
        ),
        sequence(
            "opened at the last instant, and a millisecond later",
            vec![at(&zero, DEC, "Late"), at(&one, DEC + 1, "TooOld")],
        ),
        sequence(
            "a clock ahead of the reader's by as much as a fresh message may be, and by more",
            vec![at(&zero, NOW - 60_000, "Fresh"), at(&one, NOW - 60_001, "Late")],
        ),
        bumped("revoked, but sealed before, the skew included", NOW + 1 - SKEW_MS, "Fresh"),
        bumped("sealed when it was revoked, the skew included", NOW - SKEW_MS, "Superseded"),
        Sequence {
            holdings: holdings(&[&entry, &entry_of(Suite::Aes256Gcm, Flags::NONE, 10, 1, NOW - SKEW_MS)]),
            ..sequence("a bump of the next epoch revokes, too", vec![step(&zero, "Superseded", 0)])
        },
        Sequence {
            holdings: Holdings { publishers: vec![publisher(PUBLISHER, NOW - SKEW_MS)], ..holdings(&[&entry]) },
            ..sequence("the certificate ends now, the skew included", vec![step(&zero, "Fresh", 0)])
        },
        sequence(
            "the last of the window, twice",
            vec![
                step(&sealed(6, 1_023, NOW), "Fresh", 0),
                step(&zero, "Late", 0),
                step(&zero, "Duplicate", 0),
                step(&sealed(7, 1_024, NOW), "Fresh", 0),
                step(&zero, "Stale", 0),
            ],
        ),
        sequence(
            "the last topic seq there is",
            vec![
                step(&zero, "Fresh", 0),
                step(&sealed(8, u32::MAX, NOW), "Fresh", u32::MAX - 1),
                step(&one, "Stale", 0),
            ],
        ),
        sequence("retained and old", vec![retained(&sealed(1, 0, NBF), "Retained"), step(&one, "Fresh", 0)]),
    ];
    write("acceptance", "What becomes of messages that arrive one after the other (DESIGN section 4)", cases)
}

fn altered(payload: &Payload) -> Payload {
    match payload {
        Payload::Binary(hex) if hex.ends_with('0') => {
            Payload::Binary(hex.get(..hex.len() - 1).unwrap().to_owned() + "1")
        }
        Payload::Binary(hex) => Payload::Binary(hex.get(..hex.len() - 1).unwrap().to_owned() + "0"),
        Payload::Text(text) => Payload::Text(text.clone()),
    }
}

/// A JWS with this header and payload, signed.
fn jws(header: &str, payload: &str, key: &SigningKey) -> String {
    let input = format!("{}.{}", b64::encode(header.as_bytes()), b64::encode(payload.as_bytes()));
    format!("{input}.{}", b64::encode(&key.sign(input.as_bytes())))
}

fn header(typ: &str, kid: Option<&str>) -> String {
    let kid = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
    format!(r#"{{"alg":"EdDSA","typ":"{typ}"{kid}}}"#)
}

/// Everything that can be wrong with a JWS of any type.
fn wrong_jws(typ: &str, kid: Option<&str>, payload: &Value, key: &SigningKey) -> Vec<(String, String, &'static str)> {
    let (good_header, text) = (header(typ, kid), payload.to_string());
    let good = jws(&good_header, &text, key);
    let parts: Vec<&str> = good.split('.').collect();
    let [first, second, third] = parts[..] else { unreachable!("a JWS has three parts") };
    let kid_member = kid.map(|kid| format!(r#","kid":"{kid}""#)).unwrap_or_default();
    let with_header = |header: String| jws(&header, &text, key);
    let with_payload = |payload: String| jws(&good_header, &payload, key);
    let member = payload.as_object().unwrap().keys().next().unwrap();
    let other = signing("somebody else");
    let mut wrong = vec![
        ("alg none", with_header(good_header.replace("EdDSA", "none")), "Algorithm"),
        ("alg HS256", with_header(good_header.replace("EdDSA", "HS256")), "Algorithm"),
        ("alg ES256", with_header(good_header.replace("EdDSA", "ES256")), "Algorithm"),
        ("alg Ed25519", with_header(good_header.replace("EdDSA", "Ed25519")), "Algorithm"),
        (
            "alg none without a signature",
            {
                let header = b64::encode(good_header.replace("EdDSA", "none").as_bytes());
                format!("{header}.{second}.")
            },
            "Algorithm",
        ),
        ("no alg", with_header(good_header.replace(r#""alg":"EdDSA","#, "")), "Header"),
        ("alg twice", with_header(good_header.replacen('{', r#"{"alg":"EdDSA","#, 1)), "Header"),
        ("another typ", with_header(good_header.replace(typ, "JWT")), "Type"),
        ("no typ", with_header(format!(r#"{{"alg":"EdDSA"{kid_member}}}"#)), "Header"),
        ("crit", with_header(good_header.replace('}', r#","crit":["b64"]}"#)), "Header"),
        ("jwk", with_header(good_header.replace('}', r#","jwk":{}}"#)), "Header"),
        ("the header is an array", with_header(format!(r#"["EdDSA","{typ}"]"#)), "Header"),
        ("no header", with_header(String::new()), "Header"),
        ("a member more", with_payload(text.replacen('{', r#"{"admin":true,"#, 1)), "Payload"),
        (
            "a member twice",
            with_payload(text.replacen('{', &format!(r#"{{"{member}":{},"#, payload[member]), 1)),
            "Payload",
        ),
        ("the payload is an array", with_payload("[]".into()), "Payload"),
        ("an empty payload", with_payload("{}".into()), "Payload"),
        ("no payload", with_payload(String::new()), "Payload"),
        ("more behind the payload", with_payload(format!("{text}{{}}")), "Payload"),
        ("two parts", format!("{first}.{second}"), "Parts"),
        ("four parts", format!("{good}.{third}"), "Parts"),
        ("a padded signature", format!("{good}=="), "Encoding"),
        ("a line feed behind", format!("{good}\n"), "Encoding"),
        ("no signature", format!("{first}.{second}."), "SignatureLength"),
        ("half a signature", format!("{first}.{second}.{}", b64::encode(&[0; 32])), "SignatureLength"),
        ("a signature of zeros", format!("{first}.{second}.{}", b64::encode(&[0; 64])), "BadSignature"),
        ("signed by somebody else", jws(&good_header, &text, &other), "BadSignature"),
        (
            "a space in the payload after signing",
            {
                let spaced = b64::encode(text.replacen('{', "{ ", 1).as_bytes());
                format!("{first}.{spaced}.{third}")
            },
            "BadSignature",
        ),
    ];
    match kid {
        Some(_) => {
            wrong.push(("no kid", with_header(header(typ, None)), "Kid"));
            wrong.push(("kid is null", with_header(good_header.replace(&kid_member, r#","kid":null"#)), "Header"));
        }
        None => wrong.push(("a kid", with_header(header(typ, Some("alice"))), "Kid")),
    }
    wrong.into_iter().map(|(name, jws, verdict)| (name.to_owned(), jws, verdict)).collect()
}

fn certificate_payload() -> Value {
    let signing_key = signing("nos").public();
    json!({"nos": "nos-1", "publisher": PUBLISHER, "signingKey": signing_key, "iat": NBF, "exp": NBF + DAY_MS})
}

fn certificate(slot: u32, iat: u64) -> String {
    let (nos, publisher): (NosId, _) = ("nos-1".parse().unwrap(), PublisherSlot(slot));
    let (iat, exp, signing_key) = (UnixMillis(iat), UnixMillis(iat + DAY_MS), signing("nos").public());
    Certificate { nos, publisher, signing_key, iat, exp }.issue(&signing("realm"))
}

fn certificates() -> Outcome {
    let realm = signing("realm");
    let case = |name: &str, jws: String, now: u64, verdict: &str| Jose {
        name: name.into(),
        jws,
        key: Some(realm.public().to_string()),
        now: Some(now),
        verdict: verdict.into(),
    };
    let changed = |member: &str, value: Value| {
        let mut payload = certificate_payload();
        payload[member] = value;
        jws(&header("aups-nos", None), &payload.to_string(), &realm)
    };
    let good = certificate(PUBLISHER, NBF);
    let weak =
        b64::encode(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut cases = vec![
        case("good", good.clone(), NOW, "Ok"),
        case("at the first instant, skew included", good.clone(), NBF - SKEW_MS, "Ok"),
        case("before", good.clone(), NBF - SKEW_MS - 1, "Time"),
        case("at the last instant, skew included", good.clone(), NBF + DAY_MS + SKEW_MS, "Ok"),
        case("after", good, NBF + DAY_MS + SKEW_MS + 1, "Time"),
        case("slot 0", changed("publisher", json!(0)), NOW, "NoPublisher"),
        case("a slot of 33 bits", changed("publisher", json!(1_u64 << 32)), NOW, "Payload"),
        case("a slot that is a text", changed("publisher", json!("7")), NOW, "Payload"),
        case("a signing key of small order", changed("signingKey", json!(weak)), NOW, "Payload"),
        case("a short signing key", changed("signingKey", json!("AAAA")), NOW, "Payload"),
        case("a NOS without a name", changed("nos", json!("")), NOW, "Payload"),
        case("a NOS with a slash", changed("nos", json!("a/b")), NOW, "Payload"),
        case("a time as a text", changed("exp", json!("2027-01-01T00:00:00.000Z")), NOW, "Payload"),
    ];
    for (name, jws, verdict) in wrong_jws("aups-nos", None, &certificate_payload(), &realm) {
        cases.push(case(&name, jws, NOW, verdict));
    }
    write("certificates", "Certificates of NOSs: JWS of type aups-nos under the realm key", cases)
}

fn request_payload(want: &[&KeyEntry]) -> Value {
    let want: Vec<Value> = want.iter().map(|entry| json!({"keyId": entry.key_id, "topic": TOPIC})).collect();
    json!({"aud": realm(), "sub": "alice", "iat": NOW, "jti": b64::encode(&[7; 16]), "want": want})
}

fn request(want: &[&KeyEntry]) -> String {
    jws(&header("aups-kr", Some("alice")), &request_payload(want).to_string(), &signing("alice"))
}

fn key_requests() -> Outcome {
    let (alice, entry) = (signing("alice"), plain());
    let case = |name: &str, jws: String, verdict: &str| {
        let key = Some(alice.public().to_string());
        Jose { name: name.into(), jws, key, now: None, verdict: verdict.into() }
    };
    let signed = |payload: &Value| jws(&header("aups-kr", Some("alice")), &payload.to_string(), &alice);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut payload = request_payload(&[&entry]);
        change(&mut payload);
        signed(&payload)
    };
    let remove = |member: &'static str| changed(&|payload| drop(payload.as_object_mut().unwrap().remove(member)));
    let wanted = |number: usize| {
        let want = vec![json!({"keyId": entry.key_id, "topic": TOPIC}); number];
        changed(&|payload| payload["want"] = json!(want))
    };
    let payload = request_payload(&[&entry]).to_string();
    let mut cases = vec![
        case("good", request(&[&entry]), "Ok"),
        case(
            "with a challenge",
            changed(&|payload| {
                payload.as_object_mut().unwrap().remove("iat");
                payload["challenge"] = json!("what an answer said");
            }),
            "Ok",
        ),
        case("nothing is wanted", wanted(0), "Ok"),
        case("64 keys", wanted(64), "Ok"),
        case("65 keys", wanted(65), "TooManyKeys"),
        case("too long", changed(&|payload| payload["want"][0]["topic"] = json!("x".repeat(16_384))), "TooLong"),
        case("iat and challenge", changed(&|payload| payload["challenge"] = json!("x")), "Freshness"),
        case("neither iat nor challenge", remove("iat"), "Freshness"),
        case("iat is null", changed(&|payload| payload["iat"] = Value::Null), "Payload"),
        case("iat is negative", changed(&|payload| payload["iat"] = json!(-1)), "Payload"),
        case("iat is a fraction", changed(&|payload| payload["iat"] = json!(1.5)), "Payload"),
        case("iat is a text", changed(&|payload| payload["iat"] = json!("1")), "Payload"),
        case("kid is another reader", jws(&header("aups-kr", Some("bob")), &payload, &alice), "OtherSubject"),
        case("kid in another case", jws(&header("aups-kr", Some("Alice")), &payload, &alice), "OtherSubject"),
        case("a short jti", changed(&|payload| payload["jti"] = json!(b64::encode(&[7; 15]))), "Payload"),
        case("a long jti", changed(&|payload| payload["jti"] = json!(b64::encode(&[7; 17]))), "Payload"),
        case("no jti", remove("jti"), "Payload"),
        case("no aud", remove("aud"), "Payload"),
        case("no sub", remove("sub"), "Payload"),
        case("no want", remove("want"), "Payload"),
        case("a sub with a space", changed(&|payload| payload["sub"] = json!("a b")), "Payload"),
        case("a sub of 65 characters", changed(&|payload| payload["sub"] = json!("a".repeat(65))), "Payload"),
        case("a wanted array", changed(&|payload| payload["want"][0] = json!([entry.key_id, TOPIC])), "Payload"),
        case(
            "a wanted key without a topic",
            changed(&|payload| payload["want"] = json!([{"keyId": entry.key_id}])),
            "Payload",
        ),
        case("a short wanted key", changed(&|payload| payload["want"][0]["keyId"] = json!("AAAA")), "Payload"),
        case("a wanted key with a member more", changed(&|payload| payload["want"][0]["x"] = json!(1)), "Payload"),
        case(
            "keyId twice",
            signed_text(&payload.replace("{\"keyId\"", "{\"keyId\":\"\",\"keyId\""), &alice),
            "Payload",
        ),
    ];
    for (name, jws, verdict) in wrong_jws("aups-kr", Some("alice"), &request_payload(&[&entry]), &alice) {
        cases.push(case(&name, jws, verdict));
    }
    write("key-requests", "Key requests: JWS of type aups-kr by the reader", cases)
}

fn signed_text(payload: &str, key: &SigningKey) -> String {
    jws(&header("aups-kr", Some("alice")), payload, key)
}

fn bearer() -> Outcome {
    let alice = signing("alice");
    let payload = json!({"aud": realm(), "sub": "alice", "iat": NOW, "jti": b64::encode(&[7; 16])});
    let case = |name: &str, jws: String, verdict: &str| {
        let key = Some(alice.public().to_string());
        Jose { name: name.into(), jws, key, now: None, verdict: verdict.into() }
    };
    let long = header("aups-auth", Some(&"a".repeat(3_000)));
    let mut cases = vec![
        case("good", jws(&header("aups-auth", Some("alice")), &payload.to_string(), &alice), "Ok"),
        case(
            "kid is another reader",
            jws(&header("aups-auth", Some("bob")), &payload.to_string(), &alice),
            "OtherSubject",
        ),
        case("too long", jws(&long, &payload.to_string(), &alice), "TooLong"),
        case("a key request", request(&[]), "Type"),
    ];
    for (name, jws, verdict) in wrong_jws("aups-auth", Some("alice"), &payload, &alice) {
        cases.push(case(&name, jws, verdict));
    }
    write("bearer", "Bearer tokens of GET /v1/topics: JWS of type aups-auth by the reader", cases)
}

fn kem_key(kem: Kem) -> KemSecretKey {
    KemSecretKey::from_bytes(kem, secret("alice's kem key"))
}

fn enrolment() -> Outcome {
    let (alice, realm_key) = (signing("alice"), signing("realm"));
    let payload = |kem: Kem| {
        json!({"token": b64::encode(secret("token").expose()), "signingKey": alice.public(), "kem": kem,
            "kemKey": b64::encode(kem_key(kem).public().as_bytes()), "iat": NOW})
    };
    let case = |name: &str, jws: String, verdict: &str| Jose {
        name: name.into(),
        jws,
        key: None,
        now: None,
        verdict: verdict.into(),
    };
    let signed = |payload: &Value| jws(&header("aups-enrol", None), &payload.to_string(), &alice);
    let changed = |member: &str, value: Value| {
        let mut payload = payload(Kem::X25519);
        payload[member] = value;
        signed(&payload)
    };
    let request = signed(&payload(Kem::X25519));
    let mut cases = vec![
        case("good, x-wing", signed(&payload(Kem::XWing)), "Ok"),
        case("good, x25519", request.clone(), "Ok"),
        case("another KEM", changed("kem", json!("rsa")), "Payload"),
        case("an X25519 key called X-Wing", changed("kem", json!("x-wing")), "PublicKey"),
        case("an X-Wing key out of range", changed_kem(&payload(Kem::XWing), &alice), "PublicKey"),
        case("a short KEM key", changed("kemKey", json!("AAAA")), "PublicKey"),
        case("a short token", changed("token", json!("AAAA")), "Payload"),
        case("the key of somebody else", changed("signingKey", json!(signing("bob").public())), "BadSignature"),
    ];
    for (name, jws, verdict) in wrong_jws("aups-enrol", None, &payload(Kem::X25519), &alice) {
        cases.push(case(&name, jws, verdict));
    }
    write("enrolment-requests", "Enrolment requests: JWS of type aups-enrol by the new key", cases)?;

    let enrolled = enrolled(&request);
    let token = EnrolmentToken::new(secret("token"), &realm_key.public()).to_string();
    let good = enrolled.sign(&realm_key);
    let (_, rest) = good.split_once('.').unwrap();
    let answer: Value = serde_json::from_slice(&b64::decode(rest.split_once('.').unwrap().0)?)?;
    let case = |name: &str, jws: String, verdict: &str| EnrolledCase {
        name: name.into(),
        request: request.clone(),
        token: token.clone(),
        jws,
        verdict: verdict.into(),
    };
    let signed = |payload: &Value, key: &SigningKey| jws(&header("aups-enrolled", None), &payload.to_string(), key);
    let changed = |member: &str, value: Value| {
        let mut payload = answer.clone();
        payload[member] = value;
        signed(&payload, &realm_key)
    };
    let mut elsewhere = answer.clone();
    let other = signing("another realm");
    elsewhere["realmKey"] = json!(other.public());
    elsewhere["realm"] = json!(realm_id(&other.public()));
    let mut cases = vec![
        case("good", good.clone(), "Ok"),
        case("by another realm, which signs for itself", signed(&elsewhere, &other), "OtherRealm"),
        case("by another realm, called this one", signed(&answer, &other), "BadSignature"),
        case("the realm's id is another", changed("realm", json!(b64::encode(&[1; 32]))), "OtherRealm"),
        case("the answer to another request", changed("rh", json!(b64::encode(&[1; 32]))), "OtherRequest"),
        case("version 2", changed("version", json!(2)), "Version"),
        case("a kind that is none", changed("kind", json!("robot")), "Payload"),
        case("mqtt is an array", changed("mqtt", json!(["a", "b", "c"])), "Payload"),
        case(
            "mqtt with a member more",
            changed("mqtt", json!({"url": "", "username": "", "password": "", "x": 1})),
            "Payload",
        ),
        case("too long", changed("server", json!("x".repeat(16_384))), "TooLong"),
    ];
    for (name, jws, verdict) in wrong_jws("aups-enrolled", None, &answer, &realm_key) {
        cases.push(case(&name, jws, verdict));
    }
    write("enrolled", "Answers to enrolments: JWS of type aups-enrolled by the realm key", cases)
}

fn changed_kem(payload: &Value, key: &SigningKey) -> String {
    let mut payload = payload.clone();
    payload["kemKey"] = json!(b64::encode(&[0xff; 1_216]));
    jws(&header("aups-enrol", None), &payload.to_string(), key)
}

fn enrolled(request: &str) -> Enrolled {
    Enrolled {
        rh: sha256(&[request.as_bytes()]),
        kind: aups_core::ReaderKind::User,
        sub: "alice".parse().unwrap(),
        realm: realm(),
        realm_key: signing("realm").public(),
        server: "http://127.0.0.1:8080".into(),
        mqtt: MqttAccess {
            url: "mqtt://127.0.0.1:1883".into(),
            username: "alice".into(),
            password: b64::encode(secret("password").expose()),
        },
        ca: None,
    }
}

fn identity_files() -> Outcome {
    let file = |kem: Kem| IdentityFile::new(enrolled(""), signing("alice"), kem_key(kem)).to_json();
    let text = |kem: Kem| String::from_utf8(file(kem).expose().to_vec()).unwrap();
    let good: Value = serde_json::from_str(&text(Kem::XWing))?;
    let case =
        |name: &str, text: String, verdict: &str| IdentityCase { name: name.into(), text, verdict: verdict.into() };
    let changed = |member: &str, value: Value| {
        let mut file = good.clone();
        file[member] = value;
        file.to_string()
    };
    let cases = vec![
        case("good, x-wing", text(Kem::XWing), "Ok"),
        case("good, x25519", text(Kem::X25519), "Ok"),
        case("an app", changed("kind", json!("app")), "Ok"),
        case("version 2", changed("version", json!(2)), "Version"),
        case("version 0", changed("version", json!(0)), "Version"),
        case("the realm is another", changed("realm", json!(b64::encode(&[1; 32]))), "Realm"),
        case("the realm key is another", changed("realmKey", json!(signing("bob").public())), "Realm"),
        case("a kind that is none", changed("kind", json!("robot")), "Json"),
        case("a sub with a slash", changed("sub", json!("a/b")), "Json"),
        case("another KEM", changed("kem", json!("rsa")), "Json"),
        case("a short signing key", changed("signingKey", json!("AAAA")), "Json"),
        case("a long KEM key", changed("kemKey", json!(b64::encode(&[1; 33]))), "Json"),
        case("a member more", changed("x", json!(1)), "Json"),
        case("mqtt is null", changed("mqtt", Value::Null), "Json"),
        case("a member twice", text(Kem::XWing).replacen('{', r#"{"version":1,"#, 1), "Json"),
        case("an array", "[]".into(), "Json"),
        case("nothing", String::new(), "Json"),
        case("more behind", text(Kem::XWing) + "{}", "Json"),
    ];
    write("identity-files", "Identity files of readers (DESIGN section 7)", cases)
}

/// Seals, or keeps what the file holds for the same case if it opens to the same text.
fn sealed(name: &str, kem: &KemSecretKey, info: &[u8], plaintext: &[u8]) -> SealedTo {
    let held = || -> Option<SealedTo> {
        let file = File::<KeyResponse>::read("key-responses").ok()?;
        let case = file.cases.into_iter().find(|case| case.name == name)?;
        let payload: Value = serde_json::from_slice(&b64::decode(case.response.split('.').nth(1)?).ok()?).ok()?;
        let part = |member: &str| b64::decode(payload[member].as_str()?).ok();
        let sealed = SealedTo { enc: part("enc")?, ct: part("ct")? };
        let opened = kem.open(info, &sealed.enc, &sealed.ct).ok()?;
        (opened.expose() == plaintext).then_some(sealed)
    };
    held().unwrap_or_else(|| kem.public().seal(info, plaintext).unwrap())
}

fn key_responses() -> Outcome {
    let (asked, other) = (plain(), entry(Suite::ChaCha20Poly1305, Flags::NONE));
    let next = entry_of(Suite::Aes256Gcm, Flags::NONE, 10, 0, NBF);
    let (realm, nos, request) = (signing("realm"), signing("nos"), request(&[&asked]));
    let rh = sha256(&[request.as_bytes()]);
    let info = [b"aups/1 ks", &rh[..]].concat();
    let own = certificate(PUBLISHER, NBF);
    let grants = |keys: &[Value], next: &[Value], publishers: &[String]| json!({"keys": keys, "next": next, "publishers": publishers, "denied": []});
    let value = |entry: &KeyEntry| serde_json::to_value(key(entry)).unwrap();
    let with = |entry: &KeyEntry, member: &str, new: Value| {
        let mut entry = value(entry);
        entry[member] = new;
        entry
    };
    let payload = |name: &str, kem: Kem, grants: &Value| {
        let sealed = sealed(name, &kem_key(kem), &info, grants.to_string().as_bytes());
        json!({"rh": b64::encode(&rh), "now": NOW, "nos": own, "enc": b64::encode(&sealed.enc), "ct": b64::encode(&sealed.ct)})
    };
    let sign = |payload: &Value| jws(&header("aups-ks", Some("nos-1")), &payload.to_string(), &nos);
    let case = |name: &str, kem: Kem, response: String, verdict: &str| KeyResponse {
        name: name.into(),
        request: request.clone(),
        response,
        realm_key: realm.public().to_string(),
        kem: kem.to_string(),
        kem_key: hex(kem_key(kem).bytes().expose()),
        now: NOW,
        verdict: verdict.into(),
        keys: vec![],
        next: vec![],
        publishers: vec![],
        refused: vec![],
    };
    let all = grants(&[value(&asked)], &[value(&next)], std::slice::from_ref(&own));
    let full = |name: &str, kem: Kem| KeyResponse {
        keys: vec![asked.key_id.to_string()],
        next: vec![next.key_id.to_string()],
        publishers: vec![PUBLISHER],
        ..case(name, kem, sign(&payload(name, kem, &all)), "Ok")
    };
    let mut cases = vec![full("granted, x-wing", Kem::XWing), full("granted, x25519", Kem::X25519)];
    let denied = json!({"keys": [], "next": [], "publishers": [own], "denied": [asked.key_id]});
    let name = "denied";
    cases.push(KeyResponse {
        publishers: vec![PUBLISHER],
        ..case(name, Kem::X25519, sign(&payload(name, Kem::X25519, &denied)), "Ok")
    });

    // What the NOS gives and the reader must not take.
    let looser = json!(asked.terms.dec.0 + 1);
    for (name, grants, refused) in [
        ("a key that was not asked for", grants(&[value(&other)], &[], &[]), "NotAsked"),
        ("a key that lives longer than its id says", grants(&[with(&asked, "dec", looser)], &[], &[]), "Entry"),
        (
            "a key that began earlier than its id says",
            grants(&[with(&asked, "nbf", json!(NBF - 1))], &[], &[]),
            "Entry",
        ),
        ("a key of another suite than its id says", grants(&[with(&asked, "suite", json!(2))], &[], &[]), "Entry"),
        ("a key of a weaker suite than its id says", grants(&[with(&asked, "suite", json!(3))], &[], &[]), "Entry"),
        ("a key of other flags than its id says", grants(&[with(&asked, "flags", json!(1))], &[], &[]), "Entry"),
        ("a key of another epoch than its id says", grants(&[with(&asked, "epoch", json!(10))], &[], &[]), "Entry"),
        ("a key of another bump than its id says", grants(&[with(&asked, "bump", json!(1))], &[], &[]), "Entry"),
        (
            "a key of another scope than its id says",
            grants(&[with(&asked, "scope", json!(realm_id(&realm.public())))], &[], &[]),
            "Entry",
        ),
        ("another key under the id", grants(&[with(&asked, "keyT", json!(b64::encode(&[9; 32])))], &[], &[]), "Entry"),
        ("a key that is in force before it begins", grants(&[with(&asked, "from", json!(NBF - 1))], &[], &[]), "Entry"),
        (
            "a next key that does not hold together",
            grants(&[], &[with(&next, "exp", json!(NBF + LIFE_MS + 1))], &[]),
            "Entry",
        ),
        (
            "a publisher by another realm",
            grants(
                &[],
                &[],
                &[jws(&header("aups-nos", None), &certificate_payload().to_string(), &signing("another realm"))],
            ),
            "BadSignature",
        ),
        ("a publisher of yesterday", grants(&[], &[], &[certificate(PUBLISHER, NBF - 2 * DAY_MS)]), "Time"),
        ("a publisher in slot 0", grants(&[], &[], &[certificate(0, NBF)]), "NoPublisher"),
    ] {
        let response = sign(&payload(name, Kem::X25519, &grants));
        cases.push(KeyResponse { refused: vec![refused.into()], ..case(name, Kem::X25519, response, "Ok") });
    }

    // Answers that are not taken at all.
    for (name, grants) in [
        ("the sealed part has a member more", json!({"keys": [], "next": [], "publishers": [], "denied": [], "x": 1})),
        ("the sealed part lacks a member", json!({"keys": [], "next": [], "publishers": []})),
        ("the sealed part is an array", json!([[], [], [], []])),
        ("a key is an array", grants(&[json!([])], &[], &[])),
        ("a key with a member more", grants(&[with(&asked, "x", json!(1))], &[], &[])),
        ("a key with an unknown flag", grants(&[with(&asked, "flags", json!(4))], &[], &[])),
        ("a key with an unknown suite", grants(&[with(&asked, "suite", json!(4))], &[], &[])),
        ("a short key", grants(&[with(&asked, "keyT", json!("AAAA"))], &[], &[])),
    ] {
        cases.push(case(name, Kem::X25519, sign(&payload(name, Kem::X25519, &grants)), "Grants"));
    }
    let name = "the parts of an answer";
    let base = payload(name, Kem::X25519, &all);
    let mut whole = full(name, Kem::X25519);
    whole.response = sign(&base);
    cases.push(whole);
    let changed = |member: &str, new: Value| {
        let mut payload = base.clone();
        payload[member] = new;
        sign(&payload)
    };
    let flipped = |member: &str| {
        let mut bytes = b64::decode(base[member].as_str().unwrap()).unwrap();
        *bytes.first_mut().unwrap() ^= 1;
        changed(member, json!(b64::encode(&bytes)))
    };
    let longer = format!("{}AAAA", base["ct"].as_str().unwrap());
    let forged = jws(&header("aups-nos", None), &certificate_payload().to_string(), &signing("another realm"));
    for (name, response, verdict) in [
        ("the answer to another request", changed("rh", json!(b64::encode(&[1; 32]))), "OtherRequest"),
        ("a NOS of another realm", changed("nos", json!(forged)), "BadSignature"),
        ("a NOS of yesterday", changed("nos", json!(certificate(PUBLISHER, NBF - 2 * DAY_MS))), "Time"),
        ("a NOS without a certificate", changed("nos", json!("")), "Parts"),
        ("enc changed", flipped("enc"), "DoesNotOpen"),
        ("ct changed", flipped("ct"), "DoesNotOpen"),
        ("ct longer", changed("ct", json!(longer)), "DoesNotOpen"),
        ("an empty ct", changed("ct", json!("")), "DoesNotOpen"),
        ("an empty enc", changed("enc", json!("")), "DoesNotOpen"),
        ("enc in another alphabet", changed("enc", json!("//")), "Encoding"),
        ("ct in another alphabet", changed("ct", json!("//")), "Encoding"),
        ("kid is another NOS", jws(&header("aups-ks", Some("nos-2")), &base.to_string(), &nos), "OtherNos"),
    ] {
        cases.push(case(name, Kem::X25519, response, verdict));
    }
    for (name, jws, verdict) in wrong_jws("aups-ks", Some("nos-1"), &base, &nos) {
        cases.push(case(&name, Kem::X25519, jws, verdict));
    }
    write("key-responses", "Answers to key requests: JWS of type aups-ks by a certified NOS", cases)
}
