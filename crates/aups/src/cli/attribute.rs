//! `--attr name=value` and `--tag name=value`: what policies may ask of a reader.

use super::{admin::Admin, failure::Failure, policy::extension};
use aups_core::AttributeValue;
use aups_policy::{AttributeType, SchemaExtension};
use clap::Args;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The attributes and tags that a command line names.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// An attribute: roles=A,B  org=TEXT  clearance=N  purposes=A,B, or one of yours (repeatable)
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = parse)]
    attributes: Vec<Attribute>,
    /// A tag (repeatable); those given replace those of before
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
}

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    further: BTreeMap<String, AttributeValue>,
}

/// One `name=value`, checked as far as it can be here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Roles(BTreeSet<String>),
    Org(String),
    Clearance(i64),
    Purposes(BTreeSet<String>),
    /// One that the administrator added to the schema, which knows its type.
    Further(String, String),
}

/// Parses `name=value`. Sets are separated by commas; an empty value empties the set or the text.
fn parse(text: &str) -> Result<Attribute, String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE, as in roles=meteorologist")?;
    match name {
        "roles" => Ok(Attribute::Roles(set(value))),
        "org" => Ok(Attribute::Org(value.to_owned())),
        "clearance" => value
            .parse()
            .map(Attribute::Clearance)
            .map_err(|_| format!("clearance is a whole number, as in clearance=2, not `{value}`")),
        "purposes" => Ok(Attribute::Purposes(set(value))),
        "tags" => Err("tags have a flag of their own: --tag NAME=VALUE".to_owned()),
        "" => Err("write it as NAME=VALUE, as in roles=meteorologist".to_owned()),
        _ => Ok(Attribute::Further(name.to_owned(), value.to_owned())),
    }
}

/// Parses the `name=value` of a tag.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE, as in flat=7".to_owned()),
    }
}

impl Given {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.tags.is_empty()
    }

    /// Puts what was given together. The server is asked for the types of those that do not ship.
    pub(crate) async fn collect(&self, admin: &Admin) -> Result<Attributes, Failure> {
        let further = self.attributes.iter().any(|attribute| matches!(attribute, Attribute::Further(..)));
        let schema = if further { Some(extension::of_server(admin).await?) } else { None };
        self.collect_in(schema.as_ref().map_or(&SchemaExtension::default(), |schema| schema.extension()))
    }

    /// Sets grow, of the others the last one counts.
    fn collect_in(&self, extension: &SchemaExtension) -> Result<Attributes, Failure> {
        let mut attributes = Attributes::default();
        for attribute in self.attributes.iter().cloned() {
            match attribute {
                Attribute::Roles(roles) => attributes.roles.get_or_insert_default().extend(roles),
                Attribute::Org(org) => attributes.org = Some(org),
                Attribute::Clearance(clearance) => attributes.clearance = Some(clearance),
                Attribute::Purposes(purposes) => attributes.purposes.get_or_insert_default().extend(purposes),
                Attribute::Further(name, text) => {
                    let value = of_type(extension.reader.get(&name).copied(), &name, &text)?;
                    match (attributes.further.get_mut(&name), value) {
                        (Some(AttributeValue::Texts(texts)), AttributeValue::Texts(more)) => texts.extend(more),
                        (_, value) => drop(attributes.further.insert(name, value)),
                    }
                }
            }
        }
        if !self.tags.is_empty() {
            attributes.tags = Some(self.tags.iter().cloned().collect());
        }
        Ok(attributes)
    }
}

/// The value that a text stands for. One of which the schema knows nothing is a text: the server says what is known.
fn of_type(of_type: Option<AttributeType>, name: &str, text: &str) -> Result<AttributeValue, Failure> {
    let wrong = |wanted: &str| {
        let told = format!("attribute `{name}` must be {wanted}, not `{text}`");
        Failure::input_refused(told).help("`aups schema show` has the types")
    };
    match of_type {
        None | Some(AttributeType::String | AttributeType::Decimal) => Ok(AttributeValue::Text(text.to_owned())),
        Some(AttributeType::Long) => text.parse().map(AttributeValue::Number).map_err(|_| wrong("a whole number")),
        Some(AttributeType::Bool) => text.parse().map(AttributeValue::Truth).map_err(|_| wrong("true or false")),
        Some(AttributeType::StringSet) => Ok(AttributeValue::Texts(set(text))),
    }
}

/// The members of a set, separated by commas.
pub(crate) fn set(value: &str) -> BTreeSet<String> {
    value.split(',').map(str::trim).filter(|member| !member.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
