//! What a partly evaluated condition can still come to.
//!
//! Cedar's partial evaluation keeps `principal.org == "a" && false`, because in general `principal.org` may fail. Here it
//! cannot: the reader who asks always exists and always has the attributes that the schema demands. Knowing that, more
//! policies are found to be certain or impossible, so that fewer scopes stand for the same readers (research: 91 before,
//! 49 after, for 49 audiences).

use cedar_policy::pst::{BinaryOp, Expr, Literal, UnaryOp};

/// Which ways evaluation can end. More ways than there are is sound; fewer is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcomes {
    /// With true; of an expression that is not a condition: with a value.
    pub(crate) truth: bool,
    /// With false; of an expression that is not a condition: with a value.
    pub(crate) falsity: bool,
    /// With an evaluation error.
    pub(crate) failure: bool,
}

impl Outcomes {
    const VALUE: Self = Self { truth: true, falsity: true, failure: false };
    const FAILURE: Self = Self { truth: false, falsity: false, failure: true };

    /// Of a condition that was validated against the schema, for a reader that exists.
    pub(crate) fn of(condition: &Expr) -> Self {
        match condition {
            Expr::Literal(Literal::Bool(value)) => Self { truth: *value, falsity: !*value, failure: false },
            Expr::ResidualError => Self::FAILURE,
            Expr::UnaryOp { op: UnaryOp::Not, expr } => {
                let of = Self::of(expr);
                Self { truth: of.falsity, falsity: of.truth, failure: of.failure }
            }
            Expr::BinaryOp { op: BinaryOp::And, left, right } => {
                let (left, right) = (Self::of(left), Self::of(right));
                Self {
                    truth: left.truth && right.truth,
                    falsity: left.falsity || (left.truth && right.falsity),
                    failure: left.failure || (left.truth && right.failure),
                }
            }
            Expr::BinaryOp { op: BinaryOp::Or, left, right } => {
                let (left, right) = (Self::of(left), Self::of(right));
                Self {
                    truth: left.truth || (left.falsity && right.truth),
                    falsity: left.falsity && right.falsity,
                    failure: left.failure || (left.falsity && right.failure),
                }
            }
            Expr::IfThenElse { cond, then_expr, else_expr } => {
                let (test, then, otherwise) = (Self::of(cond), Self::of(then_expr), Self::of(else_expr));
                let either = |a: bool, b: bool| (test.truth && a) || (test.falsity && b);
                Self {
                    truth: either(then.truth, otherwise.truth),
                    falsity: either(then.falsity, otherwise.falsity),
                    failure: test.failure || either(then.failure, otherwise.failure),
                }
            }
            other => children(other).fold(Self::own(other), |outcomes, child| {
                let of = Self::of(child);
                let value = outcomes.truth && (of.truth || of.falsity);
                Self { truth: value, falsity: value, failure: outcomes.failure || of.failure }
            }),
        }
    }

    /// Of an operation whose operands have their values.
    fn own(operation: &Expr) -> Self {
        let failure = match operation {
            Expr::UnaryOp { op, .. } => match op {
                UnaryOp::IsEmpty
                | UnaryOp::IsIPv4
                | UnaryOp::IsIPV6
                | UnaryOp::IsLoopback
                | UnaryOp::IsMulticast
                | UnaryOp::ToTime
                | UnaryOp::ToMilliseconds
                | UnaryOp::ToSeconds
                | UnaryOp::ToMinutes
                | UnaryOp::ToHours
                | UnaryOp::ToDays => false,
                // Admission has evaluated these on their literals.
                UnaryOp::Datetime | UnaryOp::Decimal | UnaryOp::Duration | UnaryOp::Ip => !is_literal(operation),
                // `Neg` and `ToDate` can overflow, as can what a later Cedar adds.
                _ => true,
            },
            // How partial evaluation writes an instant that it knows: `datetime("1970-01-01").offset(duration("…ms"))`.
            Expr::BinaryOp { op: BinaryOp::Offset, left, right } => !(is_literal(left) && is_literal(right)),
            Expr::GetAttr { expr, .. } | Expr::BinaryOp { op: BinaryOp::GetTag, left: expr, .. } => !exists(expr),
            Expr::BinaryOp { op, .. } => !is_test(*op),
            Expr::Literal(_)
            | Expr::Var(_)
            | Expr::HasAttr { .. }
            | Expr::Like { .. }
            | Expr::Is { .. }
            | Expr::Set(_)
            | Expr::Record(_) => false,
            _ => true,
        };
        Self { failure, ..Self::VALUE }
    }

    pub(crate) const fn is_never_true(self) -> bool {
        !self.truth
    }

    /// Neither false nor a failure, whoever asks.
    pub(crate) const fn is_always_true(self) -> bool {
        !self.falsity && !self.failure
    }
}

/// True or false of any two operands that a valid policy may have: it never fails.
pub(crate) const fn is_test(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Eq
            | BinaryOp::NotEq
            | BinaryOp::Less
            | BinaryOp::LessEq
            | BinaryOp::Greater
            | BinaryOp::GreaterEq
            | BinaryOp::In
            | BinaryOp::Contains
            | BinaryOp::ContainsAll
            | BinaryOp::ContainsAny
            | BinaryOp::HasTag
            | BinaryOp::IsInRange
            | BinaryOp::DecimalLessThan
            | BinaryOp::DecimalLessEq
            | BinaryOp::DecimalGreater
            | BinaryOp::DecimalGreaterEq
    )
}

/// `datetime("…")` and its like.
fn is_literal(expr: &Expr) -> bool {
    match expr {
        Expr::UnaryOp { op: UnaryOp::Datetime | UnaryOp::Decimal | UnaryOp::Duration | UnaryOp::Ip, expr } => {
            matches!(**expr, Expr::Literal(_))
        }
        _ => false,
    }
}

/// Whether whatever an attribute is read from certainly is there: the reader, the item, the context, or a record in them.
/// The validator has seen to it that optional attributes are read only behind a `has`, and tags behind a `hasTag`.
fn exists(expr: &Expr) -> bool {
    match expr {
        Expr::Var(_) | Expr::Record(_) => true,
        Expr::GetAttr { expr, .. } => exists(expr),
        Expr::IfThenElse { then_expr, else_expr, .. } => exists(then_expr) && exists(else_expr),
        _ => false,
    }
}

/// The operands of an expression, from the left.
pub(crate) fn children(expr: &Expr) -> impl Iterator<Item = &Expr> {
    let children: Vec<&Expr> = match expr {
        Expr::UnaryOp { expr, .. }
        | Expr::GetAttr { expr, .. }
        | Expr::HasAttr { expr, .. }
        | Expr::Like { expr, .. } => vec![expr],
        Expr::BinaryOp { left, right, .. } => vec![left, right],
        Expr::Is { expr, in_expr, .. } => std::iter::once(expr).chain(in_expr).map(|expr| &**expr).collect(),
        Expr::IfThenElse { cond, then_expr, else_expr } => vec![cond, then_expr, else_expr],
        Expr::Set(members) => members.iter().map(|member| &**member).collect(),
        Expr::Record(members) => members.values().map(|member| &**member).collect(),
        _ => Vec::new(),
    };
    children.into_iter()
}

/// Whether the expression holds a part that fails whenever it is reached.
pub(crate) fn holds_failure(expr: &Expr) -> bool {
    matches!(expr, Expr::ResidualError) || children(expr).any(holds_failure)
}

#[cfg(test)]
mod tests;
