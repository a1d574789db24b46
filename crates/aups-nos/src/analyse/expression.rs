//! Expressions in CEL (cel.dev) that an administrator puts in place of a formula.
//!
//! What an expression can cost is bounded before it runs: its length, its nesting, the functions and variables that it may
//! name. There are no loops (`all`, `exists`, `map`, `filter` are refused), no regular expressions, and what it sees of a
//! reading are single numbers, texts and truth values, few and short. So it costs about as much as it is long.

use super::{
    Inputs, Observed, Subject,
    rules::{Check, OverrideRule},
};
use aups_core::{Reading, Score, ScoreName, Source};
use cel::{
    Context, Env, Program, Value,
    common::ast::{Expr, IdedExpr},
    objects::Key,
};
use serde_json::value::RawValue;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    thread,
};
use thiserror::Error;

/// Longest expression.
pub const EXPRESSION_BYTES_MAX: usize = 1_024;
/// Deepest nesting of brackets and conditions as written.
const BRACKETS_DEPTH_MAX: usize = 16;
/// Deepest nesting of operations; a chain such as `a + b + c` has one for each operator.
const OPERATIONS_DEPTH_MAX: usize = 32;
/// Most members of a reading that an expression sees, in the order in which they came.
const MEMBERS_SEEN_MAX: usize = 64;
/// Longest text that an expression sees; a longer one is not there for it.
const TEXT_SEEN_BYTES_MAX: usize = 256;
/// Room for the parser, which needs a lot of it for each bracket: its own thread's, so that it is never our caller's.
const PARSER_STACK_BYTES: usize = 32 << 20;

/// What an expression may name.
const VARIABLES: [&str; 6] = ["data", "source", "arrival", "receivedAt", "default", "history"];
/// What it may call, operators among them: each costs about as much as its arguments are long.
const FUNCTIONS: [&str; 24] = [
    "_?_:_",
    "_&&_",
    "_||_",
    "!_",
    "-_",
    "_+_",
    "_-_",
    "_*_",
    "_/_",
    "_%_",
    "_==_",
    "_!=_",
    "_<_",
    "_<=_",
    "_>_",
    "_>=_",
    "@in",
    "_[_]",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "double",
    "int",
];

/// The language: CEL's standard library, without what is optional in it.
static LANGUAGE: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// An expression that is not taken. Its author is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Too long.
    #[error("must have at most {EXPRESSION_BYTES_MAX} bytes")]
    Long,
    /// Too deep.
    #[error(
        "is nested too deeply: at most {BRACKETS_DEPTH_MAX} brackets and conditions, and {OPERATIONS_DEPTH_MAX} operations"
    )]
    Deep,
    /// Not CEL.
    #[error("is not CEL: {0}")]
    Malformed(String),
    /// A name that there is not.
    #[error("there is no `{0}` here; there are {known}", known = VARIABLES.join(", "))]
    Variable(String),
    /// A function that there is not.
    #[error(
        "there is no `{0}` here; besides operators there are has, size, contains, startsWith, endsWith, double and int"
    )]
    Function(String),
    /// Something that could run for long.
    #[error("must not loop or build maps: all, exists, map, filter, {{…}} are not taken")]
    Unbounded,
}

/// An expression that gave no score. Its author is at fault; the formula's score stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum EvaluationError {
    #[error("{0}")]
    Failed(String),
    #[error("`when` says {0}, neither true nor false")]
    NoTruth(String),
    #[error("`value` says {0}, no number from 0 to 1")]
    NoScore(String),
}

/// What is put in place of a formula.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) score: ScoreName,
    when: Option<Program>,
    value: Program,
    /// The variables that it names: no others are made ready.
    variables: Vec<&'static str>,
}

