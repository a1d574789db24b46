//! A right that is taken away is gone: at the broker, at the key service, and in the cryptography.
//!
//! What a reader can open is tried by one that is built on the envelope alone and keeps every key that it ever got: it
//! takes ciphertext from wherever it can and does nothing that the SDK does to be honest.

use crate::program::{Answer, Aups, Lines, Mosquitto, PATIENCE, run};
use aups_core::{Bump, Epoch, KeyId, ScopeTag, UnixMillis};
use aups_envelope::{
    Header, KeyEntry, OpeningKey, SealedMessage,
    hash::random,
    identity::IdentityFile,
    key_request::{Freshness, KeyRequest, Wanted, open_key_response},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

const JOSE: (&str, &str) = ("Content-Type", "application/jose");

/// Two audiences.
const AUDIENCES: &str = r#"
@id("weather")
permit(principal, action == Action::"receive", resource in Topic::"data/weather")
when { principal.roles.contains("meteorologist") };
@id("garden")
permit(principal, action == Action::"receive", resource in Topic::"data/garden")
when { principal.roles.contains("gardener") };
"#;
const BOTH: [&str; 2] = ["--attr", "roles=meteorologist,gardener"];

#[expect(clippy::disallowed_methods, reason = "a client's own clock")]
fn now() -> UnixMillis {
    UnixMillis(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

/// A message as a broker delivers it.
struct Delivered {
    retained: bool,
    topic: String,
    payload: String,
}

impl Delivered {
    /// A line of `mosquitto_sub` with this format.
    const FORMAT: &str = "> %r %t %p";

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("> ")?.splitn(3, ' ').map(str::to_owned);
        let mut next = || parts.next().unwrap();
        Some(Self { retained: next() == "1", topic: next(), payload: next() })
    }

    fn sealed(&self) -> SealedMessage<'_> {
        SealedMessage::parse(self.payload.as_bytes()).unwrap()
    }

    fn header(&self) -> Header {
        *self.sealed().header()
    }

    fn key_id(&self) -> KeyId {
        self.header().key_id
    }
}

/// Stock `mosquitto_sub` at QoS 1, which tells what it does and what comes, line by line.
struct Subscription(Lines);

impl Subscription {
    /// Returns when the broker has answered the subscriptions.
    fn of(mut client: Command, filters: &[&str]) -> Self {
        client.args(["-d", "-q", "1", "-F", Delivered::FORMAT]);
        client.args(filters.iter().flat_map(|filter| ["-t", filter]));
        // Into a pipe it would write in blocks.
        let mut unbuffered = Command::new("stdbuf");
        unbuffered.arg("-oL").arg(client.get_program()).args(client.get_args());
        let mut lines = Lines::of(&mut unbuffered);
        while !lines.next().starts_with("Subscribed ") {}
        Self(lines)
    }

    /// The next message, waited for.
    fn next(&mut self) -> Delivered {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "no message came");
            if let Some(message) = Delivered::parse(&self.0.next()) {
                return message;
            }
        }
    }

    /// Its session ended, it connected again as it does, and this became of it.
    fn ends_because(self, reason: &str) {
        let (_, _, errors) = self.0.finish();
        assert!(errors.contains(reason), "{errors}");
    }

    /// The next message of topics that begin like this.
    fn next_below(&mut self, topic: &str) -> Delivered {
        loop {
            let message = self.next();
            if message.topic.starts_with(topic) {
                return message;
            }
        }
    }
}

/// What of a key changes otherwise than by time: the scope's record and how often it lost somebody.
fn bump_of(message: &Delivered) -> (ScopeTag, Bump) {
    (message.key_id().scope_tag(), message.key_id().bump())
}

/// A reader on the envelope alone that keeps all keys.
struct Hoarder {
    identity: IdentityFile,
    keys: BTreeMap<KeyId, KeyEntry>,
}

impl Hoarder {
    /// With an identity that was enrolled.
    fn with(aups: &Aups, name: &str) -> Self {
        let file = std::fs::read(aups.file(&format!("{name}.json"))).unwrap();
        Self { identity: IdentityFile::from_json(&file).unwrap(), keys: BTreeMap::new() }
    }

