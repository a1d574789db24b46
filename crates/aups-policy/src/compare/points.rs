//! The values of one attribute that matter for some tests, and how the tests end at them.

use super::{Outcome, strings};
use crate::{
    item::decimal,
    outcome::children,
    partial::permit_if,
    reader::Failure,
    vocabulary::Vocabulary,
    words::{duration, instant, text},
};
use aups_core::{ReaderKind, UnixMillis};
use cedar_policy::{
    AuthorizationError, Authorizer, Context, Entities, Entity, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression,
    pst::{BinaryOp, Expr, Literal, PatternElem, UnaryOp, Var},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Most values of one attribute at which tests are evaluated.
const VALUES_MAX: usize = 2_048;
const DAY_MS: i64 = 86_400_000;
/// The last millisecond that RFC 3339 can write.
const LAST_MS: i64 = 253_402_300_799_999;

/// What a test asks about, when it asks about one thing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Variable {
    /// Nothing at all: it always ends in the same way.
    Nothing,
    /// An attribute of the item, with the record that holds it.
    Attribute(Vec<String>),
    /// A tag of the item.
    Tag(String),
    /// An attribute of the request.
    Context(String),
}

impl Variable {
    pub(super) fn of(test: &Expr) -> Option<Self> {
        let mut found = BTreeSet::new();
        if !Self::collect(test, &mut found) || found.len() > 1 {
            return None;
        }
        Some(found.pop_first().unwrap_or(Self::Nothing))
    }

    /// False if there is anything else in the expression that is not known.
    fn collect(expr: &Expr, found: &mut BTreeSet<Self>) -> bool {
        if let Some(variable) = Self::read_by(expr).or_else(|| Self::asked_for_by(expr)) {
            found.insert(variable);
            return true;
        }
        !matches!(expr, Expr::Var(_) | Expr::Slot(_) | Expr::Unknown { .. })
            && children(expr).all(|child| Self::collect(child, found))
    }

    /// Of an expression that is its value.
    fn read_by(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::GetAttr { expr, attr } => match &**expr {
                Expr::Var(Var::Context) => Some(Self::Context(attr.to_string())),
                of => {
                    let mut path = item_path(of)?;
                    path.push(attr.to_string());
                    Some(Self::Attribute(path))
                }
            },
            Expr::BinaryOp { op: BinaryOp::GetTag, left, right } if is_item(left) => {
                text(right).map(|name| Self::Tag(name.to_owned()))
            }
            _ => None,
        }
    }

    /// Of an expression that asks whether there is one.
    fn asked_for_by(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::HasAttr { expr, attrs } => {
                let names = attrs.iter().map(ToString::to_string);
                match &**expr {
                    Expr::Var(Var::Context) => Some(Self::Context(attrs.head.to_string())),
                    of => item_path(of).map(|path| Self::Attribute(path.into_iter().chain(names).collect())),
                }
            }
            Expr::BinaryOp { op: BinaryOp::HasTag, left, right } if is_item(left) => {
                text(right).map(|name| Self::Tag(name.to_owned()))
            }
            _ => None,
        }
    }

    fn is(&self, expr: &Expr) -> bool {
        Self::read_by(expr).as_ref() == Some(self)
    }

    fn path(&self) -> Vec<&str> {
        match self {
            Self::Attribute(path) => path.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether every item has one.
    fn is_required(&self) -> bool {
        matches!(self.path().as_slice(), ["name" | "schema" | "labels"] | ["source" | "security" | "quality", _])
    }
}

/// `[]` of `resource`, `["quality"]` of `resource.quality`.
fn item_path(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::Var(Var::Resource) => Some(Vec::new()),
        Expr::GetAttr { expr, attr } => {
            let mut path = item_path(expr)?;
            path.push(attr.to_string());
            Some(path)
        }
        _ => None,
    }
}

