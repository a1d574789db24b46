//! Why a reader may read an item, or items of a topic, or may not: in words, for administrators.

use crate::{
    FilterVerdict, Pdp, RequestContext, Resource, Standing,
    admission::Rule,
    compare::Comparer,
    item,
    outcome::{Outcomes, children},
    partial::{Known, permit_if},
    reader::Failure,
    rights::lets_in,
    settle::{settle, truth},
    words::{flatten, guards, head, opposite, text, words},
};
use aups_core::{AttributeValue, Attributes, Filter, GroupName, Item, Marks, Principal, ReaderKind, Sub, Topic};
use cedar_policy::{
    Effect, PolicyId,
    pst::{BinaryOp, Expr, UnaryOp, Var},
};
use serde::{Deserialize, Serialize};
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The same of the app that registered it, which must be allowed as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Box<Explanation>>,
}

/// Whether a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Depends => "depends",
        })
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// does not have is absent. But if neither the item nor anything of the request is known, the question is about all of
    /// both.
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
        let nothing_known = item.is_none() && *context == RequestContext::default();
        let context = (!nothing_known).then_some(context);
        self.explain_question(&Question { known: Known { schema: &self.set().schema, who, item, context }, topic })
    }

    fn explain_question(&self, question: &Question<'_>) -> Explanation {
        let Question { known, topic } = question;
        let mut explanation = self.explain_own(question);
        if let Some(app) = known.who.app.as_deref() {
            let of_app = self.explain_question(&Question { known: Known { who: app, ..*known }, topic });
            (explanation.answer, _) = self.answer(known, known.who, topic);
            let sub = &known.who.sub;
            let both = format!("{sub} was registered by an app, and may read what both may");
            explanation.summary = format!("{}. {both}: {}", explanation.summary, of_app.summary);
            explanation.app = Some(Box::new(of_app));
        }
        explanation
    }

    /// Without the app that registered the reader, if one did; but whether it may subscribe is the same in both.
    fn explain_own(&self, question: &Question<'_>) -> Explanation {
        let Question { known, topic } = question;
        let alone = Principal { app: None, ..known.who.clone() };
        let (answer, standing) = self.answer(known, &alone, topic);
        let mut findings: Vec<Finding<'_>> = self.rules_for(topic).map(|rule| question.ask(rule, true)).collect();
        let elsewhere =
            self.set().rules.iter().filter(|rule| !rule.subtree.holds(topic) && rule.effect() == Effect::Permit);
        findings.extend(elsewhere.take(WEIGHED_MAX).map(|rule| question.ask(rule, false)));
        let deciding = findings.iter().filter(|finding| finding.says != Says::DoesNotApply).count();
        findings.sort_by_key(Finding::rank);
        findings.truncate(deciding + EXPLAINED_MAX);
        let policies: Vec<PolicySays> = findings.iter().map(|finding| finding.told(question)).collect();
        Explanation {
            reader: known.who.sub.clone(),
            kind: known.who.kind,
            topic: Topic::clone(topic),
            answer,
            summary: question.summary(answer, &standing, &policies),
            policies_left_out: self.set().len() - policies.len(),
            policies,
            subscribe: self.subscription(known.who, topic),
            app: None,
        }
    }

    fn answer(&self, known: &Known<'_>, who: &Principal, topic: &Topic) -> (Answer, Result<Standing, Failure>) {
        if let (Some(item), Some(context)) = (&known.item, known.context) {
            let allow = self.decide(who, item, context).allow;
            return (if allow { Answer::Allow } else { Answer::Deny }, Ok(Standing::Always));
        }
        let standing = self.standing_of(&Known { who, ..*known }, topic);
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
        // What asks only whether something is there that another part asks about goes without saying.
        let mut told: Vec<Part> = Vec::new();
        while let Some(part) = parts.pop() {
            if !told.iter().any(|later| guards(&part.asked, &later.asked)) {
                told.push(part);
            }
        }
        told.reverse();
        Finding { rule, covers, says, parts: told }
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
        self.evaluate(guarded)
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
            match names.as_slice() {
                [] => None,
                [one] => Some(format!("policy {one} {effect}s it")),
                several => Some(format!("policies {} {effect} it", several.join(", "))),
            }
        };
        match (answer, standing) {
            (_, Err(error)) => {
                format!("{reader} may read nothing of {topic}: the policies could not be evaluated: {error}")
            }
            (Answer::Allow, _) => {
                let why = named("permit").map(|policies| format!(": {policies}"));
                format!("{reader} may read {what} of {topic}{}", why.unwrap_or_default())
            }
            (Answer::Depends, Ok(standing)) => format!("{reader} may read items of {topic}: {standing}"),
            (Answer::Deny, _) => {
                let what = if self.known.item.is_some() { "may not read this item" } else { "may read no item" };
                let why = match named("forbid") {
                    Some(policies) => policies,
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
        match self.fact(condition) {
            Some(fact) => drop(facts.insert(fact)),
            None => children(condition).for_each(|child| self.collect_facts(child, facts)),
        }
    }

    /// What is the case of the one thing that an expression reads. `None` for any other expression.
    fn fact(&self, expr: &Expr) -> Option<String> {
        let (of, mut path) = read_by(expr)?;
        let Known { who, context, item, schema } = &self.known;
        match (of, path.as_slice()) {
            (Var::Principal, []) => Some(membership(who)),
            (Var::Principal, [name]) => Some(reader_fact(who, name)),
            (Var::Principal, ["tags", name]) => Some(tag_fact(who.sub.as_str(), name, &who.attributes.tags)),
            (Var::Context, [name]) => context.map(|context| request_fact(context, name)),
            (Var::Resource, [name]) if *name == "topic" || name.starts_with("level") => {
                Some(format!("the topic is {}", self.topic))
            }
            (Var::Resource, []) => None,
            (Var::Resource, ["tags", name]) => item.map(|item| tag_fact("the item", name, &item.marks.tags)),
            (Var::Resource, _) => {
                path.truncate(2);
                item.as_ref().and_then(|item| item::fact(&path, item, schema))
            }
            _ => None,
        }
    }
}

/// Whose attribute an expression reads or asks for: `["quality", "accuracy"]`, `["tags", "owner"]`, `[]` for all of it.
fn read_by(expr: &Expr) -> Option<(&Var, Vec<&str>)> {
    match expr {
        Expr::Var(var) => Some((var, Vec::new())),
        Expr::GetAttr { expr, attr } => {
            let (var, mut path) = read_by(expr)?;
            path.push(attr);
            Some((var, path))
        }
        Expr::HasAttr { expr, attrs } => {
            let (var, mut path) = read_by(expr)?;
            path.extend(attrs.iter().map(AsRef::<str>::as_ref));
            Some((var, path))
        }
        Expr::BinaryOp { op: BinaryOp::GetTag | BinaryOp::HasTag, left, right } => match &**left {
            Expr::Var(var) => Some((var, vec!["tags", text(right)?])),
            _ => None,
        },
        _ => None,
    }
}

fn membership(who: &Principal) -> String {
    let groups: Vec<&str> = who.groups.iter().map(GroupName::as_str).collect();
    let kind = if who.kind == ReaderKind::App { "an app" } else { "a user" };
    let groups = if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") };
    format!("{} is {kind}, in {groups}", who.sub)
}

fn reader_fact(who: &Principal, attribute: &str) -> String {
    let Attributes { roles, org, clearance, purposes, tags: _, further } = &who.attributes;
    let sub = &who.sub;
    let list = |name: &str, members: &BTreeSet<String>| {
        let members: Vec<&str> = members.iter().map(String::as_str).collect();
        if members.is_empty() {
            format!("{sub} has no {name}")
        } else {
            format!("{sub} has {name}: {}", members.join(", "))
        }
    };
    match (attribute, further.get(attribute)) {
        ("roles", _) => list("roles", roles),
        ("purposes", _) => list("purposes", purposes),
        ("org", _) if org.is_empty() => format!("{sub} has no org"),
        ("org", _) => format!("{sub}'s org is {org:?}"),
        ("clearance", _) => format!("{sub}'s clearance is {clearance}"),
        (name, None) => format!("{sub} has no {name}"),
        (name, Some(AttributeValue::Texts(members))) => list(name, members),
        (name, Some(AttributeValue::Text(text))) => format!("{sub}'s {name} is {text:?}"),
        (name, Some(AttributeValue::Truth(truth))) => format!("{sub}'s {name} is {truth}"),
        (name, Some(AttributeValue::Number(number))) => format!("{sub}'s {name} is {number}"),
    }
}

fn tag_fact(whose: &str, name: &str, tags: &BTreeMap<String, String>) -> String {
    match tags.get(name) {
        Some(text) => format!("tag {name:?} of {whose} is {text:?}"),
        None => format!("{whose} has no tag {name:?}"),
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
        let topic = self.rule.subtree.0.iter().map(topic_words);
        let parts = self.parts.iter().map(|part| if part.fails() { failure(part) } else { words(&part.asked) });
        topic.chain(parts).collect()
    }

    fn why_it_does_not(&self, question: &Question<'_>) -> Vec<String> {
        let topic = self.rule.subtree.0.iter().filter(|_| !self.covers);
        let topic = topic.map(|top| format!("{} (it is {})", topic_words(top), question.topic));
        let failing = self.parts.iter().filter(|part| part.fails()).map(|part| {
            if part.outcomes().failure {
                return failure(part);
            }
            let facts = question.facts(&part.asked);
            if facts.is_empty() { words(&part.asked) } else { format!("{} ({})", words(&part.asked), facts.join("; ")) }
        });
        topic.chain(failing).collect()
    }

    fn what_would_serve(&self) -> Vec<String> {
        let topic = self.rule.subtree.0.iter().filter(|_| !self.covers);
        let topic = topic.map(topic_words);
        let parts = self.parts.iter().filter(|part| part.fails() || part.is_open());
        topic.chain(parts.map(|part| words(&part.asked))).collect()
    }

    fn what_would_spare(&self) -> Vec<String> {
        self.parts.iter().map(|part| opposite(&part.asked)).collect()
    }
}

fn topic_words(top: &Topic) -> String {
    format!("the topic is {top} or below it")
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
        self.fmt_policies(f)?;
        let mut under = self.app.as_deref();
        while let Some(app) = under {
            writeln!(f, "\nthe app {}:", app.reader)?;
            app.fmt_policies(f)?;
            under = app.app.as_deref();
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

impl Explanation {
    fn fmt_policies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for policy in &self.policies {
            write!(f, "\n{policy}")?;
        }
        if self.policies_left_out > 0 {
            writeln!(f, "\n{} more policies do not apply", self.policies_left_out)?;
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
