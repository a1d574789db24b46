//! Every link from one of our documents to a file leads somewhere.

use crate::command;
use anyhow::{Context as _, Result, bail};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders whose documents are not ours.
const FOREIGN: &[&str] = &["target", "node_modules", ".git", "aups-data"];

/// Checks all Markdown files; the web is not asked.
pub(crate) fn run() -> Result<()> {
    let documents = documents(command::root())?;
    let mut dead = 0;
    for document in &documents {
        let text = fs::read_to_string(document).with_context(|| format!("cannot read {}", document.display()))?;
        let folder = document.parent().unwrap_or(command::root());
        for (line, target) in targets(&text) {
            if !folder.join(target).exists() {
                let shown = document.strip_prefix(command::root()).unwrap_or(document).display();
                println!("{shown}:{line}: there is no {target}");
                dead += 1;
            }
        }
    }
    if dead > 0 {
        bail!("{dead} links lead nowhere");
    }
    println!("links lead somewhere: {} documents", documents.len());
    Ok(())
}

/// The Markdown files under a folder.
fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let foreign = || path.file_name().is_some_and(|name| FOREIGN.iter().any(|foreign| name == *foreign));
        if path.is_dir() && !foreign() {
            found.extend(documents(&path)?);
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Line number and file of each inline link that leads to a file; the part after `#` is left out.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let links = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        let files = links.map(|(target, _)| target.split('#').next().unwrap_or(target));
        found.extend(files.filter(|file| !file.is_empty() && !file.contains(':')).map(|file| (number + 1, file)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn links_to_files_are_found_and_those_to_the_web_or_within_the_page_are_not() {
        let text = "[a](b/c.md#d) and [e](f)\n[g](https://h.org/i) [j](#k)";
        assert_eq!(targets(text), [(1, "b/c.md"), (1, "f")]);
    }
}
