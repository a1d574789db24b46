//! `aups policy`: who may read what.

mod report;
mod text;

use super::{
    admin::{Admin, ServerArgs},
    failure::Failure,
    terminal::{self, Paint, Stream},
};
use aups_core::UnixMillis;
use aups_policy::{PolicyError, PolicySet};
use clap::{Args, Subcommand};
use serde::Deserialize;
use std::path::PathBuf;
use text::PolicyText;

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
  aups policy show > all.cedar
  aups policy list                             the versions that were applied

A policy:
  @id(\"meteo\") @keylife(\"5m\") @obligation(\"sign\")
  permit(principal, action == Action::\"receive\", resource in Topic::\"data\")
  when { principal.roles.contains(\"meteorologist\")
    && resource.quality.accuracy.greaterThanOrEqual(decimal(\"0.80\")) };";

#[derive(Debug, Subcommand)]
enum Action {
    /// Check files without a server; changes nothing
    Check(Files),
    /// Replace the whole set; returns when every connected NOS uses it
    Apply(Files),
    /// Print the set in force
    Show,
    /// List the versions that were applied
    List {
        /// As JSON, for machines
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Files {
    /// Files with policies, taken together as one set; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Applied {
    version: u64,
    policies: usize,
}

/// A version that was applied, as the server tells it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    version: u64,
    policies: usize,
    applied_at: UnixMillis,
}

impl Policy {
    pub(crate) async fn run(self, server: &ServerArgs) -> Result<(), Failure> {
        match self.action {
            Action::Check(files) => check(&PolicyText::read(&files.files)?),
            Action::Apply(files) => apply(PolicyText::read(&files.files)?, &server.admin()?).await,
            Action::Show => terminal::text(&server.admin()?.get_text("/v1/policies").await?),
            Action::List { json } => server.admin()?.print_list("/v1/policies/versions", json, versions_table).await,
        }
    }
}

/// What the server names policies after that have no `@id`: `policies-1` and so on.
const SERVER_STEM: &str = "policies";

/// What admission would say of a set, found out here.
fn check(text: &PolicyText) -> Result<(), Failure> {
    match PolicySet::parse(text.source(), SERVER_STEM) {
        Ok(set) => terminal::line(&format!("{}: this set would be admitted", counted(set.len(), "policy", "policies"))),
        Err(errors) => Err(refused(text, &errors)),
    }
}

async fn apply(text: PolicyText, admin: &Admin) -> Result<(), Failure> {
    // What is wrong is found here first: it is shown with its line, and needs no server.
    if let Err(errors) = PolicySet::parse(text.source(), SERVER_STEM) {
        return Err(refused(&text, &errors));
    }
    let Applied { version, policies } = admin.put_text("/v1/policies", text.source().to_owned()).await?;
    // Scripts read this line: the word stays the same for one policy.
    terminal::line(&format!("version {version}: {policies} policies"))
}

/// Shows every fault with its line; what remains to be told is how many there are.
fn refused(text: &PolicyText, faults: &[PolicyError]) -> Failure {
    let paint = Paint::of(Stream::Stderr);
    for fault in faults {
        terminal::note(&format!("{}\n", report::render(fault, text, paint)));
    }
    Failure::input_refused(format!("{}; nothing was changed", counted(faults.len(), "fault", "faults")))
}

fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

fn versions_table(versions: Vec<Kept>) -> String {
    let rows: Vec<_> = versions
        .into_iter()
        .map(|version| [version.version.to_string(), version.policies.to_string(), version.applied_at.to_string()])
        .collect();
    terminal::table(&["VERSION", "POLICIES", "APPLIED"], &rows)
}
