//! Who reads: users and apps with the attributes that policies may ask for.

use crate::id::{GroupName, Sub};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A person or a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    /// A person.
    User,
    /// A program, which may have users of its own.
    App,
}

impl fmt::Display for ReaderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::App => "app",
        })
    }
}

/// What policies may ask of a reader; as in the Cedar schema that ships.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attributes {
    /// What it does: `meteorologist`, `operator`, …
    pub roles: BTreeSet<String>,
    /// Whose it is.
    pub org: String,
    /// How far it is trusted; higher is further.
    pub clearance: i64,
    /// What it wants the data for.
    pub purposes: BTreeSet<String>,
}

/// A reader as the policy decision point sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// User or app.
    pub kind: ReaderKind,
    /// Its name.
    pub sub: Sub,
    /// Its attributes.
    pub attributes: Attributes,
    /// Every group that it is in, those that hold its groups included.
    pub groups: BTreeSet<GroupName>,
}
