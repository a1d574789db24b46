//! Conditions in words, for administrators: `quality.accuracy is at least 0.80 and roles contain "meteorologist"`.
//!
//! Whatever has no words here stands as the Cedar text that it is.

use crate::vocabulary::{APP, GROUP, TOPIC, is_named};
use aups_core::UnixMillis;
use cedar_policy::pst::{
    BinaryOp, EntityOrSlot, EntityUID, Expr, Literal, PatternElem, PrincipalConstraint, UnaryOp, Var,
};
use std::sync::Arc;

/// A condition in words.
pub(crate) fn words(condition: &Expr) -> String {
    say(condition, true).text
}

/// The opposite of a condition in words.
pub(crate) fn opposite(condition: &Expr) -> String {
    say(condition, false).text
}

/// What a policy's head asks of the reader, as a condition. `None` if it lets everybody in.
pub(crate) fn head(readers: &PrincipalConstraint) -> Option<Expr> {
    let reader = || Arc::new(Expr::Var(Var::Principal));
    let named = |name: &EntityUID| Arc::new(Expr::Literal(Literal::EntityUID(name.clone())));
    Some(match readers {
        PrincipalConstraint::Eq(EntityOrSlot::Entity(name)) => {
            Expr::BinaryOp { op: BinaryOp::Eq, left: reader(), right: named(name) }
        }
        PrincipalConstraint::In(EntityOrSlot::Entity(name)) => {
            Expr::BinaryOp { op: BinaryOp::In, left: reader(), right: named(name) }
        }
        PrincipalConstraint::Is(kind) => Expr::Is { expr: reader(), entity_type: kind.clone(), in_expr: None },
        PrincipalConstraint::IsIn(kind, EntityOrSlot::Entity(name)) => {
            Expr::Is { expr: reader(), entity_type: kind.clone(), in_expr: Some(named(name)) }
        }
        // Anybody. Slots are of templates, which admission refuses.
        _ => return None,
    })
}

/// A choice in words: `a, b or c`.
pub(crate) fn either(choices: &[String]) -> String {
    match choices {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A number of ten-thousandths as people write it: `0.80`, `50.0001`, `-3.00`.
pub(crate) fn decimal(cedar: &str) -> String {
    let (whole, fraction) = cedar.split_once('.').unwrap_or((cedar, ""));
    format!("{whole}.{:0<2}", fraction.trim_end_matches('0'))
}

struct Phrase {
    text: String,
    joint: Option<&'static str>,
}

impl Phrase {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), joint: None }
    }

    /// In brackets where another joint would blur what belongs together.
    fn within(self, joint: &str) -> String {
        if self.joint.is_none_or(|own| own == joint) { self.text } else { format!("({})", self.text) }
    }
}

/// Says that a condition holds, or that it does not.
fn say(condition: &Expr, holds: bool) -> Phrase {
    match condition {
        Expr::Literal(Literal::Bool(truth)) => Phrase::plain(if *truth == holds { "always" } else { "never" }),
        Expr::ResidualError => Phrase::plain("it fails"),
        Expr::UnaryOp { op: UnaryOp::Not, expr } => say(expr, !holds),
        Expr::BinaryOp { op: op @ (BinaryOp::And | BinaryOp::Or), .. } => {
            let joint = if (*op == BinaryOp::And) == holds { "and" } else { "or" };
            let mut parts = Vec::new();
            flatten(condition, *op, &mut parts);
            let said: Vec<_> = parts
                .iter()
                .enumerate()
                // `resource has value &&` only guards what is said of the value.
                .filter(|(at, part)| joint == "or" || !parts.iter().skip(at + 1).any(|later| guards(part, later)))
                .map(|(_, part)| say(part, holds).within(joint))
                .collect();
            let joint = (said.len() > 1).then_some(joint);
            Phrase { text: said.join(&format!(" {} ", joint.unwrap_or_default())), joint }
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            let [test, then, otherwise] =
                [say(cond, true), say(then_expr, holds), say(else_expr, holds)].map(|phrase| phrase.within("if"));
            Phrase { text: format!("if {test} then {then}, else {otherwise}"), joint: Some("if") }
        }
        Expr::Is { expr, entity_type, in_expr: Some(group) } => {
            let kind = Expr::Is { expr: expr.clone(), entity_type: entity_type.clone(), in_expr: None };
            let group = Expr::BinaryOp { op: BinaryOp::In, left: expr.clone(), right: group.clone() };
            let both = Expr::BinaryOp { op: BinaryOp::And, left: Arc::new(kind), right: Arc::new(group) };
            say(&both, holds)
        }
        test => Phrase::plain(
            say_test(test, holds).unwrap_or_else(|| if holds { test.to_string() } else { format!("not ({test})") }),
        ),
    }
}

