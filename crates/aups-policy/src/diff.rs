//! What a change of policies gives and takes: which readers, which topics, under which conditions.
//!
//! Readers that no policy can tell apart are asked once, and so are topics.

use crate::{
    Pdp, PolicySet, Standing,
    admission::Rule,
    compare::{Comparer, Difference},
    outcome::{Outcomes, children},
    partial::Known,
    reader,
    schema::Schema,
    settle::{asks_of_topic, questions, settle, truth},
    vocabulary::{APP, USER, is_named},
};
use aups_core::{Principal, ReaderKind, Sub, Topic};
use cedar_policy::{
    Effect,
    pst::{EntityOrSlot, EntityUID, Expr, Literal, PrincipalConstraint},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

/// Most entries of a difference; the first ones, by reader.
pub const DIFF_ENTRIES_MAX: usize = 10_000;
/// Most topics that one entry lists.
pub const DIFF_TOPICS_MAX: usize = 100;
/// Pairs of standings of which is kept, during a comparison, what comes of them.
const DECIDED_KEPT_MAX: usize = 65_536;
/// Topics of an entry that are written out for people.
const TOPICS_SHOWN: usize = 5;

/// Who gains and who loses what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// The changes, readers in the order in which they were given.
    pub entries: Vec<DiffEntry>,
    /// Entries beyond [`DIFF_ENTRIES_MAX`], which are not listed.
    pub entries_left_out: usize,
    /// Readers that gain something.
    pub readers_gaining: usize,
    /// Readers that lose something.
    pub readers_losing: usize,
    /// Readers that were compared.
    pub readers: usize,
    /// Topics that were compared.
    pub topics: usize,
}

/// One change for one reader, and the topics that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DiffEntry {
    /// Whose.
    pub reader: Sub,
    /// User or app.
    pub kind: ReaderKind,
    /// The topics, sorted; at most [`DIFF_TOPICS_MAX`].
    pub topics: Vec<Topic>,
    /// Further topics, which are not listed.
    pub topics_left_out: usize,
    /// Which way it goes.
    pub change: Change,
    /// What it may read before, in words.
    pub before: String,
    /// What it may read then, in words.
    pub now: String,
    /// Whether there certainly are items that make the difference; else there may be.
    pub certain: bool,
}

/// Which way a change goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It may read items that it may not read before.
    Gains,
    /// It may no longer read items that it may read before.
    Loses,
    /// Both.
    Both,
}

impl Change {
    fn of(difference: Difference) -> Option<Self> {
        match (difference.gains, difference.loses) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Gains),
            (false, true) => Some(Self::Loses),
            (false, false) => None,
        }
    }
}

/// Compares what readers may read of topics by two policy sets, whatever the items and the requests.
///
/// Cost: some 20 µs for each policy and each group of readers that the policies can tell apart; some µs for each of those and each
/// group of topics; up to some ms for each pair of conditions that differ. A few seconds for a thousand readers, ten thousand
/// topics and a hundred policies.
pub fn diff(before: &Pdp, after: &Pdp, readers: &[Principal], topics: &[Topic]) -> Diff {
    let topics: BTreeSet<&Topic> = topics.iter().collect();
    let (sides, rules, mut comparison) = ([before, after], Rules::of(before, after), Comparison::default());
    let (classes, named) = (classes(sides, topics.iter().copied()), named(sides));
    let mut found = Diff { readers: readers.len(), topics: topics.len(), ..Diff::default() };
    let mut known: HashMap<Vec<u8>, Vec<Shift>> = HashMap::new();
    for who in readers {
        let shifts = known.entry(class_of(who, &named)).or_insert_with(|| comparison.shifts(who, &rules, &classes));
        found.add(who, shifts);
    }
    found
}

impl Diff {
    fn add(&mut self, who: &Principal, shifts: &[Shift]) {
        let any = |change| shifts.iter().any(|shift| [change, Change::Both].contains(&shift.decided.change));
        self.readers_gaining += usize::from(any(Change::Gains));
        self.readers_losing += usize::from(any(Change::Loses));
        let room = DIFF_ENTRIES_MAX.saturating_sub(self.entries.len());
        self.entries_left_out += shifts.len().saturating_sub(room);
        self.entries.extend(shifts.iter().take(room).map(|shift| shift.entry(who)));
    }

