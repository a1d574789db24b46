//! Cuts the text of a policy set into its statements, so that each can be parsed, named and blamed on its own.
//!
//! Cedar ends a statement with `;` and has no other use for it outside texts and comments. The tokens also bound the
//! depth of what Cedar will build: it recurses over its trees.

/// Longest policy, in bytes.
pub const POLICY_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of brackets in a policy.
pub const POLICY_NESTING_MAX: usize = 32;
/// Most operators (`&&`, `==`, `.`, `has`, `if` …) in a policy: each may make the tree that Cedar walks one deeper.
pub const POLICY_OPERATORS_MAX: usize = 256;

/// One policy's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement<'a> {
    /// From its first token through its `;`, if it has one.
    pub(crate) text: &'a str,
    /// Where it starts in the source, in bytes.
    pub(crate) offset: usize,
    pub(crate) tokens: Vec<Token<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind,
    /// Texts stand here with their quotes.
    pub(crate) text: &'a str,
    /// Where it starts in the source, in bytes.
    pub(crate) offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Word,
    Text,
    Sign,
}

/// The statements of a source, in order; what follows the last `;` is one too unless there is nothing but comment.
pub(crate) fn statements(source: &str) -> impl Iterator<Item = Statement<'_>> {
    let mut tokens = Tokens { source, at: 0 };
    std::iter::from_fn(move || {
        let mut statement = Vec::new();
        for token in tokens.by_ref() {
            statement.push(token);
            if token.text == ";" {
                break;
            }
        }
        let (first, last) = (statement.first()?, statement.last()?);
        let text = source.get(first.offset..last.offset + last.text.len())?;
        Some(Statement { text, offset: first.offset, tokens: statement })
    })
}

impl Statement<'_> {
    /// Which limit the statement exceeds, and where.
    pub(crate) fn beyond_limits(&self) -> Option<(usize, String)> {
        if self.text.len() > POLICY_BYTES_MAX {
            return Some((self.offset, format!("a policy has at most {POLICY_BYTES_MAX} bytes")));
        }
        let (mut nesting, mut operators) = (0_usize, 0_usize);
        for token in &self.tokens {
            match (token.kind, token.text) {
                (TokenKind::Sign, "(" | "[" | "{") => nesting += 1,
                (TokenKind::Sign, ")" | "]" | "}") => nesting = nesting.saturating_sub(1),
                (TokenKind::Sign, "," | ";" | ":" | "::" | "@") | (TokenKind::Text, _) => {}
                (TokenKind::Sign, _) | (TokenKind::Word, "if" | "has" | "like" | "in" | "is") => operators += 1,
                (TokenKind::Word, _) => {}
            }
            if nesting > POLICY_NESTING_MAX {
                return Some((token.offset, format!("brackets nest at most {POLICY_NESTING_MAX} deep")));
            }
            if operators > POLICY_OPERATORS_MAX {
                return Some((token.offset, format!("a policy has at most {POLICY_OPERATORS_MAX} operators")));
            }
        }
        None
    }

    /// Where tokens with these texts stand next to each other; else where the statement starts.
    pub(crate) fn find(&self, texts: &[&str]) -> usize {
        let found =
            self.tokens.windows(texts.len()).find(|window| window.iter().map(|t| t.text).eq(texts.iter().copied()));
        found.and_then(<[_]>::first).map_or(self.offset, |token| token.offset)
    }
}

struct Tokens<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.source.get(self.at..)?;
            let first = rest.chars().next()?;
            let (kind, length) = if first.is_whitespace() {
                self.at += first.len_utf8();
                continue;
            } else if rest.starts_with("//") {
                self.at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            } else if first == '"' {
                (TokenKind::Text, text_length(rest))
            } else if is_word(first) {
                (TokenKind::Word, rest.find(|c| !is_word(c)).unwrap_or(rest.len()))
            } else {
                (TokenKind::Sign, sign_length(rest, first))
            };
            let token = Token { kind, text: rest.get(..length)?, offset: self.at };
            self.at += length;
            return Some(token);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Through the closing quote, or to the end if there is none.
fn text_length(rest: &str) -> usize {
    let mut escaped = true; // the opening quote
    for (at, c) in rest.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

fn sign_length(rest: &str, first: char) -> usize {
    let pair = ["&&", "||", "==", "!=", "<=", ">=", "::"].iter().find(|pair| rest.starts_with(**pair));
    pair.map_or(first.len_utf8(), |pair| pair.len())
}

#[cfg(test)]
mod tests;