/// The members of a chain of the same operator, from the left.
pub(crate) fn flatten<'e>(condition: &'e Expr, joint: BinaryOp, parts: &mut Vec<&'e Expr>) {
    match condition {
        Expr::BinaryOp { op, left, right } if *op == joint => {
            flatten(left, joint, parts);
            flatten(right, joint, parts);
        }
        part => parts.push(part),
    }
}

/// Whether a part only asks for the presence of something that a later part speaks of.
pub(crate) fn guards(part: &Expr, later: &Expr) -> bool {
    let asked = match part {
        Expr::HasAttr { expr, attrs } if attrs.tail.is_empty() => {
            Expr::GetAttr { expr: expr.clone(), attr: attrs.head.clone() }
        }
        Expr::BinaryOp { op: BinaryOp::HasTag, left, right } => {
            Expr::BinaryOp { op: BinaryOp::GetTag, left: left.clone(), right: right.clone() }
        }
        _ => return false,
    };
    holds(later, &asked)
}

fn holds(expr: &Expr, part: &Expr) -> bool {
    expr == part || crate::outcome::children(expr).any(|child| holds(child, part))
}

/// Says one test. `None` if there are no words for it.
fn say_test(test: &Expr, holds: bool) -> Option<String> {
    match test {
        Expr::GetAttr { .. } => say_truth(test, holds),
        Expr::HasAttr { expr, attrs } => {
            let path: Vec<&str> = attrs.iter().map(AsRef::as_ref).collect();
            let no = if holds { "a" } else { "no" };
            match (&**expr, path.as_slice()) {
                (Expr::Var(Var::Context), [name]) => {
                    Some(format!("{} is {}known", asked_of_request(name)?, if holds { "" } else { "not " }))
                }
                (Expr::Var(Var::Resource), _) => Some(format!("the item has {no} {}", path.join("."))),
                (Expr::Var(Var::Principal), _) => Some(format!("the reader has {no} {}", path.join("."))),
                _ => None,
            }
        }
        Expr::Like { expr, pattern } => {
            let pattern: String = pattern.iter().map(pattern_text).collect();
            Some(format!("{} {} like \"{pattern}\"", subject(expr)?.name, be(holds)))
        }
        Expr::Is { expr, entity_type, in_expr: None } if is_reader(expr) => {
            let kind = if is_named(entity_type, APP) { "an app" } else { "a user" };
            Some(format!("the reader {} {kind}", be(holds)))
        }
        Expr::UnaryOp { op, expr } => {
            let name = || subject(expr).map(|subject| subject.name);
            Some(match op {
                UnaryOp::IsEmpty => format!("{} are {}empty", name()?, if holds { "" } else { "not " }),
                UnaryOp::IsIPv4 => format!("{} {} an IPv4 address", name()?, be(holds)),
                UnaryOp::IsIPV6 => format!("{} {} an IPv6 address", name()?, be(holds)),
                UnaryOp::IsLoopback => format!("{} {} this machine's own", name()?, be(holds)),
                UnaryOp::IsMulticast => format!("{} {} a multicast address", name()?, be(holds)),
                _ => return None,
            })
        }
        Expr::BinaryOp { op, left, right } => say_relation(*op, left, right, holds),
        _ => None,
    }
}

/// Says that an attribute of type Bool is true.
fn say_truth(attribute: &Expr, holds: bool) -> Option<String> {
    let name = subject(attribute)?.name;
    let not = if holds { "" } else { "not " };
    Some(if name == "source.registered" {
        format!("the source is {not}registered")
    } else {
        format!("{name} is {}", if holds { "true" } else { "false" })
    })
}

