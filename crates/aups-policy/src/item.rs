//! The item as a policy sees it: its attributes, each read in one place for partial evaluation and for the cache key.

use crate::{
    reader::Failure,
    schema::{AttributeType, Schema},
    vocabulary::Vocabulary,
    words,
};
use aups_core::{Item, Marks, Score, Topic};
use cedar_policy::{Entity, EntityUid, RestrictedExpression};
use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

/// An item on its way to a topic, with what an administrator says of its source.
#[derive(Debug, Clone, Copy)]
pub struct Resource<'a> {
    /// The item.
    pub item: &'a Item,
    /// Where it is to be published.
    pub topic: &'a Topic,
    /// Labels and tags of its source.
    pub marks: &'a Marks,
}

/// One attribute of the schema's `Item`; those of records one by one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Attribute {
    Topic,
    /// The n-th level of the topic, 0 to 7.
    Level(u8),
    Name,
    Schema,
    Labels,
    Value,
    NodeId,
    NodeType,
    CommunicationMode,
    Registered,
    Confidentiality,
    Integrity,
    Privacy,
    Authentication,
    Accuracy,
    Precision,
    Timeliness,
    Completeness,
    /// A member of `data` that the administrator declared.
    Further(Box<str>, AttributeType),
    /// The tag of this name.
    Tag(Box<str>),
}

/// Every attribute with its path in the schema. Records stand together.
static ATTRIBUTES: [(&[&str], Attribute); 25] = [
    (&["topic"], Attribute::Topic),
    (&["level0"], Attribute::Level(0)),
    (&["level1"], Attribute::Level(1)),
    (&["level2"], Attribute::Level(2)),
    (&["level3"], Attribute::Level(3)),
    (&["level4"], Attribute::Level(4)),
    (&["level5"], Attribute::Level(5)),
    (&["level6"], Attribute::Level(6)),
    (&["level7"], Attribute::Level(7)),
    (&["name"], Attribute::Name),
    (&["schema"], Attribute::Schema),
    (&["labels"], Attribute::Labels),
    (&["value"], Attribute::Value),
    (&["source", "nodeId"], Attribute::NodeId),
    (&["source", "nodeType"], Attribute::NodeType),
    (&["source", "communicationMode"], Attribute::CommunicationMode),
    (&["source", "registered"], Attribute::Registered),
    (&["security", "confidentiality"], Attribute::Confidentiality),
    (&["security", "integrity"], Attribute::Integrity),
    (&["security", "privacy"], Attribute::Privacy),
    (&["security", "authentication"], Attribute::Authentication),
    (&["quality", "accuracy"], Attribute::Accuracy),
    (&["quality", "precision"], Attribute::Precision),
    (&["quality", "timeliness"], Attribute::Timeliness),
    (&["quality", "completeness"], Attribute::Completeness),
];

impl Attribute {
    /// The attributes that an access such as `resource.source` or `resource.source.nodeId` reads.
    pub(crate) fn read_by(path: &[&str], schema: &Schema) -> Vec<Self> {
        let reads = |of: &[&str]| of.iter().zip(path).all(|(one, other)| one == other);
        let shipped = ATTRIBUTES.iter().filter(|(of, _)| reads(of)).map(|(_, attribute)| attribute.clone());
        let declared = further(schema).filter(|(name, _)| reads(&[name])).map(|(_, attribute)| attribute);
        shipped.chain(declared).collect()
    }

    /// The names of all of them.
    pub(crate) fn names(schema: &Schema) -> impl Iterator<Item = &str> {
        let shipped = ATTRIBUTES.iter().filter_map(|(path, _)| path.first().copied());
        shipped.chain(schema.extension().item.keys().map(String::as_str))
    }