    /// Whether nobody gains or loses anything.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reader = None;
        for entry in &self.entries {
            if reader.replace(&entry.reader) != Some(&entry.reader) {
                writeln!(f, "{} {}", entry.kind, entry.reader)?;
            }
            writeln!(f, "  {entry}")?;
        }
        if self.entries_left_out > 0 {
            writeln!(f, "and {} more changes", self.entries_left_out)?;
        }
        write!(
            f,
            "{} gain{}, {} lose{}, of {} and {}",
            counted(self.readers_gaining, "reader"),
            if self.readers_gaining == 1 { "s" } else { "" },
            counted(self.readers_losing, "reader"),
            if self.readers_losing == 1 { "s" } else { "" },
            counted(self.readers, "reader"),
            counted(self.topics, "topic")
        )
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for DiffEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.change {
            Change::Gains => '+',
            Change::Loses => '-',
            Change::Both => '~',
        };
        let shown: Vec<&str> = self.topics.iter().take(TOPICS_SHOWN).map(Topic::as_str).collect();
        write!(f, "{sign} {}", shown.join(", "))?;
        let more = self.topics.len() + self.topics_left_out - shown.len();
        if more > 0 {
            write!(f, " and {more} more {}", if more == 1 { "topic" } else { "topics" })?;
        }
        write!(f, ": {} (before: {})", self.now, self.before)?;
        if self.certain { Ok(()) } else { f.write_str("; may be the same, was not decided") }
    }
}

/// A change, apart from whose it is.
#[derive(Debug)]
struct Shift {
    decided: Arc<Decided>,
    topics: Vec<Topic>,
    topics_left_out: usize,
}

impl Shift {
    fn new(decided: Arc<Decided>, mut topics: Vec<&Topic>) -> Self {
        topics.sort();
        let topics_left_out = topics.len().saturating_sub(DIFF_TOPICS_MAX);
        Self { decided, topics: topics.into_iter().take(DIFF_TOPICS_MAX).cloned().collect(), topics_left_out }
    }

    fn entry(&self, who: &Principal) -> DiffEntry {
        DiffEntry {
            reader: who.sub.clone(),
            kind: who.kind,
            topics: self.topics.clone(),
            topics_left_out: self.topics_left_out,
            change: self.decided.change,
            before: self.decided.before.clone(),
            now: self.decided.now.clone(),
            certain: self.decided.certain,
        }
    }
}

/// What two policy sets say of readers, as far as it was asked.
#[derive(Default)]
struct Comparison {
    claims: Vec<(Effect, Expr)>,
    numbers: HashMap<(Effect, String), usize>,
    /// By the claims that apply before and those that apply then.
    decided: HashMap<[ClaimNumbers; 2], Option<Arc<Decided>>>,
    comparer: Comparer,
}

/// The claims of a reader, and of the app that registered it.
type ClaimNumbers = Vec<BTreeSet<usize>>;

/// What comes of two standings.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Decided {
    change: Change,
    before: String,
    now: String,
    certain: bool,
}

impl Comparison {
    fn shifts(&mut self, who: &Principal, rules: &Rules<'_>, classes: &[Vec<&Topic>]) -> Vec<Shift> {
        let asked: Vec<&Principal> = std::iter::successors(Some(who), |who| who.app.as_deref()).collect();
        let mut claims = |(schema, rules): &(&Schema, Vec<&Rule>)| -> Vec<Claims> {
            asked.iter().map(|who| Claims::of(who, schema, rules, self)).collect()
        };
        let (before, after) = (claims(&rules.before), claims(&rules.after));
        let mut common: Option<Vec<Claims>> = None;
        let mut together: BTreeMap<Arc<Decided>, Vec<&Topic>> = BTreeMap::new();
        for topics in classes {
            let Some(any) = topics.first() else { continue };
            let mut on = |claims: &[Claims]| -> ClaimNumbers { claims.iter().map(|own| own.on(any, self)).collect() };
            let (before, after) = (on(&before), on(&after));
            // What the sets have in common cannot make a difference where the rest makes none.
            if before == after {
                continue;
            }
            let common = common.get_or_insert_with(|| {
                let (schema, rules) = &rules.common;
                asked.iter().map(|who| Claims::of(who, schema, rules, self)).collect()
            });
            let common: ClaimNumbers = common.iter().map(|common| common.on(any, self)).collect();
            let with_common = |own: ClaimNumbers| own.iter().zip(&common).map(|(own, common)| own | common).collect();
            if let Some(decided) = self.decide([with_common(before), with_common(after)]) {
                together.entry(decided).or_default().extend(topics);
            }
        }
        let mut shifts: Vec<Shift> =
            together.into_iter().map(|(decided, topics)| Shift::new(decided, topics)).collect();
        shifts.sort_by(|one, other| (one.decided.change, &one.topics).cmp(&(other.decided.change, &other.topics)));
        shifts
    }

