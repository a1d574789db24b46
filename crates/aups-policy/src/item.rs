//! The item as a policy sees it: its attributes, each read in one place for partial evaluation and for the cache key.

use crate::vocabulary::Vocabulary;
use aups_core::{Item, Score, Topic};
use cedar_policy::{EntityUid, RestrictedExpression};
use std::{collections::HashMap, fmt::Write as _};

/// One attribute of the schema's `Item`; those of records one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

/// Every attribute with its path in the schema. Records stand together.
const ATTRIBUTES: [(&[&str], Attribute); 25] = [
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
    pub(crate) fn read_by<'p>(path: &'p [&'p str]) -> impl Iterator<Item = Self> + 'p {
        let reads = move |of: &[&str]| of.iter().zip(path).all(|(one, other)| one == other);
        ATTRIBUTES.iter().filter(move |(of, _)| reads(of)).map(|(_, attribute)| *attribute)
    }

    /// Its value in an item that is to be published under a topic.
    fn of<'a>(self, item: &'a Item, topic: &'a Topic) -> Option<Value<'a>> {
        let (security, quality) = (&item.security, &item.quality);
        Some(match self {
            Self::Topic => Value::Text(topic.as_str()),
            Self::Level(n) => Value::Text(topic.levels().nth(usize::from(n))?),
            Self::Name => Value::Text(&item.data.name),
            Self::Schema => Value::Text(&item.schema),
            Self::Labels => Value::NoTexts,
            Self::Value => Value::Decimal(ten_thousandths(item.data.value.get())?),
            Self::NodeId => Value::Text(&item.source.node_id),
            Self::NodeType => Value::Text(&item.source.node_type),
            Self::CommunicationMode => Value::Text(&item.source.communication_mode),
            Self::Registered => Value::Truth(item.source.registered),
            Self::Confidentiality => Value::score(security.confidentiality),
            Self::Integrity => Value::score(security.integrity),
            Self::Privacy => Value::score(security.privacy),
            Self::Authentication => Value::score(security.authentication),
            Self::Accuracy => Value::score(quality.accuracy),
            Self::Precision => Value::score(quality.precision),
            Self::Timeliness => Value::score(quality.timeliness),
            Self::Completeness => Value::score(quality.completeness),
        })
    }

    /// Appends its value to a key, so that two items have the same bytes exactly if they have the same value.
    pub(crate) fn write(self, item: &Item, topic: &Topic, key: &mut Vec<u8>) {
        match self.of(item, topic) {
            None => key.push(0),
            Some(Value::NoTexts) => key.push(1),
            Some(Value::Truth(truth)) => key.extend([2, u8::from(truth)]),
            Some(Value::Decimal(number)) => {
                key.push(3);
                key.extend(number.to_be_bytes());
            }
            Some(Value::Text(text)) => {
                key.push(4);
                key.extend(text.len().to_be_bytes());
                key.extend(text.as_bytes());
            }
        }
    }
}

/// The attributes of an item in Cedar's terms. Optional ones that it does not have are absent.
pub(crate) fn attributes(item: &Item, topic: &Topic) -> HashMap<String, RestrictedExpression> {
    let mut attributes = HashMap::new();
    let mut records: HashMap<&str, Vec<(String, RestrictedExpression)>> = HashMap::new();
    for (path, attribute) in &ATTRIBUTES {
        let Some(value) = attribute.of(item, topic).map(Value::expression) else { continue };
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
    attributes
}

/// The topic entities that an item is in: one per level prefix.
pub(crate) fn ancestors<C: FromIterator<EntityUid>>(topic: &Topic) -> C {
    topic.prefixes().map(|prefix| Vocabulary::get().topic(prefix)).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value<'a> {
    Text(&'a str),
    /// In ten-thousandths, as Cedar keeps a decimal.
    Decimal(i64),
    Truth(bool),
    /// An empty set of texts: items have no labels yet.
    NoTexts,
}

impl Value<'_> {
    fn score(score: Score) -> Self {
        Self::Decimal(i64::from(score.hundredths()) * 100)
    }

    fn expression(self) -> RestrictedExpression {
        match self {
            Self::Text(text) => RestrictedExpression::new_string(text.to_owned()),
            Self::Decimal(number) => RestrictedExpression::new_decimal(decimal(number)),
            Self::Truth(truth) => RestrictedExpression::new_bool(truth),
            Self::NoTexts => RestrictedExpression::new_set([]),
        }
    }
}

/// Cedar's text of a decimal: `-0.0500`.
fn decimal(ten_thousandths: i64) -> String {
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
