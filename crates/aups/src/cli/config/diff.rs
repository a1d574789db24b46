//! `aups config diff`: what would change.

use super::document::{Document, pretty};
use crate::cli::{
    admin::Admin,
    failure::Failure,
    http::with_query,
    terminal::{self, Paint, Stream},
};
use clap::Args;
use reqwest::Method;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use std::path::PathBuf;

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;

/// Show what would change if the file were set, or what changed between versions
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The document: JSON; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "to", conflicts_with = "to")]
    file: Option<PathBuf>,
    /// The version before [default: the one in force]
    #[arg(long, value_name = "N")]
    from: Option<u64>,
    /// The version after, instead of a file
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    /// As JSON, for machines: the places with what was and what is there
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) async fn run(&self, admin: &Admin) -> Result<(), Failure> {
        let document = self.file.as_deref().map(Document::read).transpose()?;
        if self.json {
            return self.print_places(document, admin).await;
        }
        let before = Document::of_server(self.from, admin).await?;
        let after = match &document {
            Some(document) => document.in_full(admin).await?,
            None => Document::of_server(self.to, admin).await?,
        };
        let before_name = self.from.map_or_else(|| "in force".to_owned(), |number| format!("version {number}"));
        let after_name = match (document, self.to) {
            (Some(document), _) => document.name,
            (None, number) => format!("version {}", number.unwrap_or_default()),
        };
        print(&pretty(&before), &pretty(&after), &before_name, &after_name)
    }

    async fn print_places(&self, document: Option<Document>, admin: &Admin) -> Result<(), Failure> {
        let numbers = [("from", self.from), ("to", self.to)];
        let numbers = numbers.map(|(name, number)| (name, number.map(|number| number.to_string())));
        let query: Vec<_> = numbers.iter().filter_map(|(name, number)| Some((*name, number.as_deref()?))).collect();
        let path = with_query("/v1/config/diff", &query);
        let document = document.unwrap_or_else(|| Document { name: String::new(), text: String::new() });
        let answer = admin.send_document(Method::POST, &path, document.text.clone(), None).await?;
        let answer = answer.map_err(|problem| document.refused(&problem))?;
        let mut answer: Value = serde_json::from_str(&answer)
            .map_err(|error| Failure::failed(format!("the server answered something else than expected: {error}")))?;
        terminal::line(&answer.get_mut("changes").map(Value::take).unwrap_or_default().to_string())
    }
}

/// In the form of `diff -u`; nothing where nothing differs.
fn print(before: &str, after: &str, before_name: &str, after_name: &str) -> Result<(), Failure> {
    let diff = TextDiff::from_lines(before, after);
    let paint = Paint::of(Stream::Stdout);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(CONTEXT_LINES).iter_hunks() {
        if lines.is_empty() {
            lines.extend([format!("--- {before_name}"), format!("+++ {after_name}")].map(|line| paint.bold(&line)));
        }
        lines.push(paint.cyan(&hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let line = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Delete => paint.red(&format!("-{line}")),
                ChangeTag::Insert => paint.green(&format!("+{line}")),
                ChangeTag::Equal => format!(" {line}"),
            });
        }
    }
    if lines.is_empty() { Ok(()) } else { terminal::line(&lines.join("\n")) }
}
