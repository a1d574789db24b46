//! `aups policy`: who may read what.

mod apply;
mod fault;
mod report;
mod text;
mod versions;

use super::{
    admin::ServerArgs,
    failure::Failure,
    terminal::{self, counted},
};
use apply::Apply;
use aups_policy::PolicySet;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use text::PolicyText;
use versions::{List, Rollback, Show};

/// Say who may read what
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Say who may read what, in Cedar (www.cedarpolicy.com).\n\nA policy permits or forbids to `receive` \
items. It may look at the reader (principal.roles, .org, .clearance, .purposes, groups), at the topic (resource in \
Topic::\"greensboro\"), at the item (resource.name, .value, .source, .security, .quality) and at the time and address of a \
key request. What no policy permits nobody reads: it is not even published."
)]
pub(crate) struct Policy {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups policy check meteo.cedar                what is wrong, without a server
  aups policy apply meteo.cedar garden.cedar   these files replace the whole set
  aups policy list                             the versions that were applied
  aups policy show > all.cedar
  aups policy rollback 3                       version 3 again

A policy:
  @id(\"meteo\") @keylife(\"5m\") @obligation(\"sign\")
  permit(principal, action == Action::\"receive\", resource in Topic::\"data\")
  when { principal.roles.contains(\"meteorologist\")
    && resource.quality.accuracy.greaterThanOrEqual(decimal(\"0.80\")) };";

#[derive(Debug, Subcommand)]
enum Action {
    Check(Check),
    Apply(Apply),
    List(List),
    Show(Show),
    Rollback(Rollback),
}

/// Files that are one policy set together.
#[derive(Debug, Args)]
struct Files {
    /// Files with policies, taken together as one set; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Check files without a server; changes nothing
#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    files: Files,
}

impl Policy {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Check(check) => check.run(),
            Action::Apply(apply) => apply.run(&server.admin()?).await,
            Action::List(list) => list.run(&server.admin()?).await,
            Action::Show(show) => show.run(&server.admin()?).await,
            Action::Rollback(rollback) => rollback.run(&server.admin()?).await,
        }
    }
}

/// What the server names policies after that have no `@id`: `policies-1` and so on.
const SERVER_STEM: &str = "policies";

impl Check {
    /// What admission would say of a set, found out here.
    fn run(&self) -> Result<(), Failure> {
        let text = PolicyText::read(&self.files.files)?;
        match PolicySet::parse(text.source(), SERVER_STEM) {
            Ok(set) => {
                terminal::line(&format!("{}: this set would be admitted", counted(set.len(), "policy", "policies")))
            }
            Err(errors) => Err(fault::tell(&text, &errors)),
        }
    }
}