    /// Asks for a key and keeps what comes; the status of the answer.
    fn ask(&mut self, aups: &Aups, key_id: KeyId) -> u16 {
        let IdentityFile { realm, sub, signing_key, realm_key, kem, .. } = &self.identity;
        let want = vec![Wanted { key_id, topic: "t".into() }];
        let freshness = Freshness::IssuedAt(now());
        let request = KeyRequest { aud: *realm, sub: sub.clone(), freshness, jti: random(), want }.sign(signing_key);
        let Answer { status, body, .. } = aups.post("/v1/keys", &request, &[JOSE]);
        if matches!(status, 200 | 403) {
            let opened = open_key_response(request.as_bytes(), body.as_bytes(), realm_key, kem, now()).unwrap();
            assert_eq!(status == 200, !opened.grants.keys.is_empty());
            assert!(status == 200 || opened.grants.next.is_empty(), "nothing is granted beside a denial");
            let granted = opened.grants.keys.into_iter().chain(opened.grants.next);
            self.keys.extend(granted.map(|entry| (entry.key_id, entry)));
        }
        status
    }

    /// The item, opened with any key that it holds, whatever key the message names.
    fn open(&self, message: &Delivered) -> Option<Value> {
        let sealed = message.sealed();
        let header = *sealed.header();
        let named_otherwise = |entry: &KeyEntry| KeyEntry { key_id: header.key_id, ..entry.duplicate() };
        let tried = self.keys.values().flat_map(|entry| [entry.duplicate(), named_otherwise(entry)]);
        let mut opened = tried.filter_map(|entry| {
            OpeningKey::new(&entry, header.publisher, header.session).open(&message.topic, &sealed, None).ok()
        });
        opened.next().map(|item| serde_json::from_slice(&item).unwrap())
    }

    /// Asks for the message's key and the following one; must open it.
    fn must_open(&mut self, aups: &Aups, message: &Delivered) -> Value {
        assert_eq!(self.ask(aups, message.key_id()), 200);
        self.open(message).unwrap()
    }

    /// Has no key for the message and gets none.
    fn is_shut_out(&mut self, aups: &Aups, message: &Delivered, status: u16) {
        assert!(self.open(message).is_none(), "a key that it held opens what was sealed after");
        assert_eq!(self.ask(aups, message.key_id()), status);
        assert!(self.open(message).is_none(), "it was given something after all");
    }

    /// The latest epoch that it holds a key for.
    fn last_epoch(&self) -> Epoch {
        self.keys.keys().map(KeyId::epoch).max().unwrap()
    }
}

/// Two audiences, a source for each, and bob, who reads both throughout.
struct Realm {
    aups: Aups,
    weather: String,
    garden: String,
    bob: Hoarder,
    /// What the broker delivers to somebody who may have it: all ciphertext.
    wire: Subscription,
}

impl Realm {
    fn start() -> Self {
        Self::of(Aups::start(), None)
    }

    /// With a broker that lets anybody have any message for ever.
    fn behind(mosquitto: &Mosquitto) -> Self {
        let aups = Aups::start_with(&["--broker", &format!("mqtt://127.0.0.1:{}", mosquitto.port)]);
        Self::of(aups, Some(mosquitto))
    }

    fn of(aups: Aups, mosquitto: Option<&Mosquitto>) -> Self {
        aups.apply(AUDIENCES);
        let identity = aups.reader("bob", &BOTH);
        let client = mosquitto.map_or_else(|| aups.mosquitto_sub(Some(&identity), &[]), |other| other.sub_command(&[]));
        let wire = Subscription::of(client, &["data/weather/#", "data/garden/#"]);
        let (weather, garden) = (aups.source("weather"), aups.source("garden"));
        let bob = Hoarder::with(&aups, "bob");
        Self { aups, weather, garden, bob, wire }
    }

    /// A stock client with the identity that was enrolled into a file.
    fn client(&self, name: &str) -> Command {
        let file = std::fs::read(self.aups.file(&format!("{name}.json"))).unwrap();
        self.aups.mosquitto_sub(Some(&serde_json::from_slice(&file).unwrap()), &[])
    }

    /// Publishes a reading of the weather, as it comes out of the broker.
    fn weather(&mut self) -> Delivered {
        assert_eq!(self.aups.send(&self.weather, "1").status, 202);
        self.wire.next_below("data/weather/")
    }

