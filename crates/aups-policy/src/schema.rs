//! The Cedar schema as a value: the one that ships, with the attributes that an administrator added.

use aups_core::{AttributeValue, Attributes};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, LazyLock},
};
use thiserror::Error;

/// Most attributes that an administrator may add, of readers and of items together.
pub const FURTHER_ATTRIBUTES_MAX: usize = 64;
/// Longest name of an attribute or of a tag, in characters.
pub const ATTRIBUTE_NAME_CHARS_MAX: usize = 64;
/// Longest text in an attribute or a tag of a reader, in bytes.
pub const ATTRIBUTE_TEXT_BYTES_MAX: usize = 1_024;
/// Most members of a set in an attribute of a reader.
pub const ATTRIBUTE_MEMBERS_MAX: usize = 1_024;
/// Most tags of a reader.
pub const READER_TAGS_MAX: usize = 64;

const SHIPPED: &str = include_str!("schema.cedarschema");
/// Where in the text attributes of readers are added: once for users, once for apps.
const READER_PLACE: &str = "  // Added by the administrator:\n";
/// Where in the text attributes of items are added.
const ITEM_PLACE: &str = "  // Added by the administrator, read from members of `data`:\n";

/// What ships of a reader, and where it stands in the JSON of its attributes.
const READER_NAMES: [&str; 5] = ["roles", "org", "clearance", "purposes", "tags"];
/// What ships of an item; `level0` to `level7` besides.
const ITEM_NAMES: [&str; 9] = ["topic", "name", "schema", "labels", "tags", "value", "source", "security", "quality"];
/// Words of Cedar that cannot stand behind a dot.
const RESERVED: [&str; 10] = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// What policies may ask about: the schema that ships, perhaps with attributes of the administrator's. Cheap to clone.
#[derive(Clone)]
pub struct Schema(Arc<Inner>);

struct Inner {
    text: String,
    cedar: cedar_policy::Schema,
    extension: SchemaExtension,
}

/// Attributes that an administrator adds to the schema. All are optional: a policy asks `has` first.
///
/// In JSON: `{"reader":{"site":"String"},"item":{"room":"String"}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaExtension {
    /// Of readers, users and apps alike.
    pub reader: BTreeMap<String, AttributeType>,
    /// Of items: each is the member of the item's `data` that has its name, if the member is of that type.
    pub item: BTreeMap<String, AttributeType>,
}

/// The type of an attribute, by Cedar's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AttributeType {
    /// A text.
    String,
    /// A whole number.
    Long,
    /// True or false.
    Bool,
    /// A set of texts.
    #[serde(rename = "Set<String>")]
    StringSet,
    /// A number with four decimals. Of items only.
    #[serde(rename = "decimal")]
    Decimal,
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "String",
            Self::Long => "Long",
            Self::Bool => "Bool",
            Self::StringSet => "Set<String>",
            Self::Decimal => "decimal",
        })
    }
}

impl AttributeType {
    /// What to write in JSON.
    const fn wanted(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Long => "a whole number",
            Self::Bool => "true or false",
            Self::StringSet => "a list of texts",
            Self::Decimal => "a number",
        }
    }

    const fn takes(self, value: &AttributeValue) -> bool {
        matches!(
            (self, value),
            (Self::String, AttributeValue::Text(_))
                | (Self::Long, AttributeValue::Number(_))
                | (Self::Bool, AttributeValue::Truth(_))
                | (Self::StringSet, AttributeValue::Texts(_))
        )
    }
}

/// An attribute that cannot be added to the schema: the administrator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("{place}: {message}; {help}")]
pub struct SchemaError {
    /// Which attribute: `reader.site`.
    pub place: String,
    /// What is wrong with it.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// An attribute of a reader that the schema does not have, or has otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Error)]
#[error("attribute `{attribute}` {message}")]
pub struct AttributeError {
    /// Its name; of a tag, `tags.<name>`.
    pub attribute: String,
    /// What is wrong with it, and what it must be.
    pub message: String,
}

impl Schema {
    /// The schema that ships.
    pub fn shipped() -> Self {
        static SHIPPED_SCHEMA: LazyLock<Schema> = LazyLock::new(Schema::parse_shipped);
        SHIPPED_SCHEMA.clone()
    }

    #[expect(clippy::expect_used, reason = "a constant text; every test of this crate parses it")]
    fn parse_shipped() -> Self {
        Self::build(&SchemaExtension::default()).expect("the schema that ships is valid")
    }

    /// The schema that ships, with these attributes added.
    pub fn extended(extension: &SchemaExtension) -> Result<Self, SchemaError> {
        let added = extension.reader.len() + extension.item.len();
        if added > FURTHER_ATTRIBUTES_MAX {
            return Err(SchemaError {
                place: "reader, item".to_owned(),
                message: format!("{added} attributes are added, and {FURTHER_ATTRIBUTES_MAX} may be"),
                help: "use tags for what few policies ask about".to_owned(),
            });
        }
        for (name, of_type) in &extension.reader {
            check_name("reader", name, READER_NAMES.contains(&name.as_str()))?;
            if *of_type == AttributeType::Decimal {
                return Err(SchemaError {
                    place: format!("reader.{name}"),
                    message: "readers have no decimals".to_owned(),
                    help: "declare it as `Long`, and count in a smaller unit".to_owned(),
                });
            }
        }
        for name in extension.item.keys() {
            check_name("item", name, ITEM_NAMES.contains(&name.as_str()) || is_level(name))?;
        }
        Self::build(extension)
    }

