//! The item's JSON, written straight into its buffer: a NOS does this for every item, and serde's way takes three times as long.

use super::{Item, Reading, Source};
use crate::score::{Quality, Score, Security};
use std::io::Write as _;

/// What an item's JSON has besides its texts, and some more.
const FIXED_BYTES: usize = 416;

impl Item {
    /// Its JSON: the same text as serde's, to the letter.
    pub fn to_json(&self) -> Vec<u8> {
        let Self { id, source, schema, received_at, data, security, quality } = self;
        let mut out = Vec::with_capacity(FIXED_BYTES + text_bytes(self));
        put(&mut out, r#"{"id":""#);
        put(&mut out, id.0.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
        put(&mut out, r#"","source":"#);
        put_source(&mut out, source);
        put_member(&mut out, r#","schema":"#, schema);
        // Writing to memory does not fail.
        let _ = write!(out, r#","receivedAt":"{received_at}","data":"#);
        put_reading(&mut out, data);
        let Security { confidentiality, integrity, privacy, authentication } = *security;
        put_score(&mut out, r#","security":{"confidentiality":"#, confidentiality);
        put_score(&mut out, r#","integrity":"#, integrity);
        put_score(&mut out, r#","privacy":"#, privacy);
        put_score(&mut out, r#","authentication":"#, authentication);
        let Quality { accuracy, precision, timeliness, completeness } = *quality;
        put_score(&mut out, r#"},"quality":{"accuracy":"#, accuracy);
        put_score(&mut out, r#","precision":"#, precision);
        put_score(&mut out, r#","timeliness":"#, timeliness);
        put_score(&mut out, r#","completeness":"#, completeness);
        put(&mut out, "}}");
        out
    }
}

/// So that the buffer seldom grows.
fn text_bytes(Item { source, schema, data, .. }: &Item) -> usize {
    let further: usize = data.further.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum();
    let optional = |text: Option<&str>| text.map_or(0, str::len);
    let source = source.node_id.len() + source.node_type.len() + source.communication_mode.len();
    let data =
        data.name.len() + data.value.get().len() + optional(data.unit.as_deref()) + optional(data.time.as_deref());
    source + schema.len() + data + further
}

fn put_source(out: &mut Vec<u8>, source: &Source) {
    let Source { node_id, node_type, communication_mode, registered } = source;
    put_member(out, r#"{"nodeId":"#, node_id);
    put_member(out, r#","nodeType":"#, node_type);
    put_member(out, r#","communicationMode":"#, communication_mode);
    put(out, if *registered { r#","registered":true}"# } else { r#","registered":false}"# });
}

fn put_reading(out: &mut Vec<u8>, reading: &Reading) {
    let Reading { name, value, unit, time, further } = reading;
    put_member(out, r#"{"name":"#, name);
    put(out, r#","value":"#);
    put(out, value.get());
    if let Some(unit) = unit {
        put_member(out, r#","unit":"#, unit);
    }
    if let Some(time) = time {
        put_member(out, r#","time":"#, time);
    }
    for (name, value) in further {
        put_member(out, ",", name);
        put(out, ":");
        put(out, value.get());
    }
    put(out, "}");
}

/// What stands before a text, and the text as a JSON string.
fn put_member(out: &mut Vec<u8>, before: &str, text: &str) {
    put(out, before);
    let is_plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        put(out, text);
        out.push(b'"');
    } else {
        // Fails neither for a text nor for memory.
        let _ = serde_json::to_writer(out, text);
    }
}

/// What stands before a score, and the score as the shortest number that reads as the same: `0.93`, `0.9`, `1.0`.
fn put_score(out: &mut Vec<u8>, before: &str, score: Score) {
    put(out, before);
    let hundredths = score.hundredths();
    let (tenths, last) = (hundredths / 10 % 10, hundredths % 10);
    out.extend([b'0' + hundredths / 100, b'.', b'0' + tenths]);
    if last > 0 {
        out.push(b'0' + last);
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests;