    /// The same of the garden.
    fn garden(&mut self) -> Delivered {
        assert_eq!(self.aups.send(&self.garden, "1").status, 202);
        self.wire.next_below("data/garden/")
    }

    /// Registers somebody who may read the weather and holds its key and the next one.
    fn reader(&mut self, name: &str, args: &[&str]) -> Hoarder {
        self.aups.reader(name, args);
        let mut reader = Hoarder::with(&self.aups, name);
        let message = self.weather();
        reader.must_open(&self.aups, &message);
        assert_eq!(reader.keys.len(), 2, "the key and the next one");
        reader
    }

    /// Changes something as the administrator; must succeed.
    fn change(&self, method: &str, path: &str, body: &str) {
        let answer = self.aups.admin(method, path, body);
        assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.body);
    }

    /// The weather is shut to the reader from now on, and to it alone.
    fn assert_weather_is_lost(&mut self, reader: &mut Hoarder, status: u16) {
        let (held, epoch) = (reader.keys.len(), reader.last_epoch());
        let message = self.weather();
        assert!(message.key_id().bump().0 > 0, "the key was replaced");
        reader.is_shut_out(&self.aups, &message, status);
        assert!(message.key_id().epoch() <= epoch, "too late for this test: the key would have expired by itself");
        self.bob.must_open(&self.aups, &message);
        for old in reader.keys.keys().copied().collect::<Vec<_>>() {
            assert_eq!(reader.ask(&self.aups, old), status, "nor does it get again what it had");
        }
        assert_eq!(reader.keys.len(), held);
    }
}

