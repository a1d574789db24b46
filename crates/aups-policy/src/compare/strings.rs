//! Texts that satisfy every combination of patterns that some text satisfies.

use cedar_policy::pst::PatternElem;
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Most combinations of positions in the patterns that are followed.
const POSITIONS_MAX: usize = 4_096;

/// Texts such that for each text there is one among these that matches the same patterns. `None` if that takes more than
/// [`POSITIONS_MAX`] steps.
///
/// Reads all patterns at once, one character after the other: which positions of each pattern a beginning of a text can have
/// reached is all that its continuation depends on.
pub(super) fn witnesses(patterns: &[Vec<PatternElem>]) -> Option<Vec<String>> {
    let alphabet = alphabet(patterns);
    let start: Positions = patterns.iter().map(|pattern| closure(pattern, BTreeSet::from([0]))).collect();
    let mut seen: HashMap<Positions, String> = HashMap::from([(start.clone(), String::new())]);
    let mut open = VecDeque::from([(start, String::new())]);
    while let Some((positions, text)) = open.pop_front() {
        for c in &alphabet {
            let next: Positions =
                patterns.iter().zip(&positions).map(|(pattern, reached)| step(pattern, reached, *c)).collect();
            if seen.contains_key(&next) {
                continue;
            }
            if seen.len() >= POSITIONS_MAX {
                return None;
            }
            let longer = format!("{text}{c}");
            seen.insert(next.clone(), longer.clone());
            open.push_back((next, longer));
        }
    }
    let mut told: HashMap<Vec<bool>, String> = HashMap::new();
    for (positions, text) in seen {
        let matches: Vec<bool> =
            patterns.iter().zip(&positions).map(|(pattern, reached)| reached.contains(&pattern.len())).collect();
        let shortest = told.entry(matches).or_insert_with(|| text.clone());
        if (text.len(), &text) < (shortest.len(), shortest) {
            *shortest = text;
        }
    }
    Some(told.into_values().collect())
}

/// For each pattern, how many of its elements can be behind.
type Positions = Vec<BTreeSet<usize>>;

/// The characters of the patterns, and one that stands for all others.
fn alphabet(patterns: &[Vec<PatternElem>]) -> BTreeSet<char> {
    let of = |element: &PatternElem| match element {
        PatternElem::Char(c) => Some(*c),
        PatternElem::Wildcard => None,
    };
    let mut alphabet: BTreeSet<char> = patterns.iter().flatten().filter_map(of).collect();
    let other = ('a'..='z').chain('\u{100}'..='\u{ffff}').find(|c| !alphabet.contains(c));
    alphabet.extend(other);
    alphabet
}

fn step(pattern: &[PatternElem], reached: &BTreeSet<usize>, c: char) -> BTreeSet<usize> {
    let next = reached.iter().filter_map(|at| match pattern.get(*at)? {
        PatternElem::Wildcard => Some(*at),
        PatternElem::Char(expected) => (*expected == c).then_some(at + 1),
    });
    closure(pattern, next.collect())
}

/// A wildcard may match nothing.
fn closure(pattern: &[PatternElem], mut reached: BTreeSet<usize>) -> BTreeSet<usize> {
    for (at, element) in pattern.iter().enumerate() {
        if *element == PatternElem::Wildcard && reached.contains(&at) {
            reached.insert(at + 1);
        }
    }
    reached
}

#[cfg(test)]
mod tests;
