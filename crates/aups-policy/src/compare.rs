//! Whether two standings differ, decided at points: values of what their conditions ask about, chosen so that whatever the
//! conditions can tell apart has a point of its own.
//!
//! A condition is a tree of tests. A test on one attribute, in a form known here, is evaluated by Cedar at every value that
//! matters for it; any other test counts as true at one point and as false at another, so that what is found then is
//! only what may be.

mod points;
mod strings;

use crate::{
    outcome::Outcomes,
    standing::{Left, Standing},
};
use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp};
use points::{Variable, truths_of};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Most points at which two standings are compared. Beyond it, what differs is said to be possible, not certain.
pub const POINTS_MAX: usize = 65_536;

/// What one standing lets a reader read and another does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Something that only the second lets read.
    pub(crate) gains: bool,
    /// Something that only the first lets read.
    pub(crate) loses: bool,
    /// Whether that was decided, and is not merely possible.
    pub(crate) certain: bool,
}

impl Difference {
    pub(crate) const NONE: Self = Self { gains: false, loses: false, certain: true };
}

/// How the evaluation of a test ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Outcome {
    False,
    True,
    Failure,
}

/// How the tests on one attribute end, at each point that can be told from the others.
type Truths = Arc<Vec<Vec<Outcome>>>;

/// Compares standings and keeps what it has learnt of tests.
#[derive(Debug, Default)]
pub(crate) struct Comparer {
    truths: HashMap<Vec<String>, Option<Truths>>,
}

impl Comparer {
    pub(crate) fn difference(&mut self, before: &Standing, after: &Standing) -> Difference {
        if before == after {
            return Difference::NONE;
        }
        let mut tests = Tests::default();
        let (before, after) = (Allowance::of(before, &mut tests), Allowance::of(after, &mut tests));
        let (groups, mut certain) = self.groups(&tests);
        let points = groups.iter().try_fold(1_usize, |points, (_, truths)| points.checked_mul(truths.len()));
        if points.is_none_or(|points| points > POINTS_MAX) {
            return Difference { gains: true, loses: true, certain: false };
        }
        let (mut gains, mut loses) = (false, false);
        let mut outcomes = vec![Outcome::False; tests.tests.len()];
        at_every_point(&groups, &mut outcomes, &mut |outcomes| {
            let (before, after) = (before.at(outcomes), after.at(outcomes));
            gains |= after && !before;
            loses |= before && !after;
            gains && loses
        });
        // Without a difference at more points than there are, there is none.
        certain |= !gains && !loses;
        Difference { gains, loses, certain }
    }

    /// The tests by what they are about, each group with its points; and whether every point exists and none is missing.
    fn groups(&mut self, tests: &Tests) -> (Vec<(Vec<usize>, Truths)>, bool) {
        let mut about: BTreeMap<Variable, Vec<usize>> = BTreeMap::new();
        let mut open = Vec::new();
        for (number, test) in tests.tests.iter().enumerate() {
            match Variable::of(test) {
                Some(variable) => about.entry(variable).or_default().push(number),
                None => open.push(number),
            }
        }
        let mut groups = Vec::new();
        for (variable, numbers) in about {
            let of = |number: &usize| tests.tests.get(*number);
            let mut key: Vec<String> = vec![format!("{variable:?}")];
            key.extend(numbers.iter().filter_map(of).map(ToString::to_string));
            let truths = self.truths.entry(key).or_insert_with(|| {
                let tests: Vec<&Expr> = numbers.iter().filter_map(of).collect();
                truths_of(&variable, &tests).map(Arc::new)
            });
            match truths {
                Some(truths) => groups.push((numbers, truths.clone())),
                None => open.extend(numbers),
            }
        }
        let certain = open.is_empty();
        groups.extend(open.into_iter().filter_map(|number| Some((vec![number], either_way(tests.tests.get(number)?)))));
        (groups, certain)
    }
}

/// A test of which nothing is known but how it can end.
fn either_way(test: &Expr) -> Truths {
    let of = Outcomes::of(test);
    let ways = [(of.truth, Outcome::True), (of.falsity, Outcome::False), (of.failure, Outcome::Failure)];
    Arc::new(ways.into_iter().filter(|(possible, _)| *possible).map(|(_, outcome)| vec![outcome]).collect())
}