    fn build(extension: &SchemaExtension) -> Result<Self, SchemaError> {
        let place = |place: &str, attributes: &BTreeMap<String, AttributeType>| {
            let lines = attributes.iter().map(|(name, of_type)| format!("  {name}?: {of_type},\n"));
            if attributes.is_empty() { String::new() } else { lines.fold(place.to_owned(), |text, line| text + &line) }
        };
        let text = SHIPPED
            .replace(READER_PLACE, &place(READER_PLACE, &extension.reader))
            .replace(ITEM_PLACE, &place(ITEM_PLACE, &extension.item));
        let (cedar, _) = cedar_policy::Schema::from_cedarschema_str(&text).map_err(|error| SchemaError {
            place: "reader, item".to_owned(),
            message: error.to_string(),
            help: "give the attributes other names".to_owned(),
        })?;
        Ok(Self(Arc::new(Inner { text, cedar, extension: extension.clone() })))
    }

    /// The whole schema in Cedar's language.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// What was added to the schema that ships.
    pub fn extension(&self) -> &SchemaExtension {
        &self.0.extension
    }

    /// The attributes of readers, by name. Tags are none.
    pub(crate) fn names_of_reader(&self) -> impl Iterator<Item = &str> {
        let shipped = READER_NAMES.into_iter().filter(|name| *name != "tags");
        shipped.chain(self.extension().reader.keys().map(String::as_str))
    }

    /// Whether readers can have an attribute of this name.
    pub(crate) fn has_of_reader(&self, name: &str) -> bool {
        self.names_of_reader().any(|known| known == name)
    }

    pub(crate) fn cedar(&self) -> &cedar_policy::Schema {
        &self.0.cedar
    }

    /// Whether policies can ask for these attributes of a reader: each is in the schema, has its type, and is not too
    /// long.
    pub fn check_attributes(&self, attributes: &Attributes) -> Result<(), AttributeError> {
        let Attributes { roles, org, clearance: _, purposes, tags, further } = attributes;
        check_members("roles", roles)?;
        check_text("org", org)?;
        check_members("purposes", purposes)?;
        if tags.len() > READER_TAGS_MAX {
            return refuse("tags", format!("has {} members, and {READER_TAGS_MAX} are taken", tags.len()));
        }
        for (name, text) in tags {
            let place = format!("tags.{name}");
            if name.is_empty() || name.chars().count() > ATTRIBUTE_NAME_CHARS_MAX {
                return refuse(&place, format!("must have a name of 1 to {ATTRIBUTE_NAME_CHARS_MAX} characters"));
            }
            check_text(&place, text)?;
        }
        further.iter().try_for_each(|(name, value)| self.check_further(name, value))
    }

    fn check_further(&self, name: &str, value: &AttributeValue) -> Result<(), AttributeError> {
        let declared = &self.extension().reader;
        let Some(of_type) = declared.get(name) else {
            let known: Vec<&str> = READER_NAMES.into_iter().chain(declared.keys().map(String::as_str)).collect();
            let message = match nearest(name, known.iter().copied()) {
                Some(near) => format!("is not known: did you mean `{near}`?"),
                None => format!("is not known: known are {}", known.join(", ")),
            };
            return refuse(name, message);
        };
        match value {
            _ if !of_type.takes(value) => refuse(name, format!("must be {} ({of_type})", of_type.wanted())),
            AttributeValue::Text(text) => check_text(name, text),
            AttributeValue::Texts(texts) => check_members(name, texts),
            AttributeValue::Truth(_) | AttributeValue::Number(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").field("extension", self.extension()).finish_non_exhaustive()
    }
}

fn check_name(of: &str, name: &str, ships: bool) -> Result<(), SchemaError> {
    let refuse = |message: &str, help: &str| {
        Err(SchemaError { place: format!("{of}.{name}"), message: message.to_owned(), help: help.to_owned() })
    };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return refuse("not a name", "write letters, digits and _, and no digit first");
    }
    if name.chars().count() > ATTRIBUTE_NAME_CHARS_MAX {
        return refuse("too long a name", "a name has at most 64 characters");
    }
    if RESERVED.contains(&name) {
        return refuse("a word of the policy language", "choose another name");
    }
    if ships {
        return refuse("an attribute of this name ships", "choose another name, or use the one that ships");
    }
    Ok(())
}

fn is_level(name: &str) -> bool {
    name.strip_prefix("level").is_some_and(|number| matches!(number.as_bytes(), [b'0'..=b'7']))
}

fn check_text(attribute: &str, text: &str) -> Result<(), AttributeError> {
    if text.len() <= ATTRIBUTE_TEXT_BYTES_MAX {
        return Ok(());
    }
    refuse(attribute, format!("has a text of {} bytes, and {ATTRIBUTE_TEXT_BYTES_MAX} are taken", text.len()))
}

fn check_members(attribute: &str, members: &BTreeSet<String>) -> Result<(), AttributeError> {
    if members.len() > ATTRIBUTE_MEMBERS_MAX {
        return refuse(attribute, format!("has {} members, and {ATTRIBUTE_MEMBERS_MAX} are taken", members.len()));
    }
    members.iter().try_for_each(|member| check_text(attribute, member))
}

fn refuse(attribute: &str, message: String) -> Result<(), AttributeError> {
    Err(AttributeError { attribute: attribute.to_owned(), message })
}

/// The known name that a mistyped one was probably meant to be.
pub fn nearest<'n>(mistyped: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&mistyped.to_lowercase(), &name.to_lowercase());
    let (distance, name) = known.map(|name| (distance(name), name)).min()?;
    (distance <= 1 + mistyped.chars().count() / 4).then_some(name)
}

#[cfg(test)]
mod tests;
