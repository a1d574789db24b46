use super::*;

/// A pattern as Cedar writes it, without escapes.
fn pattern(text: &str) -> Vec<PatternElem> {
    text.chars().map(|c| if c == '*' { PatternElem::Wildcard } else { PatternElem::Char(c) }).collect()
}

fn is_like(text: &[char], pattern: &[PatternElem]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((PatternElem::Wildcard, rest)) => (0..=text.len()).any(|skipped| is_like(&text[skipped..], rest)),
        Some((PatternElem::Char(c), rest)) => text.first() == Some(c) && is_like(&text[1..], rest),
    }
}

fn combinations(texts: impl IntoIterator<Item = String>, patterns: &[Vec<PatternElem>]) -> BTreeSet<Vec<bool>> {
    let matches = |text: String| {
        let text: Vec<char> = text.chars().collect();
        patterns.iter().map(|pattern| is_like(&text, pattern)).collect()
    };
    texts.into_iter().map(matches).collect()
}

/// Every text of up to six of these characters.
fn all_texts() -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut last = texts.clone();
    for _ in 0..6 {
        last = last.iter().flat_map(|text| ['a', 'b', 'z'].map(|c| format!("{text}{c}"))).collect();
        texts.extend(last.iter().cloned());
    }
    texts
}

#[test]
fn every_combination_of_patterns_that_some_text_matches_has_a_witness() {
    for patterns in [
        vec![],
        vec!["a"],
        vec!["*"],
        vec!["a*", "*b"],
        vec!["a*", "*a", "ab*ba", "*bb*"],
        vec!["a*b*a", "ab", "*ab*", ""],
        vec!["aa*", "a*", "a", "aaa"],
    ] {
        let patterns: Vec<_> = patterns.into_iter().map(pattern).collect();
        let witnesses = witnesses(&patterns).unwrap();
        assert_eq!(combinations(witnesses.clone(), &patterns), combinations(all_texts(), &patterns), "{patterns:?}");
        assert_eq!(combinations(witnesses.clone(), &patterns).len(), witnesses.len(), "each once: {witnesses:?}");
    }
}

#[test]
fn patterns_that_take_too_long_are_given_up() {
    // Any subset of thirteen letters can come in a text.
    let patterns: Vec<_> = ('a'..='m').map(|c| pattern(&format!("*{c}*"))).collect();
    assert_eq!(witnesses(&patterns), None);
}
