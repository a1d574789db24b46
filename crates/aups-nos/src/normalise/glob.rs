//! Patterns of names: `*` stands for any letters, `?` for any one.

use std::str::FromStr;
use thiserror::Error;

/// Longest pattern, in bytes.
const GLOB_BYTES_MAX: usize = 128;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Box<str>);

/// A text that is no pattern. Whoever configured it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a pattern has 1 to {GLOB_BYTES_MAX} bytes")]
pub(super) struct GlobError;

impl FromStr for Glob {
    type Err = GlobError;
    fn from_str(text: &str) -> Result<Self, GlobError> {
        if (1..=GLOB_BYTES_MAX).contains(&text.len()) { Ok(Self(text.into())) } else { Err(GlobError) }
    }
}

impl Glob {
    /// The one name that it matches, if there are no others.
    pub(super) fn exact(&self) -> Option<&str> {
        (!self.0.contains(['*', '?'])).then_some(&*self.0)
    }

    /// The pattern.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches a name. Cost: at most the length of the pattern times that of the name.
    pub(super) fn matches(&self, name: &str) -> bool {
        let (mut pattern, mut name) = (self.0.chars(), name.chars());
        // Where to go on if what follows the last `*` turns out not to fit: the `*` takes one letter more.
        let mut again = None;
        loop {
            let fits = match pattern.next() {
                Some('*') => {
                    again = Some((pattern.clone(), name.clone()));
                    continue;
                }
                Some('?') => name.next().is_some(),
                Some(letter) => name.next() == Some(letter),
                None if name.as_str().is_empty() => return true,
                None => false,
            };
            if !fits {
                let Some((after_star, mut from)) = again.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                again = Some((after_star.clone(), from.clone()));
                (pattern, name) = (after_star, from);
            }
        }
    }
}

#[cfg(test)]
mod tests;
