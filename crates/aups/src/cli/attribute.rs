//! `--attr name=value`: what policies may ask of a reader.

use serde::Serialize;
use std::collections::BTreeSet;

/// The attributes that a command line names; the others stay as they are.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "Option::is_none")]
    roles: Option<BTreeSet<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clearance: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purposes: Option<BTreeSet<String>>,
}

/// One `name=value`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Roles(BTreeSet<String>),
    Org(String),
    Clearance(i64),
    Purposes(BTreeSet<String>),
}

/// Parses `name=value`. Sets are separated by commas; an empty value empties the set or the text.
pub(crate) fn parse(text: &str) -> Result<Attribute, String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, as in roles=meteorologist")?;
    match name {
        "roles" => Ok(Attribute::Roles(set(value))),
        "org" => Ok(Attribute::Org(value.to_owned())),
        "clearance" => value
            .parse()
            .map(Attribute::Clearance)
            .map_err(|_| format!("clearance is a whole number, as in clearance=2, not `{value}`")),
        "purposes" => Ok(Attribute::Purposes(set(value))),
        _ => Err(format!("unknown attribute `{name}`: known are roles, org, clearance, purposes")),
    }
}

/// Puts what was given together: sets grow, of the others the last one counts.
pub(crate) fn collect(given: &[Attribute]) -> Attributes {
    let mut attributes = Attributes::default();
    for attribute in given.iter().cloned() {
        match attribute {
            Attribute::Roles(roles) => attributes.roles.get_or_insert_default().extend(roles),
            Attribute::Org(org) => attributes.org = Some(org),
            Attribute::Clearance(clearance) => attributes.clearance = Some(clearance),
            Attribute::Purposes(purposes) => attributes.purposes.get_or_insert_default().extend(purposes),
        }
    }
    attributes
}

fn set(value: &str) -> BTreeSet<String> {
    value.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