fn is_item(expr: &Expr) -> bool {
    matches!(expr, Expr::Var(Var::Resource))
}

/// How the tests on one variable can end together. `None` if they have a form of which not all values that matter are
/// known, or there are too many of those.
pub(super) fn truths_of(variable: &Variable, tests: &[&Expr]) -> Option<Vec<Vec<Outcome>>> {
    let mut values = values_of(variable, tests)?;
    if values.len() > VALUES_MAX {
        return None;
    }
    if !variable.is_required() {
        values.push(None);
    }
    let policies = policies(tests).ok()?;
    let points: Result<BTreeSet<_>, Failure> =
        values.into_iter().map(|value| outcomes(variable, value, &policies, tests.len())).collect();
    Some(points.ok()?.into_iter().collect())
}

type Value = Option<RestrictedExpression>;

fn values_of(variable: &Variable, tests: &[&Expr]) -> Option<Vec<Value>> {
    match (variable, variable.path().as_slice()) {
        (Variable::Nothing, _) => return Some(Vec::new()),
        // Every value that there is.
        (_, ["security" | "quality", _]) => {
            let scores = (0..=100).map(|hundredths| Some(RestrictedExpression::new_decimal(decimal(hundredths * 100))));
            return Some(scores.collect());
        }
        (_, ["source", "registered"]) => return Some(truths()),
        _ => {}
    }
    let kinds: Option<BTreeSet<Kind>> = tests.iter().map(|test| Kind::of(test, variable)).collect();
    let kinds: Vec<Kind> = kinds?.into_iter().filter(|kind| *kind != Kind::Any).collect();
    let mut literals = Literals::default();
    for test in tests {
        literals.collect(test, variable);
    }
    match kinds.as_slice() {
        // Only whether there is one is asked.
        [] | [Kind::Truth] => Some(truths()),
        [Kind::Text] => {
            let witnesses = strings::witnesses(&literals.patterns)?;
            Some(witnesses.into_iter().map(RestrictedExpression::new_string).map(Some).collect())
        }
        [Kind::Texts] => literals.sets(),
        [Kind::Decimal] => {
            Some(around(&literals.numbers).map(|n| Some(RestrictedExpression::new_decimal(decimal(n)))).collect())
        }
        [Kind::Number] => Some(around(&literals.numbers).map(|n| Some(RestrictedExpression::new_long(n))).collect()),
        [Kind::Moment] => Some(literals.instants()),
        [Kind::Address] => {
            let ip = |address: IpAddr| Some(RestrictedExpression::new_ip(address.to_string()));
            Some(literals.addresses.iter().copied().map(ip).collect())
        }
        _ => None,
    }
}

fn truths() -> Vec<Value> {
    [false, true].map(RestrictedExpression::new_bool).map(Some).into()
}

/// Each number with its neighbours: between two numbers next to each other in this list, no test changes.
fn around(numbers: &BTreeSet<i64>) -> impl Iterator<Item = i64> {
    let near = |n: &i64| [n.saturating_sub(1), *n, n.saturating_add(1)];
    let all: BTreeSet<i64> = numbers.iter().flat_map(near).chain([0]).collect();
    all.into_iter()
}

/// Of what type a variable is, as its tests tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Any,
    Truth,
    Text,
    Texts,
    Decimal,
    Number,
    Moment,
    Address,
}

impl Kind {
    /// `None` for a test of a form of which not all values that matter are known.
    fn of(test: &Expr, variable: &Variable) -> Option<Self> {
        if variable.is(test) {
            return Some(Self::Truth);
        }
        match test {
            Expr::HasAttr { .. } | Expr::BinaryOp { op: BinaryOp::HasTag, .. } => Some(Self::Any),
            Expr::Like { expr, .. } if variable.is(expr) => Some(Self::Text),
            Expr::UnaryOp { op: UnaryOp::IsEmpty, expr } if variable.is(expr) => Some(Self::Texts),
            Expr::UnaryOp {
                op: UnaryOp::IsIPv4 | UnaryOp::IsIPV6 | UnaryOp::IsLoopback | UnaryOp::IsMulticast,
                expr,
            } if variable.is(expr) => Some(Self::Address),
            Expr::BinaryOp { op, left, right } => Self::of_relation(*op, left, right, variable),
            _ => None,
        }
    }

