//! The versions of a text as a server lists them: of the policy set, and of the configuration.

use super::terminal;
use aups_core::UnixMillis;
use clap::Args;
use serde::Deserialize;

/// Why a new version is made, and in the place of which.
#[derive(Debug, Args)]
pub(super) struct NewVersion {
    /// Why: kept with the version
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(super) comment: String,
    /// Only if this version is still in force
    #[arg(long, value_name = "N")]
    pub(super) if_version: Option<u64>,
}

/// A version as the server lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    pub(super) version: u64,
    policies: Option<usize>,
    applied_at: UnixMillis,
    author: String,
    #[serde(default)]
    comment: String,
    restores: Option<u64>,
    pub(super) active: bool,
}

/// Of the configuration.
pub(super) fn table(versions: Vec<Listed>) -> String {
    let rows: Vec<_> = versions.into_iter().map(|listed| Vec::from(listed.cells())).collect();
    terminal::table(&["VERSION", "APPLIED", "AUTHOR", "COMMENT"], &rows)
}

/// Of policy sets, with how many policies each has.
pub(super) fn table_of_policies(versions: Vec<Listed>) -> String {
    let rows: Vec<_> = versions
        .into_iter()
        .map(|listed| {
            let policies = listed.policies.unwrap_or_default().to_string();
            let [version, applied, author, comment] = listed.cells();
            [version, policies, applied, author, comment]
        })
        .collect();
    terminal::table(&["VERSION", "POLICIES", "APPLIED", "AUTHOR", "COMMENT"], &rows)
}

impl Listed {
    fn cells(self) -> [String; 4] {
        let mark = if self.active { " (active)" } else { "" };
        let restores = self.restores.map(|version| format!("restores {version}"));
        let said = Some(self.comment).filter(|comment| !comment.is_empty());
        [
            format!("{}{mark}", self.version),
            self.applied_at.to_string(),
            self.author,
            restores.into_iter().chain(said).collect::<Vec<_>>().join("; "),
        ]
    }
}
