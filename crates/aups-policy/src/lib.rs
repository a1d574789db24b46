//! Who may read what: Cedar policies, admitted, decided, and boiled down to scopes.
//!
//! - Admission: [`PolicySet::parse_in`] is the only way from a text to policies that decide anything, under a [`Schema`].
//! - The policy decision point, [`Pdp`]: which readers an item is for ([`Pdp::scope`]), whether one reader may read one
//!   item and why ([`Pdp::decide`]), what a reader may subscribe to ([`Pdp::filter`], [`Pdp::readable`]).
//! - [`Residuals`]: whether a reader who asks for a key satisfies the scope of that key.
//!
//! ```
//! use aups_core::{Attributes, Principal, ReaderKind, RealmId};
//! use aups_policy::{Pdp, PolicySet};
//!
//! let policies = r#"
//!     @id("meteo") @keylife("5m") @obligation("sign")
//!     permit(principal, action == Action::"receive", resource in Topic::"greensboro")
//!     when { principal.roles.contains("meteorologist") };
//! "#;
//! let pdp = Pdp::new(RealmId::from_bytes([0; 32]), PolicySet::parse(policies, "policies").unwrap());
//!
//! let mut alice = Principal {
//!     kind: ReaderKind::User,
//!     sub: "alice".parse()?,
//!     attributes: Attributes::default(),
//!     groups: Default::default(),
//!     app: None,
//! };
//! assert!(pdp.readable(&alice).is_empty());
//! alice.attributes.roles.insert("meteorologist".into());
//! assert_eq!(pdp.readable(&alice), ["greensboro/#".parse()?]);
//! assert!(!pdp.filter(&alice, &"data/#".parse()?).is_accepted());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! INVARIANT: no I/O, no clock. Every answer that is not a plain yes is a no with a reason.
#![warn(missing_docs)]

mod admission;
mod cache;
mod claim;
mod compare;
mod decision;
mod diff;
mod explain;
mod item;
mod loss;
mod mention;
mod outcome;
mod partial;
mod pdp;
mod reader;
mod remains;
mod residual;
mod rights;
mod schema;
mod settle;
mod standing;
mod statement;
mod terms;
mod vocabulary;
mod words;

pub use admission::{ERRORS_MAX, POLICIES_MAX, PolicyError, PolicySet, SOURCE_BYTES_MAX};
pub use compare::POINTS_MAX;
pub use decision::Decision;
pub use diff::{Change, DIFF_ENTRIES_MAX, DIFF_TOPICS_MAX, Diff, DiffEntry, diff};
pub use explain::{Answer, EXPLAINED_MAX, Explanation, PolicySays, Says, Subscription};
pub use item::Resource;
pub use pdp::{
    PROJECTION_BYTES_MAX, PROJECTIONS_KEPT_MAX, Pdp, READABLE_KEPT_MAX, SCOPE_OBLIGATIONS_MAX, SCOPES_KEPT_MAX,
    ScopeCounts, VERDICTS_KEPT_MAX, Withheld, WithheldReason,
};
pub use reader::RequestContext;
pub use remains::{REMAINS_BYTES_MAX, REMAINS_KEPT_MAX};
pub use residual::{RESIDUAL_BYTES_MAX, Residuals};
pub use rights::{FilterVerdict, judge_by_name};
pub use schema::{
    ATTRIBUTE_MEMBERS_MAX, ATTRIBUTE_NAME_CHARS_MAX, ATTRIBUTE_TEXT_BYTES_MAX, AttributeError, AttributeType,
    FURTHER_ATTRIBUTES_MAX, READER_TAGS_MAX, Schema, SchemaError, SchemaExtension, nearest,
};
pub use standing::{Conditions, Standing};
pub use statement::{POLICY_BYTES_MAX, POLICY_NESTING_MAX, POLICY_OPERATORS_MAX};

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod generated;