    fn of_relation(op: BinaryOp, left: &Expr, right: &Expr, variable: &Variable) -> Option<Self> {
        let (of, literal) = if variable.is(left) || is_part_of_instant(left, variable) {
            (left, right)
        } else if variable.is(right) || is_part_of_instant(right, variable) {
            (right, left)
        } else {
            return None;
        };
        let literal = Self::of_literal(literal)?;
        if is_part_of_instant(of, variable) {
            return (literal == Self::Moment && is_comparison(op)).then_some(Self::Moment);
        }
        let backwards = std::ptr::eq(of, right);
        match (op, literal) {
            (BinaryOp::IsInRange, Self::Address) if !backwards => Some(Self::Address),
            (BinaryOp::Contains, Self::Text) if !backwards => Some(Self::Texts),
            (BinaryOp::Contains, Self::Texts) if backwards => Some(Self::Text),
            (BinaryOp::ContainsAll | BinaryOp::ContainsAny, Self::Texts) => Some(Self::Texts),
            (op, kind) if is_comparison(op) => Some(kind),
            _ => None,
        }
    }

    fn of_literal(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::Literal(Literal::Bool(_)) => Some(Self::Truth),
            Expr::Literal(Literal::Long(_)) => Some(Self::Number),
            Expr::Literal(Literal::String(_)) => Some(Self::Text),
            Expr::Set(members) => members.iter().all(|member| text(member).is_some()).then_some(Self::Texts),
            Expr::UnaryOp { op: UnaryOp::Decimal, expr } => number(text(expr)?).map(|_| Self::Decimal),
            Expr::UnaryOp { op: UnaryOp::Ip, expr } => network(text(expr)?).map(|_| Self::Address),
            _ => instant(expr).or_else(|| duration(expr)).map(|_| Self::Moment),
        }
    }
}

/// `context.at.toTime()`, `context.at.toDate()`.
fn is_part_of_instant(expr: &Expr, variable: &Variable) -> bool {
    matches!(expr, Expr::UnaryOp { op: UnaryOp::ToTime | UnaryOp::ToDate, expr } if variable.is(expr))
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Greater
            | BinaryOp::GreaterEq
            | BinaryOp::DecimalLessThan
            | BinaryOp::DecimalLessEq
            | BinaryOp::DecimalGreater
            | BinaryOp::DecimalGreaterEq
    )
}

/// Ten-thousandths of a decimal as Cedar writes it.
fn number(decimal: &str) -> Option<i64> {
    let (whole, fraction) = decimal.split_once('.')?;
    format!("{whole}{fraction:0<4}").parse().ok()
}

/// First and last address of `10.0.0.0/8` or of a single address.
fn network(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let bits: Option<u32> = bits.map(str::parse).transpose().ok()?;
    Some(match address.parse().ok()? {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(bits.unwrap_or(32)).unwrap_or(0);
            let address = address.to_bits();
            (Ipv4Addr::from_bits(address & !hosts).into(), Ipv4Addr::from_bits(address | hosts).into())
        }
        IpAddr::V6(address) => {
            let hosts = u128::MAX.checked_shr(bits.unwrap_or(128)).unwrap_or(0);
            let address = address.to_bits();
            (Ipv6Addr::from_bits(address & !hosts).into(), Ipv6Addr::from_bits(address | hosts).into())
        }
    })
}

