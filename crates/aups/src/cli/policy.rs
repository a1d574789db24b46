//! `aups policy`: who may read what.

mod apply;
mod compare;
mod example;
mod expectations;
mod explain;
pub(crate) mod extension;
mod fault;
mod report;
mod retroactive;
mod test;
mod text;
mod versions;

use super::{
    admin::ServerArgs,
    failure::Failure,
    terminal::{self, counted},
};
use apply::Apply;
use aups_policy::{PolicySet, Schema};
use clap::{Args, Subcommand};
use compare::Compare;
use example::Example;
use explain::Explain;
use std::path::PathBuf;
use test::Test;
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
  aups policy example building > b.cedar       something to start from
  aups policy check b.cedar                    what is wrong, without a server
  aups policy diff b.cedar                     who would gain and lose what
  aups policy apply b.cedar garden.cedar       these files replace the whole set
  aups policy explain --reader alice --topic data/s1/temperature
  aups policy list                             the versions that were applied
  aups policy rollback 3                       version 3 again
  aups policy apply b.cedar --retroactive      close what was sealed before, too

A policy:
  @id(\"meteo\") @keylife(\"5m\") @obligation(\"sign\")
  permit(principal, action == Action::\"receive\", resource in Topic::\"data\")
  when { principal.roles.contains(\"meteorologist\")
    && resource.quality.accuracy.greaterThanOrEqual(decimal(\"0.80\")) };";

#[derive(Debug, Subcommand)]
enum Action {
    Check(Check),
    Diff(Compare),
    Test(Test),
    Apply(Apply),
    Explain(Explain),
    List(List),
    Show(Show),
    Rollback(Rollback),
    Example(Example),
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
    /// What was added to the schema: JSON, as `aups schema show --json` prints it
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
}

impl Policy {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Check(check) => check.run(),
            Action::Diff(compare) => compare.run(&server.admin()?).await,
            Action::Test(test) => test.run(server).await,
            Action::Explain(explain) => explain.run(&server.admin()?).await,
            Action::Example(example) => example.run(),
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
        let schema = self.schema.as_deref().map_or_else(|| Ok(Schema::shipped()), extension::read)?;
        match PolicySet::parse_in(&schema, text.source(), SERVER_STEM) {
            Ok(set) => {
                terminal::line(&format!("{}: this set would be admitted", counted(set.len(), "policy", "policies")))
            }
            Err(errors) => Err(fault::tell(&text, &errors)),
        }
    }
}
