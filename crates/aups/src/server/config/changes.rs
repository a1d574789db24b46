//! What differs between two documents.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// A place at which two documents differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ConfigChange {
    /// Where, as a JSON Pointer (RFC 6901).
    pub(crate) pointer: String,
    /// Absent: nothing is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<Value>,
    /// Absent: nothing is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Value>,
}

/// The smallest places at which two documents differ; elements of arrays are compared one by one.
pub(crate) fn changes(before: &Value, after: &Value) -> Vec<ConfigChange> {
    let mut found = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut found);
    found
}

fn compare(pointer: String, before: Option<&Value>, after: Option<&Value>, found: &mut Vec<ConfigChange>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for name in names {
                let escaped = name.replace('~', "~0").replace('/', "~1");
                compare(format!("{pointer}/{escaped}"), before.get(name), after.get(name), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for index in 0..before.len().max(after.len()) {
                compare(format!("{pointer}/{index}"), before.get(index), after.get(index), found);
            }
        }
        (before, after) => found.push(ConfigChange { pointer, before: before.cloned(), after: after.cloned() }),
    }
}
