//! A stream of lines (NDJSON), taken in bounded memory until the first bad one.

use super::{
    Southbound,
    body::read_part,
    data::{Accepted, count_accepted},
    not_taken,
    quota::Charges,
};
use crate::{
    accept::{Content, Entry, Sender},
    problem::Refusal,
};
use aups_core::{Problem, limits::LINE_BYTES_MAX};
use axum::body::Body;
use std::net::IpAddr;

/// Entries of a stream that are handed to the backlog together.
const STREAM_ENTRIES_MAX: usize = 512;

/// A stream of lines on its way in, in bounded memory: one line, and the entries of one append.
pub(super) struct Stream<'a> {
    southbound: &'a Southbound,
    sender: &'a Sender,
    from: IpAddr,
    charges: Charges,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// The number of the line that is read, from 1.
    line: usize,
    /// The first line of which nothing was handed over.
    untaken: usize,
    entries: Vec<Entry>,
    /// Whether there was a value at all.
    any: bool,
    accepted: u64,
}

impl<'a> Stream<'a> {
    pub(super) fn new(southbound: &'a Southbound, sender: &'a Sender, from: IpAddr) -> Self {
        Self {
            southbound,
            sender,
            from,
            charges: southbound.charges(sender, from),
            partial: Vec::new(),
            line: 1,
            untaken: 1,
            entries: Vec::new(),
            any: false,
            accepted: 0,
        }
    }

    pub(super) async fn take(mut self, body: &mut Body) -> Result<Accepted, Refusal> {
        let outcome = self.lines(body).await;
        // What was good before the first bad line is taken.
        let outcome = self.append().await.and(outcome);
        match outcome {
            Ok(()) if !self.any => Err(empty().with("accepted", 0).into()),
            Ok(()) => Ok(Accepted { items: self.accepted, again: false, id: None }),
            // Where to go on is said whatever the reason: items do not count lines.
            Err(refusal) => Err(refusal.map(|problem| {
                let line = problem.line.or(Some(self.untaken));
                Problem { line, ..problem }.with("accepted", self.accepted)
            })),
        }
    }

    async fn lines(&mut self, body: &mut Body) -> Result<(), Refusal> {
        while let Some(part) = read_part(body).await? {
            // A stream may last: the quotas that hold now.
            self.charges = self.southbound.charges(self.sender, self.from);
            self.southbound.owe(&self.charges, 0, part.len());
            let mut lines = part.split(|byte| *byte == b'\n').peekable();
            while let Some(line) = lines.next() {
                if self.partial.len() + line.len() > LINE_BYTES_MAX {
                    return Err(self.line_too_long().into());
                }
                if lines.peek().is_none() {
                    self.partial.extend_from_slice(line);
                } else if self.partial.is_empty() {
                    self.line(line).await?;
                } else {
                    self.partial.extend_from_slice(line);
                    let line = std::mem::take(&mut self.partial);
                    self.line(&line).await?;
                }
            }
            self.append().await?;
        }
        let last = std::mem::take(&mut self.partial);
        self.line(&last).await
    }

    /// A line means what the same text would mean as a body; blank lines mean nothing.
    async fn line(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let blank = text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'));
        if !blank {
            let first = !std::mem::replace(&mut self.any, true);
            let at = self.line;
            let place = |problem: Problem| Problem { line: Some(at), ..problem };
            // The first value was paid for with the request.
            if !first {
                self.southbound.charge(&self.charges, 1).map_err(|refusal| refusal.map(place))?;
            }
            let before = self.entries.len();
            let taken = self.southbound.entries(text, Content::Json, self.sender, &mut self.entries);
            if let Err(refusal) = taken {
                self.entries.truncate(before);
                return Err(refusal.map(place));
            }
            self.southbound.owe(&self.charges, (self.entries.len() - before).saturating_sub(1), 0);
        }
        self.line += 1;
        if self.entries.len() >= STREAM_ENTRIES_MAX { self.append().await } else { Ok(()) }
    }

    /// Hands over what has come together; waits a while if there is no room.
    async fn append(&mut self) -> Result<(), Refusal> {
        let entries = std::mem::take(&mut self.entries);
        let count = entries.len();
        self.southbound.backlog.append_waiting(entries).await.map_err(not_taken)?;
        self.untaken = self.line;
        self.accepted += count_accepted(count);
        Ok(())
    }

    fn line_too_long(&self) -> Problem {
        let detail = format!("a line has at most {LINE_BYTES_MAX} bytes; send less in one");
        Problem { line: Some(self.line), ..Problem::new(413, "too-large", "line too long", detail) }
    }
}

fn empty() -> Problem {
    Problem::new(400, "empty", "empty body", "there is nothing here; send at least one line").at(1, 1)
}
