//! What is sent: readings of so many sources under so many topics, which so many policies let so many audiences read. The same seed gives
//! the same bytes.

use super::draws::Draws;
use anyhow::ensure;
use serde_json::{Value, json};
use std::{fmt::Write as _, io::Write as _, time::Duration};

/// The role of a reader that may read everything.
pub(crate) const EVERYTHING: &str = "everything";

/// How a workload looks.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Registered sources, `s0` and so on.
    pub(crate) sources: usize,
    /// Topics, `data/s0/q0` and so on, through which the readings of a source go in turn. At least as many as sources.
    pub(crate) topics: usize,
    /// Policies: one that lets [`EVERYTHING`] read all, the others let an audience read what one source sends. At least one
    /// more than sources; those beyond are of sources that never send.
    pub(crate) policies: usize,
    /// Audiences, the roles `reader-0` and so on, each of which may read what every so manieth source sends. At most as many as sources.
    pub(crate) scopes: usize,
    /// How long a key is used.
    pub(crate) key_life: Duration,
    /// Least length of a reading in bytes: what is missing is padded.
    pub(crate) payload_bytes: usize,
    /// Another one gives other readings.
    pub(crate) seed: u64,
}

/// Readings without end, numbered from 0. Each is a function of its number.
#[derive(Debug)]
pub(crate) struct Workload {
    shape: Shape,
    values: Draws,
    sources: Draws,
}

impl Workload {
    /// Refuses a shape that contradicts itself.
    pub(crate) fn new(shape: Shape) -> anyhow::Result<Self> {
        let Shape { sources, topics, policies, scopes, .. } = shape;
        ensure!(sources > 0 && scopes > 0, "at least one source and one scope are needed");
        ensure!(topics >= sources, "{sources} sources need as many topics, not {topics}");
        ensure!(sources >= scopes, "{scopes} scopes need as many sources, not {sources}");
        ensure!(policies > sources, "{sources} sources need {} policies, not {policies}", sources + 1);
        let draws = |stream| Draws::new(shape.seed, stream);
        Ok(Self { values: draws(0), sources: draws(1), shape })
    }

    /// How it looks.
    pub(crate) const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The `NodeId`s of its sources, in order.
    pub(crate) fn node_ids(&self) -> Vec<String> {
        (0..self.shape.sources).map(node_id).collect()
    }

    /// The place among [`Self::node_ids`] of the source that sends what begins with this reading, drawn by chance.
    pub(crate) fn source_of(&self, number: u64) -> usize {
        below(self.sources, number, self.shape.sources)
    }

    /// Appends a reading as a JSON object: `name`, `value`, `unit`, `time` as a source would give them, and its `number`, which stays in
    /// the `data` of its item. `nodeId` is for contenders that do not know whose credential it is.
    pub(crate) fn write(&self, number: u64, source: usize, text: &mut Vec<u8>) {
        let begins = text.len();
        let Shape { sources, topics, payload_bytes, .. } = self.shape;
        let of_source = (topics - source).div_ceil(sources);
        let topic = number % of_source as u64;
        let tenths = self.values.below(number, 650);
        // Writing to a Vec does not fail.
        let _ = write!(
            text,
            r#"{{"name":"q{topic}","value":{}.{},"unit":"Cel","time":"1988-01-01T01:00:00-05:00","nodeId":"s{source}","number":{number}"#,
            tenths / 10,
            tenths % 10
        );
        let missing = payload_bytes.saturating_sub(text.len() - begins);
        if missing > 1 {
            text.extend_from_slice(br#","padding":""#);
            text.resize(text.len() + missing.saturating_sub(PADDING_AROUND), b'x');
            text.push(b'"');
        }
        text.push(b'}');
    }

    /// The policies that let its readings be read.
    pub(crate) fn policies(&self) -> String {
        let Shape { policies, scopes, key_life, .. } = self.shape;
        let mut text = String::new();
        let mut permit = |topic: &str, role: &str| {
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "@keylife(\"{}s\") permit(principal, action == Action::\"receive\", resource in Topic::\"{topic}\") \
                 when {{ principal.roles.contains(\"{role}\") }};",
                key_life.as_secs()
            );
        };
        permit("data", EVERYTHING);
        for source in 0..policies - 1 {
            permit(&format!("data/{}", node_id(source)), &role(source % scopes));
        }
        text
    }

    /// A reader that may read everything, as the body of `POST /v1/users`.
    pub(crate) fn reader(sub: &str) -> Value {
        json!({ "sub": sub, "attrs": { "roles": [EVERYTHING] } })
    }
}

/// Bytes around the padding: `,"padding":""` and the brace after it.
const PADDING_AROUND: usize = 14;

fn node_id(source: usize) -> String {
    format!("s{source}")
}

fn role(scope: usize) -> String {
    format!("reader-{scope}")
}

fn below(draws: Draws, number: u64, end: usize) -> usize {
    usize::try_from(draws.below(number, end as u64)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