fn say_relation(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Option<String> {
    match op {
        BinaryOp::Eq | BinaryOp::NotEq => say_equal(left, right, (op == BinaryOp::Eq) == holds),
        BinaryOp::In if is_reader(left) => {
            let groups = entities(right, GROUP)?;
            Some(format!("the reader {} in group {}", be(holds), either(&groups)))
        }
        BinaryOp::In if matches!(left, Expr::Var(Var::Resource)) => {
            let topics = entities(right, TOPIC)?;
            let below = if topics.len() == 1 { "it" } else { "one of them" };
            let topics = either(&topics);
            Some(if holds {
                format!("the topic is {topics} or below {below}")
            } else {
                format!("the topic is neither {topics} nor below {below}")
            })
        }
        BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny => say_contains(op, left, right, holds),
        BinaryOp::HasTag => {
            let whose = if is_reader(left) { "the reader" } else { "the item" };
            Some(format!("{whose} has {} tag {}", if holds { "the" } else { "no" }, value(right)?))
        }
        BinaryOp::IsInRange => Some(format!("{} {} in {}", subject(left)?.name, be(holds), value(right)?)),
        _ => say_order(op, left, right, holds),
    }
}

fn say_equal(left: &Expr, right: &Expr, holds: bool) -> Option<String> {
    if let (Expr::Var(Var::Principal), Expr::Literal(Literal::EntityUID(name))) = (left, right) {
        let kind = if is_named(&name.ty, APP) { "app" } else { "user" };
        return Some(format!("the reader {} {kind} {}", be(holds), name.eid));
    }
    let (of, other) = match subject(left) {
        Some(of) => (of, right),
        None => (subject(right)?, left),
    };
    if let Expr::Literal(Literal::Bool(truth)) = other {
        return say_truth(if subject(left).is_some() { left } else { right }, *truth == holds);
    }
    let verb = match (of.many, holds) {
        (true, true) => "are",
        (true, false) => "are not",
        (false, _) => be(holds),
    };
    Some(format!("{} {verb} {}", of.name, operand(other)?))
}

fn say_contains(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Option<String> {
    let not = if holds { "" } else { "do not " };
    match (op, subject(left), subject(right)) {
        (BinaryOp::Contains, Some(set), _) => Some(format!("{} {not}contain {}", set.name, operand(right)?)),
        (BinaryOp::ContainsAll, Some(set), _) => Some(format!("{} {not}contain all of {}", set.name, operand(right)?)),
        (BinaryOp::ContainsAny, Some(set), _) => {
            let any = if holds { "contain any of" } else { "contain none of" };
            Some(format!("{} {any} {}", set.name, operand(right)?))
        }
        (BinaryOp::Contains, None, Some(one)) => Some(format!("{} {} one of {}", one.name, be(holds), value(left)?)),
        (BinaryOp::ContainsAny, None, Some(_)) => say_contains(op, right, left, holds),
        (BinaryOp::ContainsAll, None, Some(set)) => {
            Some(format!("{} are {}all among {}", set.name, if holds { "" } else { "not " }, value(left)?))
        }
        _ => None,
    }
}

fn say_order(op: BinaryOp, left: &Expr, right: &Expr, holds: bool) -> Option<String> {
    // 0 below, 1 at most, 2 above, 3 at least.
    let op = match op {
        BinaryOp::Less | BinaryOp::DecimalLessThan => 0_usize,
        BinaryOp::LessEq | BinaryOp::DecimalLessEq => 1,
        BinaryOp::Greater | BinaryOp::DecimalGreater => 2,
        BinaryOp::GreaterEq | BinaryOp::DecimalGreaterEq => 3,
        _ => return None,
    };
    let (of, other, op) = match subject(left) {
        Some(of) => (of, right, op),
        // 3 < clearance: clearance is above 3.
        None => (subject(right)?, left, (op + 2) % 4),
    };
    // Not below: at least.
    let op = if holds { op } else { 3 - op };
    let words = match (of.time, op) {
        (true, 0) => "before",
        (true, 1) => "at or before",
        (true, 2) => "after",
        (true, _) => "at or after",
        (false, 0) => "below",
        (false, 1) => "at most",
        (false, 2) => "above",
        (false, _) => "at least",
    };
    Some(format!("{} is {words} {}", of.name, operand(other)?))
}

/// What a test speaks of.
struct Subject {
    name: String,
    /// A set.
    many: bool,
    /// Its values are earlier and later rather than smaller and larger.
    time: bool,
}

fn subject(expr: &Expr) -> Option<Subject> {
    let plain = |name: String| Some(Subject { many: is_set(&name), name, time: false });
    match expr {
        Expr::GetAttr { expr: of, attr } => match &**of {
            Expr::Var(Var::Context) => {
                Some(Subject { name: asked_of_request(attr)?.to_owned(), many: false, time: attr == "at" })
            }
            Expr::Var(Var::Principal) if OF_READER.contains(&attr.as_str()) => plain(attr.to_string()),
            Expr::Var(Var::Principal) => plain(format!("the reader's {attr}")),
            Expr::Var(Var::Resource) if OF_ITEM.contains(&attr.as_str()) || attr.starts_with("level") => {
                plain(attr.to_string())
            }
            Expr::Var(Var::Resource) => plain(format!("the item's {attr}")),
            Expr::GetAttr { expr: of, attr: record } if matches!(**of, Expr::Var(Var::Resource)) => {
                plain(format!("{record}.{attr}"))
            }
            _ => None,
        },
        Expr::BinaryOp { op: BinaryOp::GetTag, left, right } => match &**left {
            Expr::Var(Var::Resource) => plain(format!("the item's tag {}", value(right)?)),
            Expr::Var(Var::Principal) => plain(format!("the reader's tag {}", value(right)?)),
            _ => None,
        },
        Expr::UnaryOp { op, expr } if matches!(&**expr, Expr::GetAttr { attr, .. } if attr == "at") => {
            let name = match op {
                UnaryOp::ToTime => "the time of day of the request",
                UnaryOp::ToDate => "the date of the request",
                _ => return None,
            };
            Some(Subject { name: name.to_owned(), many: false, time: true })
        }
        _ => None,
    }
}

/// Attributes of the schema that ships, which need not be said to be the reader's or the item's.
const OF_READER: [&str; 4] = ["roles", "org", "clearance", "purposes"];
const OF_ITEM: [&str; 5] = ["topic", "name", "schema", "labels", "value"];

fn is_set(name: &str) -> bool {
    ["roles", "purposes", "labels"].contains(&name)
}

fn asked_of_request(attribute: &str) -> Option<&'static str> {
    match attribute {
        "at" => Some("the time of the request"),
        "address" => Some("the address of the request"),
        _ => None,
    }
}

/// A value, or another subject.
fn operand(expr: &Expr) -> Option<String> {
    value(expr).or_else(|| subject(expr).map(|subject| subject.name))
}

fn value(expr: &Expr) -> Option<String> {
    Some(match expr {
        Expr::Literal(Literal::Bool(truth)) => truth.to_string(),
        Expr::Literal(Literal::Long(number)) => number.to_string(),
        Expr::Literal(Literal::String(text)) => format!("{text:?}"),
        Expr::Set(members) if members.is_empty() => "nothing".to_owned(),
        Expr::Set(members) => {
            let members: Option<Vec<String>> = members.iter().map(|member| value(member)).collect();
            either(&members?)
        }
        Expr::UnaryOp { op: UnaryOp::Decimal, expr } => decimal(text(expr)?),
        Expr::UnaryOp { op: UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Ip, expr } => text(expr)?.to_owned(),
        // How partial evaluation writes an instant that it knows.
        Expr::BinaryOp { op: BinaryOp::Offset, .. } => UnixMillis(u64::try_from(instant(expr)?).ok()?).to_string(),
        _ => return None,
    })
}

/// The milliseconds since 1970 of `datetime("1970-01-01").offset(duration("…ms"))`.
pub(crate) fn instant(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::BinaryOp { op: BinaryOp::Offset, left, right } => {
            let Expr::UnaryOp { op: UnaryOp::Datetime, expr } = &**left else { return None };
            if text(expr)? == "1970-01-01" { duration(right) } else { None }
        }
        _ => None,
    }
}

