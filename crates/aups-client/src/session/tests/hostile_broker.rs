use super::*;
use crate::fixture::SIGNED_SCOPES;
use aups_core::{PublisherSlot, Session as NosSession};
use aups_envelope::SealedMessage;

/// A scope whose key demands no signature.
const PLAIN: u8 = 1;
/// One whose key demands it.
const SIGNED: u8 = SIGNED_SCOPES;
/// Where the NOS publishes.
const HERE: &str = "data/a";

/// A reader that has read one message of each scope, so that it holds their keys.
fn reading() -> Bench {
    let mut bench = Bench::new();
    bench.publish(HERE, PLAIN);
    bench.publish(HERE, SIGNED);
    bench.settle();
    assert_eq!(bench.told(), ["data/a 0 fresh", "data/a 1 fresh"]);
    bench
}

/// A message in the binary spelling, changed.
fn changed(sealed: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut binary = SealedMessage::parse(sealed).expect("a message").to_binary();
    change(&mut binary);
    binary
}

impl Bench {
    fn deliver_retained(&mut self, payload: &[u8]) {
        let message = Message { payload: payload.to_vec().into(), retain: true, ticket: None };
        self.session.on_message(topic(HERE), message, self.now);
    }

    /// What the reader says of these payloads, once nothing waits any more.
    fn after(&mut self, payloads: &[Vec<u8>]) -> Vec<String> {
        for payload in payloads {
            self.deliver(HERE, payload);
        }
        self.settle();
        self.told()
    }
}

/// Offsets in the header (DESIGN section 4).
const SUITE: usize = 1;
const FLAGS: usize = 2;
const CONTENT: usize = 3;
const PUBLISHER: usize = 7;
const SESSION: usize = 15;
const SEQ: usize = 21;
const TS: usize = 27;
const TOPIC_SEQ: usize = 31;
const SIGNATURE_BYTES: usize = 64;

#[test]
fn every_change_of_a_message_is_named_and_nothing_of_it_is_taken() {
    type Change = fn(&mut Vec<u8>);
    let truncated = "not a sealed message";
    let altered = "its tag does not verify";
    let attacks: &[(&str, u8, Change, &str)] = &[
        ("another suite", PLAIN, |m| m[SUITE] = 2, "another suite"),
        ("a suite that nobody knows", PLAIN, |m| m[SUITE] = 77, truncated),
        (
            "the signature stripped, and the flag",
            SIGNED,
            |m| {
                m[FLAGS] = 0;
                m.truncate(m.len() - SIGNATURE_BYTES);
            },
            "not signed or padded",
        ),
        ("the signature stripped", SIGNED, |m| m.truncate(m.len() - SIGNATURE_BYTES), "its tag does not verify"),
        ("the signature altered", SIGNED, |m| *m.last_mut().expect("bytes") ^= 1, "its signature does not verify"),
        ("the flag alone", SIGNED, |m| m[FLAGS] = 0, "not signed or padded"),
        ("a flag more", PLAIN, |m| m[FLAGS] = 2, altered),
        ("a flag that nobody knows", PLAIN, |m| m[FLAGS] = 0x80, truncated),
        ("another content type", PLAIN, |m| m[CONTENT] = 0, altered),
        ("another publisher", PLAIN, |m| m[PUBLISHER] ^= 1, "is not listed"),
        ("another session", PLAIN, |m| m[SESSION] ^= 1, altered),
        ("another seq", PLAIN, |m| m[SEQ] ^= 1, altered),
        ("a moment younger", PLAIN, |m| m[TS] ^= 1, altered),
        ("a day younger", PLAIN, |m| m[TS - 3] += 5, "outside of its key's validity"),
        ("another place in the order", PLAIN, |m| m[TOPIC_SEQ] ^= 1, altered),
        ("another text", PLAIN, |m| m[60] ^= 1, altered),
        ("cut off", PLAIN, |m| m.truncate(m.len() - 1), altered),
        ("hardly begun", PLAIN, |m| m.truncate(70), truncated),
        ("no version of ours", PLAIN, |m| m[0] = 2, truncated),
        ("something behind it", PLAIN, |m| m.push(0), altered),
    ];
    for (attack, scope, change, named) in attacks {
        let mut bench = reading();
        let sealed = bench.realm.publish(HERE, *scope, bench.now.wall);
        let told = bench.after(&[changed(&sealed, change)]);
        assert!(matches!(&told[..], [one] if one.contains("rejected") && one.contains(named)), "{attack}: {told:?}");
        assert_eq!(bench.after(&[sealed]).len(), 1, "{attack}: the true one is taken after all");
    }
}

