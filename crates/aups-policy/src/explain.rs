//! Why a reader may read an item, or items of a topic, or may not: in words, for administrators.

use crate::{
    FilterVerdict, Pdp, RequestContext, Resource, Standing,
    admission::Rule,
    compare::Comparer,
    outcome::{Outcomes, children},
    partial::{Known, permit_if},
    reader::Failure,
    rights::lets_in,
    settle::{settle, truth},
    words::{flatten, head, opposite, words},
};
use aups_core::{Filter, Item, Marks, Principal, ReaderKind, Sub, Topic};
use cedar_policy::{
    Effect, PolicyId,
    pst::{BinaryOp, Expr, UnaryOp, Var},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

/// Most policies that do not apply which an explanation lists; those that come nearest.
pub const EXPLAINED_MAX: usize = 10;
/// Most policies for other topics that are looked at to find those.
const WEIGHED_MAX: usize = 1_000;

/// Why a reader may read, or may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Who asks.
    pub reader: Sub,
    /// User or app.
    pub kind: ReaderKind,
    /// The topic.
    pub topic: Topic,
    /// Whether it may read.
    pub answer: Answer,
    /// The answer in one sentence.
    pub summary: String,
    /// What each policy says: first those that decide, then those that do not apply, the nearest first.
    pub policies: Vec<PolicySays>,
    /// Policies that do not apply and are not listed.
    pub policies_left_out: usize,
    /// Whether it may subscribe to the topic.
    pub subscribe: Subscription,
}

/// Whether a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Yes; if the item is not known, whatever it is.
    Allow,
    /// No; if the item is not known, whatever it is.
    Deny,
    /// It depends on the item.
    Depends,
}

/// What one policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicySays {
    /// Its name.
    pub name: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// Whether it applies.
    pub says: Says,
    /// Of one that applies, what holds; of one that does not, what does not hold, and what is the case instead; else what
    /// decides.
    pub why: Vec<String>,
    /// Of a permit that does not apply yet: all of this would have to hold. Of a forbid that applies, or may: any of this
    /// would keep it from it.
    pub needed: Vec<String>,
}

/// Whether a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Says {
    /// It does. A forbid that fails to evaluate applies too.
    #[serde(rename = "applies")]
    Applies,
    /// That depends on the item.
    #[serde(rename = "depends")]
    Depends,
    /// It does not. A permit that fails to evaluate does not.
    #[serde(rename = "does not apply")]
    DoesNotApply,
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applies => "applies",
            Self::Depends => "depends",
            Self::DoesNotApply => "does not apply",
        })
    }
}

/// Whether a reader may subscribe to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subscription {
    /// Whether it may.
    pub accepted: bool,
    /// Why.
    pub reason: String,
    /// What it may subscribe to that matches the topic.
    pub filters: Vec<Filter>,
}

impl Pdp {
    /// Why a reader may read an item, or if that is not known, items of a topic; and if it may not, what would have to hold.
    ///
    /// An item that is known is judged as by [`Pdp::decide`]. The request is taken as it is: a time or an address that it
    /// does not have is absent.
    ///
    /// Cost: some 100 µs for each policy whose topic clause the topic satisfies, and for at most 1,000 others; some ms more.
    pub fn explain(
        &self,
        who: &Principal,
        topic: &Topic,
        item: Option<(&Item, &Marks)>,
        context: &RequestContext,
    ) -> Explanation {
        let item = item.map(|(item, marks)| Resource { item, topic, marks });
        let question =
            Question { known: Known { schema: &self.set().schema, who, item, context: Some(context) }, topic };
        let (answer, standing) = self.answer(&question);
        let mut findings: Vec<Finding<'_>> = self.rules_for(topic).map(|rule| question.ask(rule, true)).collect();
        let elsewhere =
            self.set().rules.iter().filter(|rule| !rule.subtree.holds(topic) && rule.effect() == Effect::Permit);
        findings.extend(elsewhere.take(WEIGHED_MAX).map(|rule| question.ask(rule, false)));
        let deciding = findings.iter().filter(|finding| finding.says != Says::DoesNotApply).count();
        findings.sort_by_key(Finding::rank);
        findings.truncate(deciding + EXPLAINED_MAX);
        let policies: Vec<PolicySays> = findings.iter().map(|finding| finding.told(&question)).collect();
        Explanation {
            reader: who.sub.clone(),
            kind: who.kind,
            topic: topic.clone(),
            answer,
            summary: question.summary(answer, &standing, &policies),
            policies_left_out: self.set().len() - policies.len(),
            policies,
            subscribe: self.subscription(who, topic),
        }
    }

