//! The blocks of the document: Markdown as a function of what was measured.

use super::{Results, capacity, goals};
use anyhow::{Result, bail};
use serde_json::Value;

/// How a number is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// A whole number with commas.
    Count,
    /// With so many places after the point.
    Places(usize),
    /// Bytes as MB (10⁶).
    Megabytes,
    /// Microseconds; milliseconds from a thousand on.
    Micros,
}

/// A column: its head, where its figure is, and how it is shown.
type Column = (&'static str, &'static str, Form);

const CONTENDERS: &[Column] = &[
    ("accepted/s", "/acceptedPerSecond", Form::Count),
    ("delivered/s", "/deliveredPerSecond", Form::Count),
    ("CPU per item", "/cpuMicrosPerItem", Form::Micros),
    ("p50", "/latencyMicros/p50", Form::Micros),
    ("p99", "/latencyMicros/p99", Form::Micros),
    ("p99.9", "/latencyMicros/p999", Form::Micros),
    ("RSS, most", "/rssPeakBytes", Form::Megabytes),
];
const RATIOS: &[Column] = &[
    ("accepted/s", "/acceptedPerSecond", Form::Places(2)),
    ("delivered/s", "/deliveredPerSecond", Form::Places(2)),
    ("CPU per item", "/cpuMicrosPerItem", Form::Places(2)),
    ("p50", "/latencyP50", Form::Places(2)),
];
const STEPS: &[Column] = &[
    ("CPU per item", "/load/cpuMicrosPerItem", Form::Micros),
    ("p50", "/load/latencyMicros/p50", Form::Micros),
    ("p99", "/load/latencyMicros/p99", Form::Micros),
    ("RSS before the load", "/rssIdleBytes", Form::Megabytes),
    ("RSS after", "/load/rssBytes", Form::Megabytes),
];
const PAPER_RUNS: &[Column] = &[
    ("packets", "/sent", Form::Count),
    ("lost", "/lost", Form::Count),
    ("POST → 202, p50", "/answeredMicros/p50", Form::Micros),
    ("POST → subscriber, p50", "/deliveredMicros/p50", Form::Micros),
    ("p99", "/deliveredMicros/p99", Form::Micros),
    ("reception → publish, p50", "/publishedMicros/p50", Form::Micros),
    ("CPU, median %", "/cpuPercentBox/median", Form::Places(1)),
    ("RSS", "/rssBytes", Form::Megabytes),
];
const BUDGET: &[Column] =
    &[("instructions", "/instructions", Form::Count), ("allocations", "/allocations", Form::Places(2))];

const KEYS: &[Column] = &[
    ("requests answered", "/answered", Form::Count),
    ("refused", "/refused", Form::Count),
    ("processor time for one answer", "/answerMicros", Form::Micros),
    ("answers a second and core, from that", "/perSecondPerCore", Form::Count),
    ("latency, p50", "/latencyMicros/p50", Form::Micros),
    ("latency, p99", "/latencyMicros/p99", Form::Micros),
];
const REVOCATION: &[Column] = &[
    ("revocations", "/revocations", Form::Count),
    ("answered, p50 (ms)", "/answeredMillis/p50", Form::Places(1)),
    ("answered, p99 (ms)", "/answeredMillis/p99", Form::Places(1)),
    ("shut out, p50 (ms)", "/shutOutMillis/p50", Form::Places(1)),
    ("shut out, p99 (ms)", "/shutOutMillis/p99", Form::Places(1)),
    ("messages tried with the keys of ex-readers", "/triedAfter", Form::Count),
    ("opened", "/openedAfter", Form::Count),
    ("scopes whose keys were replaced for nothing", "/bumpsForNothing", Form::Count),
];
const MEMORY: &[Column] = &[
    ("after the start", "/started/rssBytes", Form::Megabytes),
    ("with 6 topics", "/fewTopics/rssBytes", Form::Megabytes),
    ("with 100,000 topics", "/manyTopics/rssBytes", Form::Megabytes),
    ("bytes for each topic", "/bytesPerTopic", Form::Count),
    ("with 10,000 registered readers", "/withReaders/rssBytes", Form::Megabytes),
    ("bytes for each reader", "/bytesPerReader", Form::Count),
    (
        "throughput when data is limited to 64 MiB (RLIMIT_DATA), to that without a limit",
        "/limitedToUnlimited",
        Form::Places(2),
    ),
];
const SOAK: &[Column] = &[
    ("seconds", "/seconds", Form::Count),
    ("items a second asked for", "/ratePerSecond", Form::Count),
    ("life of a key, seconds", "/lifeSeconds", Form::Count),
    ("items accepted", "/accepted", Form::Count),
    ("keys used", "/keys", Form::Count),
    ("RSS, mean", "/rss/meanBytes", Form::Megabytes),
    ("RSS, growth in the second half", "/rss/grownBytes", Form::Megabytes),
    ("RSS, growth that would be too much", "/rss/grownBytesMax", Form::Megabytes),
];
const SOAK_READERS: &[Column] = &[
    ("opened", "/opened", Form::Count),
    ("lost", "/lost", Form::Count),
    ("twice", "/doubled", Form::Count),
    ("denied", "/denied", Form::Count),
    ("opened without a right", "/openedUnentitled", Form::Count),
    ("came back", "/returns", Form::Count),
];