#[test]
fn what_is_moved_repeated_reordered_withheld_or_spelt_anew_is_named() {
    let mut bench = reading();
    let sealed: Vec<_> = (0..1_030).map(|_| bench.realm.publish(HERE, PLAIN, bench.now.wall)).collect();

    bench.deliver("data/b", &sealed[0]);
    assert!(bench.told()[0].starts_with("data/b rejected: its tag does not verify"));
    assert_eq!(bench.after(&sealed[..1]), ["data/a 2 fresh"]);
    assert_eq!(bench.after(&sealed[..1]), ["data/a duplicate"], "repeated");
    let other_spelling = SealedMessage::parse(&sealed[0]).expect("a message").to_binary();
    assert_eq!(bench.after(&[other_spelling]), ["data/a duplicate"], "spelt anew");
    assert_eq!(bench.after(&sealed[3..4]), ["data/a gap 2", "data/a 5 fresh"], "withheld");
    assert_eq!(bench.after(&sealed[2..3]), ["data/a 4 late"], "reordered");
    assert_eq!(bench.after(&sealed[1_028..1_029]), ["data/a gap 1024", "data/a 1030 fresh"]);
    assert_eq!(bench.after(&sealed[1..2]), ["data/a stale"], "too far out of order");
}

#[test]
fn retained_values_are_not_rolled_back() {
    let mut bench = reading();
    let old = bench.realm.publish(HERE, PLAIN, bench.now.wall);
    bench.pass(SECOND);
    let new = bench.realm.publish(HERE, PLAIN, bench.now.wall);
    bench.pass(SECOND);
    bench.session.on_subscribe();
    bench.deliver_retained(&new);
    assert_eq!(bench.told(), ["data/a gap 1", "data/a 3 retained"]);
    bench.deliver_retained(&old);
    assert_eq!(bench.told(), ["data/a rejected: a retained message came on this topic before"]);
    bench.session.on_subscribe();
    bench.deliver_retained(&old);
    assert_eq!(bench.told(), ["data/a stale"]);
    // With the retain flag taken off it is what it is: late or old, and once.
    assert_eq!(bench.after(std::slice::from_ref(&old)), ["data/a 2 late"]);
    assert_eq!(bench.after(&[old, new]), ["data/a duplicate", "data/a duplicate"]);
}

#[test]
fn publishers_that_are_not_listed_or_not_any_more_are_refused() {
    let mut bench = reading();
    let listed = bench.realm.publisher;
    bench.realm.publisher = PublisherSlot(8);
    bench.realm.session = NosSession::new(1, 1);
    let message = bench.realm.publish("data/c", 2, bench.now.wall);
    bench.realm.publisher = listed;
    bench.deliver("data/c", &message);
    bench.settle();
    assert!(bench.told()[0].starts_with("data/c rejected: publisher PublisherSlot(8) is not listed"));

    let message = bench.realm.publish("data/d", 3, bench.now.wall);
    bench.realm.publisher = PublisherSlot(9);
    bench.pass(LATER);
    bench.deliver("data/d", &message);
    bench.settle();
    assert!(bench.told()[0].starts_with("data/d rejected: publisher PublisherSlot(7) was withdrawn"));
}

#[test]
fn keys_whose_terms_were_changed_are_not_taken() {
    type Change = fn(&mut aups_envelope::KeyTerms);
    let changes: &[(&str, Change)] = &[
        ("valid for longer", |terms| terms.exp.0 += 1),
        ("valid from earlier", |terms| terms.nbf.0 -= 1),
        ("opens for longer", |terms| terms.dec.0 += 1),
        ("no signature demanded", |terms| terms.flags = aups_core::Flags::NONE),
        ("another suite", |terms| terms.suite = aups_core::Suite::ChaCha20Poly1305),
        ("another scope", |terms| terms.scope = aups_core::ScopeId::from_bytes([9; 32])),
        ("another epoch", |terms| terms.epoch.0 += 1),
    ];
    for (change, alter) in changes {
        let mut bench = Bench::new();
        bench.realm.alter_terms = Some(*alter);
        bench.publish(HERE, SIGNED);
        bench.settle();
        assert_eq!(bench.told(), ["data/a denied"], "{change}");
    }
}