    /// Its value in an item that is to be published under a topic.
    fn of<'a>(&self, resource: &Resource<'a>) -> Option<Value<'a>> {
        let Resource { item, topic, marks } = *resource;
        let (security, quality) = (&item.security, &item.quality);
        Some(match self {
            Self::Topic => Value::text(topic.as_str()),
            Self::Level(n) => Value::text(topic.levels().nth(usize::from(*n))?),
            Self::Name => Value::text(&item.data.name),
            Self::Schema => Value::text(&item.schema),
            Self::Labels => Value::Texts(Cow::Borrowed(&marks.labels)),
            Self::Value => Value::Decimal(ten_thousandths(item.data.value.get())?),
            Self::NodeId => Value::text(&item.source.node_id),
            Self::NodeType => Value::text(&item.source.node_type),
            Self::CommunicationMode => Value::text(&item.source.communication_mode),
            Self::Registered => Value::Truth(item.source.registered),
            Self::Confidentiality => Value::score(security.confidentiality),
            Self::Integrity => Value::score(security.integrity),
            Self::Privacy => Value::score(security.privacy),
            Self::Authentication => Value::score(security.authentication),
            Self::Accuracy => Value::score(quality.accuracy),
            Self::Precision => Value::score(quality.precision),
            Self::Timeliness => Value::score(quality.timeliness),
            Self::Completeness => Value::score(quality.completeness),
            Self::Further(name, of_type) => Value::further(item, name, *of_type)?,
            Self::Tag(name) => Value::text(marks.tags.get(&**name)?),
        })
    }

    /// Appends its value to a key, so that two items have the same bytes exactly if they have the same value.
    pub(crate) fn write(&self, resource: &Resource<'_>, key: &mut Vec<u8>) {
        match self.of(resource) {
            None => key.push(0),
            Some(Value::Texts(texts)) => {
                key.push(1);
                key.extend(texts.len().to_be_bytes());
                texts.iter().for_each(|text| write_text(text, key));
            }
            Some(Value::Truth(truth)) => key.extend([2, u8::from(truth)]),
            Some(Value::Decimal(number) | Value::Number(number)) => {
                key.push(3);
                key.extend(number.to_be_bytes());
            }
            Some(Value::Text(text)) => {
                key.push(4);
                write_text(&text, key);
            }
        }
    }
}

fn write_text(text: &str, key: &mut Vec<u8>) {
    key.extend(text.len().to_be_bytes());
    key.extend(text.as_bytes());
}

/// The attributes that the administrator added, by name.
fn further(schema: &Schema) -> impl Iterator<Item = (&str, Attribute)> {
    let declared = schema.extension().item.iter();
    declared.map(|(name, of_type)| (name.as_str(), Attribute::Further(name.as_str().into(), *of_type)))
}

/// The attributes of an item in Cedar's terms. Optional ones that it does not have are absent.
pub(crate) fn attributes(resource: &Resource<'_>, schema: &Schema) -> HashMap<String, RestrictedExpression> {
    let mut attributes = HashMap::new();
    let mut records: HashMap<&str, Vec<(String, RestrictedExpression)>> = HashMap::new();
    for (path, attribute) in &ATTRIBUTES {
        let Some(value) = attribute.of(resource).map(Value::expression) else { continue };
        match path {
            [name] => drop(attributes.insert((*name).to_owned(), value)),
            [record, name] => records.entry(record).or_default().push(((*name).to_owned(), value)),
            _ => {}
        }
    }
    for (name, members) in records {
        // Names of the table above are distinct: a record cannot have a member twice.
        if let Ok(record) = RestrictedExpression::new_record(members) {
            attributes.insert(name.to_owned(), record);
        }
    }
    let declared = further(schema).filter_map(|(name, attribute)| Some((name.to_owned(), attribute.of(resource)?)));
    attributes.extend(declared.map(|(name, value)| (name, value.expression())));
    attributes
}

/// The tags of an item in Cedar's terms.
pub(crate) fn tags<'a, N: From<&'a str>>(marks: &'a Marks) -> impl Iterator<Item = (N, RestrictedExpression)> {
    let expression = |text: &String| RestrictedExpression::new_string(text.clone());
    marks.tags.iter().map(move |(name, text)| (N::from(name.as_str()), expression(text)))
}

/// What an item has at a path such as `["quality", "accuracy"]`, in words.
pub(crate) fn fact(path: &[&str], resource: &Resource<'_>, schema: &Schema) -> Option<String> {
    let [attribute] = Attribute::read_by(path, schema).try_into().ok()?;
    let name = path.join(".");
    Some(match attribute.of(resource) {
        None => format!("the item has no {name}"),
        Some(Value::Texts(texts)) if texts.is_empty() => format!("{name}: none"),
        Some(value) => format!("{name} is {}", value.words()),
    })
}