/// The block of a name. A measurement that is missing is said to be.
pub(super) fn block(name: &str, results: &Results) -> Result<String> {
    let (kind, of) = name.split_once(' ').unwrap_or((name, ""));
    match kind {
        "goals" => return Ok(goals::block(results)),
        "capacity" => return Ok(capacity::block(results)),
        _ => {}
    }
    let Some(measured) = results.get(of) else { return Ok(format!("*Not measured yet: {of}.*")) };
    Ok(match kind {
        "machine" => text(measured, "/machine").to_owned(),
        "load" => {
            let contenders = table("", measured, "/contenders", "/name", CONTENDERS);
            let mut ratios = rows(measured, "/ratios")
                .map(|ratio| {
                    let name = format!("{} / {}", text(ratio, "/of"), text(ratio, "/to"));
                    row(name, ratio, RATIOS)
                })
                .peekable();
            if ratios.peek().is_none() {
                return Ok(contenders);
            }
            format!("{contenders}\n{}", markdown("ratio", RATIOS, ratios))
        }
        "scale" => table(text(measured, "/axis"), measured, "/steps", "/count", STEPS),
        "paper" => table("", measured, "/runs", "/name", PAPER_RUNS),
        "targets" => targets(measured),
        "budget" => table("stage", measured, "/stages", "/name", BUDGET),
        "keys" => list(measured, KEYS),
        "revocation" => list(measured, REVOCATION),
        "memory" => list(measured, MEMORY),
        "soak" => {
            let readers =
                rows(measured, "/readers").map(|reader| row(shown(reader.pointer("/name")), reader, SOAK_READERS));
            format!("{}\n{}", list(measured, SOAK), markdown("reader", SOAK_READERS, readers))
        }
        _ => bail!("there is no block {kind}"),
    })
}

fn targets(measured: &Value) -> String {
    let rows = rows(measured, "/targets").map(|target| {
        let verdict =
            if target.pointer("/reached").and_then(Value::as_bool) == Some(true) { "reached" } else { "missed" };
        let micros = |pointer| figure(target, pointer, Form::Micros);
        vec![text(target, "/name").to_owned(), micros("/microsMax"), micros("/micros"), verdict.to_owned()]
    });
    lines(&["", "at most", "measured", ""], rows)
}

fn table(head: &str, measured: &Value, list: &str, name: &str, columns: &[Column]) -> String {
    markdown(head, columns, rows(measured, list).map(|entry| row(shown(entry.pointer(name)), entry, columns)))
}

/// One figure a line.
fn list(measured: &Value, figures: &[Column]) -> String {
    let rows = figures.iter().map(|(name, pointer, form)| vec![(*name).to_owned(), figure(measured, pointer, *form)]);
    lines(&["", ""], rows)
}

fn row(name: String, entry: &Value, columns: &[Column]) -> Vec<String> {
    let figures = columns.iter().map(|(_, pointer, form)| figure(entry, pointer, *form));
    std::iter::once(name).chain(figures).collect()
}

fn markdown(head: &str, columns: &[Column], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads: Vec<_> = std::iter::once(head).chain(columns.iter().map(|(head, ..)| *head)).collect();
    lines(&heads, rows)
}

pub(super) fn lines(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<_> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = format!("| --- |{}\n", " ---: |".repeat(heads.len().saturating_sub(1)));
    line(&heads) + &rule + &rows.map(|row| line(&row)).collect::<String>()
}

pub(super) fn rows<'a>(measured: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    measured.pointer(list).and_then(Value::as_array).into_iter().flatten()
}

/// A figure of AUPS among the contenders of a load.
pub(super) fn with(load: &Value, pointer: &str) -> Option<f64> {
    rows(load, "/contenders").find(|contender| text(contender, "/name") == "with")?.pointer(pointer)?.as_f64()
}

pub(super) fn text<'a>(measured: &'a Value, pointer: &str) -> &'a str {
    measured.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn shown(name: Option<&Value>) -> String {
    match name {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Number(number)) => number.as_f64().map_or_else(String::new, |number| Form::Count.of(number)),
        _ => String::new(),
    }
}

fn figure(entry: &Value, pointer: &str, form: Form) -> String {
    entry.pointer(pointer).and_then(Value::as_f64).map_or_else(String::new, |number| form.of(number))
}

impl Form {
    pub(super) fn of(self, number: f64) -> String {
        match self {
            Self::Count => grouped(number),
            Self::Places(places) => format!("{number:.places$}"),
            Self::Megabytes => format!("{:.1} MB", number / 1e6),
            Self::Micros if number >= 1_000.0 => format!("{:.2} ms", number / 1e3),
            Self::Micros => format!("{number:.1} µs"),
        }
    }
}

fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
