//! Lines as one JSON array, so that they are taken together or not at all.

use aups_core::{Problem, limits::BODY_BYTES_MAX};
use aups_envelope::message::{HEADER_BYTES, TAG_BYTES};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// Most readings in one body.
const READINGS_MAX: usize = 10_000;
/// Longest text that can be sealed into a body.
const TEXT_BYTES_MAX: usize = BODY_BYTES_MAX - HEADER_BYTES - TAG_BYTES;

/// A JSON array in which each line stands on a line of its own, one column further to the right.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) text: String,
    /// How many lines are in it, at least one.
    pub(super) lines: usize,
}

impl Batch {
    /// As many lines from the start as go into one body. The problem of the first if that is no JSON.
    ///
    /// A line that is an array is a batch itself: its elements are taken.
    pub(super) fn of(lines: &[impl AsRef<str>]) -> Result<Self, Box<Problem>> {
        let mut batch = Self { text: String::new(), lines: 0 };
        let mut readings = 0;
        for line in lines.iter().map(AsRef::as_ref) {
            let (inner, count) = match elements(line) {
                Ok(elements) => elements,
                Err(problem) if batch.lines == 0 => return Err(problem),
                Err(_) => break,
            };
            // A separator of two bytes before it, the bracket behind all.
            let is_full = readings + count > READINGS_MAX || batch.text.len() + inner.len() + 3 > TEXT_BYTES_MAX;
            if batch.lines > 0 && is_full {
                break;
            }
            batch.text.push_str(match (batch.lines, readings, count) {
                (0, ..) => "[",
                (_, 0, _) | (.., 0) => "\n ",
                _ => "\n,",
            });
            batch.text.push_str(&inner);
            batch.lines += 1;
            readings += count;
        }
        batch.text.push(']');
        Ok(batch)
    }
}

/// What stands in an array for a line, as wide as the line, and how many elements that is.
fn elements(line: &str) -> Result<(String, usize), Box<Problem>> {
    if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(line) {
        let inner = line.trim_end().strip_suffix(']').unwrap_or(line).replacen('[', " ", 1);
        return Ok((inner, elements.len()));
    }
    match serde_json::from_str::<IgnoredAny>(line) {
        Ok(_) => Ok((line.to_owned(), 1)),
        Err(error) => {
            let problem = Problem::new(400, "malformed-json", "malformed JSON", error.to_string());
            Err(Box::new(problem.at(1, error.column())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> (String, usize) {
        let Batch { text, lines } = Batch::of(lines).unwrap();
        (text, lines)
    }

    #[test]
    fn each_line_stands_on_a_line_of_its_own_and_arrays_are_opened() {
        assert_eq!(of(&["1"]), ("[1]".into(), 1));
        assert_eq!(of(&["1", "{\"a\":[2]}", "null"]), ("[1\n,{\"a\":[2]}\n,null]".into(), 3));
        assert_eq!(of(&["[1,[2]]", "3", " [4] "]), ("[ 1,[2]\n,3\n,  4]".into(), 3));
        assert_eq!(of(&["[]", "[ ]", "1", "[]", "2"]), ("[ \n   \n 1\n  \n,2]".into(), 5));
        for text in [of(&["[1,[2]]", "3", " [4] "]).0, of(&["[]", "[ ]", "1", "[]", "2"]).0, of(&["[]"]).0] {
            serde_json::from_str::<Vec<IgnoredAny>>(&text).unwrap();
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_never_put_among_others() {
        for bad in ["", "1,2", "1],[2", "]", "x", "[1", "1 2", "[1],[2]"] {
            assert_eq!(of(&["0", bad, "3"]), ("[0]".into(), 1), "{bad}");
            assert_eq!(Batch::of(&[bad]).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn a_batch_fits_a_body() {
        let long = format!("\"{}\"", "x".repeat(60_000));
        let many = vec![long.as_str(); 30];
        let (text, lines) = of(&many);
        assert!(lines == 17 && text.len() <= TEXT_BYTES_MAX && text.len() + long.len() + 2 > TEXT_BYTES_MAX);
        let array = format!("[{}1]", "1,".repeat(5_999));
        assert_eq!(of(&[array.as_str(), "2", array.as_str()]).1, 2);
    }
}