/// What the tests on one variable compare it with.
#[derive(Debug)]
struct Literals {
    patterns: Vec<Vec<PatternElem>>,
    /// Numbers, ten-thousandths of decimals.
    numbers: BTreeSet<i64>,
    /// The texts of each test on a set.
    sets: Vec<BTreeSet<String>>,
    instants: BTreeSet<i64>,
    times_of_day: BTreeSet<i64>,
    /// Where some network begins, or the addresses behind it do: in between, no test changes.
    addresses: BTreeSet<IpAddr>,
}

impl Default for Literals {
    fn default() -> Self {
        let mut literals = Self {
            patterns: Vec::new(),
            numbers: BTreeSet::new(),
            sets: Vec::new(),
            instants: BTreeSet::new(),
            times_of_day: BTreeSet::new(),
            addresses: BTreeSet::new(),
        };
        for network in ["0.0.0.0/0", "127.0.0.0/8", "224.0.0.0/4", "::/0", "::1", "ff00::/8"] {
            literals.add_network(network);
        }
        literals
    }
}

impl Literals {
    fn collect(&mut self, test: &Expr, variable: &Variable) {
        if variable.is(test) || Variable::asked_for_by(test).as_ref() == Some(variable) {
            return;
        }
        if let Some(instant) = instant(test) {
            self.instants.insert(instant);
            return;
        }
        match test {
            Expr::Like { pattern, .. } => self.patterns.push(pattern.clone()),
            Expr::Literal(Literal::String(text)) => self.add_texts([text.as_str()]),
            Expr::Literal(Literal::Long(number)) => drop(self.numbers.insert(*number)),
            Expr::Set(members) if Kind::of_literal(test) == Some(Kind::Texts) => {
                self.add_texts(members.iter().filter_map(|member| text(member)));
            }
            Expr::UnaryOp { op: UnaryOp::Decimal, expr } => self.numbers.extend(text(expr).and_then(number)),
            Expr::UnaryOp { op: UnaryOp::Ip, expr } => text(expr).into_iter().for_each(|text| self.add_network(text)),
            Expr::UnaryOp { op: UnaryOp::Duration, .. } => self.times_of_day.extend(duration(test)),
            other => children(other).for_each(|child| self.collect(child, variable)),
        }
    }

    fn add_texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) {
        let texts: BTreeSet<String> = texts.into_iter().map(str::to_owned).collect();
        self.patterns.extend(texts.iter().map(|text| text.chars().map(PatternElem::Char).collect()));
        self.sets.push(texts);
    }

    fn add_network(&mut self, text: &str) {
        let Some((first, last)) = network(text) else { return };
        let next: Option<IpAddr> = match last {
            IpAddr::V4(last) => last.to_bits().checked_add(1).map(|next| Ipv4Addr::from_bits(next).into()),
            IpAddr::V6(last) => last.to_bits().checked_add(1).map(|next| Ipv6Addr::from_bits(next).into()),
        };
        self.addresses.insert(first);
        self.addresses.extend(next);
    }

    /// Sets with none, one and all of the texts that no test tells apart, and of those that no test names.
    fn sets(&self) -> Option<Vec<Value>> {
        let mut alike: BTreeMap<Vec<bool>, Vec<&String>> = BTreeMap::new();
        let named: BTreeSet<&String> = self.sets.iter().flatten().collect();
        for text in &named {
            alike.entry(self.sets.iter().map(|set| set.contains(*text)).collect()).or_default().push(text);
        }
        let mut other = String::from("other");
        while named.contains(&other) {
            other.push('\'');
        }
        let mut sets: Vec<Vec<&str>> = vec![Vec::new(), vec![&other]];
        for texts in alike.values() {
            let shares = [1, texts.len()].into_iter().collect::<BTreeSet<usize>>();
            let more: Vec<Vec<&str>> = sets
                .iter()
                .flat_map(|set| shares.iter().map(move |share| (set, share)))
                .map(|(set, share)| {
                    set.iter().copied().chain(texts.iter().take(*share).map(|text| text.as_str())).collect()
                })
                .collect();
            sets.extend(more);
            if sets.len() > VALUES_MAX {
                return None;
            }
        }
        let texts = |set: Vec<&str>| {
            RestrictedExpression::new_set(set.into_iter().map(|text| RestrictedExpression::new_string(text.to_owned())))
        };
        Some(sets.into_iter().map(texts).map(Some).collect())
    }

    /// Around each instant; where times of day matter, around each of those on the days around each instant: between two
    /// instants a day or more apart lies a day on which all times of day come.
    fn instants(&self) -> Vec<Value> {
        let mut instants = self.instants.clone();
        if !self.times_of_day.is_empty() {
            let days: BTreeSet<i64> = self.instants.iter().map(|instant| instant.div_euclid(DAY_MS)).collect();
            let days = days.into_iter().chain([20_000]).flat_map(|day| [day - 1, day, day + 1]);
            instants.extend(days.flat_map(|day| self.times_of_day.iter().map(move |time| day * DAY_MS + time)));
        }
        let midnights: Vec<i64> = instants.iter().map(|instant| instant.div_euclid(DAY_MS) * DAY_MS).collect();
        instants.extend(midnights.iter().flat_map(|midnight| [*midnight, midnight + DAY_MS]));
        around(&instants)
            .filter_map(|instant| u64::try_from(instant.min(LAST_MS)).ok())
            .map(|instant| Some(RestrictedExpression::new_datetime(UnixMillis(instant).to_string())))
            .collect()
    }
}