/// The item with its attributes and tags, in every topic entity that it is in.
pub(crate) fn entity(resource: &Resource<'_>, schema: &Schema) -> Result<Entity, Failure> {
    let name = Vocabulary::get().item.clone();
    let (attributes, ancestors) = (attributes(resource, schema), ancestors::<Vec<_>>(resource.topic));
    Ok(Entity::new_with_tags(name, attributes, ancestors, tags::<String>(resource.marks))?)
}

/// The topic entities that an item is in: one per level prefix.
pub(crate) fn ancestors<C: FromIterator<EntityUid>>(topic: &Topic) -> C {
    topic.prefixes().map(|prefix| Vocabulary::get().topic(prefix)).collect()
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    /// In ten-thousandths, as Cedar keeps a decimal.
    Decimal(i64),
    Truth(bool),
    Texts(Cow<'a, BTreeSet<String>>),
}

impl<'a> Value<'a> {
    fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    fn words(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Decimal(number) => words::decimal(&decimal(*number)),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::Texts(texts) => texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", "),
        }
    }

    fn score(score: Score) -> Self {
        Self::Decimal(i64::from(score.hundredths()) * 100)
    }

    /// A member of `data`, if it is there and of this type.
    fn further(item: &'a Item, name: &str, of_type: AttributeType) -> Option<Self> {
        let data = &item.data;
        let json = match (name, of_type) {
            ("unit", AttributeType::String) => return data.unit.as_deref().map(Self::text),
            ("time", AttributeType::String) => return data.time.as_deref().map(Self::text),
            _ => data.further(name)?.get(),
        };
        match of_type {
            AttributeType::String => serde_json::from_str(json).ok().map(Cow::Owned).map(Self::Text),
            AttributeType::Long => serde_json::from_str(json).ok().map(Self::Number),
            AttributeType::Bool => serde_json::from_str(json).ok().map(Self::Truth),
            AttributeType::StringSet => serde_json::from_str(json).ok().map(Cow::Owned).map(Self::Texts),
            AttributeType::Decimal => ten_thousandths(json).map(Self::Decimal),
        }
    }

    fn expression(self) -> RestrictedExpression {
        let text = |text: String| RestrictedExpression::new_string(text);
        match self {
            Self::Text(of) => text(of.into_owned()),
            Self::Number(number) => RestrictedExpression::new_long(number),
            Self::Decimal(number) => RestrictedExpression::new_decimal(decimal(number)),
            Self::Truth(truth) => RestrictedExpression::new_bool(truth),
            Self::Texts(texts) => RestrictedExpression::new_set(texts.into_owned().into_iter().map(text)),
        }
    }
}

/// Cedar's text of a decimal: `-0.0500`.
pub(crate) fn decimal(ten_thousandths: i64) -> String {
    let magnitude = ten_thousandths.unsigned_abs();
    let mut text = String::with_capacity(24);
    let sign = if ten_thousandths < 0 { "-" } else { "" };
    // Writing to a String does not fail.
    let _ = write!(text, "{sign}{}.{:04}", magnitude / 10_000, magnitude % 10_000);
    text
}

/// A JSON number in ten-thousandths, cut off after the fourth decimal (towards zero); `None` if the JSON is not a
/// number, or one beyond ±922,337,203,685,477.5807, which is as far as Cedar's decimals go.
///
/// Works on the digits as the source wrote them: a binary fraction would turn 0.57 into 0.5699.
fn ten_thousandths(json: &str) -> Option<i64> {
    const DECIMALS: i64 = 4;
    let (negative, digits) = match json.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, json),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // An exponent beyond i64 is as good as the farthest one that cannot overflow the sum below.
    let exponent = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 });
    let kept = i64::try_from(whole.len()).ok()?.saturating_add(exponent).saturating_add(DECIMALS);

    let mut places = whole.bytes().chain(fraction.bytes());
    let mut magnitude: i128 = 0;
    for _ in 0..kept {
        let digit = places.next();
        if digit.is_none() && magnitude == 0 {
            break;
        }
        magnitude = magnitude * 10 + i128::from(digit.unwrap_or(b'0') - b'0');
        if magnitude > i128::from(u64::MAX) {
            return None;
        }
    }
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests;