/// Visits the points of the product until a visit says that it has seen enough.
fn at_every_point(
    groups: &[(Vec<usize>, Truths)],
    outcomes: &mut Vec<Outcome>,
    visit: &mut impl FnMut(&[Outcome]) -> bool,
) -> bool {
    let Some(((numbers, truths), rest)) = groups.split_first() else { return visit(outcomes) };
    truths.iter().any(|point| {
        for (number, outcome) in numbers.iter().zip(point) {
            if let Some(slot) = outcomes.get_mut(*number) {
                *slot = *outcome;
            }
        }
        at_every_point(rest, outcomes, visit)
    })
}

/// The tests of some conditions, each once.
#[derive(Debug, Default)]
struct Tests {
    tests: Vec<Expr>,
    numbers: HashMap<String, usize>,
}

impl Tests {
    fn number(&mut self, test: &Expr) -> usize {
        let next = self.tests.len();
        let number = *self.numbers.entry(test.to_string()).or_insert(next);
        if number == next {
            self.tests.push(test.clone());
        }
        number
    }
}

/// A standing as trees of tests: all of its parts must let the reader. None of them: it may read everything.
struct Allowance(Vec<Part>);

struct Part {
    permits: Vec<Tree>,
    forbids: Vec<Tree>,
}

impl Allowance {
    fn of(standing: &Standing, tests: &mut Tests) -> Self {
        let mut trees = |conditions: &[Expr]| conditions.iter().map(|one| Tree::of(one, tests)).collect::<Vec<_>>();
        Self(match standing {
            Standing::Never => vec![Part { permits: Vec::new(), forbids: Vec::new() }],
            Standing::Always => Vec::new(),
            Standing::When(conditions) => {
                let part = |left: &Left| {
                    let (mut permits, forbids) = (trees(&left.permits), trees(&left.forbids));
                    if permits.is_empty() {
                        permits.push(Tree::Known(Outcome::True));
                    }
                    Part { permits, forbids }
                };
                conditions.all.iter().map(part).collect()
            }
        })
    }

    fn at(&self, outcomes: &[Outcome]) -> bool {
        self.0.iter().all(|part| part.at(outcomes))
    }
}

impl Part {
    /// A permit that fails permits nothing; a forbid that fails forbids.
    fn at(&self, outcomes: &[Outcome]) -> bool {
        self.permits.iter().any(|permit| permit.at(outcomes) == Outcome::True)
            && self.forbids.iter().all(|forbid| forbid.at(outcomes) == Outcome::False)
    }
}

/// A condition over numbered tests.
enum Tree {
    Known(Outcome),
    Test(usize),
    Not(Box<Tree>),
    And(Box<[Tree; 2]>),
    Or(Box<[Tree; 2]>),
    If(Box<[Tree; 3]>),
}

impl Tree {
    fn of(condition: &Expr, tests: &mut Tests) -> Self {
        let mut of = |part: &Expr| Self::of(part, tests);
        match condition {
            Expr::Literal(Literal::Bool(true)) => Self::Known(Outcome::True),
            Expr::Literal(Literal::Bool(false)) => Self::Known(Outcome::False),
            Expr::ResidualError => Self::Known(Outcome::Failure),
            Expr::UnaryOp { op: UnaryOp::Not, expr } => Self::Not(Box::new(of(expr))),
            Expr::BinaryOp { op: BinaryOp::And, left, right } => Self::And(Box::new([of(left), of(right)])),
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => Self::Or(Box::new([of(left), of(right)])),
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                Self::If(Box::new([of(cond), of(then_expr), of(else_expr)]))
            }
            test => Self::Test(tests.number(test)),
        }
    }

    fn at(&self, outcomes: &[Outcome]) -> Outcome {
        match self {
            Self::Known(outcome) => *outcome,
            // Every test has a number of its own in the outcomes.
            Self::Test(number) => outcomes.get(*number).copied().unwrap_or(Outcome::Failure),
            Self::Not(of) => match of.at(outcomes) {
                Outcome::True => Outcome::False,
                Outcome::False => Outcome::True,
                Outcome::Failure => Outcome::Failure,
            },
            Self::And(both) => {
                let [left, right] = &**both;
                match left.at(outcomes) {
                    Outcome::True => right.at(outcomes),
                    other => other,
                }
            }
            Self::Or(both) => {
                let [left, right] = &**both;
                match left.at(outcomes) {
                    Outcome::False => right.at(outcomes),
                    other => other,
                }
            }
            Self::If(parts) => {
                let [test, then, otherwise] = &**parts;
                match test.at(outcomes) {
                    Outcome::True => then.at(outcomes),
                    Outcome::False => otherwise.at(outcomes),
                    Outcome::Failure => Outcome::Failure,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
