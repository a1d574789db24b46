//! Inputs: readings of a weather station, and the item that one of them becomes.

use aups_core::{Item, Topic, UnixMillis};
use std::fmt::Write as _;

/// Some day in 2026.
pub(crate) const NOW: UnixMillis = UnixMillis(1_780_000_000_000);

/// Where the item is published.
pub(crate) const TOPIC: &str = "data/sensor1/temperature";

/// An item as a NOS makes it of [`reading`].
const ITEM: &str = r#"{"id":"019e6ff1-7800-7000-8000-000000000001","source":{"nodeId":"sensor1","nodeType":"sensor","communicationMode":"discrete","registered":true},"schema":"default","receivedAt":"2026-05-28T20:26:40.000Z","data":{"name":"temperature","value":21.5,"unit":"Cel"},"security":{"confidentiality":0.0,"integrity":0.7,"privacy":0.5,"authentication":0.9},"quality":{"accuracy":0.93,"precision":0.8,"timeliness":1.0,"completeness":1.0}}"#;

/// The n-th reading: all of one length, and one after the other not of one value.
pub(crate) fn reading(number: u32) -> String {
    let tenths = 200 + number * 37 % 100;
    format!(r#"{{"name":"temperature","value":{}.{},"unit":"Cel"}}"#, tenths / 10, tenths % 10)
}

/// So many of them, each on a line.
pub(crate) fn lines(count: u32) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        // Writing to a String does not fail.
        let _ = writeln!(lines, "{}", reading(number));
        lines
    })
}

pub(crate) fn item() -> anyhow::Result<Item> {
    Ok(serde_json::from_str(ITEM)?)
}

/// The JSON of the item, of 437 bytes.
pub(crate) const fn small() -> &'static [u8] {
    ITEM.as_bytes()
}

/// 1 KiB, as of an item with many further members.
pub(crate) fn kibibyte() -> Vec<u8> {
    let mut bytes = ITEM.as_bytes().to_vec();
    bytes.resize(1_024, b' ');
    bytes
}

/// The JSON of the n-th item: each has an id of its own.
pub(crate) fn numbered(number: u32) -> String {
    ITEM.replacen("000000000001", &format!("{number:012x}"), 1)
}

pub(crate) fn topic() -> anyhow::Result<Topic> {
    Ok(TOPIC.parse()?)
}
