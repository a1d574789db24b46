//! `aups group`: groups of readers, which policies name (`principal in Group::"gardeners"`).

use super::{admin::ServerArgs, failure::Failure, terminal};
use aups_core::GroupName;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::{Deserialize, Serialize};

/// Register groups of readers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Register groups of readers.\n\nPolicies name a group as `principal in Group::\"gardeners\"`. A \
group may be in other groups; who is in it is then in those as well."
)]
pub(crate) struct Group {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups group add gardeners
  aups group add roses --group gardeners   who is in roses is in gardeners too
  aups user set bob --group roses";

#[derive(Debug, Subcommand)]
enum Action {
    /// Register one
    Add {
        /// Its name
        group: GroupName,
        /// A group that it is in (repeatable)
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<GroupName>,
    },
    /// Remove one
    Remove {
        /// Its name
        group: GroupName,
    },
    /// List all
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
}

/// A group and the groups that it is in.
#[derive(Serialize, Deserialize)]
struct Registered {
    group: GroupName,
    groups: Vec<GroupName>,
}

impl Group {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        let admin = server.admin()?;
        match self.action {
            Action::Add { group, groups } => {
                let new = Registered { group, groups };
                let Registered { group, .. } = admin.send_json(Method::POST, "/v1/groups", &new).await?;
                terminal::line(&format!("added group {group}"))
            }
            Action::Remove { group } => {
                admin.delete(&format!("/v1/groups/{group}")).await?;
                terminal::line(&format!("removed group {group}"))
            }
            Action::List { json } => admin.print_list("/v1/groups", json, groups_table).await,
        }
    }
}

fn groups_table(groups: Vec<Registered>) -> String {
    let rows: Vec<_> = groups
        .into_iter()
        .map(|Registered { group, groups }| {
            let parents: Vec<_> = groups.iter().map(GroupName::as_str).collect();
            [group.to_string(), parents.join(",")]
        })
        .collect();
    terminal::table(&["GROUP", "IN"], &rows)
}