    fn answer(&self, question: &Question<'_>) -> (Answer, Result<Standing, Failure>) {
        let Question { known, topic } = question;
        if let (Some(item), Some(context)) = (&known.item, known.context) {
            let allow = self.decide(known.who, item, context).allow;
            return (if allow { Answer::Allow } else { Answer::Deny }, Ok(Standing::Always));
        }
        let standing = self.standing_of(known, topic);
        let answer = standing.as_ref().map_or(Answer::Deny, |standing| {
            let mut comparer = Comparer::default();
            if !comparer.difference(&Standing::Never, standing).gains {
                Answer::Deny
            } else if !comparer.difference(standing, &Standing::Always).gains {
                Answer::Allow
            } else {
                Answer::Depends
            }
        });
        (answer, standing)
    }

    fn subscription(&self, who: &Principal, topic: &Topic) -> Subscription {
        let first_level: Vec<&str> = topic.levels().take(1).collect();
        let filters =
            self.readable_among(who, &first_level).into_iter().filter(|filter| filter.matches(topic)).collect();
        let verdict = match topic.as_str().parse() {
            Ok(filter) => self.filter(who, &filter),
            Err(error) => FilterVerdict::Refused { reason: format!("`{topic}` is not a filter: {error}") },
        };
        Subscription { accepted: verdict.is_accepted(), reason: verdict.reason().to_owned(), filters }
    }
}

/// What is asked.
struct Question<'q> {
    known: Known<'q>,
    topic: &'q Topic,
}

/// What one policy says, part by part.
struct Finding<'r> {
    rule: &'r Rule,
    /// Whether its head covers the topic.
    covers: bool,
    says: Says,
    parts: Vec<Part>,
}

/// One of the conditions that a policy demands together.
struct Part {
    asked: Expr,
    /// What is left of it now.
    left: Expr,
}

impl Part {
    fn outcomes(&self) -> Outcomes {
        Outcomes::of(&self.left)
    }

    fn fails(&self) -> bool {
        !self.outcomes().truth
    }

    fn is_open(&self) -> bool {
        !self.fails() && !self.outcomes().is_always_true()
    }
}

