//! JSON Pointers (RFC 6901) into values that are kept as written.

use crate::json::Value;
use std::str::FromStr;
use thiserror::Error;

/// Longest pointer, in bytes.
const POINTER_BYTES_MAX: usize = 512;
/// Most levels of a pointer.
const POINTER_LEVELS_MAX: usize = 16;

/// A pointer, as the names and indices on its way down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pointer(Vec<String>);

/// A text that is no pointer. Whoever configured it is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum PointerError {
    #[error("a JSON Pointer starts with `/`, as in `/a/b`")]
    Start,
    #[error("in a JSON Pointer `~` is followed by `0` (for `~`) or `1` (for `/`)")]
    Escape,
    #[error("a pointer has at most {POINTER_BYTES_MAX} bytes and {POINTER_LEVELS_MAX} levels")]
    TooLong,
}

impl FromStr for Pointer {
    type Err = PointerError;

    fn from_str(text: &str) -> Result<Self, PointerError> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let levels = text.strip_prefix('/').ok_or(PointerError::Start)?.split('/');
        if text.len() > POINTER_BYTES_MAX || levels.clone().count() > POINTER_LEVELS_MAX {
            return Err(PointerError::TooLong);
        }
        levels.map(unescaped).collect::<Result<_, _>>().map(Self)
    }
}

impl Pointer {
    /// The names and indices, from the top. None of them: the whole value.
    pub(crate) fn path(&self) -> &[String] {
        &self.0
    }
}

/// What lies at a path below a value. Cost: one pass over each value on the way.
pub(super) fn find<'a>(value: Value<'a>, path: &[String]) -> Option<Value<'a>> {
    path.iter().try_fold(value, |value, level| value.child(level))
}

fn unescaped(level: &str) -> Result<String, PointerError> {
    let mut name = String::with_capacity(level.len());
    let mut letters = level.chars();
    while let Some(letter) = letters.next() {
        name.push(match letter {
            '~' => match letters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err(PointerError::Escape),
            },
            other => other,
        });
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