impl Override {
    /// All that are valid; tells of the others.
    pub(super) fn all(rules: &[OverrideRule], check: &mut Check) -> Vec<Self> {
        if rules.is_empty() {
            return Vec::new();
        }
        let compiled = rules.iter().enumerate().filter_map(|(number, OverrideRule { score, when, value })| {
            let mut part = |member, text| {
                let told = |error: &ExpressionError| check.expression(number, member, error);
                compile(text).inspect_err(told).ok()
            };
            let when = when.as_ref().map(|when| part("when", when));
            let value = part("value", value);
            let (when, value) = (when.map_or(Some(None), |when| when.map(Some))?, value?);
            let names = |variable: &&str| {
                when.iter().chain([&value]).any(|program| program.references().has_variable(variable))
            };
            let variables = VARIABLES.into_iter().filter(names).collect();
            Some(Self { score: *score, when, value, variables })
        });
        compiled.collect()
    }
}

/// An expression, checked.
fn compile(text: &str) -> Result<Program, ExpressionError> {
    if text.len() > EXPRESSION_BYTES_MAX {
        return Err(ExpressionError::Long);
    }
    if brackets_depth(text) > BRACKETS_DEPTH_MAX {
        return Err(ExpressionError::Deep);
    }
    let source = text.to_owned();
    let parser = thread::Builder::new()
        .stack_size(PARSER_STACK_BYTES)
        .spawn(move || LANGUAGE.compile(&source).map_err(|errors| first_line(&errors.to_string())));
    let parsed = parser.map_err(|error| ExpressionError::Malformed(format!("no thread to read it: {error}")))?.join();
    let parsed = parsed.map_err(|_| ExpressionError::Malformed("the parser gave up".into()))?;
    let program = parsed.map_err(ExpressionError::Malformed)?;
    bounded(program.expression(), OPERATIONS_DEPTH_MAX)?;
    Ok(program)
}

/// Deepest nesting of brackets, and the conditions on top of it. Brackets in texts count, too: it is a limit, not a grammar.
fn brackets_depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest + text.bytes().filter(|byte| *byte == b'?').count()
}

fn first_line(text: &str) -> String {
    text.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason given").trim().to_owned()
}

/// Whether an expression names only what there is, and nothing that could run for long.
fn bounded(expression: &IdedExpr, depth_left: usize) -> Result<(), ExpressionError> {
    let Some(depth_left) = depth_left.checked_sub(1) else { return Err(ExpressionError::Deep) };
    match &expression.expr {
        Expr::Literal(_) => Ok(()),
        Expr::Ident(name) if VARIABLES.contains(&name.as_str()) => Ok(()),
        Expr::Ident(name) => Err(ExpressionError::Variable(name.clone())),
        Expr::Select(select) => bounded(&select.operand, depth_left),
        Expr::List(list) => list.elements.iter().try_for_each(|element| bounded(element, depth_left)),
        Expr::Call(call) if !FUNCTIONS.contains(&call.func_name.as_str()) => {
            Err(ExpressionError::Function(call.func_name.clone()))
        }
        Expr::Call(call) => {
            let target = call.target.as_deref().into_iter();
            target.chain(&call.args).try_for_each(|part| bounded(part, depth_left))
        }
        Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => Err(ExpressionError::Unbounded),
    }
}

/// What expressions see of an item.
pub(super) struct Scope(Context<'static, 'static>);

