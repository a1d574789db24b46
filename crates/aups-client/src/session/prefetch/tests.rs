use super::*;
use aups_core::{Bump, Epoch, Flags, ScopeId, Suite};

const LIFE_MS: u64 = 300_000;

fn key(tag: u8, epoch: u32, bump: u16) -> KeyId {
    KeyId::new(ScopeTag::from_bytes([tag; 8]), Epoch(epoch), Bump(bump), [0; 10])
}

fn terms(key_id: KeyId) -> KeyTerms {
    let nbf = u64::from(key_id.epoch().0) * LIFE_MS;
    KeyTerms {
        suite: Suite::default(),
        flags: Flags::NONE,
        scope: ScopeId::from_bytes([0; 32]),
        epoch: key_id.epoch(),
        bump: key_id.bump(),
        nbf: UnixMillis(nbf),
        exp: UnixMillis(nbf + LIFE_MS),
        dec: UnixMillis(nbf + 2 * LIFE_MS),
    }
}

fn used(prefetch: &mut Prefetch, key_id: KeyId, has_next: bool, now: u64) {
    let topic = "data/s1/t".parse().expect("a topic");
    prefetch.used(key_id, &topic, &terms(key_id), has_next, UnixMillis(now));
}

fn due(prefetch: &Prefetch, now: u64) -> Vec<KeyId> {
    prefetch.due(UnixMillis(now)).map(|(key_id, _)| key_id).collect()
}

#[test]
fn a_key_is_asked_for_again_some_time_before_it_ends() {
    for _ in 0..100 {
        let mut prefetch = Prefetch::new(8);
        used(&mut prefetch, key(1, 2, 0), false, 2 * LIFE_MS);
        let asked = prefetch.next_due().expect("due").0;
        let before_end = 3 * LIFE_MS - asked;
        assert!((LIFE_MS / 10..=LIFE_MS * 2 / 5).contains(&before_end), "{before_end} ms before the end");
        assert!(due(&prefetch, asked - 1).is_empty());
        assert_eq!(due(&prefetch, asked), [key(1, 2, 0)]);
    }
}

#[test]
fn readers_do_not_ask_all_at_once() {
    let times: BTreeSet<_> = (0..100)
        .map(|_| {
            let mut prefetch = Prefetch::new(8);
            used(&mut prefetch, key(1, 2, 0), false, 2 * LIFE_MS);
            prefetch.next_due()
        })
        .collect();
    assert!(times.len() > 90, "{} different times of 100", times.len());
}

#[test]
fn a_key_whose_successor_is_here_is_not_asked_for() {
    let mut prefetch = Prefetch::new(8);
    used(&mut prefetch, key(1, 2, 0), true, 2 * LIFE_MS);
    assert_eq!(prefetch.next_due(), None);
}

#[test]
fn an_answer_ends_it_and_a_failure_does_not() {
    let mut prefetch = Prefetch::new(8);
    used(&mut prefetch, key(1, 2, 0), false, 2 * LIFE_MS);
    let late = 3 * LIFE_MS - 1;
    prefetch.answered(&key(1, 1, 0));
    assert_eq!(due(&prefetch, late), [key(1, 2, 0)], "another key was answered");
    prefetch.answered(&key(1, 2, 0));
    assert!(due(&prefetch, late).is_empty());
    assert_eq!(prefetch.next_due(), None);
}

#[test]
fn a_message_under_an_older_key_changes_nothing() {
    let mut prefetch = Prefetch::new(8);
    used(&mut prefetch, key(1, 3, 0), false, 3 * LIFE_MS);
    used(&mut prefetch, key(1, 2, 9), false, 3 * LIFE_MS);
    assert_eq!(due(&prefetch, 4 * LIFE_MS), [key(1, 3, 0)]);
    used(&mut prefetch, key(1, 3, 1), false, 3 * LIFE_MS);
    assert_eq!(due(&prefetch, 4 * LIFE_MS), [key(1, 3, 1)], "a later bump does");
}

#[test]
fn there_is_room_for_so_many_scopes_and_ended_ones_make_room() {
    let mut prefetch = Prefetch::new(2);
    for tag in 1..=3 {
        used(&mut prefetch, key(tag, 2, 0), false, 2 * LIFE_MS);
    }
    assert_eq!(due(&prefetch, 3 * LIFE_MS).len(), 2);
    used(&mut prefetch, key(4, 3, 0), false, 3 * LIFE_MS);
    assert_eq!(due(&prefetch, 4 * LIFE_MS), [key(4, 3, 0)]);
    assert_eq!((prefetch.scopes.len(), prefetch.due.len()), (1, 1));
}
