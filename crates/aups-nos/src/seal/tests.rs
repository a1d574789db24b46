use super::*;
use crate::{
    accept::Entry,
    fixture::{METEOROLOGISTS, NOW, entry, kek, nos_id, pdp, signing_key, sources},
    pep::Pep,
};
use aups_core::{Flags, ManualClock};
use aups_envelope::{Header, SealedMessage};
use aups_ktm::{Ktm, KtmSettings};
use aups_store::InMemory;
use std::time::Duration;
use tokio::sync::watch;

struct Bench {
    clock: Arc<ManualClock>,
    ktm: Arc<Ktm>,
    pep: Pep,
    sealer: Sealer,
}

impl Bench {
    async fn new(policies: &str, counters_max: usize) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let ktm = Ktm::open(Arc::new(InMemory::new()), kek(), clock.clone(), KtmSettings::default()).await.unwrap();
        let ktm = Arc::new(ktm);
        let (_, in_force) = watch::channel(pdp(ktm.realm().id(), policies));
        let pep = Pep::new(nos_id(), in_force, ktm.clone(), sources().await, 10);
        let usage = Arc::new(Usage::open(Arc::new(InMemory::new())).await.unwrap());
        let key = Arc::new(signing_key());
        let sealer = Sealer::new(nos_id(), ktm.clone(), clock.clone(), key, usage, counters_max);
        Self { clock, ktm, pep, sealer }
    }

    async fn seal(&mut self, entry: &Entry) -> Header {
        let permitted = self.pep.permit(entry).await.unwrap();
        let message = self.sealer.seal(&permitted).await.unwrap().payload;
        *SealedMessage::parse(&message).unwrap().header()
    }

    /// In a batch of its own.
    async fn seal_next(&mut self, entry: &Entry) -> Header {
        self.sealer.begin_batch();
        self.seal(entry).await
    }
}

fn named(name: &str) -> Entry {
    entry(&format!(r#"{{"name":"{name}","value":1}}"#))
}

#[tokio::test]
async fn each_topic_is_counted_across_keys_and_each_key_counts_its_messages() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let (a, b) = (named("a"), named("b"));
    let mut seqs = Vec::new();
    for entry in [&a, &b, &a, &a] {
        let header = bench.seal(entry).await;
        seqs.push((header.topic_seq, header.seq));
    }
    assert_eq!(seqs, [(0, 0), (0, 1), (1, 2), (2, 3)]);
    let before = bench.seal(&a).await;
    bench.clock.advance(Duration::from_mins(6));
    let after = bench.seal_next(&a).await;
    assert_ne!(before.key_id, after.key_id);
    assert_eq!((after.topic_seq, after.seq, after.session), (4, 0, before.session));
}

#[tokio::test]
async fn a_key_that_expires_within_a_batch_is_not_sealed_with() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let a = named("a");
    let before = bench.seal_next(&a).await;
    bench.clock.advance(Duration::from_mins(5));
    let after = bench.seal(&a).await;
    assert_eq!(after.key_id.epoch().0, before.key_id.epoch().0 + 1);
    assert_eq!((after.ts, after.topic_seq), (NOW.plus(Duration::from_mins(5)), 1));
}

#[tokio::test]
async fn a_key_that_comes_back_after_the_clock_was_set_back_is_used_in_a_new_session_only() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let a = named("a");
    let first = bench.seal_next(&a).await;
    bench.clock.advance(Duration::from_mins(5));
    let second = bench.seal_next(&a).await;
    bench.clock.set(NOW);
    let third = bench.seal_next(&a).await;
    assert_eq!((first.key_id, first.seq, first.ts), (third.key_id, third.seq, third.ts), "the same nonce …");
    assert!(
        first.session == second.session && third.session.incarnation() > second.session.incarnation(),
        "… under another subkey"
    );
}

#[tokio::test]
async fn a_key_that_was_dropped_after_its_expiry_does_not_count_from_zero_again() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let a = named("a");
    let first = bench.seal_next(&a).await;
    bench.clock.advance(Duration::from_mins(6));
    bench.sealer.drop_expired_keys();
    bench.clock.set(NOW);
    let again = bench.seal_next(&a).await;
    assert_eq!(again.key_id, first.key_id);
    assert_ne!(again.session, first.session);
}

#[tokio::test]
async fn more_topics_than_a_session_counts_begin_a_new_session() {
    let mut bench = Bench::new(METEOROLOGISTS, 2).await;
    let (a, b, c) = (named("a"), named("b"), named("c"));
    let first = bench.seal(&a).await;
    bench.seal(&b).await;
    assert_eq!(bench.seal(&a).await.topic_seq, 1);
    let third = bench.seal(&c).await;
    assert!(third.session.incarnation() > first.session.incarnation());
    assert_eq!((third.topic_seq, third.seq, third.publisher), (0, 0, first.publisher));
    assert_eq!(bench.seal(&a).await.topic_seq, 0);
    assert_eq!(bench.sealer.counters, 2);
}

#[tokio::test]
async fn a_topic_seq_does_not_wrap() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let a = named("a");
    let first = bench.seal(&a).await;
    for state in bench.sealer.scopes.values_mut() {
        *state.topics.get_mut(&a.topic).unwrap() = u32::MAX - 1;
    }
    assert_eq!(bench.seal(&a).await.topic_seq, u32::MAX - 1);
    let next = bench.seal(&a).await;
    assert_eq!(next.topic_seq, 0);
    assert!(next.session.incarnation() > first.session.incarnation());
}

#[tokio::test]
async fn obligations_are_done() {
    let policies = r#"@obligation("sign, pad:256")
        permit(principal, action == Action::"receive", resource in Topic::"unregistered");"#;
    let mut bench = Bench::new(policies, 10).await;
    let header = bench.seal(&named("a")).await;
    assert_eq!(header.flags, Flags::SIGNED.union(Flags::PADDED));
}

#[tokio::test]
async fn a_bump_shows_with_the_next_batch() {
    let mut bench = Bench::new(METEOROLOGISTS, 10).await;
    let a = named("a");
    let before = bench.seal_next(&a).await;
    bench.ktm.bump(&bench.ktm.scopes()[0].id).await.unwrap();
    assert_eq!(bench.seal_next(&a).await.key_id.bump().0, before.key_id.bump().0 + 1);
}
