//! What a peer is told when something is wrong: RFC 9457 problem details, without the HTTP.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Prefix of every problem type.
pub const TYPE_PREFIX: &str = "urn:aups:error:";

/// A problem as its receiver sees it. `detail` says what to do; nothing here tells what a stranger must not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:aups:error:<code>`; the code is fixed per kind of problem.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The same for every problem of this type.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// This occurrence: what was wrong, and what to do.
    pub detail: Cow<'static, str>,
    /// Line of the input, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column of the line, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The member of the input that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Cow<'static, str>>,
    /// Anything else that this type of problem tells.
    #[serde(flatten)]
    pub further: serde_json::Map<String, serde_json::Value>,
}

impl Problem {
    /// A problem of a type, given by its code.
    pub fn new(status: u16, code: &str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{code}").into(),
            title: title.into(),
            status,
            detail: detail.into(),
            line: None,
            column: None,
            member: None,
            further: serde_json::Map::new(),
        }
    }

    /// Names the place in the input.
    #[must_use]
    pub fn at(mut self, line: usize, column: usize) -> Self {
        (self.line, self.column) = (Some(line), Some(column));
        self
    }

    /// Names the member of the input.
    #[must_use]
    pub fn member(mut self, member: impl Into<Cow<'static, str>>) -> Self {
        self.member = Some(member.into());
        self
    }

    /// Adds what only this type of problem tells.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.further.insert(name.into(), value.into());
        self
    }
}
