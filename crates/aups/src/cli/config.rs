//! `aups config`: what NOSs do with what comes in, changed while they run.

mod check;
mod diff;
mod document;
mod edit;
mod get;
mod set;
mod try_;
mod versions;

use super::{admin::ServerArgs, failure::Failure};
use check::Check;
use clap::{Args, Subcommand};
use diff::Diff;
use edit::Edit;
use get::Get;
use set::Set;
use try_::Try;
use versions::{Rollback, Versions};

/// Change what NOSs do with what comes in
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
#[command(
    long_about = "Change what NOSs do with what comes in, while they run.\n\nThe configuration is one JSON document: topics, \
mappings, scores, quotas, what the broker retains. It is replaced as a whole, and only if all of it is valid; every item is taken by one \
version and no other. What a document leaves out is as by default."
)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  aups config get > config.json               the document in force, in full
  aups config check config.json               what is wrong, without a server
  aups config try --mapping m.json data.json  what a payload would become
  aups config diff config.json                what would change
  aups config set config.json --comment 'keep values for late readers'
  aups config edit                            get, $EDITOR and set in one
  aups config versions                        who changed it, when and why
  aups config rollback 3                      version 3 again

A document:
  {\"topics\": {\"registered\": \"greensboro/{nodeId}/{name}\"},
   \"retain\": [\"greensboro/#\"]}";

#[derive(Debug, Subcommand)]
enum Action {
    Get(Get),
    Set(Set),
    Edit(Edit),
    Check(Check),
    Try(Try),
    Diff(Diff),
    Versions(Versions),
    Rollback(Rollback),
}

impl Config {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Check(check) => check.run(),
            Action::Try(trial) => trial.run(),
            Action::Get(get) => get.run(&server.admin()?).await,
            Action::Set(set) => set.run(&server.admin()?).await,
            Action::Edit(edit) => edit.run(&server.admin()?).await,
            Action::Diff(diff) => diff.run(&server.admin()?).await,
            Action::Versions(versions) => versions.run(&server.admin()?).await,
            Action::Rollback(rollback) => rollback.run(&server.admin()?).await,
        }
    }
}