impl Question<'_> {
    fn ask<'r>(&self, rule: &'r Rule, covers: bool) -> Finding<'r> {
        let mut parts: Vec<Part> = head(&rule.readers)
            .map(|asked| Part { asked, left: truth(lets_in(&rule.readers, self.known.who)) })
            .into_iter()
            .collect();
        let demanded = conjuncts(&rule.conditions());
        // What cannot be evaluated fails.
        let left = self.left_of(&demanded).unwrap_or_else(|_| vec![Expr::ResidualError; demanded.len()]);
        parts.extend(demanded.into_iter().zip(left).map(|(asked, left)| Part { asked, left }));
        let all = parts.iter().map(|part| part.left.clone()).reduce(and).unwrap_or(truth(true));
        let outcomes = Outcomes::of(&all);
        let says = match rule.effect() {
            _ if !covers => Says::DoesNotApply,
            Effect::Permit if outcomes.is_never_true() => Says::DoesNotApply,
            Effect::Permit if outcomes.is_always_true() => Says::Applies,
            Effect::Forbid if outcomes.is_never_true() && !outcomes.failure => Says::DoesNotApply,
            Effect::Forbid if !outcomes.falsity => Says::Applies,
            _ => Says::Depends,
        };
        Finding { rule, covers, says, parts }
    }

    /// What is left of conditions, each for itself but for the questions before it whether something is there.
    fn left_of(&self, demanded: &[Expr]) -> Result<Vec<Expr>, Failure> {
        let mut guarded: Vec<Expr> = Vec::new();
        let mut guard: Option<Expr> = None;
        for condition in demanded {
            guarded.push(guard.iter().fold(condition.clone(), |condition, guard| and(guard.clone(), condition)));
            if asks_for_presence(condition) {
                guard = Some(guard.map_or_else(|| condition.clone(), |guard| and(guard, condition.clone())));
            }
        }
        let whole = || {
            demanded.iter().scan(None, |all: &mut Option<Expr>, condition| {
                let next = all.take().map_or_else(|| condition.clone(), |all| and(all, condition.clone()));
                all.replace(next.clone());
                Some(next)
            })
        };
        // Where a condition is valid only behind all those before it, they are evaluated with it.
        self.evaluate(guarded).or_else(|_| self.evaluate(whole().collect()))
    }

    fn evaluate(&self, conditions: Vec<Expr>) -> Result<Vec<Expr>, Failure> {
        let count = conditions.len();
        let numbered = conditions.into_iter().enumerate();
        let policies: Result<Vec<_>, Failure> =
            numbered.map(|(number, condition)| permit_if(number, Arc::new(condition))).collect();
        let left: BTreeMap<PolicyId, Arc<Expr>> = self.known.evaluate(policies?)?;
        let condition = |number: usize| -> Result<Expr, Failure> {
            let left = left.get(&PolicyId::new(number.to_string())).ok_or("a policy without a residual")?;
            Ok(settle(left, self.topic))
        };
        (0..count).map(condition).collect()
    }

    fn summary(&self, answer: Answer, standing: &Result<Standing, Failure>, policies: &[PolicySays]) -> String {
        let (reader, topic) = (&self.known.who.sub, self.topic);
        let what = if self.known.item.is_some() { "this item" } else { "every item" };
        let named = |effect: &str| {
            let applies = |says: &&PolicySays| says.says == Says::Applies && says.effect == effect;
            let names: Vec<String> = policies.iter().filter(applies).map(|says| format!("`{}`", says.name)).collect();
            (!names.is_empty())
                .then(|| format!("polic{} {}", if names.len() == 1 { "y" } else { "ies" }, names.join(", ")))
        };
        match (answer, standing) {
            (_, Err(error)) => {
                format!("{reader} may read nothing of {topic}: the policies could not be evaluated: {error}")
            }
            (Answer::Allow, _) => {
                let why = named("permit").map(|names| format!(": {names} permit it"));
                format!("{reader} may read {what} of {topic}{}", why.unwrap_or_default())
            }
            (Answer::Depends, Ok(standing)) => format!("{reader} may read items of {topic}: {standing}"),
            (Answer::Deny, _) => {
                let what = if self.known.item.is_some() { "may not read this item" } else { "may read no item" };
                let why = match named("forbid") {
                    Some(names) => format!("{names} forbid it"),
                    None => match policies.iter().find(|says| says.effect == "permit" && !says.needed.is_empty()) {
                        Some(nearest) => {
                            format!(
                                "no policy permits it; `{}` would if {}",
                                nearest.name,
                                nearest.needed.join(" and ")
                            )
                        }
                        None => "no policy permits it".to_owned(),
                    },
                };
                format!("{reader} {what} of {topic}: {why}")
            }
        }
    }

    /// What is the case of the things that a condition asks about.
    fn facts(&self, condition: &Expr) -> Vec<String> {
        let mut facts = BTreeSet::new();
        self.collect_facts(condition, &mut facts);
        facts.into_iter().collect()
    }

    fn collect_facts(&self, condition: &Expr, facts: &mut BTreeSet<String>) {
        let Known { who, context, .. } = &self.known;
        let sub = &who.sub;
        let fact = match condition {
            Expr::Var(Var::Principal) => {
                let groups: Vec<&str> = who.groups.iter().map(aups_core::GroupName::as_str).collect();
                let kind = if who.kind == ReaderKind::App { "an app" } else { "a user" };
                let none = groups.is_empty();
                Some(if none {
                    format!("{sub} is {kind}, in no group")
                } else {
                    format!("{sub} is {kind}, in {}", groups.join(", "))
                })
            }
            Expr::GetAttr { expr, attr }
            | Expr::HasAttr { expr, attrs: cedar_policy::pst::NonEmpty { head: attr, .. } } => match &**expr {
                Expr::Var(Var::Principal) => Some(reader_fact(who, attr)),
                Expr::Var(Var::Context) => context.map(|context| request_fact(context, attr)),
                Expr::Var(Var::Resource) if attr == "topic" || attr.starts_with("level") => {
                    Some(format!("the topic is {}", self.topic))
                }
                _ => None,
            },
            _ => None,
        };
        match fact {
            Some(fact) => drop(facts.insert(fact)),
            None => children(condition).for_each(|child| self.collect_facts(child, facts)),
        }
    }
}

