//! The same cases, one per file, in the manner of the age test kit: lines `name: value`, an empty line, and the bytes that are
//! to be read as they come. The JSON files hold the same.

use serde_json::Value;
use std::{collections::BTreeMap, error::Error, path::PathBuf};

/// What an implementation reads, where a case has such a thing; it stands behind the empty line.
const BODIES: [&str; 4] = ["payload", "response", "jws", "text"];

pub(crate) fn folder(part: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testvectors/testkit").join(part)
}

/// The name of a case's file.
pub(crate) fn file_name(case: &Value) -> String {
    let name = case["name"].as_str().unwrap_or_default().to_lowercase();
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-") + ".txt"
}

/// What becomes of a case: `success`, an error, or that of each step.
pub(crate) fn expected(case: &Value) -> String {
    let verdict = |of: &Value| of.as_str().unwrap_or("Ok").replace("Ok", "success");
    match case["steps"].as_array() {
        Some(steps) => steps.iter().map(|step| verdict(&step["verdict"])).collect::<Vec<_>>().join(", "),
        None if case["error"].is_string() => verdict(&case["error"]),
        None => verdict(&case["verdict"]),
    }
}

/// Writes a case.
pub(crate) fn to_text(case: &Value) -> Result<String, Box<dyn Error>> {
    let mut members = case.as_object().ok_or("a case is an object")?.clone();
    let mut body = None;
    for name in BODIES {
        match members.remove(name) {
            Some(Value::String(text)) => body = Some((name.to_owned(), text)),
            Some(Value::Object(kinds)) => {
                let (kind, text) = kinds.into_iter().next().ok_or("a payload is binary or text")?;
                body =
                    Some((format!("{name}.{kind}"), text.as_str().ok_or("a payload is written as text")?.to_owned()));
            }
            Some(_) => return Err("what is read is text".into()),
            None => {}
        }
    }
    let reason = members.remove("name").ok_or("a case has a name")?;
    let head = format!("expect: {}\nreason: {}\n", expected(case), reason.as_str().unwrap_or_default());
    let members: BTreeMap<_, _> = members.iter().collect();
    let lines = members.into_iter().map(|(name, value)| format!("{name}: {}\n", in_order(value)));
    let body = body.map(|(name, bytes)| format!("body: {name}\n\n{bytes}"));
    Ok(std::iter::once(head).chain(lines).chain(body).collect())
}

/// As JSON, members by name: whether a build keeps their order depends on what it is built with.
fn in_order(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.iter().collect();
            let member =
                |(name, value): (&String, &Value)| format!("{}:{}", Value::from(name.as_str()), in_order(value));
            format!("{{{}}}", members.into_iter().map(member).collect::<Vec<_>>().join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(in_order).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}
