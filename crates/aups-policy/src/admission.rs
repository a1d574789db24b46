//! Admission: the only way from a text to a policy set that decides anything.

use crate::{
    claim::{Claims, Distinctions},
    mention::{Mentions, Misuse},
    outcome::holds_failure,
    rights::Subtree,
    schema::Schema,
    statement::{Statement, TokenKind, statements},
    terms::Terms,
    vocabulary::Vocabulary,
};
use aups_core::ReaderKind;
use cedar_policy::{
    Effect, PartialEntities, PartialEntityUid, PartialRequest, Policy, PolicyId, ValidationError, ValidationMode,
    Validator,
    ffi::DetailedError,
    pst::{self, Clause, EntityOrSlot, Expr, PrincipalConstraint, ResourceConstraint, Template},
};
use serde::Serialize;
use std::collections::HashMap;
use thiserror::Error;

/// Longest text of a policy set, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4 << 20;
/// Most policies of a set.
pub const POLICIES_MAX: usize = 10_000;
/// Most errors that are reported of one text; the first ones.
pub const ERRORS_MAX: usize = 100;

/// Something in a policy text that is not taken: the author's to mend.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Error)]
#[error("{line}:{column}: {message}; {help}")]
pub struct PolicyError {
    /// Line of the text, from 1.
    pub line: usize,
    /// Column of the line, in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// An admitted policy set: parsed, named, within limits, valid against its schema, silent about what it must not speak of.
#[derive(Debug, Clone)]
pub struct PolicySet {
    pub(crate) schema: Schema,
    source: Box<str>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) claims: Claims,
}

/// One admitted policy.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// The policy under its name.
    pub(crate) policy: Policy,
    /// The policy without its clause on the resource: what is left to decide of a reader once the topic is settled.
    pub(crate) anywhere: Policy,
    /// Which readers its head lets in.
    pub(crate) readers: PrincipalConstraint,
    /// The topics that its head names.
    pub(crate) subtree: Subtree,
    /// What its conditions mention.
    pub(crate) mentions: Mentions,
    /// By what its conditions tell items apart.
    pub(crate) distinctions: Distinctions,
    /// The same number for all policies of the set that say the same of a reader once their topic clauses are satisfied.
    pub(crate) shape: u32,
    pub(crate) terms: Terms,
}

impl PolicySet {
    /// Admits a text under the schema that ships: [`PolicySet::parse_in`].
    pub fn parse(source: &str, stem: &str) -> Result<Self, Vec<PolicyError>> {
        Self::parse_in(&Schema::shipped(), source, stem)
    }

    /// Admits a text under a schema, or says all that is wrong with it, in order of place. `stem` names policies that have
    /// no `@id`: `<stem>-1` is the first policy of the text.
    ///
    /// Cost: about 100 µs per policy.
    pub fn parse_in(schema: &Schema, source: &str, stem: &str) -> Result<Self, Vec<PolicyError>> {
        let (rules, offsets, shapes, errors) = (Vec::new(), HashMap::new(), HashMap::new(), Vec::new());
        let claims = Claims::default();
        let mut admission = Admission { schema, source, stem, rules, offsets, shapes, claims, errors };
        if source.len() > SOURCE_BYTES_MAX {
            let message = format!("a policy set has at most {SOURCE_BYTES_MAX} bytes of text");
            admission.blame(0, message, "remove policies that no longer apply");
            return admission.finish();
        }
        for (index, statement) in statements(source).enumerate() {
            if index == POLICIES_MAX {
                let message = format!("a policy set has at most {POLICIES_MAX} policies");
                admission.blame(statement.offset, message, "grant to groups and roles rather than one by one");
                break;
            }
            admission.take(index + 1, &statement);
        }
        admission.validate();
        admission.refuse_certain_failures();
        admission.finish()
    }

    /// No policies, under the schema that ships: nobody reads anything.
    pub fn empty() -> Self {
        Self { schema: Schema::shipped(), source: "".into(), rules: Vec::new(), claims: Claims::default() }
    }

