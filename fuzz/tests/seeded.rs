//! Every target on its seeds and on mutations of them, the same in every run.

#![cfg(test)]

use aups_fuzz::{TARGETS, Target};
use std::panic;

/// Mutations of each target: a second or so for the slow ones without optimisation.
const MUTATIONS: u32 = 2_000;
/// Changes of one mutation, at most.
const CHANGES_MAX: u64 = 4;

/// `SplitMix64`: of which numbers the mutations are made is no secret, but must be the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

fn mutate(data: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.next() % CHANGES_MAX {
        let at = numbers.below(data.len() + 1);
        match numbers.next() % 6 {
            0 if at < data.len() => data[at] ^= 1 << (numbers.next() % 8),
            1 if at < data.len() => data[at] = numbers.byte(),
            2 => data.insert(at, numbers.byte()),
            3 if at < data.len() => drop(data.drain(at..(at + 1 + numbers.below(8)).min(data.len()))),
            4 => data.truncate(at),
            _ => {
                let from = numbers.below(other.len());
                let to = (from + 1 + numbers.below(32)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
}

fn run_seeded(target: &Target) {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    for seed in &seeds {
        (target.run)(seed);
    }
    let mut numbers = Numbers(1);
    for number in 0..MUTATIONS {
        let mut data = seeds[numbers.below(seeds.len())].clone();
        let other = seeds[numbers.below(seeds.len())].clone();
        mutate(&mut data, &other, &mut numbers);
        let outcome = panic::catch_unwind(|| (target.run)(&data));
        assert!(outcome.is_ok(), "{}: mutation {number} fails: {}", target.name, data.escape_ascii());
    }
}

#[test]
fn every_target_holds_on_its_seeds_and_their_mutations() {
    for target in TARGETS {
        run_seeded(target);
    }
}

#[test]
fn mutations_are_the_same_in_every_run_and_differ_from_one_another() {
    let mutations = || {
        let mut numbers = Numbers(7);
        (0..100)
            .map(|_| {
                let mut data = b"0123456789".to_vec();
                mutate(&mut data, b"abc", &mut numbers);
                data
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(mutations(), mutations());
    assert!(mutations().iter().collect::<std::collections::BTreeSet<_>>().len() > 60);
}

#[cfg(all(feature = "nos", feature = "policy"))]
#[test]
fn every_target_has_a_program_for_libfuzzer() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/libfuzzer/Cargo.toml")).unwrap();
    let programs: Vec<&str> =
        manifest.split("[[bin]]\nname = \"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(programs, TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
}
