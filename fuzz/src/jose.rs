//! Signed objects: requests, answers, certificates, tokens; and identity files, which hold the same members.
//!
//! Each is fed in two ways. As it comes: then nothing but the object that was signed is taken. And `header, 0, payload` put
//! together and signed by the right key: then what is taken is what is there when it is signed again.

use crate::fixture::{NOW, alice, certificate as our_certificate, entries, kem, realm, secret, signing};
use aups_core::{ReaderKind, UnixMillis};
use aups_envelope::{
    Certificate, SigningKey, b64,
    bearer::Bearer,
    enrol::{EnrolRequest, Enrolled, EnrolmentToken, MqttAccess},
    identity::IdentityFile,
    kem::Kem,
    key_request::{Freshness, Grants, KeyRequest, OpenedResponse, Wanted, open_key_response, seal_key_response},
    sha256,
};
use std::sync::LazyLock;

/// `header, 0, payload` as a JWS; all of it is the payload, with a right header, where there is no 0.
fn signed(data: &[u8], header: &str, key: &SigningKey) -> String {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (header, payload) = second.map_or((header.as_bytes(), first), |second| (first, second));
    let input = format!("{}.{}", b64::encode(header), b64::encode(payload));
    format!("{input}.{}", b64::encode(&key.sign(input.as_bytes())))
}

/// A JWS, and its header and payload as the second way takes them.
fn seeds(jws: &str) -> Vec<Vec<u8>> {
    let mut parts = jws.split('.').map(|part| b64::decode(part).expect("we wrote it"));
    let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    vec![jws.as_bytes().to_vec(), payload.clone(), [header, payload].join(&0)]
}

fn request() -> KeyRequest {
    let want = entries().iter().take(2).map(|entry| Wanted { key_id: entry.key_id, topic: "a/b".into() }).collect();
    KeyRequest { aud: realm(), sub: alice(), freshness: Freshness::IssuedAt(NOW), jti: [7; 16], want }
}

static REQUEST: LazyLock<String> = LazyLock::new(|| request().sign(&signing("alice")));

static CHALLENGED: LazyLock<String> =
    LazyLock::new(|| KeyRequest { freshness: Freshness::Challenge("c".into()), ..request() }.sign(&signing("alice")));