    /// The schema under which the text was admitted.
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The text, to the letter.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The names of the policies, in the order of the text.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(Rule::name)
    }
}

impl Rule {
    pub(crate) fn name(&self) -> &str {
        self.policy.id().as_ref()
    }

    pub(crate) fn effect(&self) -> Effect {
        self.policy.effect()
    }

    /// All that decides to whom it applies and to what, as a text.
    pub(crate) fn demand(&self) -> String {
        let conditions: Vec<String> = self.conditions().iter().map(ToString::to_string).collect();
        format!("{} {:?} {} {}", self.effect(), self.readers, self.subtree, conditions.join("\n"))
    }

    /// What its clauses demand, one after the other; those of `unless` negated.
    pub(crate) fn conditions(&self) -> Vec<Expr> {
        let clause = |clause: &Clause| match clause {
            Clause::When(expr) => Expr::clone(expr),
            Clause::Unless(expr) => Expr::UnaryOp { op: pst::UnaryOp::Not, expr: expr.clone() },
        };
        // Admission has parsed it before.
        let parsed = self.policy.to_pst();
        parsed.map(|policy| policy.body().clauses().iter().map(clause).collect()).unwrap_or_default()
    }
}

struct Admission<'a> {
    schema: &'a Schema,
    source: &'a str,
    stem: &'a str,
    rules: Vec<Rule>,
    /// Where the policy of a name starts.
    offsets: HashMap<PolicyId, usize>,
    /// What policies say besides their topic clauses, with a number each.
    shapes: HashMap<String, u32>,
    claims: Claims,
    errors: Vec<PolicyError>,
}