fn reader_fact(who: &Principal, attribute: &str) -> String {
    let sub = &who.sub;
    let list = |members: &BTreeSet<String>| members.iter().cloned().collect::<Vec<_>>().join(", ");
    match attribute {
        "roles" if who.attributes.roles.is_empty() => format!("{sub} has no roles"),
        "roles" => format!("{sub} has roles: {}", list(&who.attributes.roles)),
        "purposes" if who.attributes.purposes.is_empty() => format!("{sub} has no purposes"),
        "purposes" => format!("{sub} has purposes: {}", list(&who.attributes.purposes)),
        "org" if who.attributes.org.is_empty() => format!("{sub} has no org"),
        "org" => format!("{sub}'s org is {:?}", who.attributes.org),
        "clearance" => format!("{sub}'s clearance is {}", who.attributes.clearance),
        other => format!("{sub} has no {other}"),
    }
}

fn request_fact(context: &RequestContext, attribute: &str) -> String {
    match (attribute, context.at, context.address) {
        ("at", Some(at), _) => format!("the request is of {at}"),
        ("at", None, _) => "the time of the request is not known".to_owned(),
        (_, _, Some(address)) => format!("the request is from {address}"),
        (_, _, None) => "the address of the request is not known".to_owned(),
    }
}

impl Finding<'_> {
    /// Those that decide first, forbids before permits; then permits that do not apply, for this topic and nearly first.
    fn rank(&self) -> (Says, bool, bool, usize) {
        let permit = self.rule.effect() == Effect::Permit;
        let first = if self.says == Says::DoesNotApply { !permit } else { permit };
        (self.says, first, !self.covers, self.parts.iter().filter(|part| part.fails()).count())
    }

    fn told(&self, question: &Question<'_>) -> PolicySays {
        let permit = self.rule.effect() == Effect::Permit;
        let (why, needed) = match self.says {
            Says::Applies => (self.why_it_applies(), if permit { Vec::new() } else { self.what_would_spare() }),
            Says::Depends => {
                let open = || self.parts.iter().filter(|part| part.is_open());
                let why = open().map(|part| words(&part.left)).collect();
                (why, open().map(|part| if permit { words(&part.left) } else { opposite(&part.left) }).collect())
            }
            Says::DoesNotApply => {
                (self.why_it_does_not(question), if permit { self.what_would_serve() } else { Vec::new() })
            }
        };
        let effect = self.rule.effect().to_string();
        PolicySays { name: self.rule.name().to_owned(), effect, says: self.says, why, needed }
    }

    fn why_it_applies(&self) -> Vec<String> {
        let topic = self.rule.subtree.0.iter().map(|top| format!("the topic is {top} or below it"));
        let parts = self.parts.iter().map(|part| if part.fails() { failure(part) } else { words(&part.asked) });
        topic.chain(parts).collect()
    }

    fn why_it_does_not(&self, question: &Question<'_>) -> Vec<String> {
        let topic = (!self.covers).then(|| format!("its topic is {}, not {}", self.rule.subtree, question.topic));
        let failing = self.parts.iter().filter(|part| part.fails()).map(|part| {
            if part.outcomes().failure {
                return failure(part);
            }
            let facts = question.facts(&part.asked);
            if facts.is_empty() { words(&part.asked) } else { format!("{} ({})", words(&part.asked), facts.join("; ")) }
        });
        topic.into_iter().chain(failing).collect()
    }

    fn what_would_serve(&self) -> Vec<String> {
        let topic = self.rule.subtree.0.iter().filter(|_| !self.covers);
        let topic = topic.map(|top| format!("the topic is {top} or below it"));
        let parts = self.parts.iter().filter(|part| part.fails() || part.is_open());
        topic.chain(parts.map(|part| words(&part.asked))).collect()
    }

    fn what_would_spare(&self) -> Vec<String> {
        self.parts.iter().map(|part| opposite(&part.asked)).collect()
    }
}