impl Scope {
    /// What the variables are that the expressions name. Some microseconds.
    pub(super) fn of(subject: &Subject<'_>, inputs: &Inputs, overrides: &[Override]) -> Self {
        let mut scope = Context::with_env(Arc::clone(&LANGUAGE));
        for variable in VARIABLES {
            if overrides.iter().any(|rule| rule.variables.contains(&variable)) {
                scope.add_variable_from_value(variable, Self::variable(variable, subject, inputs));
            }
        }
        Self(scope)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 are exact in a double until the year 287396"
    )]
    fn variable(name: &str, subject: &Subject<'_>, inputs: &Inputs) -> Value {
        match name {
            "data" => data(subject.reading).into(),
            "source" => source(subject.source).into(),
            "arrival" => arrival(inputs).into(),
            "receivedAt" => Value::Float(inputs.arrival.received_at.0 as f64),
            "history" => history(&inputs.observed).into(),
            // `default` differs from score to score: it is set when its turn comes.
            _ => Value::Null,
        }
    }

    /// What an override makes of a score; `None`: it does not apply.
    pub(super) fn overridden(&mut self, by: &Override, default: Score) -> Result<Option<Score>, EvaluationError> {
        self.0.add_variable_from_value("default", Value::Float(default.fraction()));
        let run = |program: &Program| {
            program.execute(&self.0).map_err(|error| EvaluationError::Failed(first_line(&error.to_string())))
        };
        if let Some(when) = &by.when {
            match run(when)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(None),
                other => return Err(EvaluationError::NoTruth(shown(&other))),
            }
        }
        let value = run(&by.value)?;
        let fraction = match &value {
            Value::Float(fraction) => Some(*fraction),
            Value::Int(0) => Some(0.0),
            Value::Int(1) => Some(1.0),
            _ => None,
        };
        match fraction.filter(|fraction| (0.0..=1.0).contains(fraction)) {
            Some(fraction) => Ok(Some(Score::from_fraction(fraction))),
            None => Err(EvaluationError::NoScore(shown(&value))),
        }
    }
}

/// A result, for the one who wrote the expression.
fn shown(value: &Value) -> String {
    format!("{value:?}").chars().take(100).collect()
}

fn source(source: &Source) -> HashMap<&'static str, Value> {
    HashMap::from([
        ("nodeId", text(&source.node_id)),
        ("nodeType", text(&source.node_type)),
        ("communicationMode", text(&source.communication_mode)),
        ("registered", source.registered.into()),
    ])
}

fn arrival(inputs: &Inputs) -> HashMap<&'static str, Value> {
    let sealed = inputs.arrival.sealed.map(|suite| suite.to_string()).unwrap_or_default();
    HashMap::from([("transport", inputs.arrival.transport.as_str().into()), ("sealed", sealed.into())])
}

fn history(observed: &Observed) -> HashMap<&'static str, Value> {
    let mut history = HashMap::from([("count", Value::Float(observed.count.into()))]);
    if observed.count > 0 {
        history.extend([("median", Value::Float(observed.median)), ("mad", Value::Float(observed.mad))]);
    }
    history.extend(observed.noise.map(|noise| ("noise", Value::Float(noise))));
    history
}

/// The members of a reading that are single values.
fn data(reading: &Reading) -> HashMap<Key, Value> {
    let named = [("name", Some(&reading.name)), ("unit", reading.unit.as_ref()), ("time", reading.time.as_ref())];
    let named = named.into_iter().filter_map(|(name, text)| Some((name, seen(text?)?)));
    let further = reading.further.iter().map(|(name, value)| (&**name, &**value));
    let single = further.chain([("value", &*reading.value)]).filter_map(|(name, value)| Some((name, single(value)?)));
    named.chain(single).take(MEMBERS_SEEN_MAX).map(|(name, value)| (name.into(), value)).collect()
}

/// A JSON value that is a single one and not too long. Numbers are doubles, however they are written.
fn single(value: &RawValue) -> Option<Value> {
    match value.get() {
        "null" => Some(Value::Null),
        "true" => Some(true.into()),
        "false" => Some(false.into()),
        number if number.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
            number.parse().ok().map(Value::Float)
        }
        // Escapes make a text longer, never shorter.
        quoted if quoted.starts_with('"') && quoted.len() <= 6 * TEXT_SEEN_BYTES_MAX => {
            seen(&serde_json::from_str::<String>(quoted).ok()?)
        }
        _ => None,
    }
}

fn seen(text: &str) -> Option<Value> {
    (text.len() <= TEXT_SEEN_BYTES_MAX).then(|| text.into())
}

/// A text of ours, which is short.
fn text(text: &str) -> Value {
    seen(text).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests;