impl Admission<'_> {
    fn take(&mut self, number: usize, statement: &Statement<'_>) {
        if let Some((offset, message)) = statement.beyond_limits() {
            return self.blame(offset, message, "split the policy in several");
        }
        let policy = match Policy::parse(None, statement.text) {
            Ok(policy) => policy,
            Err(error) => return self.blame_parser(statement, &DetailedError::from(&error)),
        };
        let name = PolicyId::new(match policy.annotation("id") {
            Some(name) => name.to_owned(),
            None => format!("{}-{number}", self.stem),
        });
        let terms = Terms::read(policy.annotations()).unwrap_or_else(|faults| {
            for fault in faults {
                self.blame(statement.find(&["@", &fault.annotation]), fault.message, fault.help);
            }
            Terms::default()
        });
        if self.offsets.insert(name.clone(), statement.offset).is_some() {
            let message = format!("a second policy is named `{name}`");
            return self.blame(statement.find(&["@", "id"]), message, "give each policy an `@id` of its own");
        }
        let policy = policy.new_id(name);
        match self.rule(policy, terms) {
            Ok((rule, misuses)) => {
                for misuse in misuses {
                    self.blame(misuse.place(statement), misuse.to_string(), misuse.help());
                }
                self.rules.push(rule);
            }
            Err(error) => self.blame(statement.offset, error.to_string(), "write the policy in a simpler way"),
        }
    }

    fn rule(&mut self, policy: Policy, terms: Terms) -> Result<(Rule, Vec<Misuse>), pst::PstConstructionError> {
        let parsed = policy.to_pst()?;
        let body = parsed.body();
        let (mut head, mut mentions, mut misuses) = (Mentions::default(), Mentions::default(), Vec::new());
        match &body.resource {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => {}
            ResourceConstraint::In(EntityOrSlot::Entity(name))
            | ResourceConstraint::IsIn(_, EntityOrSlot::Entity(name)) => head.add_topic(name, &mut misuses),
            _ => misuses.push(Misuse::BareItem),
        }
        let mut distinctions = Distinctions::default();
        let subtree = Subtree(head.topics.pop_first());
        for condition in conditions(body) {
            mentions.add(condition, self.schema, &mut misuses);
            self.claims.add(condition, self.schema, &mut distinctions);
        }
        let anywhere = if subtree.0.is_some() { Policy::from_pst(anywhere(body)?)? } else { policy.clone() };
        let readers = body.principal.clone();
        let next = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        let shape = *self.shapes.entry(format!("{:?} {readers:?} {:?}", body.effect, body.clauses())).or_insert(next);
        Ok((Rule { policy, anywhere, readers, subtree, mentions, distinctions, shape, terms }, misuses))
    }

    /// Strict validation against the schema, of all policies at once.
    fn validate(&mut self) {
        let policies = match cedar_policy::PolicySet::from_policies(self.rules.iter().map(|rule| rule.policy.clone())) {
            Ok(policies) => policies,
            Err(error) => return self.blame(0, error.to_string(), "give each policy an `@id` of its own"),
        };
        let validator = Validator::new(self.schema.cedar().clone());
        for error in validator.validate(&policies, ValidationMode::Strict).validation_errors() {
            let start = self.offsets.get(error.policy_id()).copied().unwrap_or_default();
            let mut details = DetailedError::from(error);
            if let Some(help) = validation_help(error) {
                details.help = Some(help.to_owned());
            }
            self.blame_details(start, &details);
        }
    }

    /// Refuses conditions of which a part fails whoever asks and whatever the item, such as an overflow of constants.
    /// Partial evaluation would turn it into an error that no text can express.
    fn refuse_certain_failures(&mut self) {
        if !self.errors.is_empty() {
            return;
        }
        for kind in [ReaderKind::User, ReaderKind::App] {
            match certain_failures(&self.rules, kind, self.schema) {
                Ok(names) => {
                    for name in names {
                        let start = self.offsets.get(&name).copied().unwrap_or_default();
                        let message = format!("for policy `{name}`, a part of the condition always fails");
                        self.blame(
                            start,
                            message,
                            "numbers lie within ±9223372036854775807: take out the sum that leaves them",
                        );
                    }
                }
                Err(error) => self.blame(0, error.to_string(), "this is a defect of aups: please report the policies"),
            }
        }
    }

    fn finish(mut self) -> Result<PolicySet, Vec<PolicyError>> {
        if self.errors.is_empty() {
            let (schema, source) = (self.schema.clone(), self.source.into());
            return Ok(PolicySet { schema, source, rules: self.rules, claims: self.claims });
        }
        self.errors.sort();
        self.errors.dedup();
        self.errors.truncate(ERRORS_MAX);
        Err(self.errors)
    }

    fn blame_parser(&mut self, statement: &Statement<'_>, details: &DetailedError) {
        let slot = statement.tokens.windows(2).find(|pair| matches!(pair, [sign, _] if sign.text == "?"));
        if let Some([sign, ..]) = slot {
            let help = "write a policy per reader, group or topic: `principal in Group::\"…\"`";
            return self.blame(sign.offset, "templates are not taken".to_owned(), help);
        }
        self.blame_details(statement.offset, details);
        for further in &details.related {
            self.blame_details(statement.offset, further);
        }
    }

    /// Takes over what Cedar says; its places count from the start of the statement.
    fn blame_details(&mut self, start: usize, details: &DetailedError) {
        let label = details.source_locations.first();
        let offset = start + label.map_or(0, |label| label.loc.start);
        let help = details.help.clone().or_else(|| label.and_then(|label| label.label.clone()));
        let fallback =
            "a policy reads `permit(principal, action == Action::\"receive\", resource in Topic::\"…\") when { … };`";
        self.blame(offset, details.message.clone(), help.unwrap_or_else(|| fallback.to_owned()));
    }

    fn blame(&mut self, offset: usize, message: String, help: impl Into<String>) {
        let (line, column) = place(self.source, offset);
        self.errors.push(PolicyError { line, column, message, help: help.into() });
    }
}