    fn decide(&mut self, claims: [ClaimNumbers; 2]) -> Option<Arc<Decided>> {
        let [before, after] = &claims;
        if before == after {
            return None;
        }
        if let Some(decided) = self.decided.get(&claims) {
            return decided.clone();
        }
        let [before, after] = [before, after].map(|claims| self.standing(claims));
        let difference = self.comparer.difference(&before, &after);
        let decided = Change::of(difference).map(|change| {
            let (before, now) = (before.to_string(), after.to_string());
            Arc::new(Decided { change, before, now, certain: difference.certain })
        });
        if self.decided.len() >= DECIDED_KEPT_MAX {
            self.decided.clear();
        }
        self.decided.insert(claims, decided.clone());
        decided
    }

    fn standing(&self, claims: &[BTreeSet<usize>]) -> Standing {
        let standing = |claims: &BTreeSet<usize>| {
            let claims = claims.iter().filter_map(|number| self.claims.get(*number));
            Standing::of(claims.map(|(effect, condition)| (*effect, condition)))
        };
        claims.iter().map(standing).reduce(Standing::and).unwrap_or(Standing::Never)
    }

    /// The number of a claim. `None` if it can never have a say.
    fn number(&mut self, effect: Effect, condition: &Expr) -> Option<usize> {
        let outcomes = Outcomes::of(condition);
        let silent = outcomes.is_never_true() && (effect == Effect::Permit || !outcomes.failure);
        if silent {
            return None;
        }
        let next = self.claims.len();
        let number = *self.numbers.entry((effect, condition.to_string())).or_insert(next);
        if number == next {
            self.claims.push((effect, condition.clone()));
        }
        Some(number)
    }
}

/// The policies of two sets: those that only one has, and those that both have. Each under its schema.
struct Rules<'p> {
    before: (&'p Schema, Vec<&'p Rule>),
    after: (&'p Schema, Vec<&'p Rule>),
    common: (&'p Schema, Vec<&'p Rule>),
}

impl<'p> Rules<'p> {
    fn of(before: &'p Pdp, after: &'p Pdp) -> Self {
        let (before, after) = (before.set(), after.set());
        let comparable = before.schema.extension() == after.schema.extension();
        let texts = |set: &'p PolicySet| -> Vec<(String, &'p Rule)> {
            set.rules.iter().map(|rule| (rule.demand(), rule)).collect()
        };
        let (olds, news) = (texts(before), texts(after));
        let known: BTreeSet<&String> = olds.iter().map(|(text, _)| text).filter(|_| comparable).collect();
        let kept: BTreeSet<&String> = news.iter().map(|(text, _)| text).filter(|text| known.contains(text)).collect();
        let of = |rules: &[(String, &'p Rule)], common: bool| {
            rules.iter().filter(|(text, _)| kept.contains(text) == common).map(|(_, rule)| *rule).collect()
        };
        Self {
            before: (&before.schema, of(&olds, false)),
            after: (&after.schema, of(&news, false)),
            common: (&after.schema, of(&news, true)),
        }
    }
}

/// What policies say of one reader.
#[derive(Default)]
struct Claims {
    everywhere: Vec<Claim>,
    below: HashMap<Box<str>, Vec<Claim>>,
}