/// Each test a policy, under its number.
fn policies(tests: &[&Expr]) -> Result<PolicySet, Failure> {
    let numbered = tests.iter().enumerate();
    let policies: Result<Vec<Policy>, Failure> =
        numbered.map(|(number, test)| permit_if(number, Arc::new(Expr::clone(test)))).collect();
    Ok(PolicySet::from_policies(policies?)?)
}

/// How tests end when the variable has a value and nothing else is known.
fn outcomes(variable: &Variable, value: Value, tests: &PolicySet, count: usize) -> Result<Vec<Outcome>, Failure> {
    let vocabulary = Vocabulary::get();
    let (mut attributes, mut tags, mut context) = (HashMap::new(), HashMap::new(), Context::empty());
    if let Some(value) = value {
        match variable {
            Variable::Nothing => {}
            Variable::Tag(name) => drop(tags.insert(name.clone(), value)),
            Variable::Context(name) => context = Context::from_pairs([(name.clone(), value)])?,
            Variable::Attribute(path) => {
                let mut names = path.iter().rev();
                let mut value = value;
                let outermost = loop {
                    let name = names.next().ok_or("an attribute without a name")?;
                    if names.len() == 0 {
                        break name;
                    }
                    value = RestrictedExpression::new_record([(name.clone(), value)])?;
                };
                attributes.insert(outermost.clone(), value);
            }
        }
    }
    let item = Entity::new_with_tags(vocabulary.item.clone(), attributes, std::iter::empty(), tags)?;
    let entities = Entities::from_entities([item], None)?;
    let reader = vocabulary.reader(ReaderKind::User, "reader");
    let request = Request::new(reader, vocabulary.receive.clone(), vocabulary.item.clone(), context, None)?;
    let response = Authorizer::new().is_authorized(&request, tests, &entities);
    let mut outcomes = vec![Outcome::False; count];
    let mut set = |name: &PolicyId, outcome: Outcome| {
        let number: Option<usize> = name.to_string().parse().ok();
        if let Some(slot) = number.and_then(|number| outcomes.get_mut(number)) {
            *slot = outcome;
        }
    };
    response.diagnostics().reason().for_each(|name| set(name, Outcome::True));
    for error in response.diagnostics().errors() {
        match error {
            AuthorizationError::PolicyEvaluationError(error) => set(error.policy_id(), Outcome::Failure),
        }
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests;