impl Misuse {
    /// Where in the statement it stands, as far as the tokens tell.
    fn place(&self, statement: &Statement<'_>) -> usize {
        let text = |name: &str| statement.find(&[&format!("\"{name}\"")]);
        match self {
            Self::NamedItem(name) | Self::TopicElsewhere(name) | Self::NoTopicName(name) => text(name),
            Self::BareItem => {
                // The first `resource` belongs to the head. What may follow one: an access, `has`, `in`, `is`.
                let bare = statement.tokens.windows(2).find(|pair| {
                    matches!(pair, [word, next] if word.text == "resource"
                        && !matches!(next.text, "." | "[" | "has" | "in" | "is" | "," | ")"))
                });
                let last = || statement.tokens.iter().rfind(|token| token.text == "resource");
                bare.and_then(<[_]>::first).or_else(last).map_or(statement.offset, |token| token.offset)
            }
            Self::UnknownAttribute { name, .. } => statement.find(&["has", name.split('.').next().unwrap_or_default()]),
            Self::ComputedTag => {
                let computed = statement.tokens.windows(3).find(|window| {
                    matches!(window, [call, _, name]
                        if matches!(call.text, "hasTag" | "getTag") && name.kind != TokenKind::Text)
                });
                computed.and_then(<[_]>::last).map_or(statement.offset, |token| token.offset)
            }
            Self::UnknownForm => statement.offset,
        }
    }
}

/// The expressions of the `when` and `unless` clauses.
pub(crate) fn conditions(body: &Template) -> impl Iterator<Item = &Expr> {
    body.clauses().iter().map(|clause| match clause {
        Clause::When(expr) | Clause::Unless(expr) => &**expr,
    })
}

/// The policy with every topic in its head.
fn anywhere(body: &Template) -> Result<pst::Policy, pst::PstConstructionError> {
    let Template { id, effect, principal, action, .. } = body.clone();
    let head = Template::new(id, effect, principal, action, ResourceConstraint::Any);
    let policy = head.try_with_clauses(body.clauses().iter().cloned())?;
    Ok(pst::Policy::Static(policy.try_into()?))
}

fn certain_failures(
    rules: &[Rule],
    kind: ReaderKind,
    schema: &Schema,
) -> Result<Vec<PolicyId>, Box<dyn std::error::Error>> {
    let (vocabulary, schema) = (Vocabulary::get(), schema.cedar());
    let policies = cedar_policy::PolicySet::from_policies(rules.iter().map(|rule| rule.policy.clone()))?;
    let nobody = PartialEntityUid::new(vocabulary.reader_type(kind).clone(), None);
    let nothing = PartialEntityUid::new(vocabulary.item_type.clone(), None);
    let request = PartialRequest::new(nobody, vocabulary.receive.clone(), nothing, None, schema)?;
    let entities = PartialEntities::empty();
    let response = policies.tpe(&request, &entities, schema)?;
    let mut names = Vec::new();
    for residual in response.policies() {
        if conditions(residual.to_pst()?.body()).any(holds_failure) {
            names.push(residual.id().clone());
        }
    }
    Ok(names)
}

/// Advice where Cedar has none, or one that does not fit here.
fn validation_help(error: &ValidationError) -> Option<&'static str> {
    Some(match error {
        ValidationError::UnexpectedType(_) if error.to_string().contains("decimal") => {
            "decimals are compared by `.lessThan(…)`, `.lessThanOrEqual(…)`, `.greaterThan(…)` and \
             `.greaterThanOrEqual(…)`, with `decimal(\"0.80\")` as the other side"
        }
        ValidationError::UnsafeOptionalAttributeAccess(_) => {
            "not everything has it: ask first, as in `resource has value && resource.value …`"
        }
        ValidationError::NonLitExtConstructor(_) => "write the value out, as in `decimal(\"0.80\")`",
        ValidationError::EmptySetForbidden(_) => "ask for an empty set by `.isEmpty()`",
        ValidationError::UnexpectedType(_) | ValidationError::IncompatibleTypes(_) => {
            "the guide lists what a policy may ask about, and of which type it is"
        }
        _ => return None,
    })
}

/// Line and column, in characters, of a byte offset.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