#[test]
fn a_changed_attribute_ends_the_session_and_drops_what_is_queued() {
    let mut realm = Realm::start();
    let identity = realm.aups.reader("alice", &BOTH);
    let filters = ["data/weather/#", "data/garden/#"];
    let offline = ["-c", "-i", "alice-offline", "-q", "1"];
    let asked =
        run(realm.aups.mosquitto_sub(Some(&identity), &offline).args(["-E", "-t", filters[0], "-t", filters[1]]));
    assert_eq!(asked.0, Some(0), "{asked:?}");
    let stock = Subscription::of(realm.aups.mosquitto_sub(Some(&identity), &[]), &filters[..1]);
    let mut sdk = realm.aups.spawn(&["sub", "--as", "alice.json", "data/weather/#", "--json"]);
    while sdk.next_within(Duration::from_millis(300)).is_none() {
        realm.weather();
    }
    realm.weather();

    realm.change("PATCH", "/v1/users/alice", r#"{"attrs":{"roles":["gardener"]}}"#);
    stock.ends_because("All subscription requests were denied");
    let (code, _, errors) = sdk.finish();
    assert_eq!(code, Some(3), "{errors}");
    // What was queued would come before anything else.
    let mut session = Subscription::of(realm.aups.mosquitto_sub(Some(&identity), &offline), &filters[1..]);
    realm.garden();
    assert_eq!(session.next().topic, "data/garden/value");
}

#[test]
fn an_ex_reader_opens_nothing_sealed_later_with_a_key_that_it_had_ahead_of_time() {
    let mut realm = Realm::start();
    realm.aups.apply(&AUDIENCES.replace(r#"@id("weather")"#, r#"@keylife("4s") @id("weather")"#));
    let mut alice = realm.reader("alice", &BOTH);
    let garden = realm.garden();
    alice.must_open(&realm.aups, &garden);

    realm.change("PATCH", "/v1/users/alice", r#"{"attrs":{"roles":["gardener"]}}"#);
    let weather = realm.weather();
    alice.is_shut_out(&realm.aups, &weather, 403);
    realm.bob.must_open(&realm.aups, &weather);
    // On to the epoch whose key alice had fetched ahead.
    let ahead = alice.keys.keys().copied().filter(|key| key.scope_tag() == weather.key_id().scope_tag());
    let ahead = ahead.max_by_key(KeyId::epoch).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let next = loop {
        assert!(Instant::now() < deadline, "the next epoch does not come");
        let message = realm.weather();
        if message.key_id().epoch() >= ahead.epoch() {
            break message;
        }
    };
    assert_eq!(next.key_id().epoch(), ahead.epoch(), "too slow a machine: the epoch went by unseen");
    assert!(next.key_id().bump() > ahead.bump(), "a bump holds for all later epochs");
    alice.is_shut_out(&realm.aups, &next, 403);
    realm.bob.must_open(&realm.aups, &next);

    let later = realm.garden();
    assert_eq!(bump_of(&later), bump_of(&garden), "who lost nobody keeps the key");
    assert!(alice.open(&later).is_some());
}

#[test]
fn behind_a_broker_that_goes_on_delivering_an_ex_reader_opens_nothing() {
    let mosquitto = Mosquitto::start();
    let mut realm = Realm::behind(&mosquitto);
    let mut alice = realm.reader("alice", &BOTH);
    let mut to_alice = Subscription::of(mosquitto.sub_command(&[]), &["data/weather/#"]);
    let garden = bump_of(&realm.garden());
    realm.change("PATCH", "/v1/users/alice", r#"{"attrs":{"roles":["gardener"]}}"#);
    realm.assert_weather_is_lost(&mut alice, 403);
    for _ in 0..20 {
        realm.weather();
        let delivered = to_alice.next();
        assert!(alice.open(&delivered).is_none());
        assert!(realm.bob.open(&delivered).is_some());
    }
    assert_eq!(bump_of(&realm.garden()), garden);
}

#[test]
fn groups_and_removals_take_rights_away_as_attributes_do() {
    let mut realm = Realm::start();
    let policy = r#"@id("grouped") permit(principal in Group::"all", action == Action::"receive", resource in Topic::"data/weather");"#;
    realm.aups.apply(&format!("{AUDIENCES}\n{policy}"));
    realm.change("POST", "/v1/groups", r#"{"group":"all"}"#);
    realm.change("POST", "/v1/groups", r#"{"group":"staff","groups":["all"]}"#);
    let mut member = realm.reader("member", &["--group", "staff"]);
    let mut hers = realm.reader("hers", &["--group", "staff", "--attr", "roles=meteorologist"]);
    let before = realm.weather().key_id();
    realm.change("PATCH", "/v1/groups/staff", r#"{"groups":[]}"#);
    realm.assert_weather_is_lost(&mut member, 403);
    assert_eq!(realm.weather().key_id().bump().0, before.bump().0 + 1, "one bump, however many lose");
    let message = realm.weather();
    hers.must_open(&realm.aups, &message);

    realm.change("PATCH", "/v1/groups/staff", r#"{"groups":["all"]}"#);
    let message = realm.weather();
    assert_eq!(message.key_id().bump().0, before.bump().0 + 1, "what is given needs no new key");
    member.must_open(&realm.aups, &message);
    realm.change("PATCH", "/v1/users/member", r#"{"groups":[]}"#);
    realm.assert_weather_is_lost(&mut member, 403);

    let token = realm.aups.ok(&["app", "add", "gauge", "--attr", "roles=meteorologist"]);
    realm.aups.enrol(token.trim(), "gauge.json", &[]);
    let mut gauge = Hoarder::with(&realm.aups, "gauge");
    let message = realm.weather();
    gauge.must_open(&realm.aups, &message);
    realm.aups.ok(&["app", "remove", "gauge"]);
    realm.assert_weather_is_lost(&mut gauge, 401);
}

#[test]
fn what_is_retained_is_sealed_anew_when_a_reader_is_lost_and_goes_when_nobody_may_read() {
    let aups = Aups::start_with(&["--retain", "data/#"]);
    let mut realm = Realm::of(aups, None);
    let mut alice = realm.reader("alice", &BOTH);
    let first = realm.weather();
    let id = alice.open(&first).unwrap()["id"].clone();
    realm.change("PATCH", "/v1/users/alice", r#"{"attrs":{"roles":[]}}"#);

    let resealed = realm.wire.next_below("data/weather/");
    assert_eq!(resealed.key_id().bump().0, 1);
    alice.is_shut_out(&realm.aups, &resealed, 403);
    assert_eq!(realm.bob.must_open(&realm.aups, &resealed)["id"], id, "the same item");
    let subscribe = |realm: &Realm| Subscription::of(realm.client("bob"), &["data/weather/#", "data/garden/#"]);
    let retained = subscribe(&realm).next();
    assert!(retained.retained && retained.key_id() == resealed.key_id());
    let late = realm.aups.ok(&["sub", "--as", "bob.json", "data/weather/#", "--json", "--count", "1"]);
    let late: Value = serde_json::from_str(&late).unwrap();
    assert_eq!((&late["item"]["id"], late["status"].as_str()), (&id, Some("retained")));

    // Somebody may still subscribe, but not read this.
    realm.aups.apply(&AUDIENCES.replace("principal.roles.contains(\"meteorologist\")", "resource.name == \"none\""));
    let gone = realm.wire.next_below("data/weather/");
    assert_eq!(gone.payload, "", "the broker was told to forget it");
    realm.garden();
    assert_eq!(subscribe(&realm).next().topic, "data/garden/value", "nothing else is retained");
}

#[test]
fn a_policy_that_takes_a_topic_away_ends_sessions_and_seals_what_follows_for_others() {
    let mut realm = Realm::start();
    let mut alice = realm.reader("alice", &["--attr", "roles=meteorologist"]);
    let to_alice = Subscription::of(realm.client("alice"), &["data/weather/#"]);
    realm.aups.reader("carol", &["--attr", "roles=gardener"]);
    let mut to_carol = Subscription::of(realm.client("carol"), &["data/garden/#"]);
    realm.aups.apply(&AUDIENCES.replace("meteorologist", "gardener"));
    to_alice.ends_because("All subscription requests were denied");
    let message = realm.weather();
    alice.is_shut_out(&realm.aups, &message, 403);
    realm.bob.must_open(&realm.aups, &message);
    Hoarder::with(&realm.aups, "carol").must_open(&realm.aups, &message);
    realm.garden();
    loop {
        let line = to_carol.0.next();
        assert!(!line.ends_with("sending CONNECT"), "carol's session went on");
        if Delivered::parse(&line).is_some() {
            break;
        }
    }
}

#[test]
fn a_new_enrolment_and_a_lost_device_leave_nothing_behind() {
    let mut realm = Realm::start();
    let mut old = realm.reader("alice", &["--attr", "roles=meteorologist"]);
    let token = realm.aups.ok(&["user", "token", "alice"]);
    let message = realm.weather();
    assert_eq!(message.key_id().bump().0, 0, "a token alone changes nothing");
    old.must_open(&realm.aups, &message);
    realm.aups.enrol(token.trim(), "again.json", &[]);
    realm.assert_weather_is_lost(&mut old, 401);
    let mut again = Hoarder::with(&realm.aups, "again");
    let message = realm.weather();
    again.must_open(&realm.aups, &message);

    let stock = Subscription::of(realm.client("again"), &["data/weather/#"]);
    let answer = realm.aups.admin("POST", "/v1/users/alice/token?lost=true", "");
    assert_eq!(answer.status, 201);
    stock.ends_because("Connection Refused");
    realm.assert_weather_is_lost(&mut again, 401);
    realm.aups.enrol(answer.json()["token"].as_str().unwrap(), "third.json", &[]);
    let message = realm.weather();
    Hoarder::with(&realm.aups, "third").must_open(&realm.aups, &message);
}

/// The measurement finds what it is to find out, here with few revocations.
#[test]
fn the_bench_sees_readers_shut_out_while_a_broker_delivers_or_not() {
    let mosquitto = Mosquitto::start();
    let url = format!("mqtt://127.0.0.1:{}", mosquitto.port);
    for (broker, delivers) in [(&[][..], false), (&["--broker", &url][..], true)] {
        let args =
            ["bench", "revocation", "--revocations", "7", "--readers", "4", "--scopes", "3", "--topics", "5", "--json"];
        let (code, report, errors) = run(Command::new(env!("CARGO_BIN_EXE_aups")).args(args).args(broker));
        let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{report}{errors}"));
        let count = |member: &str| report[member].as_u64().unwrap_or_else(|| panic!("{member}: {report}"));
        assert_eq!((count("revocations"), count("bumps"), count("bumpsForNothing")), (7, 7, 0));
        assert_eq!(report["ways"], serde_json::json!({ "attribute": 3, "group": 2, "removal": 2 }));
        assert!(count("triedAfter") > 0, "{report}");
        assert_eq!((count("openedAfter"), count("keysGivenAfter")), (0, 0));
        assert_eq!(count("deliveredAfter") > 0, delivers, "{report}");
        assert_eq!(count("itemsOpenedByKeeper"), count("itemsPublished"));
        // How long it takes is this machine's affair; but what is measured must show.
        let slowest = report["shutOutMillis"]["p99"].as_f64().unwrap();
        assert!(slowest > 0.0 && report["answeredMillis"]["max"].as_f64().unwrap() > 0.0);
        assert_eq!(code, Some(i32::from(slowest >= 1_000.0)), "{errors}");
    }
}

/// How often the server is killed while it takes a right away.
const KILLS: u32 = 8;

/// Audiences that alice loses all at once.
const LOST_TOGETHER: [&str; 3] = ["data/a", "data/b", "data/c"];

#[test]
fn a_kill_leaves_either_the_right_or_new_keys_everywhere() {
    let policy = |(clearance, topic): (usize, &&str)| {
        format!(
            r#"permit(principal, action == Action::"receive", resource in Topic::"{topic}")
               when {{ principal.roles.contains("meteorologist") && principal.clearance >= {clearance} }};"#
        )
    };
    let mut aups = Aups::start();
    aups.apply(&LOST_TOGETHER.iter().enumerate().map(policy).collect::<String>());
    aups.ok(&["user", "add", "alice", "--attr", "roles=meteorologist", "--attr", "clearance=9"]);
    let credentials: Vec<String> = ["a", "b", "c"].iter().map(|node| aups.source(node)).collect();
    for credential in &credentials {
        assert_eq!(aups.send(credential, "1").status, 202);
    }
    let mut before = bumps(&aups, LOST_TOGETHER.len());
    let (role, no_role) = (r#"{"attrs":{"roles":["meteorologist"]}}"#, r#"{"attrs":{"roles":[]}}"#);
    let change = |aups: &Aups, body: &str| aups.admin("PATCH", "/v1/users/alice", body).status == 200;
    let started = Instant::now();
    assert!(change(&aups, no_role));
    let takes = started.elapsed();
    assert!(change(&aups, role));
    for bump in before.values_mut() {
        *bump += 1;
    }
    let mut lost = 0;
    for kill in 0..KILLS {
        let answered = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (aups, answered) = (&aups, &answered);
            for credential in &credentials {
                scope.spawn(move || while aups.send(credential, "1").status == 202 {});
            }
            let revocation = scope.spawn(move || answered.store(change(aups, no_role), Ordering::Relaxed));
            // Somewhere in its midst; the last one is let finish.
            std::thread::sleep(takes * kill / (KILLS / 2));
            if kill == KILLS - 1 {
                revocation.join().unwrap();
            }
            aups.kill_now();
        });
        aups.kill_and_restart();
        let alice = aups.admin("GET", "/v1/users/alice", "").json();
        let after = bumps(&aups, before.len());
        if alice["attrs"]["roles"].as_array().unwrap().is_empty() {
            for (scope, bump) in &before {
                assert_eq!(after.get(scope), Some(&(bump + 1)), "the right is gone and its keys are the old ones");
            }
            lost += 1;
            assert!(change(&aups, role));
        } else {
            assert_eq!(after, before, "the right stands, and nobody lost anything");
            assert!(!answered.load(Ordering::Relaxed), "what was answered is done");
        }
        before = after;
    }
    assert!(lost > 0);
}

/// The bump of each scope in use, by what is left to ask of its readers.
fn bumps(aups: &Aups, scopes: usize) -> BTreeMap<String, u16> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < deadline, "not all scopes are in use");
        let rows = aups.admin("GET", "/v1/keys/list", "").json();
        let active = rows["items"].as_array().unwrap().iter().filter(|row| row["state"] == "active");
        let bump = |row: &Value| row["keyId"].as_str().unwrap().parse::<KeyId>().unwrap().bump().0;
        let bumps: BTreeMap<_, _> = active.map(|row| (row["atb"].as_str().unwrap().to_owned(), bump(row))).collect();
        if bumps.len() == scopes {
            return bumps;
        }
    }
}
