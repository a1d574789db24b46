//! What the APIs of versioned texts have in common: policies and the configuration.

use super::storage_problem;
use crate::server::{
    http::Refused,
    versions::{Version, VersionsError},
};
use aups_core::Problem;
use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// `?version=N`: another one than that in force.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    pub(super) version: Option<u64>,
}

/// `?comment=…`: kept with the version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    #[serde(default)]
    pub(super) comment: String,
}

/// The version that is gone back to.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollback {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) comment: String,
}

/// `?from=N&to=M`: what is compared.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Compared {
    /// The version before; the active one if none is said.
    pub(super) from: Option<u64>,
    /// The version after; the body if none is said.
    pub(super) to: Option<u64>,
}

/// Two things are given to compare with, and one can be.
pub(super) fn compared_twice() -> Refused {
    let detail = "what it is compared with is either the body or the version `to`; leave one of them out";
    Refused::from(Problem::new(400, "malformed-query", "Malformed query", detail).member("to"))
}

/// A version as the administrator sees it.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    version: Version,
    active: bool,
}

/// All versions that are kept.
pub(super) fn listed(versions: Vec<Version>, active: u64) -> Json<Value> {
    let items = versions.into_iter().map(|version| Listed { active: version.number == active, version });
    Json(json!({ "items": items.collect::<Vec<_>>() }))
}

impl From<VersionsError> for Refused {
    fn from(error: VersionsError) -> Self {
        let detail = error.to_string();
        Self::from(match error {
            VersionsError::Outdated { .. } => Problem::new(
                412,
                "outdated",
                "Changed meanwhile",
                format!("{detail}; fetch it again, look at what changed, and apply to that"),
            ),
            VersionsError::Unknown { .. } => Problem::new(
                404,
                "unknown-version",
                "No such version",
                format!("{detail}; the list of versions has those that are"),
            ),
            VersionsError::Comment => {
                Problem::new(400, "malformed-comment", "Malformed comment", detail).member("comment")
            }
            VersionsError::Store(_) | VersionsError::Corrupt { .. } => storage_problem(&error),
        })
    }
}