fn failure(part: &Part) -> String {
    format!("`{}` fails to evaluate", part.asked)
}

/// The conditions that must all hold.
fn conjuncts(conditions: &[Expr]) -> Vec<Expr> {
    let mut parts = Vec::new();
    for condition in conditions {
        match condition {
            // unless { a || b }
            Expr::UnaryOp { op: UnaryOp::Not, expr } => {
                let mut none_of = Vec::new();
                flatten(expr, BinaryOp::Or, &mut none_of);
                let not = |part: &Expr| Expr::UnaryOp { op: UnaryOp::Not, expr: Arc::new(part.clone()) };
                parts.extend(none_of.into_iter().map(not));
            }
            other => {
                let mut all_of = Vec::new();
                flatten(other, BinaryOp::And, &mut all_of);
                parts.extend(all_of.into_iter().cloned());
            }
        }
    }
    parts
}

fn and(left: Expr, right: Expr) -> Expr {
    Expr::BinaryOp { op: BinaryOp::And, left: Arc::new(left), right: Arc::new(right) }
}

fn asks_for_presence(condition: &Expr) -> bool {
    matches!(condition, Expr::HasAttr { .. } | Expr::BinaryOp { op: BinaryOp::HasTag, .. })
        || children(condition).any(asks_for_presence)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary)?;
        for policy in &self.policies {
            write!(f, "\n{policy}")?;
        }
        if self.policies_left_out > 0 {
            writeln!(f, "\n{} more policies do not apply", self.policies_left_out)?;
        }
        let verdict = if self.subscribe.accepted { "accepted" } else { "refused" };
        write!(f, "\nsubscribing to {}: {verdict}: {}", self.topic, self.subscribe.reason)?;
        if !self.subscribe.filters.is_empty() {
            let filters: Vec<&str> = self.subscribe.filters.iter().map(Filter::as_str).collect();
            write!(f, "\nwhat it may subscribe to there: {}", filters.join(" "))?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicySays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} {}", self.effect, self.name, self.says)?;
        let reason = match self.says {
            Says::Applies => "because",
            Says::Depends => "on whether",
            Says::DoesNotApply => "does not hold:",
        };
        for why in &self.why {
            writeln!(f, "  {reason} {why}")?;
        }
        if self.effect == "forbid" && !self.needed.is_empty() {
            writeln!(f, "  would not if {}", self.needed.join(", or if "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