/// The milliseconds of `duration("…ms")`, which is how partial evaluation writes a duration.
pub(crate) fn duration(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Duration, expr } => text(expr)?.strip_suffix("ms")?.parse().ok(),
        _ => None,
    }
}

/// The text of a literal.
pub(crate) fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// The names of one entity of a type, or of a set of them.
fn entities(expr: &Expr, entity_type: &str) -> Option<Vec<String>> {
    match expr {
        Expr::Literal(Literal::EntityUID(name)) if is_named(&name.ty, entity_type) => Some(vec![name.eid.to_string()]),
        Expr::Set(members) => {
            let members: Option<Vec<_>> = members.iter().map(|member| entities(member, entity_type)).collect();
            members.map(|members| members.concat())
        }
        _ => None,
    }
}

fn is_reader(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Principal))
}

fn be(holds: bool) -> &'static str {
    if holds { "is" } else { "is not" }
}

/// As Cedar writes it: a star that stands for itself has a backslash before it.
fn pattern_text(element: &PatternElem) -> String {
    match element {
        PatternElem::Wildcard => "*".to_owned(),
        PatternElem::Char('*') => "\\*".to_owned(),
        PatternElem::Char(other) => other.escape_debug().to_string(),
    }
}

#[cfg(test)]
mod tests;
