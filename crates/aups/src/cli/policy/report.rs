//! A fault in a policy text, shown with its line.

use super::text::PolicyText;
use crate::cli::terminal::Paint;
use aups_policy::PolicyError;
use std::fmt::Write as _;

/// The message, the place as FILE:LINE:COLUMN, the line with a caret, and what would do.
pub(super) fn render(fault: &PolicyError, text: &PolicyText, paint: Paint) -> String {
    let (file, line) = text.place(fault.line);
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let (bar, arrow) = (paint.cyan("|"), paint.cyan("-->"));
    let mut shown = format!(
        "{} {}\n{margin}{arrow} {file}:{line}:{}",
        paint.red("error:"),
        paint.bold(&fault.message),
        fault.column
    );
    if let Some(source) = text.line(fault.line) {
        // Tabs stay tabs before the caret, so that it stands below what it means.
        let before: String = source
            .chars()
            .take(fault.column.saturating_sub(1))
            .map(|letter| if letter == '\t' { '\t' } else { ' ' })
            .collect();
        // Writing to a String does not fail.
        let _ = write!(
            shown,
            "\n{margin} {bar}\n{} {bar} {source}\n{margin} {bar} {before}{}",
            paint.cyan(&number),
            paint.red("^")
        );
    }
    let _ = write!(shown, "\n{margin} {} {}", paint.cyan("= help:"), fault.help);
    shown
}

#[cfg(test)]
mod tests;