/// What is left of one policy.
enum Claim {
    /// It asks nothing of the topic.
    Settled(usize),
    Open(Effect, Arc<Expr>),
}

impl Claims {
    fn of(who: &Principal, schema: &Schema, rules: &[&Rule], comparison: &mut Comparison) -> Self {
        let mut claims = Self::default();
        if rules.is_empty() {
            return claims;
        }
        let Ok(conditions) = Known::reader(who, schema).conditions(rules.iter().copied()) else {
            // What cannot be evaluated lets nobody read.
            claims.everywhere.extend(comparison.number(Effect::Forbid, &truth(true)).map(Claim::Settled));
            return claims;
        };
        for (rule, condition) in conditions {
            let claim = if asks_of_topic(&condition) {
                Claim::Open(rule.effect(), condition)
            } else {
                let Some(number) = comparison.number(rule.effect(), &condition) else { continue };
                Claim::Settled(number)
            };
            match &rule.subtree.0 {
                Some(top) => claims.below.entry(top.as_str().into()).or_default().push(claim),
                None => claims.everywhere.push(claim),
            }
        }
        claims
    }

    /// The numbers of those that have a say about a topic.
    fn on(&self, topic: &Topic, comparison: &mut Comparison) -> BTreeSet<usize> {
        let below = topic.prefixes().filter_map(|prefix| self.below.get(prefix)).flatten();
        let number = |claim: &Claim| match claim {
            Claim::Settled(number) => Some(*number),
            Claim::Open(effect, condition) => comparison.number(*effect, &settle(condition, topic)),
        };
        self.everywhere.iter().chain(below).filter_map(number).collect()
    }
}

/// Topics that neither set can tell apart.
fn classes<'t>(sides: [&Pdp; 2], topics: impl IntoIterator<Item = &'t Topic>) -> Vec<Vec<&'t Topic>> {
    let conditions: Vec<_> = sides.iter().flat_map(|pdp| &pdp.set().rules).map(Rule::conditions).collect();
    let mut asked = Vec::new();
    conditions.iter().flatten().for_each(|condition| questions(condition, &mut asked));
    let asked: BTreeMap<String, &Expr> = asked.into_iter().map(|question| (question.to_string(), question)).collect();
    let mut classes: BTreeMap<(Vec<u32>, Vec<String>), Vec<&Topic>> = BTreeMap::new();
    for topic in topics {
        let branches = sides.iter().flat_map(|pdp| pdp.branches(topic).chain([u32::MAX])).collect();
        let answers = asked.values().map(|question| settle(question, topic).to_string()).collect();
        classes.entry((branches, answers)).or_default().push(topic);
    }
    classes.into_values().collect()
}

/// The readers that policies name one by one.
fn named(sides: [&Pdp; 2]) -> BTreeSet<(bool, String)> {
    let mut named = BTreeSet::new();
    let mut add = |name: &EntityUID| {
        if is_named(&name.ty, USER) || is_named(&name.ty, APP) {
            named.insert((is_named(&name.ty, APP), name.eid.to_string()));
        }
    };
    for rule in sides.iter().flat_map(|pdp| &pdp.set().rules) {
        match &rule.readers {
            PrincipalConstraint::Eq(EntityOrSlot::Entity(name))
            | PrincipalConstraint::In(EntityOrSlot::Entity(name))
            | PrincipalConstraint::IsIn(_, EntityOrSlot::Entity(name)) => add(name),
            _ => {}
        }
        rule.conditions().iter().for_each(|condition| each_entity(condition, &mut add));
    }
    named
}

fn each_entity(expr: &Expr, visit: &mut impl FnMut(&EntityUID)) {
    if let Expr::Literal(Literal::EntityUID(name)) = expr {
        visit(name);
    }
    children(expr).for_each(|child| each_entity(child, visit));
}

/// Readers of one class get the same answer to every question of the policies.
fn class_of(who: &Principal, named: &BTreeSet<(bool, String)>) -> Vec<u8> {
    let mut key = reader::fingerprint_but_name(who);
    if named.contains(&(who.kind == ReaderKind::App, who.sub.to_string())) {
        key.extend(who.sub.as_str().as_bytes());
    }
    key
}

#[cfg(test)]
mod tests;