pub(crate) fn key_request(data: &[u8]) {
    let key = signing("alice").public();
    if KeyRequest::verify(data, &key).is_ok() {
        let authentic = [&REQUEST, &CHALLENGED].iter().any(|request| data == request.as_bytes());
        assert!(authentic, "a request that nobody signed was taken");
    }
    let jws = signed(data, r#"{"alg":"EdDSA","typ":"aups-kr","kid":"alice"}"#, &signing("alice"));
    if let Ok(request) = KeyRequest::verify(jws.as_bytes(), &key) {
        let again = request.sign(&signing("alice"));
        assert_eq!(KeyRequest::verify(again.as_bytes(), &key).expect("we signed it"), request);
    }
}

pub(crate) fn key_request_seeds() -> Vec<Vec<u8>> {
    [seeds(&REQUEST), seeds(&CHALLENGED)].concat()
}

fn our_grants() -> Grants {
    let mut keys = entries();
    let next = keys.split_off(3);
    let publishers = vec![our_certificate().issue(&signing("realm"))];
    Grants { keys, next, publishers, denied: vec![] }
}

static RESPONSE: LazyLock<String> = LazyLock::new(|| {
    let certificate = our_certificate().issue(&signing("realm"));
    let (nos, key) = (our_certificate().nos, signing("nos"));
    seal_key_response(REQUEST.as_bytes(), &our_grants(), NOW, &nos, &certificate, &key, &kem().public())
        .expect("it can be sealed")
});

fn open(response: &[u8]) -> Option<OpenedResponse> {
    open_key_response(REQUEST.as_bytes(), response, &signing("realm").public(), &kem(), NOW).ok()
}

/// Whatever a certified NOS answers, a reader takes only keys that hold together and, of `keys`, those that it asked for.
fn check_taken(opened: &OpenedResponse) {
    let asked: Vec<_> = request().want.iter().map(|wanted| wanted.key_id).collect();
    assert!(opened.grants.keys.iter().all(|key| asked.contains(&key.key_id)), "a key that nobody asked for");
    assert!(opened.grants.keys.iter().chain(&opened.grants.next).all(|key| key.verify().is_ok()), "a key that is none");
}

pub(crate) fn key_response(data: &[u8]) {
    if open(data).is_some() {
        assert_eq!(data, RESPONSE.as_bytes(), "an answer that nobody signed was taken");
    }
    let jws = signed(data, r#"{"alg":"EdDSA","typ":"aups-ks","kid":"nos-1"}"#, &signing("nos"));
    if let Some(opened) = open(jws.as_bytes()) {
        check_taken(&opened);
    }
}

/// HPKE takes fresh randomness: another process would not know our answer as its own. So the one that stands as it came has no
/// right signature.
pub(crate) fn key_response_seeds() -> Vec<Vec<u8>> {
    let (input, _) = RESPONSE.rsplit_once('.').expect("a JWS has parts");
    seeds(&format!("{input}.{}", b64::encode(&[0; 64])))
}

/// What is sealed in an answer, by a NOS that may write anything there.
pub(crate) fn grants(data: &[u8]) {
    let rh = sha256(&[REQUEST.as_bytes()]);
    let sealed = kem().public().seal(&[b"aups/1 ks", &rh[..]].concat(), data).expect("the key is one");
    let certificate = our_certificate().issue(&signing("realm"));
    let [rh, enc, ct] = [&rh[..], &sealed.enc, &sealed.ct].map(b64::encode);
    let payload =
        format!(r#"{{"rh":"{rh}","now":{NOW},"nos":"{certificate}","enc":"{enc}","ct":"{ct}"}}"#, NOW = NOW.0);
    let header = r#"{"alg":"EdDSA","typ":"aups-ks","kid":"nos-1"}"#;
    if let Some(opened) = open(signed(payload.as_bytes(), header, &signing("nos")).as_bytes()) {
        check_taken(&opened);
    }
}

pub(crate) fn grants_seeds() -> Vec<Vec<u8>> {
    let sealed = RESPONSE.split('.').nth(1).map(|payload| b64::decode(payload).expect("we wrote it"));
    let text = String::from_utf8(sealed.unwrap_or_default()).expect("JSON is text");
    let member = |name: &str| {
        let (_, rest) = text.split_once(&format!(r#""{name}":""#)).expect("the member is there");
        b64::decode(rest.split('"').next().unwrap_or_default()).expect("we wrote it")
    };
    let info = [b"aups/1 ks", &sha256(&[REQUEST.as_bytes()])[..]].concat();
    let opened = kem().open(&info, &member("enc"), &member("ct")).expect("it is sealed to us");
    vec![opened.expose().to_vec(), br#"{"keys":[],"next":[],"publishers":[],"denied":[]}"#.to_vec()]
}

pub(crate) fn certificate(data: &[u8]) {
    let key = signing("realm");
    let verify = |jws: &str| Certificate::verify(jws, &key.public(), NOW);
    if let Ok(text) = std::str::from_utf8(data)
        && verify(text).is_ok()
    {
        assert_eq!(text, our_certificate().issue(&key), "a certificate that nobody issued was taken");
    }
    if let Ok(certificate) = verify(&signed(data, r#"{"alg":"EdDSA","typ":"aups-nos"}"#, &key)) {
        assert_eq!(verify(&certificate.issue(&key)).expect("we issued it"), certificate);
    }
}

pub(crate) fn certificate_seeds() -> Vec<Vec<u8>> {
    seeds(&our_certificate().issue(&signing("realm")))
}

static ENROL_REQUEST: LazyLock<String> = LazyLock::new(|| {
    let (token, signing_key) = (secret("token"), signing("alice").public());
    EnrolRequest { token, signing_key, kem: kem().public(), iat: NOW }.sign(&signing("alice"))
});

pub(crate) fn enrol_request(data: &[u8]) {
    if EnrolRequest::verify(data).is_ok() {
        assert_eq!(data, ENROL_REQUEST.as_bytes(), "a request that nobody signed was taken");
    }
    let jws = signed(data, r#"{"alg":"EdDSA","typ":"aups-enrol"}"#, &signing("alice"));
    if let Ok(request) = EnrolRequest::verify(jws.as_bytes()) {
        assert_eq!(request.signing_key, signing("alice").public(), "for another key than signed it");
    }
}

pub(crate) fn enrol_request_seeds() -> Vec<Vec<u8>> {
    seeds(&ENROL_REQUEST)
}

fn our_enrolled() -> Enrolled {
    Enrolled {
        rh: sha256(&[ENROL_REQUEST.as_bytes()]),
        kind: ReaderKind::User,
        sub: alice(),
        realm: realm(),
        realm_key: signing("realm").public(),
        server: "http://127.0.0.1:8080".into(),
        mqtt: MqttAccess {
            url: "mqtt://127.0.0.1:1883".into(),
            username: "alice".into(),
            password: b64::encode(&[3; 32]),
        },
        ca: None,
    }
}

pub(crate) fn enrolled(data: &[u8]) {
    let key = signing("realm");
    let token = EnrolmentToken::new(secret("token"), &key.public());
    let verify = |jws: &[u8]| Enrolled::verify(jws, ENROL_REQUEST.as_bytes(), &token);
    if verify(data).is_ok() {
        assert_eq!(data, our_enrolled().sign(&key).as_bytes(), "an answer that nobody signed was taken");
    }
    let jws = signed(data, r#"{"alg":"EdDSA","typ":"aups-enrolled"}"#, &key);
    if let Ok(enrolled) = verify(jws.as_bytes()) {
        assert_eq!(enrolled.realm, realm(), "for another realm than the token names");
    }
}

pub(crate) fn enrolled_seeds() -> Vec<Vec<u8>> {
    seeds(&our_enrolled().sign(&signing("realm")))
}

fn our_bearer() -> Bearer {
    Bearer { aud: realm(), sub: alice(), iat: UnixMillis(NOW.0), jti: [7; 16] }
}

pub(crate) fn bearer(data: &[u8]) {
    let key = signing("alice");
    if Bearer::verify(data, &key.public()).is_ok() {
        assert_eq!(data, our_bearer().sign(&key).as_bytes(), "a token that nobody signed was taken");
    }
    let jws = signed(data, r#"{"alg":"EdDSA","typ":"aups-auth","kid":"alice"}"#, &key);
    if let Ok(bearer) = Bearer::verify(jws.as_bytes(), &key.public()) {
        let again = bearer.sign(&key);
        assert_eq!(Bearer::verify(again.as_bytes(), &key.public()).expect("we signed it"), bearer);
    }
}

pub(crate) fn bearer_seeds() -> Vec<Vec<u8>> {
    seeds(&our_bearer().sign(&signing("alice")))
}

pub(crate) fn identity_file(data: &[u8]) {
    if let Ok(file) = IdentityFile::from_json(data) {
        let json = file.to_json();
        let again = IdentityFile::from_json(json.expose()).expect("we wrote it").to_json();
        assert_eq!(again.expose(), json.expose(), "writing and reading changed it");
    }
}

pub(crate) fn identity_file_seeds() -> Vec<Vec<u8>> {
    let file = |kem: Kem| {
        let key = aups_envelope::kem::KemSecretKey::from_bytes(kem, secret("kem"));
        IdentityFile::new(our_enrolled(), signing("alice"), key).to_json().expose().to_vec()
    };
    vec![file(Kem::X25519), file(Kem::XWing)]
}
