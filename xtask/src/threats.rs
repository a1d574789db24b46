//! Every test that `docs/security.md` names is there, and every threat has one.

use crate::command;
use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Where tests are.
const SOURCES: [&str; 2] = ["crates", "fuzz"];

/// Compares the table with the sources.
pub(crate) fn run() -> Result<()> {
    let document = command::root().join("docs").join("security.md");
    let text = fs::read_to_string(&document).with_context(|| format!("cannot read {}", document.display()))?;
    let mut tests = BTreeSet::new();
    for folder in SOURCES {
        collect(&command::root().join(folder), &mut tests)?;
    }
    let mut wrong = Vec::new();
    let threats: Vec<_> = threats(&text).collect();
    for (threat, named) in &threats {
        if named.is_empty() {
            wrong.push(format!("no test is named: {threat}"));
        }
        let missing = named.iter().filter(|name| !tests.contains(**name));
        wrong.extend(missing.map(|name| format!("there is no test `{name}`: {threat}")));
    }
    for line in &wrong {
        println!("docs/security.md: {line}");
    }
    if threats.is_empty() || !wrong.is_empty() {
        bail!("{} of {} threats name no test that is there", wrong.len(), threats.len());
    }
    println!("every threat has tests: {} threats", threats.len());
    Ok(())
}

/// The rows of the table: the threat, and the tests of the last column.
fn threats(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter_map(|row| {
        let mut cells = row.split(" | ");
        let (threat, tests) = (cells.next()?, cells.last()?);
        let named = tests.split('`').skip(1).step_by(2).collect();
        (!["threat", "---"].contains(&threat)).then_some((threat, named))
    })
}

/// The names of all tests under a folder.
fn collect(folder: &Path, tests: &mut BTreeSet<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    for path in paths {
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, tests)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            tests.extend(names(&text).map(str::to_owned));
        }
    }
    Ok(())
}

/// The functions below `#[test]`, `#[tokio::test]` and the like; in `proptest!` they look the same.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let attributes = text.split("#[").filter(|rest| rest.starts_with("test]") || rest.starts_with("tokio::test"));
    attributes.filter_map(|rest| rest.split_once("fn ")?.1.split('(').next())
}

#[cfg(test)]
mod tests {
    use super::{names, threats};

    #[test]
    fn rows_give_the_threat_and_the_tests_of_their_last_cell() {
        let table =
            "| threat | counter | tests |\n| --- | --- | --- |\n| a `b` | c | `d`, `e` |\n| f | g | none |\ntext `h`";
        assert_eq!(threats(table).collect::<Vec<_>>(), [("a `b`", vec!["d", "e"]), ("f", vec![])]);
    }

    #[test]
    fn functions_below_a_test_attribute_are_tests_and_others_are_not() {
        let text = "fn a() {}\n#[test]\nfn b() {}\n    #[tokio::test(flavor = \"x\")]\n    async fn c() {}\n#[derive(Debug)]\nfn d() {}";
        assert_eq!(names(text).collect::<Vec<_>>(), ["b", "c"]);
    }
}
